# amaranth: UnusedElaboratable=no
"""Recurrence of the array's schedule against the sequencer, cycle for cycle."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.config import preset
from hdl.engine.cause import Cause
from hdl.program import LAYER_WORDS, Destination
from sim.timing.array import ArraySchedule, LayerTiles, Phase
from tests.hdl.engine import test_sequencer as bench

TINY = preset("tiny")


def predict(phases: list[bench.Phase], log: bench.Log, latency: int) -> ArraySchedule:
    """The model on the same phases; landing cycles of streamed tiles are taken from the log."""
    # The grid's page_ready comes two cycles before the control word it lets go.
    schedule = ArraySchedule(config=TINY, write_back=latency + 7, turnaround=latency + 2)
    offered = (LAYER_WORDS + 1) * sum(len(phase.layers) for phase in phases)  # after the LOADs
    for cycle in log.landed:
        schedule.land(cycle)
    for phase in phases:
        layers = tuple(
            LayerTiles(
                input_tiles=layer["input_tiles"],
                output_tiles=layer["output_tiles"],
                destination=Destination.BANK,
            )
            for layer in phase.layers
        )
        schedule.offer(
            Phase(
                layers=layers,
                rows=phase.payload["rows"],
                streamed=bool(phase.payload["streamed"]),
            ),
            offered,
        )
    return schedule


def compare(phases: list[bench.Phase], *, latency: int, seed: int, gap: float) -> None:
    log = bench.run(phases, latency=latency, seed=seed, stream_gap=gap)
    schedule = predict(phases, log, latency)
    predicted = [Cause.IDLE] * len(log.causes)
    for first, last, cause in schedule.spans:
        for cycle in range(first, last + 1):
            predicted[cycle + ArraySchedule.CONTROL_LATENCY] = cause
    assert predicted == log.causes
    assert schedule.causes[Cause.BUSY] == sum(
        phase.tiles * phase.payload["rows"] for phase in phases
    )


@pytest.mark.parametrize("seed", range(3))
def test_random_phases(seed: int) -> None:
    """The sequencer's own random phases: short and long tiles, streamed and resident."""
    rng = random.Random(seed)
    shapes = [[rng.randrange(1, 4) for _ in range(rng.randrange(2, 6))] for _ in range(5)]
    phases = bench.chain(rng, 8, rows=[1, 7, 12, 16], streamed=[False, True], shapes=shapes)
    compare(phases, latency=rng.choice([3, 9, 30]), seed=seed, gap=rng.choice([0.0, 0.9]))


@settings(max_examples=6, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(1, 3), min_size=2, max_size=4), min_size=1, max_size=4),
    rows=st.lists(st.integers(1, 16), min_size=1, max_size=3),
    streamed=st.booleans(),
    latency=st.integers(3, 40),
    seed=st.integers(0, 1 << 16),
)
def test_drawn_shapes(
    shapes: list[list[int]], rows: list[int], streamed: bool, latency: int, seed: int
) -> None:
    rng = random.Random(seed)
    phases = bench.chain(rng, len(shapes), rows=rows, streamed=[False, streamed], shapes=shapes)
    compare(phases, latency=latency, seed=seed, gap=0.8 if seed % 2 else 0.0)
