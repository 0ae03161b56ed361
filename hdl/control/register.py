"""What a register is: name, place, bits and who may write it."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = ["Access", "Field", "Register", "single"]

Access = str
"""``constant``, ``ro``, ``rw``, ``w1c`` (hardware sets, the host clears by writing 1)."""
_ACCESS = ("constant", "ro", "rw", "w1c")


@dataclass(frozen=True, kw_only=True)
class Field:
    """Bits of a register."""

    name: str
    lsb: int
    width: int
    description: str
    reset: int = 0
    """Value after reset, or the value of a constant."""
    pulse: bool = False
    """Reads as 0; hardware sees a written value for one cycle."""


@dataclass(frozen=True, kw_only=True)
class Register:
    """One register or an array of equal ones, 32 or 64 bits each.

    A 64-bit register is two words, low word first. Reading the low word of a read-only one keeps
    the high word for the read that follows, so that a running counter reads as one number.
    """

    name: str
    offset: int
    access: Access
    fields: tuple[Field, ...]
    description: str
    count: int = 1
    width: int = 32
    array: bool = False
    """Elements are numbered even when ``count`` is 1."""
    cleared: bool = False
    """Goes back to its reset value on a soft reset of the core."""

    def __post_init__(self) -> None:
        if self.access not in _ACCESS:
            raise ValueError(f"access must be one of {_ACCESS}, not {self.access!r}")
        if self.width not in (32, 64):
            raise ValueError(f"width must be 32 or 64, not {self.width!r}")
        if self.offset % 4 or self.count < 1:
            raise ValueError(f"{self.name}: bad offset {self.offset!r} or count {self.count!r}")
        end = 0
        for field in self.fields:
            if field.lsb < end or field.lsb + field.width > self.width:
                raise ValueError(f"{self.name}: field {field.name!r} overlaps or does not fit")
            end = field.lsb + field.width

    @property
    def words(self) -> int:
        """32-bit words of one element."""
        return self.width // 32

    @property
    def bytes(self) -> int:
        """Bytes of address space of all elements."""
        return 4 * self.words * self.count

    @property
    def member(self) -> str:
        """Name of the ``RegisterFile`` member."""
        return self.name.lower()

    @property
    def layout(self) -> data.FlexibleLayout:
        """Bits of one element."""
        fields: dict[int | str, data.Field] = {
            f.name: data.Field(unsigned(f.width), f.lsb) for f in self.fields
        }
        return data.FlexibleLayout(self.width, fields)

    @property
    def reset(self) -> int:
        """Value after reset of one element."""
        return sum(f.reset << f.lsb for f in self.fields)


def single(name: str, width: int, description: str) -> tuple[Field, ...]:
    """The one field of a register, from bit 0 on."""
    return (Field(name=name, lsb=0, width=width, description=description),)
