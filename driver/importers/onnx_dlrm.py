"""A DLRM out of an ONNX graph, recognised by what it computes.

The graph is run on random items. Layers are its matrix products with weights; embedding vectors its
gathers from two-dimensional weights, each matched with the column of ids that it reads; and every
input of the first top layer is matched with a value of a vector or a dot product of two vectors. So
it does not matter in which order, and by which reshaping, a program joins them. The model found is
then held against the graph on other random items: it computes the same, or the import is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError
from golden import float_model
from golden.float_model import lower_triangle
from golden.model import DenseLayer, Interaction, Model, ModelShape

from .onnx_file import Graph, Node, read_onnx
from .onnx_run import run

__all__ = ["import_onnx"]

ITEMS = 64
TOLERANCE = 1e-4
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Linear:
    """A matrix product with a weight, and the bias behind it."""

    source: str
    result: str
    """After the bias."""
    weight: NDArray[np.float32]
    """[outputs, inputs]"""
    bias: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Table:
    """A gather from a weight."""

    rows: NDArray[np.float32]
    vectors: NDArray[np.float32]
    """What it gave for the random items, [n, width]."""


def import_onnx(data: bytes, name: str) -> Model:
    """The DLRM of an ONNX file.

    Inputs: one of floating-point numbers [n, dense features], and ids: one input [n, features] or
    one [n] or [n, 1] for each feature, in the order of the features.

    Raises
    ------
    UserError
        Damaged file, an operator outside the subset, a graph that is no DLRM or computes something
        else than the model found in it.
    """
    graph = read_onnx(data)
    probe = _Probe(graph)
    values = run(graph, probe.inputs(0))
    for key, array in graph.constants.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(f"{key} holds NaN or infinity: weights must be finite")
    linears = _linears(graph, values)
    tables = _tables(graph, values, probe)
    bottom, top = _chains(graph, linears, probe.dense)
    model = _model(name, values, bottom, tables, top)
    _verify(graph, probe, model)
    return model


class _Probe:
    """Random inputs of a graph."""

    def __init__(self, graph: Graph) -> None:
        dense = [(key, sizes) for key, sizes in graph.inputs if key in graph.floats]
        self.id_inputs = [(key, sizes) for key, sizes in graph.inputs if key not in graph.floats]
        if len(dense) != 1 or not self.id_inputs:
            raise UserError(
                "the graph must have one input of floating-point numbers and inputs of ids, "
                f"not {len(dense)} and {len(self.id_inputs)}"
            )
        self.dense, sizes = dense[0]
        if len(sizes) != 2 or sizes[1] < 1:
            raise UserError(f"input {self.dense} must be of shape [items, dense features]")
        self.dense_features = sizes[1]
        self.items = sizes[0] or ITEMS
        if self.items < 2:
            raise UserError("export the graph with an open number of items (a dynamic axis)")
        first = self.id_inputs[0][1]
        whole = len(self.id_inputs) == 1 and len(first) == 2 and first[1] > 1
        self.features = first[1] if whole else len(self.id_inputs)
        self.whole = whole
        self.rows = _row_limit(graph)

    def ids(self, seed: int) -> NDArray[np.uint32]:
        """Ids [n, features], all columns different; small enough for every table."""
        random = np.random.default_rng([seed, 1])
        columns = [random.integers(0, self.rows, self.items) for _ in range(self.features)]
        return np.stack(columns, axis=1).astype(np.uint32)

    def dense_values(self, seed: int) -> NDArray[np.float32]:
        """Dense inputs [n, dense features]."""
        random = np.random.default_rng([seed, 2])
        return random.uniform(0, 3, (self.items, self.dense_features)).astype(np.float32)

    def inputs(self, seed: int) -> dict[str, Array]:
        """What the graph takes."""
        ids = self.ids(seed).astype(np.int64)
        given: dict[str, Array] = {self.dense: self.dense_values(seed)}
        if self.whole:
            return given | {self.id_inputs[0][0]: ids}
        for feature, (key, sizes) in enumerate(self.id_inputs):
            column = ids[:, feature]
            given[key] = column[:, None] if len(sizes) == 2 else column
        return given


def _row_limit(graph: Graph) -> int:
    """Rows of the smallest table that something is gathered from."""
    rows = [len(graph.constants[node.inputs[0]]) for node in graph.nodes if _is_table(graph, node)]
    if not rows or min(rows) < 2:
        raise UserError("the graph must gather rows of tables with at least 2 rows each")
    return min(rows)


def _is_table(graph: Graph, node: Node) -> bool:
    table = graph.constants.get(node.inputs[0]) if node.inputs else None
    return (
        node.operator == "Gather"
        and len(node.inputs) == 2
        and table is not None
        and table.ndim == 2
        and table.dtype.kind == "f"
        and node.attributes.get("axis", 0) == 0
    )


def _linears(graph: Graph, values: dict[str, Array]) -> list[_Linear]:
    """All matrix products with a two-dimensional constant."""
    found = []
    for node in graph.nodes:
        if node.operator not in ("Gemm", "MatMul") or len(node.inputs) < 2:
            continue
        weight = graph.constants.get(node.inputs[1])
        if weight is None or weight.ndim != 2:
            continue
        bias: Array = np.zeros(values[node.outputs[0]].shape[-1], np.float32)
        result = node.outputs[0]
        if node.operator == "Gemm":
            if node.attributes.get("alpha", 1.0) != 1 or node.attributes.get("beta", 1.0) != 1:
                raise UserError(f"{node}: alpha and beta must be 1")
            weight = weight if node.attributes.get("transB") else weight.T
            if len(node.inputs) > 2 and node.inputs[2]:
                bias = np.broadcast_to(_constant(graph, node, node.inputs[2]), bias.shape)
        else:
            weight = weight.T
            for other in graph.nodes:
                if other.operator == "Add" and result in other.inputs:
                    (key,) = [key for key in other.inputs if key != result] or [result]
                    if key in graph.constants:
                        bias = np.broadcast_to(graph.constants[key], bias.shape)
                        result = other.outputs[0]
                        break
        found.append(
            _Linear(
                source=_origin(graph, node.inputs[0]),
                result=result,
                weight=np.ascontiguousarray(weight, np.float32),
                bias=np.ascontiguousarray(bias, np.float32),
            )
        )
    return found


def _constant(graph: Graph, node: Node, key: str) -> Array:
    if key not in graph.constants:
        raise UserError(f"{node}: its bias must be a constant")
    return graph.constants[key]


def _maker(graph: Graph, key: str) -> Node | None:
    return next((node for node in graph.nodes if key in node.outputs), None)


def _origin(graph: Graph, key: str) -> str:
    """The value in front of operators that change nothing."""
    for _ in graph.nodes:
        node = _maker(graph, key)
        if node is None or node.operator not in ("Identity", "Cast"):
            break
        key = node.inputs[0]
    return key


def _tables(graph: Graph, values: dict[str, Array], probe: _Probe) -> list[_Table]:
    ids = probe.ids(0).astype(np.int64)
    found: dict[int, _Table] = {}
    for node in graph.nodes:
        if not _is_table(graph, node):
            continue
        index = values[node.inputs[1]].reshape(-1)
        matches = [f for f in range(probe.features) if np.array_equal(index, ids[:, f])]
        if len(matches) != 1 or matches[0] in found:
            raise UserError(f"{node} does not read the ids of one feature, once an item")
        rows = graph.constants[node.inputs[0]].astype(np.float32)
        vectors = values[node.outputs[0]].reshape(len(index), -1)
        found[matches[0]] = _Table(rows=rows, vectors=vectors)
    missing = set(range(probe.features)) - set(found)
    if missing:
        raise UserError(f"no table is read with the ids of feature {min(missing)}")
    return [found[feature] for feature in range(probe.features)]


def _chains(
    graph: Graph, linears: list[_Linear], dense: str
) -> tuple[list[_Linear], list[_Linear]]:
    """Layers of the bottom MLP from the dense input on, and of the top MLP up to the output."""

    relu = {_origin(graph, n.inputs[0]): n for n in graph.nodes if n.operator == "Relu"}

    def follow(start: str) -> list[_Linear]:
        chain: list[_Linear] = []
        key = start
        while len(chain) < len(linears):
            following = [layer for layer in linears if layer.source == key]
            if len(following) != 1:
                break
            chain.append(following[0])
            if chain[-1].result not in relu:
                break
            key = relu[chain[-1].result].outputs[0]
        return chain

    bottom = follow(dense)
    rest = [layer for layer in linears if not any(layer is one for one in bottom)]
    if not bottom or not rest:
        raise UserError("the graph has no MLP on its dense input, or none behind the interaction")
    top = follow(rest[0].source)
    if [id(layer) for layer in top] != [id(layer) for layer in rest]:
        raise UserError("the layers behind the interaction do not follow each other")
    return bottom, top


def _model(
    name: str,
    values: dict[str, Array],
    bottom: list[_Linear],
    tables: list[_Table],
    top: list[_Linear],
) -> Model:
    dense = np.maximum(values[bottom[-1].result], 0)
    widths = {table.rows.shape[1] for table in tables} | {dense.shape[1]}
    if len(widths) != 1:
        raise UserError(f"all vectors must have one width, not {sorted(widths)}")
    vectors = np.stack([dense, *(table.vectors for table in tables)], axis=1)
    joined = values[top[0].source]
    if joined.ndim != 2 or top[-1].weight.shape[0] != 1:
        raise UserError("the graph must end in one logit an item")
    interaction, order = _match(vectors, joined)
    first = top[0].weight[:, order]
    shape = ModelShape(
        name=name,
        width=dense.shape[1],
        bottom=(bottom[0].weight.shape[1], *(len(layer.bias) for layer in bottom)),
        top=tuple(len(layer.bias) for layer in top),
        rows=tuple(len(table.rows) for table in tables),
        interaction=interaction,
    )
    weights = [first, *(layer.weight for layer in top[1:])]
    return Model(
        shape=shape,
        bottom=tuple(
            DenseLayer(weight=layer.weight, bias=layer.bias, function="relu") for layer in bottom
        ),
        tables=tuple(np.ascontiguousarray(table.rows) for table in tables),
        top=tuple(
            DenseLayer(
                weight=np.ascontiguousarray(weight), bias=layer.bias,
                function="none" if layer is top[-1] else "relu",
            )
            for weight, layer in zip(weights, top, strict=True)
        ),
    )  # fmt: skip


def _match(vectors: Array, joined: Array) -> tuple[Interaction, NDArray[np.intp]]:
    """Which interaction it is, and for each of our inputs the column of `joined` that holds it."""
    count, width = vectors.shape[1:]
    i_of, j_of = lower_triangle(count)
    products = (vectors @ vectors.transpose(0, 2, 1))[:, i_of, j_of]
    ours: dict[Interaction, Array] = {
        "dot": np.concatenate([vectors[:, 0], products], axis=1),
        "cat": vectors.reshape(len(vectors), -1),
    }
    for interaction, wanted in ours.items():
        if wanted.shape[1] != joined.shape[1]:
            continue
        order = _places(wanted, joined)
        if order is not None:
            return interaction, order
    raise UserError(
        f"the first layer behind the interaction takes {joined.shape[1]} values that are neither "
        f"the dense vector and the dot products of {count} vectors nor all vectors of width {width}"
    )


def _places(wanted: Array, given: Array) -> NDArray[np.intp] | None:
    """A column of `given` for each of `wanted`, all different; None if there is none.

    Columns that are equal everywhere (a channel that ReLU keeps at 0) are taken in turn.
    """
    order = np.zeros(wanted.shape[1], np.intp)
    free = np.ones(given.shape[1], bool)
    for column in range(wanted.shape[1]):
        error = np.abs(given - wanted[:, column : column + 1]).max(axis=0)
        error[~free] = np.inf
        limit = TOLERANCE * (1 + np.abs(wanted[:, column]).max())
        best = column if error[column] <= limit else int(error.argmin())
        if error[best] > limit:
            return None
        order[column] = best
        free[best] = False
    return order


def _verify(graph: Graph, probe: _Probe, model: Model) -> None:
    """The model must compute what the graph does, before a sigmoid at its end."""
    values = run(graph, probe.inputs(1))
    key = graph.outputs[0] if graph.outputs else ""
    score = float_model.forward(model, probe.dense_values(1), probe.ids(1))["score"]
    if key not in values:
        raise UserError("the graph has no output")
    given = values[key].reshape(-1)
    for wanted in (score, 1 / (1 + np.exp(-score.astype(np.float64)))):
        if given.shape == wanted.shape:
            error = np.abs(given - wanted).max()
            if error <= TOLERANCE * (1 + np.abs(wanted).max()):
                return
    raise UserError("the graph computes something else than the DLRM found in it")
