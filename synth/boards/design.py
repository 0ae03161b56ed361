"""A board's whole design as files: RTLIL of device and top, pin constraints."""

from __future__ import annotations

import gc
import warnings
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import UnusedElaboratable

from hdl.board.uart import LEAST_CLOCKS
from hdl.config import Config

from ..errors import SynthesisError
from .board import Board, platform_of
from .pll import Pll, pll_for
from .top import BoardTop

__all__ = ["TOP", "BoardDesign", "board_design", "check_config"]

TOP = "top"
"""Name of the board's module."""


@dataclass(frozen=True, kw_only=True)
class BoardDesign:
    """What goes into synthesis or simulation, beside the device itself."""

    board: Board
    config: Config
    pll: Pll
    baud: int
    rtlil: str
    """Of the module ``TOP``; it has an instance of the device."""
    constraints: str
    """Pins and the clock's frequency, LPF."""

    @property
    def clock_hz(self) -> int:
        """Frequency of the system."""
        return round(self.pll.output_mhz * 1e6)


def check_config(board: Board, config: Config) -> None:
    """Refuse what no board can carry.

    Raises
    ------
    SynthesisError
        More than one AXI channel, or not 64 bits.
    """
    if config.axi_channels != 1 or config.axi_data_bits != 64:
        raise SynthesisError(
            f"{board.name} has one memory port of 64 bits; {config.name} has "
            f"{config.axi_channels} of {config.axi_data_bits}"
        )


def board_design(
    board: Board,
    config: Config,
    *,
    module: str,
    clock_mhz: float | None = None,
    baud: int | None = None,
) -> BoardDesign:
    """Make it.

    Parameters
    ----------
    board, config
        What on what.
    module
        Name of the device's module.
    clock_mhz
        Frequency of the system, not above; None: the board's own.
    baud
        Bits a second on the line; None: the board's own.

    Raises
    ------
    SynthesisError
        amaranth-boards is not installed, or the clock or rate cannot be made.
    """
    check_config(board, config)
    pll = pll_for(board.input_mhz, board.clock_mhz if clock_mhz is None else clock_mhz)
    rate = board.baud if baud is None else baud
    if rate < 1 or rate * LEAST_CLOCKS > pll.output_mhz * 1e6:
        most = int(pll.output_mhz * 1e6) // LEAST_CLOCKS
        raise SynthesisError(f"baud must be in 1..{most} at {pll.output_mhz:g} MHz, not {rate}")
    platform = platform_of(board)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        top = BoardTop(board=board, config=config, module=module, pll=pll, baud=rate)
        plan = platform.build(top, name=TOP, do_build=False)
        del top
        gc.collect()
    return BoardDesign(
        board=board,
        config=config,
        pll=pll,
        baud=rate,
        rtlil=_text(plan.files[f"{TOP}.il"]),
        constraints=_text(plan.files[f"{TOP}.lpf"]),
    )


def _text(content: Any) -> str:
    return content if isinstance(content, str) else content.decode()
