"""What a device is made of: flip-flops, multipliers and memories, counted without any synthesis.

The device is elaborated as for generation and its description is counted, equal modules once and
then times their instances. So the figures follow every change of the hardware; what synthesis
still removes (bits that never change or that nobody reads) is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from .config import Config
from .emit import TOP, rtlil_text
from .top import Accelerator

__all__ = ["Census", "Memory", "Multiplier", "count_device", "count_rtlil"]

_MODULE = re.compile(r"^module \\(\S+)$(.*?)^end$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"^  cell (\S+) \S+$(.*?)^  end$", re.MULTILINE | re.DOTALL)
_PARAMETER = re.compile(r"^    parameter \\(\S+) (.+)$", re.MULTILINE)
_MEMORY = re.compile(r"^  memory (?:width (\d+) )?(?:size (\d+) )?(\S+)$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Multiplier:
    """Operand widths, the wider one first."""

    wide: int
    narrow: int


@dataclass(frozen=True, order=True)
class Memory:
    """Words of ``width`` bits, ``depth`` of them."""

    width: int
    depth: int
    reads: int
    """Read ports."""
    clocked: bool
    """Reads are registered: it fits a block RAM."""

    @property
    def bits(self) -> int:
        return self.width * self.depth


@dataclass
class Census:
    """Counts of a module with all below it."""

    flip_flops: int = 0
    multipliers: dict[Multiplier, int] = field(default_factory=dict)
    memories: dict[Memory, int] = field(default_factory=dict)
    instances: dict[str, int] = field(default_factory=dict)
    """Modules directly below."""

    def add(self, other: Census, times: int = 1) -> None:
        """Add ``times`` another module's counts; instances stay."""
        self.flip_flops += times * other.flip_flops
        for kind, count in other.multipliers.items():
            self.multipliers[kind] = self.multipliers.get(kind, 0) + times * count
        for memory, count in other.memories.items():
            self.memories[memory] = self.memories.get(memory, 0) + times * count

    @property
    def memory_bits(self) -> int:
        """Bits of all memories."""
        return sum(memory.bits * count for memory, count in self.memories.items())


def _parameters(body: str) -> dict[str, str]:
    return dict(_PARAMETER.findall(body))


def _number(text: str) -> int:
    """An RTLIL constant: decimal, or width'bits."""
    return int(text.split("'")[1], 2) if "'" in text else int(text)


def _module(body: str) -> Census:
    """One module on its own."""
    census = Census()
    reads: dict[str, list[bool]] = {}
    for kind, cell in _CELL.findall(body):
        parameters = _parameters(cell)
        if kind in ("$dff", "$adff"):
            census.flip_flops += _number(parameters["WIDTH"])
        elif kind == "$mul":
            widths = (_number(parameters["A_WIDTH"]), _number(parameters["B_WIDTH"]))
            multiplier = Multiplier(max(widths), min(widths))
            census.multipliers[multiplier] = census.multipliers.get(multiplier, 0) + 1
        elif kind == "$memrd_v2":
            name = parameters["MEMID"].strip('"').replace("\\\\", "\\")
            reads.setdefault(name, []).append(bool(_number(parameters["CLK_ENABLE"])))
        elif kind.startswith("\\"):
            census.instances[kind[1:]] = census.instances.get(kind[1:], 0) + 1
    for width, depth, name in _MEMORY.findall(body):
        ports = reads.get(name, [])
        memory = Memory(int(width or 1), int(depth or 1), len(ports), bool(ports) and all(ports))
        census.memories[memory] = census.memories.get(memory, 0) + 1
    return census


def _order(modules: dict[str, Census], top: str) -> Iterator[str]:
    """Modules below ``top``, children before their parents."""
    done: set[str] = set()

    def visit(name: str) -> Iterator[str]:
        if name in done or name not in modules:
            return
        done.add(name)
        for child in modules[name].instances:
            yield from visit(child)
        yield name

    yield from visit(top)


def count_rtlil(text: str, top: str) -> dict[str, Census]:
    """Counts of every module of an RTLIL text, each with all that is below it.

    Parameters
    ----------
    text
        RTLIL as Amaranth writes it.
    top
        Module to start from.

    Raises
    ------
    ValueError
        There is no such module.
    """
    modules = {name: _module(body) for name, body in _MODULE.findall(text)}
    if top not in modules:
        raise ValueError(f"no module {top!r}")
    whole: dict[str, Census] = {}
    for name in _order(modules, top):
        census = Census(instances=modules[name].instances)
        census.add(modules[name])
        for child, count in modules[name].instances.items():
            if child in whole:
                census.add(whole[child], count)
        whole[name] = census
    return whole


def _instances(modules: dict[str, Census], top: str) -> dict[str, int]:
    """How often every module occurs below ``top``."""
    counts: dict[str, int] = {top: 1}
    for name in reversed(list(_order(modules, top))):
        for child, count in modules[name].instances.items():
            counts[child] = counts.get(child, 0) + counts.get(name, 0) * count
    return counts


def count_device(config: Config, parts: list[str]) -> dict[str, Census]:
    """Elaborate and count a device.

    Parameters
    ----------
    config
        The device.
    parts
        Module names; ``engine`` also stands for ``engine_0``, ``engine_1`` and so on.

    Returns
    -------
    dict
        ``device``: all of it. Each part that occurs: all its instances together, their number as
        ``instances[part]``.
    """
    modules = count_rtlil(rtlil_text(config, Accelerator(config=config)), TOP)
    numbers = _instances(modules, TOP)
    counts = {"device": modules[TOP]}
    for part in parts:
        kind = re.compile(rf"{part}(_\d+)?$")
        total = Census(instances={part: 0})
        for name, number in numbers.items():
            if kind.match(name) and name in modules:
                total.add(modules[name], number)
                total.instances[part] += number
        if total.instances[part]:
            counts[part] = total
    return counts
