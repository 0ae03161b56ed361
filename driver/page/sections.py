"""Sections of the page: title, caption with units, picture, the same as a table."""

from __future__ import annotations

from html import escape

from hdl.engine.cause import Cause

from ..cache_split import split_rows
from .facts import PageFacts
from .floor_plan import draw_floor_plan, floor_plan_rows
from .roofline import draw_roofline, roofline_points, roofline_rows
from .split_curve import draw_split
from .tables import as_details, table, words_table
from .timeline import STACK, draw_timeline, hover_data, timeline_rows

__all__ = [
    "conditions_section",
    "embedding_section",
    "floor_plan_section",
    "head_section",
    "roofline_section",
    "split_section",
    "stages_section",
    "tiles_section",
    "timeline_section",
    "top_section",
]

_MEANING = {
    Cause.BUSY: "busy: a row enters the array",
    Cause.DEPENDENCY: "dependency: inputs of the next tile are still in the pipeline",
    Cause.WEIGHTS: "weights: the next tile is on its way from the bank",
    Cause.STREAM: "stream: streamed weights have not landed",
    Cause.VECTORS: "vectors: the interaction is not finished",
    Cause.HASH: "hash: codes of a decoder are being made",
    Cause.INPUT: "input: dense inputs are missing",
    Cause.IDLE: "idle: no row block held",
}
_BEST = 16
"""Items listed of the first query."""


def _section(title: str, caption: str, *content: str) -> str:
    return (
        f'<section><h2>{escape(title)}</h2><p class="caption">{escape(caption)}</p>'
        + "".join(content)
        + "</section>"
    )


def _picture(svg: object, *, wide: bool = False) -> str:
    if not wide:
        return str(svg)
    return f'<div class="wide" tabindex="0" role="region" aria-label="Picture">{svg}</div>'


def _verdict(facts: PageFacts) -> str:
    exact = facts.result["bit_exact"]
    if exact is None:
        return '<div class="verdict open">not compared: no device computed it</div>'
    if exact:
        return '<div class="verdict good">✓ bit-exact with the golden model</div>'
    return '<div class="verdict bad">✗ differs from the golden model</div>'


def head_section(facts: PageFacts) -> str:
    """Title, stages and verdict."""
    result = facts.result
    stages = " → ".join(
        f"{s['name']} ({s['items_in']:,} to {s['items_out']:,} items)" for s in result["stages"]
    )
    return (
        f"<header><div><h1>{escape(result['pipeline'])} on {escape(result['preset'])}</h1>"
        f'<p class="lead">{escape(stages)}</p></div>{_verdict(facts)}</header>'
    )


def tiles_section(facts: PageFacts) -> str:
    """The figures that matter most; nothing without cycles."""
    result = facts.result
    if not facts.measured:
        return ""
    embedding = result["embedding"]
    hits = embedding["static_hits"] + embedding["lookahead_hits"]
    hits /= max(1, embedding["lookups"])
    tiles = [
        (
            "Cycles per query",
            f"{result['cycles_per_query']:,.0f}",
            "one query" if result["queries"] == 1 else f"mean of {result['queries']}",
        ),
        (
            "Time per query",
            f"{result['microseconds_per_query']:,.1f} <small>µs</small>",
            f"at {result['clock_mhz']:g} MHz",
        ),
        (
            "MAC utilisation",
            f"{100 * result['mac_utilization']:.1f} <small>%</small>",
            f"tile padding allows {100 * result['mac_utilization_bound']:.1f} %",
        ),
        (
            "Cached lookups",
            f"{100 * hits:.1f} <small>%</small>",
            f"of {embedding['lookups']:,} lookups",
        ),
        (
            "Read from memory",
            f"{embedding['dram_bytes'] / 1024:,.0f} <small>KiB</small>",
            f"in {embedding['dram_reads']:,} bursts",
        ),
    ]
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value}</dd><span>{escape(text)}</span></div>"
        for name, value, text in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def timeline_section(facts: PageFacts) -> str:
    """Timeline, or why there is none."""
    activity = facts.activity
    if activity is None:
        return _section(
            "Timeline of the engines",
            f"Left out: back end {facts.result['backend']} has no traces of the engines.",
        )
    edges = {
        lane.engine.unit: facts.config.sub_array << lane.engine.level for lane in activity.lanes
    }
    totals = {c: sum(lane.cycles()[c] for lane in activity.lanes) for c in STACK}
    whole = sum(totals.values())
    legend = "".join(
        f'<li><i class="{c.name.lower()}"></i>{escape(_MEANING[c])}, '
        f"{100 * totals[c] / whole:.1f} %</li>"
        for c in STACK
        if totals[c]
    )
    rows = timeline_rows(activity)
    return _section(
        "Timeline of the engines",
        "Height: share of the cycles that an engine was busy or stalled by one cause. Thin bars "
        "below: its row blocks, coloured by stage, each from being sent to its last score. "
        "Cycles count from the doorbell.",
        f'<ul class="legend">{legend}</ul>',
        _picture(draw_timeline(activity, facts.names, edges, facts.config.clock_mhz), wide=True),
        as_details("Engine cycles by cause as a table", table(rows, "Engine cycles by cause")),
        f'<script type="application/json" id="timeline-data">{hover_data(activity)}</script>',
    )


