"""Serial ports of the board back end; ``sim:BOARD`` is a board that is simulated at its pins."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from driver.errors import UserError
from driver.options import RunOptions

if TYPE_CHECKING:
    from hdl.config import Config
    from sim.board_bench import BoardBench
    from sim.build import Build
    from sim.line import LineSettings
    from synth.boards.design import BoardDesign

__all__ = [
    "SIMULATED_TIMEOUT",
    "build_around",
    "build_simulated",
    "is_simulated",
    "opened_port",
    "simulated_design",
]

_PREFIX = "sim:"
_MODULE = "rpaccel"
"""Of the device."""
SIMULATED_TIMEOUT = 60.0
"""Seconds: a simulated board is a hundred times slower than one, and its machine may be busy."""
_CLOCKS_A_BIT = 4
"""The simulated line is as fast as the receiver allows: its bytes are most of the time."""


def is_simulated(port: str | None) -> bool:
    """Whether the port is a simulated board."""
    return port is not None and port.startswith(_PREFIX)


@contextmanager
def opened_port(
    options: RunOptions, progress: Callable[[str], None], line: LineSettings | None = None
) -> Iterator[RunOptions]:
    """Options with a port that can be opened; a simulated board runs until the end.

    Raises
    ------
    UserError
        Unknown board, amaranth-boards missing, or the preset does not go on it.
    """
    if options.backend != "board" or not is_simulated(options.port):
        yield options
        return
    from sim.board_process import simulated_board

    assert options.port is not None
    build = build_simulated(options.port.removeprefix(_PREFIX), options.preset, progress)
    with simulated_board(build, line) as name:
        yield replace(options, port=name)


def build_simulated(board_name: str, preset_name: str, progress: Callable[[str], None]) -> Build:
    """Compile a board's whole top for simulation, or find it compiled.

    Raises
    ------
    UserError
        As ``opened_port``.
    """
    from driver.device import generator_key
    from hdl.config import preset
    from hdl.emit import verilog_text
    from hdl.top import Accelerator
    from sim.build import cache_folder

    config = preset(preset_name)
    design = simulated_design(board_name, config)
    path = cache_folder() / "verilog" / f"board-{config.name}-{generator_key(config)}.v"
    if not path.exists():
        progress(f"generating Verilog of {config.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(verilog_text(config, Accelerator(config=config), top=_MODULE))
        part.replace(path)
    progress(f"compiling {board_name} with {config.name} (kept for the next run)")
    return build_around(design, path.read_text())


def simulated_design(board_name: str, config: Config) -> BoardDesign:
    """The board's top with the fastest line that its receiver allows.

    Raises
    ------
    UserError
        As ``opened_port``.
    """
    from synth.boards.board import board
    from synth.boards.design import board_design
    from synth.errors import SynthesisError

    try:
        entry = board(board_name)
        baud = int(entry.clock_mhz * 1e6) // _CLOCKS_A_BIT
        return board_design(entry, config, module=_MODULE, baud=baud)
    except SynthesisError as error:
        raise UserError(str(error)) from None


def build_around(design: BoardDesign, device: str) -> Build:
    """Compile a board's top with the Verilog of its device, the module ``rpaccel``."""
    from hdl.emit import to_verilog
    from sim.board_bench import build_board_bench

    files = {"rpaccel.v": device, "top.v": to_verilog(design.rtlil)}
    return build_board_bench(_bench_of(design), files)


def _bench_of(design: BoardDesign) -> BoardBench:
    """Pins by the names that amaranth-boards gives them."""
    from sim.board_bench import BoardBench
    from synth.boards.design import TOP

    body = re.search(rf"^module \\{TOP}$(.*?)^end$", design.rtlil, re.MULTILINE | re.DOTALL)
    assert body is not None
    ports = re.findall(r"^  wire .*(?:input|output|inout) \d+ +\\(\S+)$", body[1], re.MULTILINE)
    clocks = [name for name in ports if name.startswith("clk")]
    resets = [name for name in ports if name.startswith("rst")]
    return BoardBench(
        top=TOP,
        clock=clocks[0],
        clock_n=clocks[1] if len(clocks) > 1 else None,
        clock_mhz=design.board.input_mhz,
        baud=design.baud,
        reset=resets[0] if resets else None,
        sdram=design.board.chip is not None,
    )
