"""The result of a run as text for people."""

from __future__ import annotations

from typing import Any

__all__ = ["report_text"]

_SHOWN = 12
"""Candidates of a partition search in the text."""


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def report_text(result: dict[str, Any]) -> str:
    """Lines of a run: what ran, stages, cycles, hit rates, quality, verdict."""
    lines = [
        f"preset {result['preset']}, partition {result['partition']}, "
        f"pipeline {result['pipeline']}, back end {result['backend']}"
        + (f" ({result['simulator']})" if result["simulator"] else ""),
        *(f"note: {note}" for note in result["notes"]),
        "",
        *_stage_table(result),
        "",
        *_search_lines(result["partition_search"]),
    ]
    if result["cycles"] is not None:
        lines += _device_lines(result)
    quality = result["quality"]
    if quality is not None:
        lines.append(
            f"NDCG@{quality['k']}: int8 {quality['ndcg_at_k']:.4f}, "
            f"float {quality['ndcg_at_k_float']:.4f} ({result['queries']} held-out queries)"
        )
    best = ", ".join(f"{r['item']} ({r['score']})" for r in result["top"][:5])
    lines.append(f"best items of query 0 (score): {best}")
    if result["bit_exact"] is not None:
        lines.append(f"bit-exact: {'yes' if result['bit_exact'] else 'NO'}")
    if result.get("difference"):
        lines.append(f"first difference: {result['difference']}")
    return "\n".join(lines)


def _stage_table(result: dict[str, Any]) -> list[str]:
    head = ["stage", "items in", "items out"]
    device = result["cycles"] is not None
    causes: list[str] = []
    if device:
        causes = [c for c in result["stages"][0]["stall_cycles"]]
        head += ["cycles", "busy", *causes]
    rows = [head]
    for number, stage in enumerate(result["stages"]):
        row = [f"{number} {stage['name']}", str(stage["items_in"]), str(stage["items_out"])]
        if device:
            row += [str(stage["cycles"]), str(stage["busy_cycles"] or "-")]
            row += [str(stage["stall_cycles"][c]) for c in causes]
        rows.append(row)
    lines = _table(rows)
    if device:
        lines.append("(cycles of the first query; busy and stalls: engine cycles of all queries)")
    return lines


def _search_lines(search: dict[str, Any] | None) -> list[str]:
    """What the partition search chose, and what the others would give."""
    if search is None:
        return []
    rows = [["partition", "timing model", "more", "estimate"]]
    fitting = [c for c in search["candidates"] if c["estimate"] is not None]
    shown = fitting[:_SHOWN]
    best = shown[0]["cycles"]
    for c in shown:
        cycles = c["cycles"]
        more = "-" if cycles is None else _percent(cycles / best - 1)
        rows.append([c["partition"], str(cycles or "-"), more, str(c["estimate"])])
    rest = len(search["candidates"]) - len(shown)
    unfit = len(search["candidates"]) - len(fitting)
    return [
        f"partition search chose {search['chosen']}; cycles by the timing model for "
        f"{search['items']} of {search['items_of_query']} items, estimate for all:",
        *_table(rows),
        f"{rest} more candidates, {unfit} of them do not fit: see --json",
        "",
    ]


def _held_lines(cache: dict[str, int]) -> list[str]:
    """Finished vectors, where there are any."""
    if not cache["vectors"]:
        return []
    return [
        f"MP-Cache: {cache['vectors']} vectors, {cache['lookups']} lookups, hits "
        f"{_percent(cache['hits'] / max(1, cache['lookups']))}"
    ]


def _device_lines(result: dict[str, Any]) -> list[str]:
    embedding = result["embedding"]
    lookups = max(1, embedding["lookups"])
    return [
        f"cycles: {result['cycles']} for {result['queries']} queries "
        f"({result['cycles_per_query']:.0f} each, {result['microseconds_per_query']:.1f} us at "
        f"{result['clock_mhz']:g} MHz); loading took {result['load_cycles']}",
        f"MAC utilisation: {_percent(result['mac_utilization'])} "
        f"(tile padding allows {_percent(result['mac_utilization_bound'])})",
        f"embedding: {embedding['lookups']} lookups, static hits "
        f"{_percent(embedding['static_hits'] / lookups)}, look-ahead hits "
        f"{_percent(embedding['lookahead_hits'] / lookups)}, "
        f"{embedding['dram_bytes']} bytes from DRAM",
        *_held_lines(embedding["mp_cache"]),
        f"{'ran' if result['backend'] == 'board' else 'simulated'} in {result['wall_s']:.1f} s",
    ]
