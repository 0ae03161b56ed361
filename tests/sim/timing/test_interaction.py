# amaranth: UnusedElaboratable=no
"""Interaction's recurrence against its RTL: the cycle in which each item's last chunk comes out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hdl.array.timing import DENSE_LATENCY
from hdl.config import preset
from hdl.engine.interaction import interaction_latency
from hdl.program import InteractionMode
from hdl.queue import Queue
from sim.timing.events import Clock
from sim.timing.interaction import BankWindows, InteractionJob, InteractionModel, item_chunks
from sim.timing.plan import EnginePlan, PhasePlan, ProgramPlan
from sim.timing.vectors import VectorSlots
from tests.hdl.engine.interaction_bench import Bench, Case

DOT, CAT = InteractionMode.DOT, InteractionMode.CAT


class _Log:
    """When jobs were taken and row words came, from the RTL."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.jobs: list[int] = []
        self.words: list[tuple[int, int, bool]] = []

    async def watch(self, ctx: Any) -> None:
        dut = self._bench.dut
        cycle = 0
        signals = (dut.i_job.valid, dut.i_job.ready, *dut.row_write)
        async for _, _, valid, ready, *words in ctx.tick().sample(*signals):
            if valid and ready:
                self.jobs.append(cycle)
            for lane, word in enumerate(words):
                if word.valid and word.unit == self._bench.unit:
                    self.words.append((cycle, lane, bool(word.item_last)))
            cycle += 1


def _predict(case: Case, log: _Log) -> list[int]:
    """Cycles of the items' last steps by the model."""
    clock = Clock()
    phase = PhasePlan(layers=(), streamed=False, stream=0)
    program = ProgramPlan(
        bottom=phase, top=phase, width=case.width, vectors=case.vectors, dot=case.mode == DOT,
        outputs=1 << case.log2_outputs, slot_bytes=case.slot_bytes, slots=case.slots,
        products=case.products, product_base=case.product_base,
        copied=case.copied if case.products else 0,
    )  # fmt: skip
    row, column = case.anchor
    plan = EnginePlan(
        unit=row * case.config.grid + column, row=row, column=column, level=case.level,
        programs={0: program}, ring_words=0,
    )  # fmt: skip
    slots = VectorSlots(case.config.gather_lanes)
    slots.configure((case.slot_bytes, case.slots, case.vectors - 1))
    released: list[int] = []

    def release(cycle: int) -> None:
        slots.release(cycle)
        released.append(cycle)

    # The bench takes a chunk a cycle: banks at least as wide as a chunk, which 128 outputs have.
    edge = max(case.edge, case.outputs)
    windows = BankWindows(clock, edge)
    model = InteractionModel(
        clock, case.config, plan, (windows, windows), ready=slots.ready,
        row_lands=slots.row_lands, on_idle=lambda _: None, on_release=release,
        on_row=lambda *_: None,
    )  # fmt: skip
    model._edge = model._writer._edge = edge
    chunks = item_chunks(program, case.multipliers, case.outputs)

    def finished(cycle: int, lane: int) -> None:
        if slots.finished(lane):
            model.wake(cycle)

    for cycle, lane, item_last in log.words:
        slots.row_word(cycle, lane)
        if item_last:
            clock.at(cycle + 1, finished, lane)
    for number, (cycle, rows) in enumerate(zip(log.jobs, case.jobs, strict=True)):
        job = InteractionJob(slot=number % 2, rows=rows, program=program, chunks=chunks)
        clock.at(cycle, model.start, job)
    clock.run()
    return released


@pytest.mark.parametrize(
    ("mode", "width", "vectors", "slots", "stall"),
    [
        (DOT, 4, 9, 0, 0.0),  # next item taken with the last step
        (DOT, 16, 7, 0, 0.9),  # rows come late
        (DOT, 128, 5, 1, 0.0),  # one slot: the copy waits for the steps
        (CAT, 4, 3, 0, 0.0),  # held up by the copies
        (CAT, 16, 7, 2, 0.5),
        (CAT, 32, 1, 0, 0.0),  # the dense vector alone
    ],
)
def test_last_steps(
    mode: InteractionMode, width: int, vectors: int, slots: int, stall: float
) -> None:
    # Chunks fit the engine's lanes: the bench takes one a cycle, as the bank writer then does.
    case = Case(
        config=preset("small"), anchor=(0, 0), level=2, mode=mode, width=width, vectors=vectors,
        jobs=[5, 3], slots=slots, loader_stall=stall, dense_read_latency=DENSE_LATENCY,
    )  # fmt: skip
    _check(case)


@pytest.mark.parametrize(
    ("width", "vectors", "slots", "stall"),
    [(32, 27, 0, 0.0), (16, 27, 2, 0.5), (4, 9, 0, 0.0), (16, 35, 0, 0.3)],
)
def test_last_steps_of_a_wide_unit(width: int, vectors: int, slots: int, stall: float) -> None:
    config = replace(preset("medium"), interaction_outputs=128, dot_multipliers=2048)
    case = Case(
        config=config, anchor=(0, 0), level=2, mode=DOT, width=width, vectors=vectors,
        jobs=[5, 3], slots=slots, loader_stall=stall, dense_read_latency=DENSE_LATENCY,
    )  # fmt: skip
    _check(case)


@pytest.mark.parametrize(
    ("width", "products", "vectors", "tail", "slots", "stall"),
    [
        (16, 1, 5, 16, 0, 0.0),  # held up by the hand-over of items
        (128, 1, 5, 32, 1, 0.0),
        (32, 4, 11, 32, 0, 0.5),
        (64, 1, 9, 16, 2, 0.9),
    ],
)
def test_products(
    width: int, products: int, vectors: int, tail: int, slots: int, stall: float
) -> None:
    case = Case(
        config=preset("small"), anchor=(0, 0), level=2, mode=CAT, width=width, vectors=vectors,
        jobs=[5, 3], slots=slots, loader_stall=stall, products=products, tail=tail,
    )  # fmt: skip
    _check(case)


def _check(case: Case) -> None:
    bench = Bench(case)
    log = _Log(bench)
    bench.run(watch=log.watch)
    # The step's register, the pipeline, the queue of chunks.
    delay = 1 + interaction_latency(case.multipliers, case.outputs) + Queue.BUFFERED_LATENCY
    assert _predict(case, log) == [cycle - delay for cycle in bench.row_cycles]
