# amaranth: UnusedElaboratable=no
"""Interaction unit against NumPy: both modes, all engine sizes, lanes, stalls, late rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hdl.config import Config, preset
from hdl.program import InteractionMode
from tests.hdl.engine.interaction_bench import Bench, Case

DOT, CAT = InteractionMode.DOT, InteractionMode.CAT
WIDE = replace(preset("medium"), interaction_outputs=128, dot_multipliers=2048)
"""A wide unit on a small grid, with 8 banks."""
CUT = replace(preset("paper"), interaction_outputs=128)
"""One on a device whose other engines have narrow ones."""


@pytest.mark.parametrize("mode", [DOT, CAT])
@pytest.mark.parametrize("width", [4, 16, 32, 64])
@pytest.mark.parametrize(
    ("name", "anchor", "level"),
    [("tiny", (0, 0), 0), ("tiny", (0, 0), 1), ("tiny", (1, 1), 0), ("small", (0, 0), 2)],
)
def test_shapes(
    name: str, anchor: tuple[int, int], level: int, width: int, mode: InteractionMode
) -> None:
    case = Case(
        config=preset(name), anchor=anchor, level=level, mode=mode, width=width, vectors=7,
        jobs=[2, 1],
    )  # fmt: skip
    Bench(case).run()


@pytest.mark.parametrize("mode", [DOT, CAT])
@pytest.mark.parametrize("stall", [0.5, 0.9])
@pytest.mark.parametrize("slots", [1, 3])
def test_stalls_and_late_rows(mode: InteractionMode, stall: float, slots: int) -> None:
    case = Case(
        config=preset("tiny"), anchor=(0, 0), level=1, mode=mode, width=8, vectors=9,
        jobs=[3, 1, 2], stall=stall, loader_stall=0.6, slots=slots, dense_read_latency=2,
        seed=int(10 * stall),
    )  # fmt: skip
    Bench(case).run()


@pytest.mark.parametrize("mode", [DOT, CAT])
@pytest.mark.parametrize("width", [4, 32])
@pytest.mark.parametrize("lanes", [1, 2, 8])
def test_lanes(lanes: int, width: int, mode: InteractionMode) -> None:
    """Blocks of vectors inside one bank, over some banks, over all of them."""
    case = Case(
        config=replace(preset("small"), gather_lanes=lanes, vector_bytes=8192), anchor=(0, 0),
        level=2, mode=mode, width=width, vectors=19, jobs=[2], loader_stall=0.3,
    )  # fmt: skip
    Bench(case).run()


@pytest.mark.parametrize("lanes", [8, 32])
def test_thirty_two_outputs(lanes: int) -> None:
    """Blocks of 32 vectors over the banks of one word, over all banks; two words of shifts."""
    config = replace(
        preset("medium"), interaction_outputs=32, dot_multipliers=128, gather_lanes=lanes
    )
    case = Case(
        config=config, anchor=(0, 0), level=2, mode=DOT, width=4, vectors=35, jobs=[2],
        stall=0.1, loader_stall=0.3,
    )  # fmt: skip
    assert case.log2_outputs == 5
    Bench(case).run()


@pytest.mark.parametrize(
    ("width", "vectors", "rows"),
    [
        (4, 27, 4), (8, 6, 4), (16, 27, 4), (16, 32, 4), (32, 27, 2), (32, 2, 2), (4, 1, 4),
        (16, 35, 1),  # more vectors than a row has lanes
        (64, 19, 1), (128, 7, 1),
    ],
)  # fmt: skip
def test_wide_unit(width: int, vectors: int, rows: int) -> None:
    """Several vectors i a step, over banks that hold several vectors of an item each."""
    case = Case(
        config=WIDE, anchor=(0, 0), level=2, mode=DOT, width=width, vectors=vectors, jobs=[3, 2],
        stall=0.2, loader_stall=0.3, slots=3 if width < 64 else 0,
    )  # fmt: skip
    assert (case.multipliers, case.outputs, case.step_rows) == (2048, 128, rows)
    Bench(case).run()


@pytest.mark.parametrize(
    ("config", "level", "width", "rows"),
    [
        (preset("baseline"), 3, 32, 2), (preset("baseline"), 3, 16, 4), (CUT, 3, 4, 4),
        (CUT, 1, 32, 2),  # E of 32: chunks of 51 values
        (CUT, 0, 16, 1),  # E of 16: a row has fewer lanes
    ],
)  # fmt: skip
def test_wide_unit_of_32_banks(config: Config, level: int, width: int, rows: int) -> None:
    """27 vectors in 32 banks."""
    case = Case(
        config=config, anchor=(0, 0), level=level, mode=DOT, width=width, vectors=27, jobs=[4],
    )  # fmt: skip
    assert (case.multipliers, case.step_rows) == (2048, rows)
    bench = Bench(case)
    bench.run()
    steps = -(-width // 16) + len(case.steps)
    if rows > 1:
        assert bench.row_cycles[3] - bench.row_cycles[2] == steps == {4: 8, 16: 8, 32: 16}[width]


def test_wide_unit_copies_and_multiplies() -> None:
    case = Case(
        config=WIDE, anchor=(0, 0), level=2, mode=CAT, width=32, vectors=11, jobs=[2, 1],
        stall=0.1,
    )  # fmt: skip
    Bench(case).run()
    case = Case(
        config=WIDE, anchor=(0, 0), level=2, mode=CAT, width=64, vectors=9, jobs=[2], stall=0.1,
        products=2, tail=16,
    )  # fmt: skip
    Bench(case).run()


@pytest.mark.parametrize("anchor", [(1, 1), (0, 2), (0, 4)])
def test_other_units_of_a_device_with_a_wide_one(anchor: tuple[int, int]) -> None:
    case = Case(
        config=CUT, anchor=anchor, level=0, mode=DOT, width=16, vectors=27, jobs=[2],
    )  # fmt: skip
    assert case.outputs <= 32 and case.step_rows == 1
    Bench(case).run()


@pytest.mark.parametrize("mode", [DOT, CAT])
def test_dense_vector_alone(mode: InteractionMode) -> None:
    case = Case(
        config=preset("tiny"), anchor=(0, 0), level=1, mode=mode, width=16, vectors=1,
        jobs=[1, 4, 1],
    )  # fmt: skip
    Bench(case).run()


@pytest.mark.parametrize(
    ("name", "anchor", "level", "width", "vectors"),
    [
        ("small", (0, 0), 0, 4, 20),  # E below P's other limits
        ("small", (0, 2), 1, 4, 53),  # as many vectors as a hybrid model has
        ("small", (0, 0), 2, 128, 3),
        ("tiny", (0, 1), 0, 128, 3),
        ("medium", (0, 0), 2, 32, 5),  # E above a chunk
        ("paper", (0, 0), 3, 64, 4),
    ],
)
def test_wide_and_narrow(
    name: str, anchor: tuple[int, int], level: int, width: int, vectors: int
) -> None:
    case = Case(
        config=preset(name), anchor=anchor, level=level, mode=DOT, width=width, vectors=vectors,
        jobs=[2], stall=0.2,
    )  # fmt: skip
    Bench(case).run()


@pytest.mark.parametrize(("width", "mode"), [(4, DOT), (16, DOT), (32, DOT), (16, CAT)])
def test_cycles_per_item(width: int, mode: InteractionMode) -> None:
    """A step a cycle and none between items, once the rows are there."""
    case = Case(
        config=preset("small"), anchor=(0, 0), level=2, mode=mode, width=width, vectors=14,
        jobs=[4],
    )  # fmt: skip
    bench = Bench(case)
    bench.run()
    if mode == CAT:
        steps = 14 * width // 16
    else:
        steps = -(-width // 16) + len(case.steps)
    assert bench.row_cycles[3] - bench.row_cycles[2] == steps


@pytest.mark.parametrize(("width", "mode"), [(4, DOT), (16, DOT), (64, DOT), (8, CAT), (32, CAT)])
def test_reads_only_what_a_step_needs(width: int, mode: InteractionMode) -> None:
    """Banks are read when a step needs them, vector i once; nothing is read while idle."""
    case = Case(
        config=preset("small"), anchor=(2, 2), level=1, mode=mode, width=width, vectors=11,
        jobs=[2], stall=0.3, loader_stall=0.5,
    )  # fmt: skip
    bench = Bench(case)
    reads = [0, 0]

    async def count(ctx: Any) -> None:
        async for *_, first, second in ctx.tick().sample(*bench.dut.read_enables):
            reads[0] += first.bit_count()
            reads[1] += second.bit_count()

    bench.run(watch=count)
    lanes, parts = 4, max(1, width // case.multipliers)
    copied = width * (1 if mode == DOT else case.vectors)
    b = -(-copied // 16) * min(lanes, max(1, 16 // width))
    a = 0
    if mode == DOT:
        b += len(case.steps) * parts * min(lanes, 1 << case.log2_outputs)
        a = len(case.steps) * parts if parts > 1 else case.vectors - 1
    assert reads == [2 * a, 2 * b]


@pytest.mark.parametrize(
    ("width", "products", "vectors", "tail"),
    [(16, 1, 5, 16), (32, 4, 11, 32), (32, 2, 9, 16), (64, 1, 9, 48), (128, 1, 5, 32)],
)
@pytest.mark.parametrize(
    ("name", "anchor", "level"),
    [
        ("tiny", (0, 0), 1),  # four products a step
        ("tiny", (1, 1), 0),  # four multipliers, a shifter for sums
        ("small", (0, 0), 2),
        ("small", (0, 0), 0),  # E of 4: chunks of four pieces
        ("medium", (0, 0), 2),
    ],
)
def test_products(
    name: str, anchor: tuple[int, int], level: int, width: int, products: int, vectors: int,
    tail: int,
) -> None:  # fmt: skip
    """Products first, then the other vectors, the last two of them without their padding."""
    case = Case(
        config=preset(name), anchor=anchor, level=level, mode=CAT, width=width, vectors=vectors,
        jobs=[2, 1], products=products, tail=tail,
    )  # fmt: skip
    Bench(case).run()


@pytest.mark.parametrize("stall", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
def test_products_with_stalls_and_late_rows(lanes: int, slots: int, stall: float) -> None:
    """Pairs inside one bank, in two, over the banks' ends."""
    case = Case(
        config=replace(preset("small"), gather_lanes=lanes, vector_bytes=8192), anchor=(0, 0),
        level=2, mode=CAT, width=32, vectors=13, jobs=[3, 1, 2], stall=stall,
        loader_stall=stall and 0.6, slots=slots, products=3, tail=16, seed=lanes,
    )  # fmt: skip
    Bench(case).run()


def test_thirty_two_products() -> None:
    config = replace(preset("medium"), interaction_outputs=32, dot_multipliers=128)
    for width in (16, 32, 128):
        case = Case(
            config=config, anchor=(0, 0), level=2, mode=CAT, width=width, vectors=7, jobs=[2],
            stall=0.1, products=1, tail=16,
        )  # fmt: skip
        Bench(case).run()


@pytest.mark.parametrize(("name", "steps"), [("small", 2 + 8 + 2), ("tiny", 8 + 8 + 2)])
def test_cycles_per_item_of_products(name: str, steps: int) -> None:
    """A step a cycle and none between items: products, whole vectors, tails."""
    case = Case(
        config=preset(name), anchor=(0, 0), level=2 if name == "small" else 1, mode=CAT, width=32,
        vectors=9, jobs=[4], products=1, tail=16,
    )  # fmt: skip
    bench = Bench(case)
    bench.run()
    assert bench.row_cycles[3] - bench.row_cycles[2] == steps
