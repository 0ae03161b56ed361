"""Longest register-to-register paths from the delays that place and route writes (SDF).

nextpnr's own report has the one worst path; closing timing needs those of all units. Delays are the
slow corner's; the clock network is taken as ideal, as nextpnr does within one clock.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["TimingGraph", "TimingPath", "read_sdf"]

_INSTANCE = re.compile(r"\(INSTANCE (\S*?)\)")
_ARC = re.compile(r"\(IOPATH (\S+) (\S+) \(\S*?(\d+)\)")
_WIRE = re.compile(r"\(INTERCONNECT (\S+) (\S+) \(\S*?(\d+)\)")
_SETUP = re.compile(r"\(SETUPHOLD \(\w+ (\S+)\) \(\w+ (\S+)\) \(\S*?(-?\d+)\)")
_BIT = re.compile(r"(_(TRELLIS_FF_Q|SB_DFF\w*_Q|DP16KD_\w+|MULT18X18D_\w+)(_\d+)?)$")

Pin = tuple[str, str]
_NEVER = -(1 << 40)
"""Arrival at a pin that no clocked one leads to, in picoseconds."""


@dataclass(frozen=True)
class TimingPath:
    """Register to register."""

    start: str
    """Instance path and signal of the register that launches it."""
    end: str
    delay_ns: float
    """Clock to setup: the shortest period that this path allows."""
    logic_ns: float
    routing_ns: float
    levels: int
    """Cells between the registers."""
    cells: tuple[str, ...]
    """Instances passed, launching and capturing register included."""


class TimingGraph:
    """Pins and delays in picoseconds of a placed and routed netlist."""

    def __init__(self) -> None:
        self.arcs: dict[Pin, list[tuple[Pin, int, bool]]] = defaultdict(list)
        """Edges to a pin: from which, delay, whether through a cell."""
        self.setup: dict[Pin, int] = {}
        self.clocks: set[Pin] = set()

    def arrivals(self) -> dict[Pin, tuple[int, Pin | None, bool]]:
        """Latest arrival at every pin that a clocked one leads to, and where it came from."""
        done: dict[Pin, tuple[int, Pin | None, bool]] = dict.fromkeys(self.clocks, (0, None, True))
        open_pins: set[Pin] = set()
        stack = list(self.setup)
        while stack:
            pin = stack[-1]
            missing = [source for source, _, _ in self.arcs.get(pin, ()) if source not in done]
            if pin in done or not missing:
                stack.pop()
                open_pins.discard(pin)
                if pin not in done:
                    done[pin] = self._latest(pin, done)
                continue
            if pin in open_pins:
                raise ValueError(f"combinational loop through {pin[0]}")
            open_pins.add(pin)
            stack.extend(missing)
        return done

    def _latest(
        self, pin: Pin, done: dict[Pin, tuple[int, Pin | None, bool]]
    ) -> tuple[int, Pin | None, bool]:
        """The latest of the arcs to ``pin``, whose sources are all done."""
        best: tuple[int, Pin | None, bool] = (_NEVER, None, True)
        for source, delay, is_cell in self.arcs.get(pin, ()):
            at = done[source][0] + delay
            if at > best[0]:
                best = (at, source, is_cell)
        return best

    def worst(self, count: int) -> list[TimingPath]:
        """The ``count`` slowest paths, one for each pair of registers, whatever their bits."""
        arrivals = self.arrivals()
        ends = sorted(
            ((arrivals[pin][0] + setup, pin) for pin, setup in self.setup.items()), reverse=True
        )
        paths: list[TimingPath] = []
        seen: set[tuple[str, str]] = set()
        for total, pin in ends:
            if total < 0 or len(paths) == count:
                break
            path = self._path(arrivals, pin, total)
            if (path.start, path.end) not in seen:
                seen.add((path.start, path.end))
                paths.append(path)
        return paths

    def _path(
        self, arrivals: dict[Pin, tuple[int, Pin | None, bool]], end: Pin, total: int
    ) -> TimingPath:
        pin: Pin | None = end
        cells: list[str] = []
        routing = 0
        while pin is not None:
            at, source, is_cell = arrivals[pin]
            if source is not None and not is_cell:
                routing += at - arrivals[source][0]
            if not cells or cells[-1] != pin[0]:
                cells.append(pin[0])
            pin = source
        cells.reverse()
        return TimingPath(
            start=signal_name(cells[0]),
            end=signal_name(cells[-1]),
            delay_ns=total / 1000,
            logic_ns=(total - routing) / 1000,
            routing_ns=routing / 1000,
            levels=max(0, len(cells) - 2),
            cells=tuple(cells),
        )


def signal_name(cell: str) -> str:
    """The signal that a cell was named for by Yosys, without kind and bit."""
    return _BIT.sub("", cell)


def read_sdf(lines: Iterable[str]) -> TimingGraph:
    """Read what nextpnr writes with ``--sdf``."""
    graph = TimingGraph()
    names: dict[str, str] = {}

    def plain(name: str) -> str:
        if name not in names:
            names[name] = name.replace("\\", "")
        return names[name]

    def pin(text: str) -> Pin:
        cell, _, port = text.rpartition("/")
        return plain(cell), plain(port)

    instance = ""
    for line in lines:
        if found := _WIRE.search(line):
            graph.arcs[pin(found[2])].append((pin(found[1]), int(found[3]), False))
        elif found := _ARC.search(line):
            graph.arcs[(instance, plain(found[2]))].append(
                ((instance, plain(found[1])), int(found[3]), True)
            )
        elif found := _SETUP.search(line):
            end = (instance, plain(found[1]))
            graph.setup[end] = max(graph.setup.get(end, 0), int(found[3]))
            graph.clocks.add((instance, plain(found[2])))
        elif found := _INSTANCE.search(line):
            instance = plain(found[1])
    return graph
