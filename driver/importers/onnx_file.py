"""Reads the parts of an ONNX file that a ranking model has, without the onnx package.

An ONNX file is one protocol buffer message. Fields are read by their numbers as the format's
public description states them; what is not needed is skipped. Nothing in the file is run here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError

__all__ = ["Graph", "Node", "read_onnx"]

Raw = int | bytes
Fields = dict[int, list[Raw]]

_TYPES: dict[int, str] = {
    1: "<f4", 2: "|u1", 3: "|i1", 6: "<i4", 7: "<i8", 9: "|b1", 10: "<f2", 11: "<f8",
}  # fmt: skip
"""Data types of tensors by their number in the format."""
_LARGEST_RANK = 8


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"node {self.name or self.outputs[0]!r} ({self.operator})"


@dataclass(kw_only=True)
class Graph:
    """Operators in order of computation, and what they start from."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    inputs: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    """Name and sizes of each input; 0 where a size is open."""
    floats: set[str] = field(default_factory=set)
    """Inputs that hold floating-point numbers."""
    outputs: list[str] = field(default_factory=list)


def read_onnx(data: bytes) -> Graph:
    """The graph of a model.

    Raises
    ------
    UserError
        Not an ONNX model, damaged, or weights in a file of their own.
    """
    try:
        graphs = _fields(data).get(7, [])
        if len(graphs) != 1:
            raise UserError("damaged or not an ONNX model: it must hold one graph")
        return _graph(_fields(_bytes(graphs[0])))
    except UserError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError):
        raise UserError("damaged or not an ONNX model") from None


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError


def _fields(data: bytes) -> Fields:
    """A message's fields by number, numbers as they are, everything else as bytes."""
    found: Fields = {}
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        value: Raw
        if kind == 0:
            value, place = _varint(data, place)
        else:
            length = {1: 8, 5: 4}.get(kind)
            if length is None:
                if kind != 2:
                    raise ValueError
                length, place = _varint(data, place)
            value = data[place : place + length]
            if len(value) != length:
                raise ValueError
            place += length
        found.setdefault(number, []).append(value)
    return found


def _bytes(value: Raw) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError
    return value


def _text(fields: Fields, number: int) -> str:
    values = fields.get(number, [b""])
    return _bytes(values[-1]).decode()


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _integers(values: list[Raw]) -> Iterator[int]:
    """Repeated integers, packed or not."""
    for value in values:
        if isinstance(value, int):
            yield _signed(value)
            continue
        place = 0
        while place < len(value):
            number, place = _varint(value, place)
            yield _signed(number)


def _graph(fields: Fields) -> Graph:
    graph = Graph()
    for raw in fields.get(5, []):
        name, array = _tensor(_fields(_bytes(raw)))
        graph.constants[name] = array
    for raw in fields.get(11, []):
        name, sizes, floating = _input(_fields(_bytes(raw)))
        if name not in graph.constants:
            graph.inputs.append((name, sizes))
            if floating:
                graph.floats.add(name)
    graph.outputs = [_text(_fields(_bytes(raw)), 1) for raw in fields.get(12, [])]
    graph.nodes = [_node(_fields(_bytes(raw))) for raw in fields.get(1, [])]
    return graph


def _node(fields: Fields) -> Node:
    node = Node(
        name=_text(fields, 3),
        operator=_text(fields, 4),
        inputs=tuple(_bytes(raw).decode() for raw in fields.get(1, [])),
        outputs=tuple(_bytes(raw).decode() for raw in fields.get(2, [])),
        attributes=dict(_attribute(_fields(_bytes(raw))) for raw in fields.get(5, [])),
    )
    if not node.outputs:
        raise ValueError
    return node


def _attribute(fields: Fields) -> tuple[str, Any]:
    kind = next(_integers(fields.get(20, [0])))
    value: Any = None  # sorts that no operator of the subset has
    if kind == 1:
        value = float(np.frombuffer(_bytes(fields[2][-1]), "<f4")[0])
    elif kind == 2:
        value = next(_integers(fields.get(3, [0])))
    elif kind == 3:
        value = _text(fields, 4)
    elif kind == 4:
        value = _tensor(_fields(_bytes(fields[5][-1])))[1]
    elif kind == 7:
        value = list(_integers(fields.get(8, [])))
    return _text(fields, 1), value


def _input(fields: Fields) -> tuple[str, tuple[int, ...], bool]:
    kind = _fields(_bytes(_fields(_bytes(fields[2][-1])).get(1, [b""])[-1]))
    sizes = []
    for shape in kind.get(2, []):
        for raw in _fields(_bytes(shape)).get(1, []):
            sizes.append(next(_integers(_fields(_bytes(raw)).get(1, [0]))))
    return _text(fields, 1), tuple(sizes), next(_integers(kind.get(1, [0]))) in (1, 10, 11)


def _tensor(fields: Fields) -> tuple[str, NDArray[Any]]:
    name = _text(fields, 8)
    if fields.get(13) or fields.get(14, [0])[-1] != 0:
        raise UserError(f"{name} lies in a file of its own; save the model as one file")
    shape = tuple(_integers(fields.get(1, [])))
    if len(shape) > _LARGEST_RANK or any(size < 0 for size in shape):
        raise ValueError
    number = next(_integers(fields.get(2, [0])))
    if number not in _TYPES:
        raise UserError(f"{name} is of a type (number {number}) that is not supported")
    dtype = np.dtype(_TYPES[number])
    if 9 in fields:
        flat = np.frombuffer(_bytes(fields[9][-1]), dtype)
    elif 4 in fields:
        flat = np.concatenate([np.frombuffer(_bytes(raw), "<f4") for raw in fields[4]])
    elif 10 in fields:
        flat = np.concatenate([np.frombuffer(_bytes(raw), "<f8") for raw in fields[10]])
    else:
        values = [*_integers(fields.get(5, [])), *_integers(fields.get(7, []))]
        flat = np.array(values, np.int64)
    return name, flat.astype(dtype).reshape(shape)
