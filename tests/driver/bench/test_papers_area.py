"""Figure 11's count of real devices by Yosys, against what their descriptions say."""

from __future__ import annotations

import pytest

from driver.bench.papers_area import ARRAY, FILTER, ROWS, WEIGHTS, _rtlil, gates_by_unit
from hdl.census import count_rtlil
from hdl.config import preset
from hdl.emit import TOP
from synth.gates import Gates


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "tiny-baseline", "paper"])
def test_units_hold_what_the_configuration_says(name: str) -> None:
    config = preset(name)
    units = gates_by_unit(config, workers=2, progress=print)
    described = count_rtlil(_rtlil(config, print), TOP)
    whole = Gates()
    for gates in units.values():
        whole.add(gates)
    # Mapping adds no register and no memory bit. It removes tables, and register bits that never
    # change or that nobody reads: most in registers as wide as the bus, a tenth of ``tiny``.
    bits = described[TOP].memory_bits
    assert 0.99 * bits <= whole.memory_bits <= bits
    assert 0.85 * described[TOP].flip_flops <= whole.flip_flops <= described[TOP].flip_flops
    # An 8 x 8 multiplier alone is 64 partial products and 56 adder cells.
    elements = described["sub_array"].flip_flops * config.grid**2
    assert elements <= units[ARRAY].flip_flops < 1.2 * elements
    assert units[ARRAY].total_cells > 120 * config.pes
    assert units[WEIGHTS].memory_bits == 8 * config.weight_bytes * config.grid**2
    assert units[ROWS].memory_bits >= 8 * (config.static_cache_bytes + config.look_ahead_bytes)
    assert (FILTER in units) == config.features.on_chip_filter
