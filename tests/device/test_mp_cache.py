"""Finished DHE vectors on the device: they save hashes and decoders and change no bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import rpaccel
from driver.deployment import Deployment
from driver.held_refresh import HeldRefresh
from driver.image import MemoryImage
from driver.inputs import make_workload
from driver.options import RunOptions
from driver.placed import compare_held
from driver.repartition import put_loads
from driver.result_plan import held_loads
from driver.run import run as run_options
from driver.workload import histograms
from golden.model import random_model
from golden.shape import Interaction, Representation
from hdl.control.registers import COUNTERS
from hdl.program import Target

from .support import CONFIG, Case
from .test_representations import inputs, run, shape_of, workload

DECODER = (96, 64, 16)
"""Streamed; 24 x 12 tiles of 4 x 4, 12 x 8 + 8 x 2 of 8 x 8."""


@pytest.mark.parametrize(
    ("representation", "interaction", "decoder"),
    [
        ("dhe", "cat", (24, 16)),
        ("select", "dot", (18, 10, 8)),
        ("hybrid", "cat", (20, 4)),
        ("hybrid", "dot", (33, 8, 64)),
    ],
)
def test_no_bit_changes(
    representation: Representation,
    interaction: Interaction,
    decoder: tuple[int, ...],
) -> None:
    """Vectors of 4 to 64 values: hits, misses, every layer that ran."""
    made = workload(representation, interaction, decoder=decoder)
    without = run(made)
    ran = run(made, mp_cache=24)
    cache = ran["embedding"]["mp_cache"]
    decoded = {"dhe": 5, "select": 2, "hybrid": 5}[representation]
    assert cache["vectors"] == 24
    assert cache["hits"] + cache["misses"] == cache["lookups"] == 2 * 21 * decoded
    assert min(cache["hits"], cache["misses"]) > 0
    assert ran["top"] == without["top"]
    assert ran["counters"]["engine_0"]["busy"] < without["counters"]["engine_0"]["busy"]


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_memory(seed: int) -> None:
    run(workload("hybrid", "dot" if seed % 2 else "cat"), mp_cache=30, dram="hostile", seed=seed)


def test_small_engine() -> None:
    """The engine with hash lanes is one of 4 x 4; the other three rank the tables' stage."""
    shapes = (shape_of("table", "dot"), shape_of("hybrid", "dot"))
    made = make_workload(
        models=[random_model(shape, seed=n) for n, shape in enumerate(shapes)],
        keep=[9, 4],
        queries=[inputs(n, 30) for n in range(2)],
        calibration=inputs(99, 200),
    )
    ran = run(made, mp_cache=20, partition="4x4:1@1,4x4:3@0", sub_batches=2)
    cache = ran["embedding"]["mp_cache"]
    assert min(cache["hits"], cache["misses"]) > 0


