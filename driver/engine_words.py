"""Program words of an engine: layers, stages, parameters, interaction shifts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from golden.quantised_model import QuantisedLayer, QuantisedModel
from hdl import program as fmt
from hdl.engine.interaction_steps import interaction_steps, product_steps, step_lanes
from hdl.engine.vector_bank import COPY_BYTES
from hdl.words import pack_bytes

from .maps import EngineMap, LayerMap, StageMap

__all__ = ["layer_word", "parameter_words", "shift_words", "stage_word"]

_FUNCTIONS = {"none": fmt.Function.NONE, "relu": fmt.Function.RELU, "table": fmt.Function.TABLE}


def layer_word(function: str, place: LayerMap, destination: fmt.Destination, table: int) -> bytes:
    """The LAYER words of one layer; ``table`` counts only with the function ``table``."""
    return pack_bytes(
        fmt.LAYER,
        {
            "input_tiles": place.input_tiles,
            "output_tiles": place.output_tiles,
            "input_base": place.input_base,
            "output_base": place.output_base,
            "function": _FUNCTIONS[function],
            "table": table,
            "destination": destination,
            "parameter_base": place.parameter_base,
        },
    )


def parameter_words(layer: QuantisedLayer) -> NDArray[np.uint8]:
    """PARAMETER words of a layer's channels, ``[outputs, 8]`` bytes."""
    bias = layer.bias.astype(np.int64).astype(np.uint64) & np.uint64(0xFFFF_FFFF)
    word = (
        bias
        | layer.multiplier.astype(np.uint64) << np.uint64(32)
        | layer.shift.astype(np.uint64) << np.uint64(48)
    )
    return word.astype("<u8").view(np.uint8).reshape(-1, 8)


def shift_words(model: QuantisedModel, stage: StageMap) -> list[bytes]:
    """DOT_SHIFTS of a stage's interaction steps, ``shift_words`` words each."""
    size = 8 * stage.shift_words
    if stage.shape.products:
        steps = product_steps(stage.shape.products, stage.shape.width, stage.product_lanes)
        value = int(model.dot_shift[0]) * (((1 << 4 * 16 * stage.shift_words) - 1) // 15)
        return [value.to_bytes(size, "little")] * len(steps)
    if not stage.shape.dot:
        return []
    words = []
    for step in interaction_steps(
        vectors=stage.shape.vectors,
        width=stage.shape.width,
        outputs=1 << stage.log2_outputs,
        rows=stage.step_rows,
    ):
        first = step.k - stage.shape.width
        value = 0
        for number, lane in enumerate(step_lanes(step)):
            value |= int(model.dot_shift[first + number]) << (4 * lane)
        words.append(value.to_bytes(size, "little"))
    return words


def stage_word(
    stage: StageMap,
    mapped: EngineMap,
    *,
    first: Mapping[str, int],
    streams: Mapping[str, int],
    shift_base: int,
    code: Mapping[str, int] | None = None,
) -> bytes:
    """The STAGE words of one program.

    Parameters
    ----------
    first
        First entry in the layer table, by MLP.
    streams
        Device memory address of the weight stream, by MLP.
    shift_base
        First step in DOT_SHIFTS.
    code
        Fields of word 7, where an item's record has ids behind its dense values.
    """
    return pack_bytes(
        fmt.STAGE,
        {
            "bottom_layer": first["bottom"],
            "bottom_layers": len(stage.bottom.layers),
            "top_layer": first["top"],
            "top_layers": len(stage.top.layers),
            "row_pitch": stage.rows,
            "mode": fmt.InteractionMode.DOT if stage.shape.dot else fmt.InteractionMode.CAT,
            "log2_width": stage.shape.width.bit_length() - 1,
            "vectors": stage.shape.vectors,
            "log2_outputs": stage.log2_outputs,
            "shift_base": shift_base,
            "input_base": stage.input_base,
            "output_base": stage.output_base,
            "slot_bytes": stage.slot_bytes,
            "slots": stage.slots,
            "bottom_tiles": stage.bottom.tiles,
            "bottom_weights": stage.bottom.weights,
            "bottom_streamed": stage.bottom.streamed,
            "top_tiles": stage.top.tiles,
            "top_weights": stage.top.weights,
            "top_streamed": stage.top.streamed,
            "bottom_stream": streams["bottom"],
            "top_stream": streams["top"],
            "ring_base": mapped.ring_base,
            "ring_log2_words": mapped.ring_log2_words,
            "products": stage.shape.products,
            "product_base": stage.product_base,
            "copied": stage.shape.copied // COPY_BYTES,
            "tail": stage.shape.tail // COPY_BYTES,
            **(code or {}),
        },
    )
