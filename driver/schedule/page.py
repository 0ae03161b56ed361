"""The page of a search: latency against load, Pareto fronts, the mapping, choices over time."""

from __future__ import annotations

from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..page.chart import Series, chart, legend
from ..page.style import STYLE
from ..page.svg import Svg
from ..page.tables import as_details, table, words_table
from .explore import Outcome
from .mapping import Mapping

__all__ = ["Curve", "Decision", "ScheduleFacts", "draw_mapping", "schedule_page", "write_schedule"]

_MOST_ROWS = 40


@dataclass(frozen=True)
class Curve:
    """Latency of a mapping by load."""

    name: str
    rates: Sequence[float]
    p50_s: Sequence[float]
    p99_s: Sequence[float]


@dataclass(frozen=True)
class Decision:
    """A query that the online scheduler placed."""

    at_s: float
    path: str
    latency_s: float
    """Infinite: refused."""


@dataclass(frozen=True, kw_only=True)
class ScheduleFacts:
    """What the page shows."""

    chosen: Outcome
    outcomes: Sequence[Outcome]
    front: Sequence[Outcome]
    curves: Sequence[Curve]
    load: float
    sla_s: float
    conditions: Sequence[tuple[str, str]]
    decisions: Sequence[Decision] = field(default_factory=list)
    """Of the online scheduler, in order of arrival; none without alternatives."""


def draw_mapping(mapping: Mapping, kinds: Table[str, str]) -> Svg:
    """Stages as boxes on their platforms, items on the arrows between them.

    Parameters
    ----------
    kinds
        Kind of each platform.
    """
    width, height, left = 170, 64, 96
    gap = 84
    segments = mapping.segments
    stages = len(mapping.stages)
    svg = Svg(
        name="mapping",
        width=left + stages * (width + gap),
        height=178,
        title="The chosen mapping",
        description=mapping.label,
    )
    at, number = left, 0
    svg.text(4, 92, f"{mapping.stages[0].items} items", class_="bold")
    svg.line(4, 104, at - 6, 104, class_="series-line series5")
    for segment in segments:
        count = len(segment.stages)
        span = count * width + (count - 1) * gap
        svg.rect(at - 12, 26, span + 24, 134, class_="unused", rx=10)
        svg.text(at, 46, segment.platform, class_="bold")
        svg.text(at, 150, kinds.get(segment.platform, ""), class_="soft")
        for stage in segment.stages:
            svg.rect(at, 64, width, height, class_=f"stage{min(3, number)}", rx=8,
                     tip=f"{stage.model} ranks {stage.items} items")  # fmt: skip
            svg.text(at + width / 2, 92, stage.model, class_="on-stage middle bold")
            svg.text(at + width / 2, 112, f"{stage.items} items", class_="on-stage middle")
            number += 1
            out = mapping.stages[number].items if number < stages else mapping.returned
            svg.line(at + width + 4, 96, at + width + gap - 8, 96, class_="series-line series5")
            svg.text(at + width + gap / 2, 88, f"{out}", class_="middle")
            at += width + gap
    return svg


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.4g}" if np.isfinite(seconds) else "above saturation"


def _tiles(facts: ScheduleFacts) -> str:
    chosen = facts.chosen
    tiles = [
        ("p99 at the load", f"{_milliseconds(chosen.p99_s)} <small>ms</small>",
         f"SLA {1e3 * facts.sla_s:g} ms at {facts.load:g} queries/s"),
        ("alone", f"{_milliseconds(chosen.latency_s)} <small>ms</small>", "mean of a lone query"),
        ("saturation", f"{chosen.saturation:,.0f} <small>queries/s</small>",
         escape(f"limited by {chosen.limited_by}")),
        ("quality", f"{chosen.quality:.4f}", "NDCG on the shipped held-out items"),
        ("mappings", f"{len(facts.outcomes):,}", f"{len(facts.front)} on the front"),
    ]  # fmt: skip
    return (
        '<dl class="tiles">'
        + "".join(f"<div><dt>{a}</dt><dd>{b}</dd><span>{c}</span></div>" for a, b, c in tiles)
        + "</dl>"
    )


