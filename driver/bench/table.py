"""Tables of benches: rows of plain data to aligned text, units in the headings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["percent", "table_text"]


def percent(value: float) -> str:
    """A share, two decimals: budgets are close to 100 %."""
    return f"{100 * value:.2f}"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def table_text(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Aligned columns.

    Parameters
    ----------
    columns
        Heading of each key of ``rows``, with its unit; the keys give the order. Keys that start
        with a share (``..utilization``) are written in percent.
    rows
        Plain data.
    """
    lines = [list(columns.values())]
    for row in rows:
        cells = []
        for key in columns:
            value = row[key]
            share = "utilization" in key and value is not None
            cells.append(percent(value) if share else _cell(value))
        lines.append(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    left = [all(isinstance(row[key], str) for row in rows) for key in columns]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in lines
    )
