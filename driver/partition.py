"""Partitions: which engines the grid is cut into and which stages each serves."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hdl.config import Config

from .errors import UserError

__all__ = ["Engine", "Partition", "legal_partitions", "parse_partition"]

REFERENCE_EDGE = 32
"""Engines of the partition that a run takes when none is named: layers of the reference models have
64 channels and fewer as often as not, which waste the tiles of larger engines."""

_ITEM = re.compile(r"^(\d+)x(\d+)(?::(\d+))?(?:@(\d+))?$")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One engine of a partition."""

    unit: int
    """Anchor sub-array, row-major."""
    row: int
    column: int
    level: int
    """log2 of the sub-arrays along an edge."""
    stages: frozenset[int] | None
    """Stages it serves; None: any."""

    def serves(self, stage: int) -> bool:
        return self.stages is None or stage in self.stages


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A legal cut of the grid.

    ``levels[u]`` is the level of the engine that covers sub-array u; sub-arrays that no engine
    was asked for are single engines without a stage.
    """

    text: str
    levels: tuple[int, ...]
    engines: tuple[Engine, ...]

    def stage_mask(self, unit: int, stages: int) -> int:
        """Bits of the stages that the engine anchored at ``unit`` serves, 0 for none."""
        for engine in self.engines:
            if engine.unit == unit:
                return sum(1 << s for s in range(stages) if engine.serves(s))
        return 0

    @property
    def is_static(self) -> bool:
        """Every engine is kept for one stage, and there are several."""
        kept = {engine.stages for engine in self.engines}
        return len(kept) > 1 and all(mine is not None and len(mine) == 1 for mine in kept)

    def serving(self, stages: Sequence[frozenset[int] | None]) -> Partition:
        """The same cut, the engines serving these stages, in the order of ``engines``."""
        engines = [
            replace(engine, stages=mine) for engine, mine in zip(self.engines, stages, strict=True)
        ]
        return replace(self, engines=tuple(engines))


def _edges(config: Config) -> list[int]:
    if not config.features.fission:
        return [config.edge]
    return [config.sub_array << level for level in range(config.levels)]


def _z_order(index: int, bits: int) -> tuple[int, int]:
    """Row and column of place ``index`` in Z-order."""
    row = column = 0
    for b in range(bits):
        column |= (index >> (2 * b) & 1) << b
        row |= (index >> (2 * b + 1) & 1) << b
    return row, column


def _within(config: Config, wanted: list[tuple[int, frozenset[int] | None]]) -> str:
    """As many of the engines asked for as fit, at least one of each stage first, largest first."""
    if not config.features.fission:
        return f"{config.edge}x{config.edge}:1"
    first: list[tuple[int, frozenset[int] | None]] = []
    for engine in wanted:
        if engine[1] not in [stages for _, stages in first]:
            first.append(engine)
    rest = list((Counter(wanted) - Counter(first)).elements())
    left = config.sub_arrays
    kept: Counter[tuple[int, str]] = Counter()
    for group in (first, rest):
        for level, stages in sorted(group, key=lambda engine: -engine[0]):
            tag = "" if stages is None else f"@{min(stages)}"
            # One that is too large for its stage becomes the largest that is left.
            while (
                level and group is first and 4**level > left - (len(first) - sum(kept.values()) - 1)
            ):
                level -= 1
            if 4**level <= left:
                left -= 4**level
                kept[level, tag] += 1
    return ",".join(
        f"{config.sub_array << level}x{config.sub_array << level}:{count}{tag}"
        for (level, tag), count in kept.items()
    )


def parse_partition(config: Config, text: str | None, *, stages: int) -> Partition:
    """Read a partition such as ``"64x64:2@1,32x32:8@0"``.

    Parameters
    ----------
    config
        Device.
    text
        ``ROWSxCOLS[:COUNT][@STAGE]`` items in PEs, or ``fused`` (one engine, the whole grid, any
        stage), ``split`` (all single sub-arrays, any stage), or None: the whole grid as engines of
        at most ``REFERENCE_EDGE`` PEs an edge, any stage.
    stages
        Number of stages of the pipeline; each must have an engine.

    Raises
    ------
    UserError
        Not square, not a legal edge, too many PEs, a stage without an engine.
    """
    edges = _edges(config)
    if text is None:
        edge = max((e for e in edges if e <= REFERENCE_EDGE), default=edges[0])
        text = f"{edge}x{edge}:{(config.edge // edge) ** 2}"
    elif text == "fused":
        text = f"{config.edge}x{config.edge}:1"
    elif text == "split":
        text = f"{config.sub_array}x{config.sub_array}:{config.sub_arrays}"
    legal = ", ".join(f"{e}x{e}" for e in edges)
    wanted: list[tuple[int, frozenset[int] | None]] = []
    for part in text.split(","):
        match = _ITEM.match(part.strip())
        if match is None:
            raise UserError(f"partition item {part!r} is not ROWSxCOLS[:COUNT][@STAGE]")
        rows, columns = int(match[1]), int(match[2])
        count = int(match[3] or 1)
        if rows != columns or rows not in edges:
            near = min(edges, key=lambda e: abs(e - max(rows, columns)))
            raise UserError(
                f"partition engine {rows}x{columns} is not one of {legal}; "
                f"the nearest legal choice is {near}x{near}"
            )
        if count < 1:
            raise UserError(f"partition item {part!r}: count must be at least 1")
        stage = None
        if match[4] is not None:
            number = int(match[4])
            if number >= stages:
                raise UserError(f"partition item {part!r}: stage must be below {stages}")
            stage = frozenset({number})
        level = (rows // config.sub_array).bit_length() - 1
        wanted += [(level, stage)] * count
    area = sum(4**level for level, _ in wanted)
    if area > config.sub_arrays:
        raise UserError(
            f"partition {text!r} needs {area * config.sub_array**2} PEs, "
            f"the device has {config.pes}; the nearest legal choice is {_within(config, wanted)}"
        )
    bits = config.grid.bit_length() - 1
    levels = [0] * config.sub_arrays
    engines = []
    place = 0
    for level, stage in sorted(wanted, key=lambda w: -w[0]):
        row, column = _z_order(place, bits)
        place += 4**level
        for r in range(row, row + (1 << level)):
            for c in range(column, column + (1 << level)):
                levels[r * config.grid + c] = level
        engines.append(
            Engine(
                unit=row * config.grid + column, row=row, column=column, level=level, stages=stage
            )
        )
    for number in range(stages):
        if not any(e.serves(number) for e in engines):
            served = {min(stage) for _, stage in wanted if stage is not None}
            # Each stage that has none gets one as large as fits.
            wanted += [
                (config.levels - 1, frozenset({n})) for n in range(stages) if n not in served
            ]
            raise UserError(
                f"partition {text!r}: stage {number} has no engine; the nearest legal choice is "
                f"{_within(config, wanted)}"
            )
    return Partition(text=text, levels=tuple(levels), engines=tuple(engines))


Square = tuple[int, int, int]
"""Row, column and level of an engine."""


def _quad_trees(row: int, column: int, level: int, smallest: int) -> list[list[Square]]:
    """All cuts of one square into quarters, quarters of quarters and so on."""
    cuts = [[(row, column, level)]]
    if level > smallest:
        half = 1 << (level - 1)
        quarters = [
            _quad_trees(row + r, column + c, level - 1, smallest)
            for r in (0, half)
            for c in (0, half)
        ]
        cuts += [sum(parts, []) for parts in itertools.product(*quarters)]
    return cuts


def _mirrored(squares: Iterable[Square], size: int) -> tuple[Square, ...]:
    """The least of the eight pictures of a cut under turns and reflections of the grid."""
    pictures = []
    for turn, down, right in itertools.product((False, True), repeat=3):
        picture = []
        for row, column, level in squares:
            edge = 1 << level
            r = size - edge - row if down else row
            c = size - edge - column if right else column
            picture.append((c, r, level) if turn else (r, c, level))
        pictures.append(tuple(sorted(picture)))
    return min(pictures)


def legal_partitions(config: Config, *, up_to_symmetry: bool = False) -> list[Partition]:
    """Every legal cut of a device's grid, from one engine to single sub-arrays, any stage.

    The number of cuts grows as c(2 B) = 1 + c(B)**4: 2 for a grid of 2, 17 for 4, 83522 for 8.

    Parameters
    ----------
    config
        Device.
    up_to_symmetry
        Only one of all cuts that turns and reflections of the grid make of each other.
    """
    top = config.levels - 1
    smallest = 0 if config.features.fission else top
    seen = set()
    partitions = []
    for squares in _quad_trees(0, 0, top, smallest):
        if up_to_symmetry:
            picture = _mirrored(squares, config.grid)
            if picture in seen:
                continue
            seen.add(picture)
        partitions.append(_partition(config, squares))
    return partitions


def _partition(config: Config, squares: Iterable[Square]) -> Partition:
    """A partition of engines at given places, largest first."""
    levels = [0] * config.sub_arrays
    engines = []
    for row, column, level in sorted(squares, key=lambda s: (-s[2], s[0], s[1])):
        for r, c in itertools.product(range(1 << level), repeat=2):
            levels[(row + r) * config.grid + column + c] = level
        unit = row * config.grid + column
        engines.append(Engine(unit=unit, row=row, column=column, level=level, stages=None))
    counts = Counter(config.sub_array << engine.level for engine in engines)
    text = ",".join(f"{edge}x{edge}:{count}" for edge, count in counts.items())
    return Partition(text=text, levels=tuple(levels), engines=tuple(engines))
