"""Look-ahead embedding cache: which lookups hit and which lines are fetched, from a log.

Tags are allocated at request, so outcomes depend on the order of the lookups and little else: how
many lookups before it are still to be read (``pending``), which fetches have ended, and which
queries' claims count. A log of a run gives these; everything else is predicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["Fill", "LaneCaches", "LineCache", "Outcome", "Step", "TablePlace"]

LINE_BYTES = 64
MOST_CLAIMS = 7


class Outcome(Enum):
    """What becomes of a lookup or prefetch."""

    STATIC = "static"
    HIT = "hit"
    MERGED = "merged"
    """A hit of a line whose data is still on its way."""
    MISS = "miss"
    DROPPED = "dropped"
    """A prefetch that found no line to take."""
    NONE = "none"
    """Nothing was looked up: an id out of range, an empty place of a bag."""


@dataclass(slots=True)
class _Line:
    address: int = -1
    reader: int | None = None
    """Number of the last queue entry that reads the line."""
    claims: int = 0
    query: int = 0
    fetching: bool = False


class LineCache:
    """Lines of one gather lane.

    Lines of a set are replaced in turns. A line that an entry of the lookup queue is still to read,
    or that is being fetched, stays. A lookup takes a line that no prefetch claims, any other one
    only when all lines of the set are claimed; a prefetch takes one that nobody claims and leaves
    one such line in the set.

    Parameters
    ----------
    sets, ways : size; powers of two
    sequence_bits : entries of the lookup queue are numbered modulo 2**sequence_bits
    """

    def __init__(self, *, sets: int, ways: int, sequence_bits: int) -> None:
        for name, value in (("sets", sets), ("ways", ways)):
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name} must be a power of two, not {value}")
        self.ways = ways
        self._bits = sets.bit_length() - 1
        self._numbers = 1 << sequence_bits
        self._lines = [[_Line() for _ in range(ways)] for _ in range(sets)]
        self._turn = [0] * sets
        self._tail = 0
        self.fetches = 0

    def set_of(self, address: int) -> int:
        """Set of a line (its byte address // 64)."""
        folded = address ^ address >> self._bits ^ address >> 2 * self._bits
        return folded & (len(self._lines) - 1)

    def entry(self) -> None:
        """An entry of the queue that reads no line."""
        self._tail += 1

    def _to_read(self, line: _Line, pending: int) -> bool:
        if line.reader is None:
            return False
        return (line.reader - self._tail + pending) % self._numbers < pending

    def request(
        self,
        address: int,
        *,
        pending: int,
        prefetch: bool = False,
        query: int = 0,
        live: int = 0xFFFF,
    ) -> tuple[Outcome, int]:
        """A lookup or prefetch of a line; returns (outcome, line number) (dropped: -1).

        Raises
        ------
        ValueError
            A lookup finds no line to take: the device would have waited.
        """
        index = self.set_of(address)
        lines = self._lines[index]
        way = self.find(address)
        found = way >= 0
        if not found:
            way = self.victim(address, pending=pending, prefetch=prefetch, live=live)
            if way < 0 and prefetch:
                return Outcome.DROPPED, -1
            if way < 0:
                raise ValueError(f"no line of set {index} can be replaced")
            lines[way] = _Line(address, fetching=True)
            self._turn[index] = (way + 1) % self.ways
            self.fetches += 1
        line = lines[way]
        claims = line.claims if live >> line.query & 1 else 0
        if prefetch:
            line.claims, line.query = min(MOST_CLAIMS, claims + 1), query
        else:
            line.claims = max(0, claims - 1)
            line.reader = self._tail
            self._tail += 1
        if not found:
            outcome = Outcome.MISS
        else:
            outcome = Outcome.MERGED if line.fetching else Outcome.HIT
        return outcome, index * self.ways + way

    def find(self, address: int) -> int:
        """Way that holds the line, or -1."""
        lines = self._lines[self.set_of(address)]
        return next((way for way, line in enumerate(lines) if line.address == address), -1)

    def victim(
        self, address: int, *, pending: int, prefetch: bool = False, live: int = 0xFFFF
    ) -> int:
        """Way that a request of a line that is not held would replace, or -1."""
        index = self.set_of(address)
        lines = self._lines[index]
        claimed = [line.claims > 0 and bool(live >> line.query & 1) for line in lines]
        if prefetch and claimed.count(False) < 2:
            return -1
        for step in range(self.ways):
            way = (self._turn[index] + step) % self.ways
            line = lines[way]
            if line.fetching or self._to_read(line, pending):
                continue
            if not claimed[way] or all(claimed):
                return way
        return -1

    def invalidate(self) -> None:
        """Forget all lines, as after a LOAD of tables; fetches go on and match nothing."""
        for lines in self._lines:
            lines[:] = [_Line(fetching=line.fetching) for line in lines]
        self._turn = [0] * len(self._turn)

    def filled(self, number: int, *, error: bool = False) -> None:
        """The fetch of a line has ended; with an error the line matches nothing any more."""
        line = self._lines[number // self.ways][number % self.ways]
        line.fetching = False
        if error:
            line.address = -1


@dataclass(frozen=True, kw_only=True)
class TablePlace:
    """Where the rows of a table lie in device memory."""

    base: int
    row_bytes: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """A logged decision: the request, and what of the device's state it depended on.

    ``lookup`` False: an id out of range or an empty place, which only takes its turn in the queue.
    ``fresh``: all lines were invalidated since the decision before.
    """

    table: int
    id: int
    lookup: bool = True
    prefetch: bool = False
    half: int = 0
    fresh: bool = False
    query: int = 0
    live: int = 0xFFFF
    pending: int = 0


@dataclass(frozen=True, kw_only=True)
class Fill:
    """A logged end of a fetch."""

    line: int
    error: bool = False


@dataclass(kw_only=True)
class LaneCaches:
    """Both caches of one gather lane.

    Parameters
    ----------
    lines : its look-ahead cache or line buffers, empty
    tables : {table number: place}
    static : {table number: ids of the rows that the static cache holds}
    """

    lines: LineCache
    tables: Mapping[int, TablePlace]
    static: Mapping[int, frozenset[int]] = field(default_factory=dict)
    line: int = field(default=-1, init=False)

    def step(self, step: Step) -> Outcome:
        """Outcome of one decision; ``line`` is its line then, or -1."""
        self.line = -1
        if step.fresh:
            self.lines.invalidate()
        if not step.lookup or step.id in self.static.get(step.table, ()):
            if not step.prefetch:
                self.lines.entry()
            return Outcome.STATIC if step.lookup else Outcome.NONE
        place = self.tables[step.table]
        line = (place.base + step.id * place.row_bytes) // LINE_BYTES + step.half
        outcome, self.line = self.lines.request(
            line,
            pending=step.pending,
            prefetch=step.prefetch,
            query=step.query,
            live=step.live,
        )
        return outcome

    def replay(self, log: Iterable[Step | Fill]) -> list[Outcome]:
        """Outcomes of the decisions of a log, in its order."""
        outcomes = []
        for entry in log:
            if isinstance(entry, Fill):
                self.lines.filled(entry.line, error=entry.error)
            else:
                outcomes.append(self.step(entry))
        return outcomes

    @property
    def dram_bytes(self) -> int:
        """Bytes that were fetched."""
        return self.lines.fetches * LINE_BYTES
