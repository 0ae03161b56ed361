"""RecPipe's figure 11: area of the baseline and of the whole device, as Yosys's cells.

Both are mapped to plain gates (``synth.gates``): cells, flip-flops and transistors of the logic,
bits of the memories. The published figure is mm2 of a fab's library; what can be compared is what
each part adds, as a share of the baseline.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from typing import Any

from hdl.config import Config
from hdl.emit import TOP
from sim.build import cache_folder
from synth.errors import SynthesisError
from synth.gates import Gates, by_group, count_gates
from synth.units import DEVICE_UNIT, unit

from ..device import generator_key
from ..errors import UserError
from . import papers_published as published
from .papers_serving import devices
from .table import table_text

__all__ = ["figure_11", "gates_by_unit"]

Progress = Callable[[str], None]

ARRAY = "array, cuts"
OUTPUTS = "accumulators, requantisers"
ACTIVATIONS = "activation banks"
WEIGHTS = "weight banks"
FILTER = "filter"
ROWS = "embedding rows"
CACHES = "gather, cache tags, bag sums"
INTERACTION = "engines: interaction, sequencing"
DHE = "DHE front ends"
STREAM = "weight streaming"
PORTS = "memory ports"
CONTROL = "queries, control, registers"
UNITS = {
    "grid": ARRAY,
    "strip": OUTPUTS,
    r"activation_bank(_\w+)?": ACTIVATIONS,
    "weight_bank": WEIGHTS,
    r"queries\.funnel": FILTER,
    r"gather_lane\.reader": ROWS,
    "embedding": CACHES,
    r"engine_\d+": INTERACTION,
    "dhe_front": DHE,
    "weight_streamer": STREAM,
    "read_crossbar|write_master|record_loader": PORTS,
    f"{TOP}|core|queries|front_end|registers": CONTROL,
}
"""Modules to units of the table; what is in a module without an entry counts to it."""
_OWN = ("queries.funnel", "gather_lane.reader")
PUBLISHED_UNITS = {
    "array, crossbars, accumulators": (ARRAY, OUTPUTS),
    "filter": (FILTER,),
    "activation banks": (ACTIVATIONS,),
    "weight banks": (WEIGHTS,),
    "embedding rows": (ROWS,),
}
"""What the published figure is made of, and which of our units that is."""


def _rtlil(config: Config, progress: Progress) -> str:
    """The device's description; kept on disk, because a large one takes half a minute."""
    path = cache_folder() / "gates" / f"{config.name}-{generator_key(config)}.il"
    if not path.exists():
        progress(f"elaborating {config.name} (kept for the next time)")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(unit(DEVICE_UNIT).rtlil(config))
        part.replace(path)
    return path.read_text()


def gates_by_unit(config: Config, *, workers: int, progress: Progress) -> dict[str, Gates]:
    """Cells and memories of a device by the units of ``UNITS``.

    Raises
    ------
    UserError
        Yosys is missing or failed; what is mapped already is kept.
    """
    try:
        text = _rtlil(config, progress)
        progress(f"gates of {config.name} (Yosys; each module once, kept for the next time)")
        modules = count_gates(
            text, cache_folder() / "gates", own=_OWN, workers=workers, progress=progress
        )
        return by_group(modules, TOP, UNITS)
    except SynthesisError as error:
        raise UserError(str(error)) from error


def _total(gates: Mapping[str, Gates], units: tuple[str, ...] | None = None) -> Gates:
    total = Gates()
    for name in gates if units is None else units:
        total.add(gates.get(name, Gates()))
    return total


def _times(base: float, device: float) -> str | None:
    return f"{device / base:.2f}" if base else None


