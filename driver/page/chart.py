"""Line and point charts with linear or logarithmic axes, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .svg import Svg, number

__all__ = ["Series", "chart", "legend"]

_WIDTH, _HEIGHT = 720, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 18, 26, 50
COLOURS = 6


@dataclass(frozen=True)
class Series:
    """A line, or points without one."""

    name: str
    points: Sequence[tuple[float, float]]
    line: bool = True
    tips: Sequence[str] = ()
    """Of the points; () for their values."""
    faint: bool = False
    """Background: all other outcomes."""


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    log: bool

    def share(self, value: float) -> float:
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        if self.log:
            first = math.floor(math.log10(self.low) + 1e-9)
            last = math.ceil(math.log10(self.high) - 1e-9)
            decades = [10.0**e for e in range(first, last + 1)]
            steps = (1, 2, 5) if last - first <= 2 else (1,)
            marks = [s * d for d in decades for s in steps]
            return [m for m in marks if self.low * 0.999 <= m <= self.high * 1.001]
        raw = (self.high - self.low) / 5
        size = 10.0 ** math.floor(math.log10(raw))
        step = next(m * size for m in (1, 2, 5, 10) if m * size >= raw)
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _axis(values: Sequence[float], log: bool, zero: bool) -> _Axis:
    low, high = min(values), max(values)
    if log:
        return _Axis(low / 1.1, high * 1.1, True)
    if zero:
        return _Axis(0.0, high * 1.05 or 1.0, False)
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return _Axis(low - room, high + room, False)


def _word(value: float) -> str:
    return f"{value:.4g}"


def chart(
    series: Sequence[Series],
    *,
    name: str,
    title: str,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    zero: bool = True,
    limit: tuple[float, str] | None = None,
) -> Svg:
    """Draw series; points that a logarithmic axis cannot show are left out.

    Parameters
    ----------
    x, y
        Names of the axes with their units.
    zero
        Linear axes start at 0.
    limit
        A level of y that is drawn across, and its name.
    """
    shown = [
        [
            (a, b, place)
            for place, (a, b) in enumerate(s.points)
            if math.isfinite(a) and math.isfinite(b) and (a > 0 or not log_x)
            and (b > 0 or not log_y)
        ]
        for s in series
    ]  # fmt: skip
    points = [point for part in shown for point in part]
    described = f"{len(series)} series: {', '.join(s.name for s in series)}."
    svg = Svg(name=name, width=_WIDTH, height=_HEIGHT, title=title, description=described)
    if not points:
        svg.text(_LEFT, _HEIGHT / 2, "no finite values")
        return svg
    ys = [p[1] for p in points] + ([limit[0]] if limit else [])
    across, up = _axis([p[0] for p in points], log_x, zero), _axis(ys, log_y, zero)
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def place(a: float, b: float) -> tuple[float, float]:
        return (
            _LEFT + across.share(a) * (right - _LEFT),
            bottom - up.share(b) * (bottom - _TOP),
        )

    for value in up.ticks():
        level = place(across.low, value)[1]
        svg.line(_LEFT, level, right, level, class_="grid")
        svg.text(_LEFT - 7, level + 4, _word(value), class_="end")
    for value in across.ticks():
        at = place(value, up.low)[0]
        svg.line(at, bottom, at, bottom + 4, class_="grid")
        svg.text(at, bottom + 18, _word(value), class_="middle")
    if limit is not None:
        level = place(across.low, limit[0])[1]
        svg.line(_LEFT, level, right, level, class_="reach")
        svg.text(right, level - 5, limit[1], class_="end soft")
    for kind, (s, part) in enumerate(zip(series, shown, strict=True)):
        colour = "series-faint" if s.faint else f"series{kind % COLOURS}"
        corners = [place(a, b) for a, b, _ in part]
        if s.line and len(corners) > 1:
            data = "M" + "L".join(f"{number(a)} {number(b)}" for a, b in corners)
            svg.path(data, class_=f"series-line {colour}")
        for (a, b, index), (left, level) in zip(part, corners, strict=True):
            tip = s.tips[index] if s.tips else f"{s.name}: {_word(a)}, {_word(b)}"
            svg.circle(left, level, 2.5 if s.faint else 4, class_=colour, tip=tip)
    svg.text((_LEFT + right) / 2, _HEIGHT - 10, x, class_="middle")
    svg.text(4, 14, y)
    return svg


def legend(series: Sequence[Series]) -> str:
    """Colours and names, as a list."""
    entries = "".join(
        f'<li><i class="{"series-faint" if s.faint else f"series{kind % COLOURS}"}"></i>'
        f"{escape(s.name)}</li>"
        for kind, s in enumerate(series)
    )
    return f'<ul class="legend">{entries}</ul>'
