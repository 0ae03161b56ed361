"""`rpaccel bench papers`: the papers' comparisons, each beside the published value and the bound.

Every accelerator has the same MACs, SRAM, DRAM and clock; the baseline is the same generator with
features off. Cycles come from the timing model, all of them on all cores before the comparisons
are made, and are kept on disk; CPU figures are measured on this machine and kept, latencies under
load are simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ..errors import UserError
from ..schedule.timed import time_all
from .papers_area import figure_11
from .papers_cases import paper_cases
from .papers_mprec import figure_mprec
from .papers_platforms import figure_7, figure_14
from .papers_serving import figure_5, figure_12, figure_12_partitions, figure_13
from .papers_work import figure_1c, figure_3, figure_10a, figure_10b, figure_10c

__all__ = ["FIGURES", "bench_papers"]

Figure = Callable[[argparse.Namespace, Callable[[str], None]], dict[str, Any]]
FIGURES: dict[str, tuple[str, Figure]] = {
    "1c": ("RecPipe Fig. 1c: work saved by two stages", figure_1c),
    "3": ("RecPipe Fig. 3: quality by items and funnel", figure_3),
    "5": ("RecPipe Fig. 5: what each part brings", figure_5),
    "7": ("RecPipe Fig. 7, 8: CPU and GPU mappings", figure_7),
    "10a": ("RecPipe Fig. 10a: utilisation by engine size", figure_10a),
    "10b": ("RecPipe Fig. 10b: filter", figure_10b),
    "10c": ("RecPipe Fig. 10c: split of the static cache", figure_10c),
    "11": ("RecPipe Fig. 11: area, as gates", figure_11),
    "12": ("RecPipe Fig. 12: latency against load", figure_12),
    "12-partitions": ("RecPipe Fig. 12, lower half: cuts", figure_12_partitions),
    "13": ("RecPipe Fig. 13: larger models", figure_13),
    "14": ("RecPipe Fig. 14: data sets and loads", figure_14),
    "mp-rec": ("MP-Rec: representations, platforms, multi-path", figure_mprec),
}


def bench_papers(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """The comparisons asked for; one that cannot be made says why, the others go on.

    Raises
    ------
    UserError
        Unknown comparison, a preset without a baseline.
    """
    chosen = args.only or list(FIGURES)
    for name in chosen:
        if name not in FIGURES:
            raise UserError(f"unknown comparison {name!r}; known: {', '.join(FIGURES)}")
    time_all(paper_cases(chosen, args), workers=args.workers, progress=progress)
    figures: dict[str, Any] = {}
    text = []
    for name in chosen:
        title, figure = FIGURES[name]
        progress(title)
        try:
            figures[name] = figure(args, progress)
        except UserError as error:
            if len(chosen) == 1:
                raise
            figures[name] = {"rows": [], "error": str(error), "text": f"not made: {error}"}
        text += [title, figures[name].pop("text"), ""]
    return {
        "bench": "papers",
        "preset": args.preset,
        "items": args.items or 4096,
        "figures": figures,
        "text": "\n".join(text).rstrip(),
    }