def test_everything_held() -> None:
    """No hash, no decoder phase: only bottom and top layers run."""
    made = workload("dhe", "cat", items=18, queries=1)
    shape = made.quantised[0].shape
    made.counts = [histograms(made.queries[0].ids, shape.rows)]
    ran = run(made, mp_cache=256)
    assert ran["embedding"]["mp_cache"]["misses"] == 0
    # Rows of 18 items through the tiles of bottom and top, and nothing else.
    tiles = 0
    for sizes in (shape.bottom, shape.top_sizes):
        tiles += sum(-(-a // 8) * -(-b // 8) for a, b in zip(sizes, sizes[1:], strict=False))
    assert ran["counters"]["engine_0"]["busy"] == 18 * tiles


@pytest.mark.parametrize(
    ("interaction", "decoder", "held"),
    [
        ("cat", DECODER, 0),
        ("cat", DECODER, 30),
        ("cat", DECODER, 200),
        # Codes wait for the interaction's chunks, of which there is one in nearly every cycle.
        ("dot", (18, 10, 8), 30),
        ("dot", (18, 10, 8), 200),
    ],
)
def test_cycles(interaction: Interaction, decoder: tuple[int, ...], held: int) -> None:
    """The timing model knows lists, hits, shorter phases and what codes wait for."""
    made = workload("hybrid", interaction, decoder=decoder, items=40, queries=1)
    ran = run(made, mp_cache=held)
    predicted = rpaccel.run(preset="tiny", workload=made, backend="timing", mp_cache=held)
    assert predicted["embedding"]["mp_cache"] == ran["embedding"]["mp_cache"]
    assert predicted["cycles"] == pytest.approx(ran["cycles"], rel=0.02)


def test_a_hit_saves_its_share_of_the_decoders() -> None:
    """Rows through the decoders' tiles are those of the misses, to the row."""
    made = workload("dhe", "cat", decoder=DECODER, items=48, queries=1)
    without, ran = run(made), run(made, mp_cache=60)
    cache = ran["embedding"]["mp_cache"]
    saved = without["counters"]["engine_0"]["busy"] - ran["counters"]["engine_0"]["busy"]
    assert saved == cache["hits"] * (12 * 8 + 8 * 2)


def _swap(deployment: Deployment, image: MemoryImage) -> None:
    """Two held vectors change places."""
    (load,) = (load for load in deployment.loads if load.target is Target.HELD_VECTORS)
    assert deployment.results is not None
    size = max(16, deployment.results.width)
    first, second, *_ = sorted(deployment.results.places.values())
    blob = image.to_bytes()[load.address : load.address + 8 * load.words]
    a, b = blob[first * size :][:size], blob[second * size :][:size]
    assert a != b
    image.write(load.address + first * size, b)
    image.write(load.address + second * size, a)


def _forget(deployment: Deployment, image: MemoryImage) -> None:
    """A tag is lost."""
    (load,) = (load for load in deployment.loads if load.target is Target.HELD_TAGS)
    assert deployment.results is not None
    image.write(load.address + 8 * min(deployment.results.places.values()), bytes(8))


@pytest.mark.parametrize(
    ("change", "told"), [(_swap, "layer interaction"), (_forget, "held vectors: query")]
)
def test_wrong_contents_are_found(change: Any, told: str) -> None:
    made = workload("hybrid", "cat", items=40)
    options = RunOptions(preset="tiny", mp_cache=4)
    ran = run_options(options, workload=made, corrupt=change)
    assert ran["bit_exact"] is False
    assert told in ran["difference"]


def test_other_vectors_on_a_running_device() -> None:
    """Contents follow the ids of a query: both runs exact, each with the hits of its contents."""
    made = workload("hybrid", "cat", decoder=(20, 8))
    made.counts = [[count[::-1].copy() for count in stage] for stage in made.counts]
    case = Case(made, held=16, entries=80)
    models = made.quantised
    first = case.deployment.results
    refresh = HeldRefresh(CONFIG, [model.shape for model in models], first, entries=16)
    refresh.observe(made.queries[0].ids)
    other = refresh.proposal()
    assert first is not None and other is not None and other.places != first.places
    before = case.query(0)
    put_loads(case.host, held_loads(CONFIG, other, models, case.image, [0]))
    after = case.query(0)
    case.start()
    case.host.ring(before.entry + 1)
    end = case.host.wait(before.entry + 1, timeout=1_000_000)
    case.host.read_counters()
    case.host.ring()
    case.host.wait(timeout=1_000_000)
    case.finish()
    played = case.play()
    golden = case.golden(0)
    cycle = played.outcome.result.cycles[end]
    ids = [made.queries[0].ids]
    seen = []
    for plan, query, since in ((first, before, 0), (other, after, cycle)):
        assert played.results(query)[:, 1].tolist() == golden.scores.tolist()
        records = played.since(since)
        if since == 0:
            records = {name: r.where(r.cycle < cycle) for name, r in records.items()}
            counters = {name: played.register(name) for name, _ in COUNTERS}
        else:
            hits = int(records["placed"]["hit"].sum())
            counters = {"HELD_HITS": hits, "HELD_MISSES": len(records["placed"]) - hits}
        seen.append(counters["HELD_HITS"])
        deployment = replace(case.deployment, results=plan)
        assert compare_held(deployment, records, [golden], ids, counters) is None
    assert seen[1] > 2 * seen[0]
    assert compare_held(case.deployment, played.since(cycle), [golden], ids, counters) is not None