def _row(name: str, base: Gates, device: Gates) -> dict[str, Any]:
    row: dict[str, Any] = {"unit": name}
    for key, gates in (("baseline", base), ("device", device)):
        row[f"{key}_cells"] = gates.total_cells
        row[f"{key}_flip_flops"] = gates.flip_flops
        row[f"{key}_transistors"] = f"{gates.transistors / 1e6:.2f}"
        row[f"{key}_memory"] = f"{gates.memory_bits / 8e6:.3f}"
    row["cells_times"] = _times(base.total_cells, device.total_cells)
    row["transistors_times"] = _times(base.transistors, device.transistors)
    row["memory_times"] = _times(base.memory_bits, device.memory_bits)
    return row


def _all_transistors(gates: Gates) -> int:
    return gates.transistors + gates.memory_transistors


def _shares(base: Mapping[str, Gates], device: Mapping[str, Gates]) -> list[dict[str, Any]]:
    """What each published part adds, as a share of the baseline made of the same parts."""
    parts = [(name, units, *published.AREA_MM2[name]) for name, units in PUBLISHED_UNITS.items()]
    every = tuple(unit for _, units, _, _ in parts for unit in units)
    parts.append(
        ("all of these", every, sum(p[2] for p in parts), sum(p[3] for p in parts))
    )  # fmt: skip
    whole, whole_mm2 = _all_transistors(_total(base, every)), parts[-1][2]
    rows = []
    for name, units, base_mm2, device_mm2 in parts:
        before, after = _total(base, units), _total(device, units)
        rows.append(
            {
                "part": name,
                "share": 100 * _all_transistors(before) / whole,
                "logic_added": 100 * (after.transistors - before.transistors) / whole,
                "added": 100 * (_all_transistors(after) - _all_transistors(before)) / whole,
                "published_share": 100 * base_mm2 / whole_mm2,
                "published_added": 100 * (device_mm2 - base_mm2) / whole_mm2,
            }
        )
    return rows


def figure_11(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Gates of the baseline and of the whole device, by unit, beside the published shares.

    Raises
    ------
    UserError
        Yosys is missing or failed.
    """
    whole, base = devices(args)
    workers = args.workers or os.cpu_count() or 1
    first, second = (
        gates_by_unit(config, workers=workers, progress=progress) for config in (base, whole)
    )
    names = [name for name in dict.fromkeys(UNITS.values()) if name in first or name in second]
    rows = [_row(name, first.get(name, Gates()), second.get(name, Gates())) for name in names]
    rows.append(_row("whole device", _total(first), _total(second)))
    without = tuple(name for name in names if name != DHE)
    rows.append(_row("without DHE", _total(first, without), _total(second, without)))
    columns = {
        "unit": "unit",
        "baseline_cells": f"cells, {base.name}", "device_cells": whole.name, "cells_times": "times",
        "baseline_flip_flops": "flip-flops", "device_flip_flops": whole.name,
        "baseline_transistors": "transistors [M]", "device_transistors": whole.name,
        "transistors_times": "times",
        "baseline_memory": "memory [MB]", "device_memory": whole.name, "memory_times": "times",
    }  # fmt: skip
    shares = _shares(first, second)
    share_columns = {
        "part": "part", "share": f"of {base.name} [%]", "logic_added": "added in logic [%]",
        "added": "added in all [%]", "published_share": "published: of the baseline [%]",
        "published_added": "added [%]",
    }  # fmt: skip
    text = [
        table_text(columns, rows),
        "",
        "The published figure's parts, in transistors: logic, and memory bits with 6 transistors "
        "for one port and 2 for each further one (no decoders, no amplifiers):",
        table_text(share_columns, shares),
        *_words(rows[-2], shares[-1]),
    ]
    return {"rows": rows, "shares": shares, "text": "\n".join(text)}


def _words(device: Mapping[str, Any], parts: Mapping[str, Any]) -> list[str]:
    word = "Confirmed" if parts["added"] <= parts["published_added"] else "Not confirmed"
    return [
        f"{word}: {parts['published_added']:.1f} % more area. In the same parts this device has "
        f"{parts['added']:.1f} % more; the whole device, with all that the published figure leaves "
        f"out, has {device['transistors_times']} times the baseline's transistors of logic and "
        f"{device['memory_times']} times its memory.",
        "Power is not reproduced.",
    ]
