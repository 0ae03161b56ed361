"""Schedule of an engine's array: when every row of every weight tile enters it, cycle for cycle.

The same rules as ``hdl/engine``'s load walker, layer table and row walker, as a recurrence over
tiles. Nothing here is counted cycle by cycle: a tile costs a few additions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hdl.config import Config
from hdl.engine.cause import Cause
from hdl.engine.layer_table import LayerTable
from hdl.program import Destination

__all__ = ["ArraySchedule", "LayerTiles", "Phase", "TileRun"]

_NEVER = -(1 << 60)


@dataclass(frozen=True, kw_only=True)
class LayerTiles:
    """A layer as the array sees it."""

    input_tiles: int
    output_tiles: int
    destination: Destination


@dataclass(kw_only=True, eq=False)
class Phase:
    """One pass of a row block through one MLP."""

    layers: tuple[LayerTiles, ...]
    rows: int
    streamed: bool = False
    slot: int = 0
    top: bool = False
    decoder: bool = False
    taken: int = _NEVER
    """Cycle in which the sequencer took it from its queue."""
    first_row: int = _NEVER
    last_row: int = _NEVER
    done: int = _NEVER
    """Cycle of the sequencer's ``done`` pulse."""
    layer_rows: list[tuple[int, int]] = field(default_factory=list)
    """First and last row cycle of each layer."""
    output_tiles: list[int] = field(default_factory=list)
    """First row cycle of each output tile's last input tile: its outputs leave then."""


@dataclass(frozen=True)
class TileRun:
    """Rows of an output tile's last input tile: what is written back."""

    start: int
    rows: int
    slot: int
    destination: Destination


