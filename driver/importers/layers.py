"""Chains of dense layers out of a state dict, checked before any weight is read."""

from __future__ import annotations

from collections.abc import Sequence

from driver.errors import UserError
from golden.model import DenseLayer, Function

from .tensors import Tensors

__all__ = ["chain", "load_chain", "matrix"]


def matrix(tensors: Tensors, name: str) -> tuple[int, int]:
    """Shape of a tensor that must be a matrix with something in it."""
    if name not in tensors:
        raise UserError(f"{name} is missing")
    shape = tensors[name].shape
    if len(shape) != 2 or 0 in shape:
        raise UserError(f"{name} must be a matrix, not of shape {list(shape)}")
    return shape[0], shape[1]


def chain(tensors: Tensors, names: Sequence[str], inputs: int | None = None) -> list[int]:
    """Sizes of layers that feed each other, the input's first.

    Parameters
    ----------
    names
        Layers in order, without `.weight`.
    inputs
        What the first one must take; None: whatever it does.

    Raises
    ------
    UserError
        A weight or bias is missing, or its shape does not fit; says so when it looks transposed.
    """
    sizes = [] if inputs is None else [inputs]
    for name in names:
        outputs, takes = matrix(tensors, f"{name}.weight")
        if sizes and takes != sizes[-1]:
            hint = "; it looks transposed" if outputs == sizes[-1] else ""
            raise UserError(
                f"{name}.weight must be of shape [outputs, {sizes[-1]}], "
                f"not {[outputs, takes]}{hint}"
            )
        if f"{name}.bias" not in tensors:
            raise UserError(f"{name}.bias is missing")
        bias = tensors[f"{name}.bias"].shape
        if bias != (outputs,):
            hint = "; the weight looks transposed" if bias == (takes,) else ""
            raise UserError(f"{name}.bias must be of shape {[outputs]}, not {list(bias)}{hint}")
        sizes += [outputs] if sizes else [takes, outputs]
    return sizes


def load_chain(tensors: Tensors, names: Sequence[str], last: Function) -> tuple[DenseLayer, ...]:
    """The layers of a chain, ReLU after each but the last one."""
    return tuple(
        DenseLayer(
            weight=tensors[f"{name}.weight"].numbers(f"{name}.weight"),
            bias=tensors[f"{name}.bias"].numbers(f"{name}.bias"),
            function=last if number == len(names) - 1 else "relu",
        )
        for number, name in enumerate(names)
    )
