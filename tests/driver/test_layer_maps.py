"""Layers behind each other: tiles, addresses, parameters."""

from __future__ import annotations

import pytest

from driver.layer_maps import layer_maps
from driver.maps import LayerMap


def test_layers_take_tiles_and_parameters_in_order() -> None:
    maps, tiles, parameter = layer_maps([(13, 9), (9, 4)], 4, [0, 48], [48, 96], 7)
    assert maps == (
        LayerMap(input_tiles=4, output_tiles=3, input_base=0, output_base=48, parameter_base=7),
        LayerMap(input_tiles=3, output_tiles=1, input_base=48, output_base=96, parameter_base=10),
    )
    assert tiles == 4 * 3 + 3 * 1 and parameter == 11


def test_every_layer_needs_its_addresses() -> None:
    with pytest.raises(ValueError):
        layer_maps([(4, 4), (4, 4)], 4, [0], [16, 32], 0)
