"""Average memory access time against the static cache's split, as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from ..cache_split import SplitPoint
from .svg import Svg, number

__all__ = ["draw_split"]

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 22, 30, 56


def draw_split(points: Sequence[SplitPoint], names: Sequence[str]) -> Svg:
    """Access cycles over the sets of the first stage, one step a split."""
    most = max(point.access_cycles for point in points) * 1.1
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    step = (right - _LEFT) / max(1, len(points) - 1)

    def place(index: int) -> tuple[float, float]:
        up = points[index].access_cycles / most
        return _LEFT + index * step, bottom - up * (bottom - _TOP)

    best = min(points, key=lambda point: point.access_cycles)
    svg = Svg(
        name="split",
        width=_WIDTH,
        height=_HEIGHT,
        title="Average memory access time by split of the static cache",
        description=f"Best: {'+'.join(map(str, best.sets))} sets a lane, "
        f"{best.access_cycles:.1f} cycles a lookup.",
    )
    for share in range(5):
        value = most * share / 4
        y = bottom - share / 4 * (bottom - _TOP)
        svg.line(_LEFT, y, right, y, class_="grid")
        svg.text(_LEFT - 7, y + 4, f"{value:.0f}", class_="end")
    corners = [place(index) for index in range(len(points))]
    svg.path("M" + "L".join(f"{number(x)} {number(y)}" for x, y in corners), class_="roof")
    for point, (x, y) in zip(points, corners, strict=True):
        rates = ", ".join(
            f"{name} {100 * rate:.1f} %" for name, rate in zip(names, point.hit_rates, strict=True)
        )
        sets = "+".join(map(str, point.sets))
        tip = f"{sets} sets: {point.access_cycles:.2f} cycles; hits {rates}"
        svg.circle(x, y, 8 if point.chosen else 5, class_=f"stage{int(point.chosen)}", tip=tip)
        svg.text(x, bottom + 17, str(point.sets[0]), class_="middle")
    svg.text((_LEFT + right) / 2, _HEIGHT - 12, f"sets a lane of {names[0]}", class_="middle")
    svg.text(4, 14, "cycles a lookup")
    return svg
