"""Tables of the page: cells in, HTML out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["as_details", "table", "words_table"]


def table(rows: Sequence[Sequence[str]], caption: str) -> str:
    """Numbers under a head; the first column names the row."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in rows[0])
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows[1:]
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def words_table(rows: Sequence[tuple[str, str]]) -> str:
    """Pairs of a name and a text."""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>'
        for name, text in rows
    )
    return f'<table class="words"><tbody>{body}</tbody></table>'


def as_details(summary: str, content: str) -> str:
    """Folded away until asked for."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"
