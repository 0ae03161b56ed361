"""Refuses models that no engine of a device could hold, before anything is placed."""

from __future__ import annotations

from collections.abc import Mapping

from hdl.config import Config
from hdl.program import PIPELINE, STAGE

from .errors import UserError
from .maps import StageShape

__all__ = ["check_models"]

_WIDTHS = (4, 8, 16, 32, 64, 128)


def _largest(layout: object, field: str) -> int:
    """Largest value of an unsigned field of the program format."""
    return (1 << layout[field].width) - 1  # type: ignore[index]


def check_models(config: Config, programs: Mapping[int, StageShape]) -> None:
    """Check the sizes of the models that one engine holds.

    Raises
    ------
    UserError
        One is too large, or contradicts itself; names model, layer, size and limit.
    """
    for shape in programs.values():
        _check_layers(config, shape)
        _check_inputs(config, shape)
    layers = sum(len(shape.bottom) + len(shape.top) for shape in programs.values())
    decoders = 0
    for shape in programs.values():
        for vector, (_, sizes) in enumerate(shape.decoders):
            bag = shape.bag(vector)
            sums = bag > 1  # one more decoder, of one layer
            decoders += bag + sums
            layers += bag * (len(sizes) - 1) + sums
    if layers > config.max_layers:
        names = ", ".join(shape.name for shape in programs.values())
        raise UserError(
            f"{names}: {layers} layers together, an engine of {config.name} holds at most "
            f"{config.max_layers}"
        )
    if config.max_decoders and decoders > config.max_decoders:
        names = ", ".join(shape.name for shape in programs.values())
        raise UserError(
            f"{names}: {decoders} decoders together (a bag: one an id, and its sum), an engine "
            f"of {config.name} holds at most {config.max_decoders}"
        )


def _check_layers(config: Config, shape: StageShape) -> None:
    phases = [("bottom", shape.bottom), ("top", shape.top)]
    phases += [
        (f"decoder of feature {f},", tuple(zip(sizes, sizes[1:], strict=False)))
        for f, sizes in shape.decoders
    ]
    for part, layers in phases:
        most = _largest(STAGE, "top_layers")
        if len(layers) > most:
            raise UserError(f"{shape.name}: {len(layers)} {part} layers, at most {most} fit")
        for index, (inputs, outputs) in enumerate(layers):
            for what, size in (("inputs", inputs), ("outputs", outputs)):
                if size > config.max_inputs:
                    raise UserError(
                        f"{shape.name}: {part} layer {index} has {size} {what}, "
                        f"{config.name} takes at most {config.max_inputs}"
                    )
    if shape.top[-1][1] != 1:
        raise UserError(f"{shape.name}: the last top layer has {shape.top[-1][1]} outputs, not 1")
    if shape.bottom and shape.bottom[-1][1] != shape.width:
        raise UserError(
            f"{shape.name}: the bottom MLP ends in {shape.bottom[-1][1]} outputs, "
            f"the vectors are {shape.width} wide"
        )


def _check_inputs(config: Config, shape: StageShape) -> None:
    if shape.width not in _WIDTHS:
        raise UserError(f"{shape.name}: vector width must be 4, 8, .. 128, not {shape.width}")
    tables = shape.tables
    if tables > config.max_features:
        raise UserError(
            f"{shape.name}: {tables} embedding tables, {config.name} takes at most "
            f"{config.max_features}"
        )
    most = _largest(PIPELINE, "dense_bytes")
    if shape.bottom and (dense := shape.bottom[0][0]) > most:
        raise UserError(f"{shape.name}: {dense} dense features, an item record holds {most}")