def _pareto(facts: ScheduleFacts) -> str:
    def of(part: Sequence[Outcome], name: str, y: str, faint: bool = False) -> Series:
        rows = [o for o in part if np.isfinite(o.p99_s)]
        return Series(
            name,
            [(o.quality, 1e3 * o.p99_s if y == "p99" else o.saturation) for o in rows],
            line=False,
            faint=faint,
            tips=[
                f"{o.mapping.label}: quality {o.quality:.4f}, p99 {_milliseconds(o.p99_s)} ms, "
                f"at most {o.saturation:,.0f} queries/s"
                for o in rows
            ],
        )

    pictures = []
    for key, y in (("p99", "p99 at the load [ms]"), ("saturation", "most queries/s")):
        series = [
            of(facts.front, "Pareto front", key),
            of([facts.chosen], "chosen", key),
            of(facts.outcomes, "all mappings", key, faint=True),
        ]
        drawn = chart(
            series, name=f"front-{key}", title=f"Quality against {y}", x="quality (NDCG)", y=y,
            log_y=True, zero=False,
        )  # fmt: skip
        pictures.append(f"<section>{drawn}</section>")
    rows = [["mapping", "quality", "p99 [ms]", "alone [ms]", "queries/s", "timed as a whole"]]
    for o in sorted(facts.front, key=lambda o: -o.quality)[:_MOST_ROWS]:
        rows.append(
            [o.mapping.label, f"{o.quality:.4f}", _milliseconds(o.p99_s),
             _milliseconds(o.latency_s), f"{o.saturation:,.0f}", "yes" if o.timed else "no"]
        )  # fmt: skip
    return (
        "<section><h2>Pareto fronts</h2>"
        '<p class="caption">A mapping is on the front when no other is at least as good in '
        "quality, p99 at the load, and throughput. Grey: all others.</p>"
        f"{legend(series)}<div class='pair'>{''.join(pictures)}</div>"
        f"{as_details('The front as a table', table(rows, 'Pareto front'))}</section>"
    )


def _curves(facts: ScheduleFacts) -> str:
    series = [
        Series(f"{c.name}, p99", [(r, 1e3 * v) for r, v in zip(c.rates, c.p99_s, strict=True)])
        for c in facts.curves
    ]
    drawn = chart(
        series, name="curves", title="Latency against load", x="queries/s", y="p99 [ms]",
        log_x=True, log_y=True, limit=(1e3 * facts.sla_s, "SLA"),
    )  # fmt: skip
    rows = [["mapping", "queries/s", "p50 [ms]", "p99 [ms]"]]
    for c in facts.curves:
        for rate, low, high in zip(c.rates, c.p50_s, c.p99_s, strict=True):
            rows.append([c.name, f"{rate:,.0f}", _milliseconds(low), _milliseconds(high)])
    return (
        "<section><h2>Latency against load</h2>"
        '<p class="caption">Event simulation, exponential gaps; both axes logarithmic.</p>'
        f"{legend(series)}<div class='wide'>{drawn}</div>"
        f"{as_details('The curves as a table', table(rows, 'latency by load'))}</section>"
    )


def _choices(facts: ScheduleFacts) -> str:
    if not facts.decisions:
        return ""
    names = list(dict.fromkeys(d.path for d in facts.decisions))
    series = [
        Series(
            name,
            [(d.at_s, 1e3 * d.latency_s) for d in facts.decisions if d.path == name],
            line=False,
        )
        for name in names
        if any(d.path == name and np.isfinite(d.latency_s) for d in facts.decisions)
    ]
    drawn = chart(
        series, name="choices", title="Choices of the online scheduler", x="arrival [s]",
        y="latency [ms]", log_y=True, limit=(1e3 * facts.sla_s, "SLA"),
    )  # fmt: skip
    shares = [["path", "queries", "share"]]
    for name in names:
        count = sum(d.path == name for d in facts.decisions)
        shares.append([name, f"{count:,}", f"{100 * count / len(facts.decisions):.1f} %"])
    return (
        "<section><h2>Choices over time</h2>"
        '<p class="caption">A day whose load swings around 60 % of what the fastest mapping can '
        "do, to 117 % at its peak. Each point is a query, at its arrival, in the colour of the "
        "mapping that the online scheduler gave it; what none can serve in time is refused.</p>"
        f"{legend(series)}<div class='wide'>{drawn}</div>{table(shares, 'paths')}</section>"
    )


def schedule_page(facts: ScheduleFacts, kinds: Table[str, str]) -> str:
    """The page as text."""
    chosen = facts.chosen
    meets = chosen.p99_s <= facts.sla_s
    verdict = "meets the SLA" if meets else "misses the SLA"
    body = [
        f"<header><div><h1>Schedule for {facts.load:g} queries/s</h1>"
        f'<p class="lead">{escape(chosen.mapping.label)}</p></div>'
        f'<div class="verdict {"good" if meets else "bad"}">{verdict}</div></header>',
        _tiles(facts),
        f"<section><h2>Chosen mapping</h2><div class='wide'>{draw_mapping(chosen.mapping, kinds)}"
        "</div></section>",
        _curves(facts),
        _pareto(facts),
        _choices(facts),
        f"<section><h2>Conditions</h2>{words_table(list(facts.conditions))}</section>",
        "<footer>Written by <code>rpaccel schedule --report</code>.</footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Schedule for {facts.load:g} queries/s</title>\n<style>{STYLE}</style></head>\n"
        "<body><main>\n" + "\n".join(body) + "\n</main></body></html>\n"
    )


def write_schedule(path: Path, facts: ScheduleFacts, kinds: Table[str, str]) -> None:
    """Write the page through a second name; UserError when it cannot be written."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(schedule_page(facts, kinds), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"report: cannot write {path}: {error.strerror}") from None
