"""Runs the operators of the ONNX subset in NumPy, and keeps every value that is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError
from golden.layer import apply_function

from .onnx_file import Graph, Node

__all__ = ["OPERATORS", "run"]

Array = NDArray[Any]
Inputs = Sequence[Array | None]
_LARGEST = 1 << 28
"""Values of one array at most: no graph may exhaust memory."""

_REMEDIES = {
    "Loop": "use Embedding (and a sum over the bag) in place of EmbeddingBag before exporting",
    "Scan": "use Embedding (and a sum over the bag) in place of EmbeddingBag before exporting",
    "If": "export the model in evaluation mode, for inference",
    "Dropout": "export the model in evaluation mode, for inference",
    "BatchNormalization": "fold it into the layer before it",
}


def run(graph: Graph, inputs: dict[str, Array]) -> dict[str, Array]:
    """Every value by its name.

    Raises
    ------
    UserError
        An operator that is not supported, with a remedy; values that do not fit each other. Names
        the node.
    """
    _check_operators(graph)
    values: dict[str, Array] = {**graph.constants, **inputs}
    for node in graph.nodes:
        try:
            found = [values[name] if name else None for name in node.inputs]
            results = OPERATORS[node.operator](node, found)
        except KeyError as error:
            raise UserError(f"{node}: {error.args[0]!r} is missing") from None
        except (ValueError, IndexError, TypeError, AttributeError, OverflowError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{node}: its inputs do not fit it: {reason}") from None
        for name, value in zip(node.outputs, results, strict=False):
            values[name] = value
    return values


def _check_operators(graph: Graph) -> None:
    """Refuse what is not supported, first what a remedy is known for."""
    unknown = [node for node in graph.nodes if node.operator not in OPERATORS]
    for node in sorted(unknown, key=lambda node: node.operator not in _REMEDIES):
        known = f"supported: {', '.join(OPERATORS)}"
        raise UserError(f"{node} is not supported; {_REMEDIES.get(node.operator, known)}")


def _sized(shape: Sequence[int]) -> tuple[int, ...]:
    if math.prod(abs(int(size)) for size in shape) > _LARGEST:
        raise ValueError(f"shape {list(shape)} is too large")
    return tuple(int(size) for size in shape)


def _axes(node: Node, x: Inputs) -> tuple[int, ...] | None:
    """Axes as an input (later versions of the format) or as an attribute."""
    given = x[1] if len(x) > 1 and x[1] is not None else node.attributes.get("axes")
    return None if given is None else tuple(int(axis) for axis in np.asarray(given).ravel())


def _gemm(node: Node, x: Inputs) -> Array:
    a, b = np.asarray(x[0]), np.asarray(x[1])
    a = a.T if node.attributes.get("transA") else a
    b = b.T if node.attributes.get("transB") else b
    product = node.attributes.get("alpha", 1.0) * _matmul(a, b)
    if len(x) > 2 and x[2] is not None:
        product = product + node.attributes.get("beta", 1.0) * x[2]
    return np.asarray(product, a.dtype)


def _matmul(a: Any, b: Any) -> Array:
    _sized([*np.shape(a)[:-1], *np.shape(b)[-1:]])
    return np.asarray(a) @ np.asarray(b)


def _binary(operation: Callable[[Any, Any], Any]) -> Callable[[Node, Inputs], list[Array]]:
    def apply(node: Node, x: Inputs) -> list[Array]:
        one, two = np.asarray(x[0]), np.asarray(x[1])
        _sized(np.broadcast_shapes(one.shape, two.shape))
        return [np.asarray(operation(one, two))]

    return apply


def _gather(node: Node, x: Inputs) -> Array:
    data, index = np.asarray(x[0]), np.asarray(x[1])
    axis = node.attributes.get("axis", 0)
    _sized([data.size // max(1, data.shape[axis]), index.size])
    return np.take(data, index, axis=axis)


def _gather_nd(node: Node, x: Inputs) -> Array:
    if node.attributes.get("batch_dims"):
        raise ValueError("batch_dims are not supported")
    data, index = np.asarray(x[0]), np.asarray(x[1])
    return data[tuple(np.moveaxis(index, -1, 0))]


def _reshape(node: Node, x: Inputs) -> Array:
    data = np.asarray(x[0])
    wanted = [int(size) for size in np.asarray(x[1]).ravel()]
    if not node.attributes.get("allowzero"):
        wanted = [data.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
    return data.reshape(wanted)


def _flatten(node: Node, x: Inputs) -> Array:
    data = np.asarray(x[0])
    axis = node.attributes.get("axis", 1) % (data.ndim + 1)
    return data.reshape(math.prod(data.shape[:axis]), -1)


def _unsqueeze(node: Node, x: Inputs) -> Array:
    axes = _axes(node, x)
    return np.expand_dims(np.asarray(x[0]), axes or ())


def _squeeze(node: Node, x: Inputs) -> Array:
    return np.squeeze(np.asarray(x[0]), _axes(node, x))


def _slice(node: Node, x: Inputs) -> Array:
    data = np.asarray(x[0])
    parts = [None if p is None else [int(v) for v in np.asarray(p).ravel()] for p in x[1:]]
    if len(parts) < 2:
        parts = [node.attributes["starts"], node.attributes["ends"], node.attributes.get("axes")]
    starts, ends = parts[0] or [], parts[1] or []
    axes = (parts[2] if len(parts) > 2 else None) or list(range(len(starts)))
    steps = (parts[3] if len(parts) > 3 else None) or [1] * len(starts)
    index = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(start, end, step)
    return data[tuple(index)]


def _split(node: Node, x: Inputs) -> list[Array]:
    data = np.asarray(x[0])
    given = x[1] if len(x) > 1 and x[1] is not None else node.attributes.get("split")
    axis = node.attributes.get("axis", 0)
    if given is None:
        return np.array_split(data, len(node.outputs), axis)
    return np.split(data, np.cumsum(np.asarray(given).ravel())[:-1], axis)


def _reduce_sum(node: Node, x: Inputs) -> Array:
    return np.asarray(
        np.asarray(x[0]).sum(axis=_axes(node, x), keepdims=bool(node.attributes.get("keepdims", 1)))
    )


def _cast(node: Node, x: Inputs) -> Array:
    data = np.asarray(x[0])
    # Numbers stay whole or floating: what precision is asked for does not change which they are.
    floating = node.attributes.get("to") in (1, 10, 11)
    return data.astype(np.float32) if floating else data.astype(np.int64)


def _expand(node: Node, x: Inputs) -> Array:
    data = np.asarray(x[0])
    wanted = _sized([int(size) for size in np.asarray(x[1]).ravel()])
    return np.broadcast_to(data, _sized(np.broadcast_shapes(data.shape, wanted)))


def _constant(node: Node, x: Inputs) -> Array:
    return np.asarray(node.attributes["value"])


def _shape(node: Node, x: Inputs) -> Array:
    return np.array(np.shape(np.asarray(x[0])), np.int64)


def _concat(node: Node, x: Inputs) -> Array:
    return np.concatenate([np.asarray(part) for part in x], axis=node.attributes["axis"])


def _transpose(node: Node, x: Inputs) -> Array:
    return np.transpose(np.asarray(x[0]), node.attributes.get("perm"))


def _one(operation: Callable[[Node, Inputs], Array]) -> Callable[[Node, Inputs], list[Array]]:
    return lambda node, x: [operation(node, x)]


OPERATORS: dict[str, Callable[[Node, Inputs], list[Array]]] = {
    "Add": _binary(np.add),
    "Cast": _one(_cast),
    "Concat": _one(_concat),
    "Constant": _one(_constant),
    "Expand": _one(_expand),
    "Flatten": _one(_flatten),
    "Gather": _one(_gather),
    "GatherND": _one(_gather_nd),
    "Gemm": _one(_gemm),
    "Identity": _one(lambda node, x: np.asarray(x[0])),
    "MatMul": _one(lambda node, x: _matmul(x[0], x[1])),
    "Mul": _binary(np.multiply),
    "ReduceSum": _one(_reduce_sum),
    "Relu": _one(lambda node, x: np.maximum(np.asarray(x[0]), 0)),
    "Reshape": _one(_reshape),
    "Shape": _one(_shape),
    "Sigmoid": _one(lambda node, x: apply_function("sigmoid", np.asarray(x[0]))),
    "Slice": _one(_slice),
    "Split": _split,
    "Squeeze": _one(_squeeze),
    "Transpose": _one(_transpose),
    "Unsqueeze": _one(_unsqueeze),
}
"""The subset, by operator."""
