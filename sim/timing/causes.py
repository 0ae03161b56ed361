"""Timeline of an engine: what every cycle is charged to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hdl.engine.cause import Cause

__all__ = ["cause_spans"]

_FOREVER = 1 << 60


def cause_spans(
    spans: Iterable[tuple[int, int, Cause]], states: Sequence[tuple[int, Cause]], end: int
) -> list[tuple[int, int, Cause]]:
    """Cycles [first, last] by cause, in order, without a hole, up to ``end`` - 1.

    Parameters
    ----------
    spans
        Cycles [first, last] in which the array works on a phase, and their causes.
    states
        What the other cycles are charged to: (first cycle, cause), by rising cycle from 0 on.
    """
    result: list[tuple[int, int, Cause]] = []
    starts = [*states, (_FOREVER, Cause.IDLE)]
    place = 0

    def fill(first: int, last: int) -> None:
        """Cycles without a phase."""
        nonlocal place
        while first <= last:
            while starts[place + 1][0] <= first:
                place += 1
            until = min(last, starts[place + 1][0] - 1)
            add(first, until, starts[place][1])
            first = until + 1

    def add(first: int, last: int, cause: Cause) -> None:
        if result and result[-1][2] is cause:
            result[-1] = (result[-1][0], last, cause)
        else:
            result.append((first, last, cause))

    at = 0
    for first, last, cause in spans:
        fill(at, first - 1)
        add(first, last, cause)
        at = last + 1
    fill(at, end - 1)
    return result
