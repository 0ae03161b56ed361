"""Roofline: MACs a cycle over MACs a byte of device memory, with the stages as points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hdl.config import Config

from .svg import Svg, number
from .work import StageWork

__all__ = ["Point", "draw_roofline", "roofline_points", "roofline_rows"]

_WIDTH, _HEIGHT = 480, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 22, 26, 52


@dataclass(frozen=True, kw_only=True)
class Point:
    """One stage of the first query."""

    stage: int
    name: str
    rate: float
    """MACs a cycle, padding not counted."""
    traffic: float
    """Bytes a cycle from device memory."""
    intensity: float
    """MACs a byte."""
    limit: float
    """MACs a cycle that its engines, the padding of their tiles and the bandwidth allow."""


def _bandwidth(config: Config) -> int:
    """Bytes a cycle: a beat on every channel."""
    return config.axi_bytes * config.axi_channels


def roofline_points(
    config: Config, work: Sequence[StageWork], cycles: Sequence[int]
) -> list[Point]:
    """Points of the stages; ``cycles`` of the first query's stages."""
    points = []
    for number_, (stage, count) in enumerate(zip(work, cycles, strict=True)):
        intensity = stage.macs / max(1, stage.bytes)
        points.append(
            Point(
                stage=number_,
                name=stage.name,
                rate=stage.macs / max(1, count),
                traffic=stage.bytes / max(1, count),
                intensity=intensity,
                limit=min(
                    stage.pes * stage.macs / stage.padded_macs, _bandwidth(config) * intensity
                ),
            )
        )
    return points


class _Scale:
    """A logarithmic axis with powers of two."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.first = math.floor(math.log2(low))
        self.last = math.ceil(math.log2(high))
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        share = (math.log2(value) - self.first) / (self.last - self.first)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        step = 1 + (self.last - self.first) // 8
        return [2.0**n for n in range(self.first, self.last + 1, step)]


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"1/{1 / value:.0f}"


def _draw_axes(svg: Svg, across: _Scale, up: _Scale) -> None:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for value in across.ticks():
        svg.line(across(value), _TOP, across(value), bottom, class_="grid")
        svg.text(across(value), bottom + 17, _tick(value), class_="middle")
    for value in up.ticks():
        svg.line(_LEFT, up(value), right, up(value), class_="grid")
        svg.text(_LEFT - 7, up(value) + 4, _tick(value), class_="end")
    svg.text((_LEFT + right) / 2, _HEIGHT - 10, "MACs per byte of device memory", class_="middle")
    svg.text(4, 14, "MACs per cycle")


def _draw_points(svg: Svg, points: Sequence[Point], across: _Scale, up: _Scale) -> None:
    for point in points:
        x, y = across(point.intensity), up(point.rate)
        style = f"stage{point.stage}"
        tip = (
            f"stage {point.stage} {point.name}: {point.rate:.1f} MACs/cycle of {point.limit:.1f}, "
            f"{point.traffic:.2f} bytes/cycle"
        )
        svg.line(x, up(point.limit), x, y, class_="reach")
        svg.line(x - 9, up(point.limit), x + 9, up(point.limit), class_="limit")
        svg.circle(x, y, 10, class_=f"{style} ring", tip=tip)
        svg.text(x, y + 4.5, str(point.stage), class_="on-stage bold middle")


def draw_roofline(config: Config, points: Sequence[Point]) -> Svg:
    """The roofline of the device with the stages on it."""
    width, peak = _bandwidth(config), config.pes
    ridge = peak / width
    intensities = [p.intensity for p in points]
    rates = [p.rate for p in points]
    across = _Scale(
        min([ridge, *intensities]) / 4, max([ridge, *intensities]) * 1.5, _LEFT, _WIDTH - _RIGHT
    )
    up = _Scale(min([peak / 4, *rates]) / 1.5, peak * 1.3, _HEIGHT - _BOTTOM, _TOP)
    text = "; ".join(f"stage {p.stage} {p.name} {p.rate:.1f} MACs per cycle" for p in points)
    svg = Svg(
        name="roofline",
        width=_WIDTH,
        height=_HEIGHT,
        title="Roofline of the device",
        description=f"Array peak {peak} MACs per cycle, memory {width} bytes per cycle. {text}.",
    )
    _draw_axes(svg, across, up)
    low = max(2.0**across.first, 2.0**up.first / width)
    roof = (
        f"M{number(across(low))} {number(up(low * width))}"
        f"L{number(across(ridge))} {number(up(peak))}H{_WIDTH - _RIGHT}"
    )
    svg.path(f"{roof}V{_HEIGHT - _BOTTOM}H{number(across(low))}z", class_="under-roof")
    svg.path(roof, class_="roof")
    svg.text(
        _WIDTH - _RIGHT - 4, up(peak) - 7, f"array peak: {peak} MACs/cycle", class_="end bold halo"
    )
    # Along the roof, above it: no stage can be there.
    middle = math.sqrt(low * ridge)
    x, y = across(middle), up(middle * width)
    rise, run = up(low * width) - up(peak), across(ridge) - across(low)
    svg.text(
        x, y - 9, f"memory: {width} bytes/cycle", class_="middle bold",
        transform=f"rotate({number(-math.degrees(math.atan2(rise, run)))} {number(x)} {number(y)})",
    )  # fmt: skip
    _draw_points(svg, points, across, up)
    return svg


def roofline_rows(points: Sequence[Point]) -> list[list[str]]:
    """The roofline as a table."""
    head = ["stage", "MACs/cycle", "limit", "bytes/cycle", "MACs/byte"]
    return [
        head,
        *(
            [
                f"{p.stage} {p.name}",
                f"{p.rate:.1f}",
                f"{p.limit:.1f}",
                f"{p.traffic:.2f}",
                f"{p.intensity:.1f}",
            ]
            for p in points
        ),
    ]
