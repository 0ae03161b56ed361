"""Boards that ``rpaccel synth --board`` knows."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from hdl.board.sdram import SdramChip

from ..errors import SynthesisError

__all__ = ["BOARDS", "Board", "board", "platform_of"]


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board; pins are amaranth-boards'."""

    name: str
    module: str
    """Of amaranth-boards."""
    platform: str
    """Class there."""
    device: str
    """See ``synth.devices``."""
    package: str
    """As nextpnr calls it."""
    input_mhz: float
    clock_mhz: float
    """Of the system, unless another is asked for: below what its timing report passes."""
    baud: int
    """Bits a second on the serial line: what the board's USB bridge can do at most."""
    chip: SdramChip | None = None
    """Device memory; None: block RAM."""
    log2_bytes: int = 16
    """Size of device memory in block RAM."""
    clock_phase: int = 90
    """Degrees by which the SDRAM's clock follows the system's."""


_TABLE = (
    Board(
        name="ulx3s-85f", module="ulx3s", platform="ULX3S_85F_Platform", device="lfe5u-85f",
        package="CABGA381", input_mhz=25.0, clock_mhz=50.0, baud=3_000_000, chip=SdramChip(),
    ),
    Board(
        name="ecpix5-85", module="ecpix5", platform="ECPIX585Platform", device="lfe5um5g-85f",
        package="CABGA554", input_mhz=100.0, clock_mhz=50.0, baud=3_000_000, log2_bytes=15,
    ),
    Board(
        name="versa-ecp5-5g", module="versa_ecp5_5g", platform="VersaECP55GPlatform",
        device="lfe5um5g-45f", package="CABGA381", input_mhz=100.0, clock_mhz=60.0,
        baud=3_000_000, log2_bytes=15,
    ),
)  # fmt: skip

BOARDS: dict[str, Board] = {entry.name: entry for entry in _TABLE}


def board(name: str) -> Board:
    """Look up a board; upper and lower case are the same.

    Raises
    ------
    SynthesisError
        Unknown; the message lists the known ones.
    """
    try:
        return BOARDS[name.lower()]
    except KeyError:
        raise SynthesisError(f"unknown board {name!r}; known boards: {', '.join(BOARDS)}") from None


def platform_of(entry: Board) -> Any:
    """The board's platform of amaranth-boards.

    Raises
    ------
    SynthesisError
        It is not installed.
    """
    try:
        module = importlib.import_module(f"amaranth_boards.{entry.module}")
    except ModuleNotFoundError:
        raise SynthesisError(
            "amaranth-boards is not installed: run `./rp synth`, or install the extra 'synth' "
            "(pip install 'rpaccel[synth]')"
        ) from None
    return getattr(module, entry.platform)()
