"""The page: sections, style and script in one HTML file, written whole or not at all."""

from __future__ import annotations

from html import escape
from pathlib import Path

from ..errors import UserError
from .facts import PageFacts
from .sections import (
    conditions_section,
    embedding_section,
    floor_plan_section,
    head_section,
    roofline_section,
    split_section,
    stages_section,
    tiles_section,
    timeline_section,
    top_section,
)
from .style import SCRIPT, STYLE

__all__ = ["page_text", "write_page"]


def page_text(facts: PageFacts) -> str:
    """The page as text."""
    title = f"{facts.result['pipeline']} on {facts.result['preset']}"
    body = [
        head_section(facts),
        tiles_section(facts),
        timeline_section(facts),
        f'<div class="pair">{floor_plan_section(facts)}{roofline_section(facts)}</div>',
        stages_section(facts),
        f"{embedding_section(facts)}",
        split_section(facts),
        f'<div class="pair">{top_section(facts)}{conditions_section(facts)}</div>',
        "<footer>Written by <code>rpaccel run --report</code>.</footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + f'\n</main><div id="readout" aria-hidden="true"></div><script>{SCRIPT}</script>'
        "</body></html>\n"
    )


def write_page(path: Path, facts: PageFacts) -> None:
    """Write the page through a second name, so that a reader never finds half a file.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(page_text(facts), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"report: cannot write {path}: {error.strerror}") from None
