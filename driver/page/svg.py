"""Inline SVG as text: elements with escaped content, a title and a description for readers."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

__all__ = ["Svg", "number"]


def number(value: float) -> str:
    """A coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _attributes(values: dict[str, float | str]) -> str:
    """``class_`` becomes ``class``, ``stroke_width`` becomes ``stroke-width``."""
    parts = []
    for name, value in values.items():
        text = value if isinstance(value, str) else number(value)
        parts.append(f" {name.rstrip('_').replace('_', '-')}={quoteattr(text)}")
    return "".join(parts)


class Svg:
    """A picture of fixed size in its own units; the page scales it.

    Parameters
    ----------
    name
        Prefix of the ids, unique on the page.
    title, description
        What a screen reader says.
    """

    def __init__(
        self, *, name: str, width: float, height: float, title: str, description: str
    ) -> None:
        self.width = width
        self.height = height
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" id={quoteattr(name)} role="img" '
            f'viewBox="0 0 {number(width)} {number(height)}" '
            f'aria-labelledby="{escape(name)}-t {escape(name)}-d">',
            f'<title id="{escape(name)}-t">{escape(title)}</title>',
            f'<desc id="{escape(name)}-d">{escape(description)}</desc>',
        ]

    def _add(self, tag: str, attributes: dict[str, float | str], content: str) -> None:
        self._parts.append(f"<{tag}{_attributes(attributes)}>{content}</{tag}>")

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        tip: str = "",
        **attributes: float | str,
    ) -> None:
        """A rectangle; ``tip`` shows when the pointer rests on it."""
        place: dict[str, float | str] = {"x": x, "y": y, "width": width, "height": height}
        self._add("rect", place | attributes, f"<title>{escape(tip)}</title>" if tip else "")

    def line(self, x1: float, y1: float, x2: float, y2: float, **attributes: float | str) -> None:
        place: dict[str, float | str] = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
        self._add("line", place | attributes, "")

    def circle(
        self, x: float, y: float, radius: float, *, tip: str = "", **attributes: float | str
    ) -> None:
        place: dict[str, float | str] = {"cx": x, "cy": y, "r": radius}
        self._add("circle", place | attributes, f"<title>{escape(tip)}</title>" if tip else "")

    def path(self, data: str, **attributes: float | str) -> None:
        place: dict[str, float | str] = {"d": data}
        self._add("path", place | attributes, "")

    def text(self, x: float, y: float, content: str, **attributes: float | str) -> None:
        place: dict[str, float | str] = {"x": x, "y": y}
        self._add("text", place | attributes, escape(content))

    def __str__(self) -> str:
        return "\n".join([*self._parts, "</svg>"])