class ArraySchedule:
    """The sequencer of one engine.

    ``offer`` puts a phase into the sequencer's queue, ``land`` tells that a streamed tile lies in
    the ring; both run the schedule as far as it is known. All cycles are those of the row walker's
    ``word``; the control word is registered, so at the anchor it is one cycle later.

    Parameters
    ----------
    config
        Sizes of the device.
    write_back
        Cycles from a control word at the anchor to its row's write-back: ``timing.latency(edge)``.
    turnaround
        Cycles from a row's last control word to the first one that may read its outputs:
        ``timing.turnaround(edge)``.
    on_tile
        Called for every finished output tile with its `TileRun`.
    on_taken, on_done
        Called when a phase's ``taken``, ``done`` is known (not: at that cycle).
    on_load
        Called with the cycle of each load of a streamed tile.
    """

    CONTROL_LATENCY = 1
    """Row walker to the anchor: the sequencer's output register."""

    def __init__(
        self,
        *,
        config: Config,
        write_back: int,
        turnaround: int,
        on_tile: Callable[[TileRun], None] | None = None,
        on_taken: Callable[[Phase], None] | None = None,
        on_done: Callable[[Phase], None] | None = None,
        on_load: Callable[[int], None] | None = None,
    ) -> None:
        self._interval = config.tile_interval
        self._latency = self.CONTROL_LATENCY + write_back
        self._turnaround = turnaround
        self._on_tile, self._on_taken = on_tile, on_taken
        self._on_done, self._on_load = on_done, on_load
        self.causes = {cause: 0 for cause in Cause}
        """Cycles by cause; IDLE is left out, see ``gaps``."""
        self.gaps: list[tuple[int, int]] = []
        """Cycles [first, last] without a layer; the open one at the end is not among them."""
        self.spans: list[tuple[int, int, Cause]] = []
        """Cycles [first, last] by cause, in order, gaps left out."""
        self._waiting: deque[tuple[Phase, int]] = deque()
        self._landed: deque[int] = deque()
        # Load walker.
        self._load_free = 0  # it can take a phase
        self._shadow_free = 0  # the tile loaded last is swapped in
        self._load = _NEVER  # load of the tile that waits to be swapped in
        self._load_ready = 0  # load of the next tile, but for its landing
        # Layer table and row walker.
        self._table_free = 0
        self._head = 0  # the queue's head is on offer
        self._last_row = _NEVER
        self._last_start = _NEVER
        self._readable: list[int] = []  # the first cycle that may read row 0 of an output tile
        # Position inside the phase in work.
        self._phase: Phase | None = None
        self._position = (0, 0, 0)  # layer, output tile, input tile
        self._held = 0  # the layer's record is there
        self._offer = 0  # the next layer's record is on offer

    # -- inputs --------------------------------------------------------------------------------
    def offer(self, phase: Phase, cycle: int) -> None:
        """The phase is at the queue's output from ``cycle`` on, if it is the oldest one."""
        self._waiting.append((phase, cycle))
        self._advance()

    def land(self, cycle: int) -> None:
        """The landed pulse of the next streamed tile comes in ``cycle``."""
        self._landed.append(cycle)
        self._advance()

    @property
    def last_row(self) -> int:
        """Last cycle in which a row enters, as far as known."""
        return self._last_row

    # -- the schedule --------------------------------------------------------------------------
    def _advance(self) -> None:
        while True:
            if self._phase is None:
                if not self._waiting:
                    return
                self._take(*self._waiting.popleft())
            if not self._run_tiles():
                return

    def _take(self, phase: Phase, offered: int) -> None:
        """Both walkers take the phase, each when it can."""
        offered = max(offered, self._head)
        load = max(offered, self._load_free)
        table = max(offered, self._table_free)
        phase.taken = max(load, table)
        self._head = phase.taken + 1
        self._load_ready = load + 1
        self._offer = table + LayerTable.READ_LATENCY
        self._phase = phase
        self._position = (0, 0, 0)
        self._held = _NEVER
        if self._on_taken is not None:
            self._on_taken(phase)

    def _run_tiles(self) -> bool:
        """Run the tiles of the phase in work; False when a tile has not landed yet."""
        phase = self._phase
        if phase is None:
            return True
        interval, rows = self._interval, phase.rows
        index, output, inner = self._position
        while True:
            layer = phase.layers[index]
            if self._held == _NEVER:
                taken = max(self._offer, self._last_row)
                self._held = taken + 1
                self._offer = taken + LayerTable.NEXT_LATENCY
                self._gap(self._last_row + 1, taken)
            if phase.streamed and not self._landed:
                self._position = (index, output, inner)
                return False
            waited = max(self._load_ready, self._shadow_free)
            load = waited
            if phase.streamed:
                load = max(load, self._landed.popleft() + 1)
                if self._on_load is not None:
                    self._on_load(load)
            self._load_ready = load + 1
            loaded = load + interval
            swap = max(loaded, self._last_row)
            self._shadow_free = swap
            armed = swap + 1
            needed = _NEVER
            if index and not output:
                # Output tiles that cannot be read may be no more than the pages behind this one.
                place = len(self._readable) - (layer.input_tiles - inner)
                if place >= 0:
                    needed = self._readable[place]
            start = max(self._held, armed, needed, self._last_start + interval, self._last_row + 1)
            self._charge(start, rows, armed, needed, waited, load if phase.streamed else _NEVER)
            self._last_start = start
            self._last_row = start + rows - 1
            if inner == 0 and output == 0:
                phase.layer_rows.append((start, start))
                if index == 0:
                    phase.first_row = start
            inner += 1
            if inner < layer.input_tiles:
                continue
            inner = 0
            self._readable.append(start + self._turnaround)
            phase.output_tiles.append(start)
            if self._on_tile is not None:
                self._on_tile(TileRun(start, rows, phase.slot, layer.destination))
            output += 1
            if output < layer.output_tiles:
                continue
            output = 0
            phase.layer_rows[-1] = (phase.layer_rows[-1][0], self._last_row)
            index += 1
            self._held = _NEVER
            if index < len(phase.layers):
                continue
            return self._finish(phase)

    def _finish(self, phase: Phase) -> bool:
        self._load_free = self._load_ready
        # The table is idle in the cycle after it handed over the last layer.
        self._table_free = self._offer - LayerTable.NEXT_LATENCY + 1
        phase.last_row = self._last_row
        phase.done = self._last_row + self._latency
        self._phase = None
        if self._on_done is not None:
            self._on_done(phase)
        return True

    # -- causes --------------------------------------------------------------------------------
    def _gap(self, first: int, last: int) -> None:
        first = max(first, 0)
        if first <= last:
            self.gaps.append((first, last))

    def _span(self, first: int, last: int, cause: Cause) -> int:
        """Charge [first, last]; returns the next cycle."""
        if first > last:
            return first
        self.causes[cause] += last - first + 1
        spans = self.spans
        if spans and spans[-1][2] is cause and spans[-1][1] == first - 1:
            spans[-1] = (spans[-1][0], last, cause)
        else:
            spans.append((first, last, cause))
        return last + 1

    def _charge(
        self, start: int, rows: int, armed: int, needed: int, waited: int, load: int
    ) -> None:
        """Charge the cycles from the last row to this tile's last row."""
        at = max(self._held, self._last_row + 1)
        if at < start:
            if at < armed:  # not in the active weights yet
                until = min(armed, start)
                if load > waited:  # the stream was late: until it landed
                    at = self._span(at, min(waited, until) - 1, Cause.WEIGHTS)
                    at = self._span(at, min(load, until) - 1, Cause.STREAM)
                at = self._span(at, until - 1, Cause.WEIGHTS)
            at = self._span(at, min(needed, start) - 1, Cause.DEPENDENCY)
            at = self._span(at, start - 1, Cause.WEIGHTS)
        self._span(start, start + rows - 1, Cause.BUSY)