def floor_plan_section(facts: PageFacts) -> str:
    """The partition."""
    config, partition, names = facts.config, facts.partition, facts.names
    fill = "filled from below by the share of the run's cycles they were busy" if facts.busy else ""
    return _section(
        "Partition",
        f"{config.grid} × {config.grid} sub-arrays of {config.sub_array} × {config.sub_array} PEs; "
        f"engines outlined{', ' + fill if fill else ''}. Small squares: the stages they serve.",
        _picture(draw_floor_plan(config, partition, names, facts.busy)),
        as_details(
            "Engines as a table",
            table(floor_plan_rows(config, partition, names, facts.busy), "Engines"),
        ),
    )


def roofline_section(facts: PageFacts) -> str:
    """Roofline, or why there is none."""
    if not facts.work or not facts.measured:
        return _section("Roofline", "Left out: this back end counts no cycles.")
    cycles = [stage["cycles"] for stage in facts.result["stages"]]
    points = roofline_points(facts.config, facts.work, cycles)
    key = "".join(
        f'<li><i class="stage{p.stage}"></i>stage {p.stage} {escape(p.name)}: '
        f"{p.rate:.1f} MACs/cycle, {100 * p.rate / p.limit:.0f} % of its limit</li>"
        for p in points
    )
    return _section(
        "Roofline",
        "Stages of the first query: MACs of both MLPs per cycle, over MACs per byte read from "
        "device memory. The bar above a stage: what its engines, tile padding and bandwidth allow.",
        f'<ul class="legend">{key}</ul>',
        _picture(draw_roofline(facts.config, points)),
        as_details("Roofline as a table", table(roofline_rows(points), "Roofline")),
    )


def stages_section(facts: PageFacts) -> str:
    """Cycles of the stages by cause."""
    rows = [["stage", "items in", "items out"]]
    if facts.measured:
        rows[0] += ["cycles", *(cause.name.lower() for cause in STACK)]
    for number, stage in enumerate(facts.result["stages"]):
        row = [f"{number} {stage['name']}", f"{stage['items_in']:,}", f"{stage['items_out']:,}"]
        if facts.measured:
            counts = {"busy": stage["busy_cycles"]} | stage["stall_cycles"]
            row += [f"{stage['cycles']:,}", *(f"{counts[c.name.lower()]:,}" for c in STACK)]
        rows.append(row)
    caption = "Items of a query."
    if facts.measured:
        caption = (
            "Cycles: of the first query. Busy and stalls by cause: engine cycles of all engines "
            "and queries."
        )
    return _section("Stages", caption, table(rows, "Stages"))


def embedding_section(facts: PageFacts) -> str:
    """Lookups and bytes by stage; nothing when no device was planned."""
    if not facts.work:
        return ""
    head = ["stage", "lookups", "hits", "hit rate", "record bytes", "row bytes", "weight bytes"]
    rows = [head] + [
        [
            f"{number} {stage.name}",
            f"{stage.lookups:,}",
            f"{stage.hits:,}",
            f"{100 * stage.hits / max(1, stage.lookups):.1f} %",
            f"{stage.record_bytes:,}",
            f"{stage.row_bytes:,}",
            f"{stage.weight_bytes:,}",
        ]
        for number, stage in enumerate(facts.work)
    ]
    return _section(
        "Embedding lookups and memory traffic",
        "First query. Hits: rows held by the static cache. Bytes read from device memory: item "
        "records, embedding rows that are not cached, streamed weights.",
        table(rows, "Embedding lookups"),
    )


def split_section(facts: PageFacts) -> str:
    """Access time by split of the static cache; nothing when no device was planned."""
    if not facts.splits:
        return ""
    names = facts.names
    return _section(
        "Static cache: split between the stages",
        "Average memory access time of a lookup when nothing else is asked for, in cycles; rows "
        "chosen from the training split, hits of the queries' items. Large: the split loaded.",
        _picture(draw_split(facts.splits, names), wide=True),
        as_details("As a table", table(split_rows(facts.splits, names), "Splits")),
    )


def top_section(facts: PageFacts) -> str:
    """Best items of the first query."""
    best = facts.result["top"][:_BEST]
    rows = [["rank", "item", "score"]] + [
        [str(rank), f"{row['item']}", f"{row['score']}"] for rank, row in enumerate(best, start=1)
    ]
    caption = "First query, best score first; int16 scores of the last stage's logit."
    return _section("Top items", caption, table(rows, "Top items"))


def conditions_section(facts: PageFacts) -> str:
    """Everything that a reader needs to run it again."""
    result = facts.result
    rows = [
        ("preset", f"{result['preset']}, configuration {result['config_hash']}"),
        ("partition", facts.partition.text),
        ("pipeline", result["pipeline"]),
        ("back end", " ".join(filter(None, (result["backend"], result["simulator"])))),
        *((f"note {n}", note) for n, note in enumerate(result["notes"], start=1)),
        *facts.conditions,
    ]
    quality = result["quality"]
    if quality is not None:
        rows.append(
            (
                f"NDCG@{quality['k']}",
                f"int8 {quality['ndcg_at_k']:.4f}, float {quality['ndcg_at_k_float']:.4f}",
            )
        )
    if result["bit_exact"] is not None:
        said = "every layer, lookup, survivor and result equals the integer golden model"
        rows.append(("compared", said if result["bit_exact"] else f"{result['difference']}"))
    if result["wall_s"] is not None:
        rows.append(("run took", f"{result['wall_s']:.1f} s"))
    return _section("Conditions", "What ran, on what, with which data.", words_table(rows))
