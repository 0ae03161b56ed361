"""Cycle counts of the array's pipelines: every alignment delay is derived here, nowhere else.

A control word shown at an engine's anchor in cycle 0 reaches lane n of the left column in cycle n
and leaves the left column's lower end in cycle E. Column n of the strips below sees it in cycle
E + n; that cycle is the column's **stage 0**, and the ``*_STAGE`` constants count from there.
"""

from __future__ import annotations

__all__ = [
    "ACCUMULATE_STAGE",
    "ACTIVATE_LATENCY",
    "ACTIVATION_LATENCY",
    "DENSE_LATENCY",
    "FIRST_STAGE",
    "FUNCTION_STAGE",
    "MEMORY_LATENCY",
    "PAGE_STAGE",
    "PARAMETER_STAGE",
    "PE_LATENCY",
    "READ_STAGE",
    "REQUANTISE_LATENCY",
    "RESULT_STAGE",
    "SUM_STAGE",
    "WRITE_STAGE",
    "latency",
    "turnaround",
]

MEMORY_LATENCY = 2
"""Address to data of an array memory: registered read, then an output register."""

DENSE_LATENCY = 1
"""Address to data of the dense-vector memories: registered read only."""

ACTIVATION_LATENCY = MEMORY_LATENCY
"""A lane's control word to its activation at the west edge."""

PE_LATENCY = 2
"""Activation at a PE to the sum that holds its product."""

REQUANTISE_LATENCY = 6
"""Accumulator value to clamped value."""

ACTIVATE_LATENCY = 2
"""Clamped value to result: table read, then output register."""

SUM_STAGE = ACTIVATION_LATENCY + PE_LATENCY - 1
"""The column's partial sum is valid. The last lane taps the word one cycle before it leaves."""

READ_STAGE = SUM_STAGE - MEMORY_LATENCY
"""The accumulator memory is addressed for reading."""

FIRST_STAGE = SUM_STAGE - 1
"""The accumulator's output register loads: zero for the first K tile."""

ACCUMULATE_STAGE = SUM_STAGE + 1
"""The new sum is valid: written to the accumulator memory or taken by the requantiser."""

PARAMETER_STAGE = ACCUMULATE_STAGE - MEMORY_LATENCY
"""The parameter memory is addressed."""

FUNCTION_STAGE = ACCUMULATE_STAGE + REQUANTISE_LATENCY
"""The clamped value is valid; function and table are needed."""

RESULT_STAGE = FUNCTION_STAGE + ACTIVATE_LATENCY
"""The result leaves the strip."""

WRITE_STAGE = RESULT_STAGE + 1
"""The activation bank's write port works (its inputs are registered once)."""

PAGE_STAGE = WRITE_STAGE - 2
"""Column 0's strip tells that a page opens: two registers, then a control word may read it."""


def latency(edge: int) -> int:
    """Cycles from the control word at the anchor to the write-back of the row's last column.

    The last column's lane is written in this cycle and ``tile_done`` pulses in it.
    """
    return edge + (edge - 1) + WRITE_STAGE


def turnaround(edge: int) -> int:
    """Least cycles between a row's last control word and one that reads the row's outputs.

    Lane n is written in cycle ``edge + n + WRITE_STAGE`` and read n cycles after the reading
    control word: both waves have the same skew, so the last column does not count. Rows follow
    each other without a gap in both tiles, so row 0 decides for all rows.
    """
    return edge + WRITE_STAGE + 1
