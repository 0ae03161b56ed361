"""The report of a quantisation as one HTML file: a picture of the noise, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from driver.errors import UserError
from driver.page.style import STYLE
from driver.page.svg import Svg
from driver.page.tables import table
from golden.quantise_report import TensorReport
from golden.quantise_search import Trial

__all__ = ["draw_noise", "write_quantise_page"]

_LEFT, _TOP, _PLOT, _WIDTH = 120.0, 26.0, 560.0, 760.0
_STEP = 22.0
_TICK_DB = 10


def draw_noise(rows: Sequence[TensorReport]) -> Svg:
    """Signal to noise of each tensor as bars; a mark where more than 0.1 % of the values clip."""
    finite = [row.snr for row in rows if abs(row.snr) < 1000]
    top = max([_TICK_DB * 4, *finite])
    height = _TOP + _STEP * len(rows) + 30
    svg = Svg(
        name="noise", width=_WIDTH, height=height, title="Signal to noise by tensor",
        description="A bar a tensor in order of computation; longer is better.",
    )  # fmt: skip
    bottom = _TOP + _STEP * len(rows)
    for tick in range(0, int(top) + 1, _TICK_DB):
        x = _LEFT + _PLOT * tick / top
        svg.line(x, _TOP - 4, x, bottom, class_="grid")
        svg.text(x, bottom + 18, f"{tick} dB", class_="soft middle")
    for number, row in enumerate(rows):
        y = _TOP + _STEP * number
        svg.text(_LEFT - 8, y + 13, row.name, class_="end")
        length = _PLOT * min(max(row.snr, 0.0), top) / top
        tip = f"{row.name}: {row.snr:.1f} dB, {row.clipped:.2%} clipped, method {row.method}"
        svg.rect(_LEFT, y + 3, length, _STEP - 8, fill="var(--busy)", rx=2, tip=tip)
        words = f"{row.snr:.1f}" + (f", {row.clipped:.1%} clipped" if row.clipped > 0.001 else "")
        svg.text(_LEFT + length + 6, y + 13, words, class_="soft")
    return svg


def write_quantise_page(
    path: Path, title: str, rows: Sequence[TensorReport], trials: Sequence[Trial]
) -> None:
    """Write the page whole or not at all.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    head = ["tensor", "least", "largest", "unit", "method", "clipped", "SNR [dB]"]
    cells = [
        [
            row.name, f"{row.low:.4g}", f"{row.high:.4g}", f"{row.scale:.4g}", row.method,
            f"{row.clipped:.3%}", f"{row.snr:.1f}",
        ]
        for row in rows
    ]  # fmt: skip
    tried = [["tried", "score [dB]", "kept"]]
    tried += [[t.what, f"{t.score_snr:.2f}", "yes" if t.kept else "no"] for t in trials]
    text = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style></head>\n<body><main>\n"
        f"<header><h1>{escape(title)}</h1></header>\n"
        f'<section><h2>Signal to noise</h2><div class="wide">{draw_noise(rows)}</div></section>\n'
        f"<section><h2>Tensors</h2>{table([head, *cells], 'Tensors')}</section>\n"
        f"<section><h2>What was tried</h2>{table(tried, 'What was tried')}</section>\n"
        "<footer>Written by <code>rpaccel quantize --report</code>.</footer></main></body></html>\n"
    )
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"report: cannot write {path}: {error.strerror}") from None
