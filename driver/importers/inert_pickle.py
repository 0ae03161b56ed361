"""Reads the pickles of PyTorch's checkpoints without running anything they name.

Opcodes come from `pickletools.genops`, which only parses, and are interpreted here. A pickle can
build dicts, lists, tuples, strings and numbers, and the few things that a checkpoint of weights is
made of; a name outside these lists ends the reading. No class is looked up, no module imported, no
callable called, whatever the file holds.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from driver.errors import UserError

from .tensors import DTYPES

__all__ = ["Name", "Opaque", "Storage", "TensorPlace", "read_pickle"]


@dataclass(frozen=True)
class Name:
    """A global that the pickle names; a label, never the thing itself."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Opaque:
    """Something harmless that no weights are read from, such as a NumPy scalar of a log."""

    name: str


@dataclass(frozen=True)
class Storage:
    """A block of values in a member of its own."""

    kind: str
    """Class name in PyTorch, such as FloatStorage."""
    key: str
    numel: int


@dataclass(frozen=True)
class TensorPlace:
    """A tensor: where it lies in its storage, in values."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


_DICTS = {"collections.OrderedDict", "collections.defaultdict", "builtins.dict"}
_TENSORS = {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"}
_PARAMETERS = {
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",
}
_HARMLESS = {
    "_codecs.encode",
    "argparse.Namespace",
    "builtins.list",
    "builtins.set",
    "builtins.slice",
    "collections.Counter",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "torch.Size",
    "torch.device",
    "torch.serialization._get_layout",
}
"""Names that turn up in checkpoints beside the weights. They become `Opaque`."""
_PLAIN = ("BIN", "BYTEARRAY8", "FLOAT", "INT", "LONG", "SHORT_BIN", "STRING", "UNICODE")
"""Beginnings of the opcodes that push a number, a string or bytes."""
_MALFORMED = (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError)
"""What genops and the interpreter below meet in a pickle that is none."""


def read_pickle(data: bytes) -> Any:
    """The object of a pickle, built of plain Python values and the classes above.

    Raises
    ------
    UserError
        Not a pickle, an opcode or a name that a checkpoint of weights has no need of.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except UserError:
        raise
    except _MALFORMED:
        pass
    raise UserError("its pickle is damaged")


def _is_known(name: Name) -> bool:
    text = str(name)
    if text in _DICTS | _TENSORS | _PARAMETERS | _HARMLESS:
        return True
    # Types of storages and of values: torch.FloatStorage, torch.float32.
    return name.module in ("torch", "torch.storage") and (
        name.name.endswith("Storage") or name.name in DTYPES
    )


class _Machine:
    """The stack machine that a pickle is a program for."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self._by_name: dict[str, Callable[[], None]] = {
            "NONE": lambda: self.stack.append(None),
            "NEWTRUE": lambda: self.stack.append(True),
            "NEWFALSE": lambda: self.stack.append(False),
            "EMPTY_DICT": lambda: self.stack.append({}),
            "EMPTY_LIST": lambda: self.stack.append([]),
            "EMPTY_TUPLE": lambda: self.stack.append(()),
            "EMPTY_SET": lambda: self.stack.append(Opaque("set")),
            "MARK": lambda: self.marks.append(len(self.stack)),
            "POP": lambda: self._drop(),
            "POP_MARK": lambda: self._drop_marked(),
            "DUP": lambda: self.stack.append(self.stack[-1]),
            "TUPLE": lambda: self.stack.append(tuple(self._marked())),
            "LIST": lambda: self.stack.append(self._marked()),
            "DICT": lambda: self.stack.append(_pairs(self._marked())),
            "TUPLE1": lambda: self._tuple(1),
            "TUPLE2": lambda: self._tuple(2),
            "TUPLE3": lambda: self._tuple(3),
            "APPEND": lambda: self._extend(self._tail(1)),
            "APPENDS": lambda: self._extend(self._marked()),
            "ADDITEMS": lambda: self._drop_marked(),
            "SETITEM": lambda: self._set(self._tail(2)),
            "SETITEMS": lambda: self._set(self._marked()),
            "BINPERSID": lambda: self.stack.append(_storage(self.pop())),
            "REDUCE": self._reduce,
            "NEWOBJ": self._reduce,
            "BUILD": lambda: self._drop(),
            "STACK_GLOBAL": self._stack_global,
            "MEMOIZE": lambda: self.memo.__setitem__(len(self.memo), self.stack[-1]),
        }

    def pop(self) -> Any:
        """The topmost value."""
        if self.marks and self.marks[-1] >= len(self.stack):
            raise IndexError
        return self.stack.pop()

    def step(self, name: str, argument: Any) -> None:
        """One opcode."""
        action = self._by_name.get(name)
        if action is not None:
            action()
        elif name in ("PROTO", "FRAME"):
            pass
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "GLOBAL":
            module, _, attribute = argument.partition(" ")
            self.stack.append(_known(Name(module, attribute)))
        elif name.startswith(_PLAIN):
            self.stack.append(argument)
        else:
            raise UserError(f"its pickle uses {name}, which a checkpoint of weights never needs")

    def _marked(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _tail(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def _drop(self) -> None:
        self.pop()

    def _drop_marked(self) -> None:
        self._marked()

    def _tuple(self, count: int) -> None:
        self.stack.append(tuple(self._tail(count)))

    def _extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], Opaque):
            self.stack[-1].extend(values)

    def _set(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], Opaque):
            self.stack[-1].update(_pairs(values))

    def _stack_global(self) -> None:
        module, attribute = self._tail(2)
        if not (isinstance(module, str) and isinstance(attribute, str)):
            raise TypeError
        self.stack.append(_known(Name(module, attribute)))

    def _reduce(self) -> None:
        """What calling a name would have made; nothing is called."""
        arguments = self.pop()
        name = str(self.pop())
        if name in _DICTS:
            pairs = arguments[-1] if arguments else []
            plain = isinstance(pairs, list | tuple)
            flat = [part for pair in pairs for part in pair] if plain else []
            self.stack.append(_pairs(flat))
        elif name in _TENSORS:
            self.stack.append(_tensor(arguments))
        elif name in _PARAMETERS:
            self.stack.append(arguments[0])
        else:
            self.stack.append(Opaque(name))


def _pairs(values: list[Any]) -> dict[Any, Any]:
    # Plain keys only: hashing deeply nested tuples would exhaust the stack.
    if not all(isinstance(key, int | float | str | bytes | None) for key in values[::2]):
        raise TypeError
    return dict(zip(values[::2], values[1::2], strict=True))


def _known(name: Name) -> Name:
    if not _is_known(name):
        raise UserError(
            f"it names {name}: only weights are read, never code; "
            "save the model's state_dict() instead"
        )
    return name


def _storage(persistent: Any) -> Storage:
    kind, storage, key, _, numel = persistent
    if kind != "storage" or not isinstance(storage, Name):
        raise TypeError
    if not isinstance(key, str) or not _natural(numel):
        raise TypeError
    return Storage(storage.name, key, numel)


def _tensor(arguments: Any) -> TensorPlace:
    storage, offset, size, stride = arguments[:4]
    if not isinstance(storage, Storage) or not _natural(offset):
        raise TypeError
    if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)):
        raise TypeError
    if not all(map(_natural, (*size, *stride))):
        raise TypeError
    return TensorPlace(storage, offset, size, stride)


def _natural(value: Any) -> bool:
    return type(value) is int and value >= 0
