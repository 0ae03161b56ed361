"""What the parts of the model know of each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

__all__ = ["EngineSide", "LoaderJob", "Lookup", "Sums"]


@dataclass(eq=False, kw_only=True)
class LoaderJob:
    """A row block on its way through loader and engine, or rows to be fetched ahead."""

    unit: int
    slot: int
    stage: int
    rows: int
    query: int
    """Number of its query among those in flight."""
    context: int
    sub_batch: int
    position: int
    """Of the first row in the stage's list."""
    stride: int
    prefetch: bool = False
    records: int
    items: list[int]
    hits: list[list[bool]]
    """By row and id word."""
    addresses: list[list[int]]
    """-1: nothing is looked up."""
    row_bytes: int
    held: list[list[bool]] = field(default_factory=list)
    """By row and decoded vector: it is held, and needs no decoder."""

    @property
    def positions(self) -> range:
        """Of the rows in the stage's list."""
        return range(self.position, self.position + self.rows * self.stride, self.stride)


class Sums(Enum):
    """What becomes of a row at the sum of its bag."""

    NONE = 0
    """It passes, being alone and not scaled."""
    ADDS = 1
    """It is added, and nothing leaves."""
    ENDS = 2
    """It is added, and the sum leaves."""


@dataclass(eq=False, slots=True)
class Lookup:
    """An id on its way to a gather lane."""

    unit: int
    hit: bool
    """In the static cache."""
    address: int
    """Of the row, in device memory."""
    row_bytes: int
    item_last: bool
    """The lane's last one of the item."""
    prefetch: bool
    query: int
    sums: Sums = Sums.NONE
    zero: bool = False
    """An empty place: nothing is looked up."""
    stage: int = 0


class EngineSide(Protocol):
    """An engine, seen from the embedding unit."""

    def can_allocate(self, cycle: int) -> bool: ...
    def allocate(self, cycle: int) -> None: ...
    def dense_ready(self, cycle: int, slot: int, k: int) -> int | None:
        """Cycle from ``cycle`` on in which a chunk of the slot's job, from byte k on, may be taken;
        None: not known yet."""

    def dense_chunk(self, cycle: int, slot: int, k: int, count: int, last: bool) -> None: ...
    def row_word(self, cycle: int, lane: int, item_last: bool) -> None:
        """The engine sees a row word of a lane in ``cycle``."""
