"""Timing model of whole queries against the generated Verilog.

The array's schedules must agree cycle for cycle, whole queries within 2 %.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import driver.rtl
import driver.timing
from driver.check import read_records
from driver.inputs import make_workload
from driver.maps import PhaseMap, StageMap
from driver.options import RunOptions
from driver.partition import Engine, Partition, legal_partitions, parse_partition
from driver.pipelines import pipeline
from driver.rtl import Plan, plan_run, run_rtl
from driver.rules import funnel_rules
from driver.run import golden_results
from driver.timing import predict, run_timing
from driver.traces import Records
from driver.workload import Workload, load_workload
from golden.filter import FunnelRules
from golden.model import ModelShape, random_model
from golden.pipeline import WHOLE
from hdl.config import LINE_BYTES, Config, preset
from sim.runner import Memory, Outcome
from sim.timing import Dram, Prediction

TINY, SMALL = preset("tiny"), preset("small")
TOLERANCE = 0.02
SLACK = 16
"""Cycles that short spans may differ by: where a request meets another one's open row."""


@dataclass(kw_only=True)
class Both:
    """One run on both back ends."""

    plan: Plan
    rtl: dict[str, Any]
    timing: dict[str, Any]
    prediction: Prediction
    columns: Records
    jobs: Records


def run_both(
    *,
    preset_name: str,
    name: str,
    items: int | None,
    partition: str | None,
    queries: int = 1,
    sub_batches: int = 1,
    policy: str = "exact",
    seed: int = 1,
    refresh: bool = False,
) -> Both:
    """A named pipeline."""
    config = preset(preset_name)
    spec = pipeline(name).scaled(items)
    workload = load_workload(spec, queries=queries, max_rows=10_000, seed=seed)
    cut = parse_partition(config, partition, stages=len(spec.stages))
    options = RunOptions(preset=preset_name, pipeline=name, policy=policy, sub_batches=sub_batches)
    return run_workload(config, cut, workload, seed, funnel_rules(config, spec, options), refresh)


def run_workload(
    config: Config,
    cut: Partition,
    workload: Workload,
    seed: int,
    rules: FunnelRules = WHOLE,
    refresh: bool = False,
) -> Both:
    """A workload on the generated Verilog and on the timing model.

    Without ``refresh``: where a refresh falls between two requests, a few cycles decide whether it
    costs 88, which is more than 2 % of a short query.
    """
    plan = plan_run(config, cut, workload, rules)
    expected = golden_results(workload, rules, keep_layers=True)
    options = RunOptions(preset=config.name, pipeline=workload.pipeline.name, seed=seed)
    outcomes: list[Outcome] = []
    play: Callable[..., Outcome] = driver.rtl.run_job

    def keep_traces(*args: Any, **words: Any) -> Outcome:
        outcomes.append(play(*args, **words))
        return outcomes[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver.rtl, "run_job", keep_traces)
        if not refresh:
            patch.setattr(driver.rtl, "simulated_memory", lambda _: Memory(refresh_cycles=0))
        rtl = run_rtl(plan, workload, expected, options, lambda text: None)
    # The model's first cycle is the doorbell: only the bench knows how long after a refresh it is.
    (doorbell,) = [
        outcomes[0].result.cycles[n]
        for n, step in enumerate(plan.host.job.steps)
        if step["op"] == "write"
        and step["data"] == plan.host.entries
        and step["address"] == plan.host.registers.address("SUBMISSION_TAIL")
    ]
    dram = Dram(refresh_phase=doorbell % Dram().refresh_interval)
    if not refresh:
        dram = Dram(refresh_cycles=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver.timing, "timing_memory", lambda *_: dram)
        timing = run_timing(plan, workload, expected, options)
    records = read_records(config, outcomes[0].traces)
    return Both(
        plan=plan,
        rtl=rtl,
        timing=timing,
        prediction=predict(plan, workload, expected, dram),
        columns=records["columns"],
        jobs=records["jobs"],
    )


def close(predicted: int, measured: int, of: int | None = None) -> bool:
    """Equal within the tolerance, of ``of`` where the figure is a part of something."""
    return abs(predicted - measured) <= max(SLACK, TOLERANCE * (measured if of is None else of))


def phase_maps(stage: StageMap) -> list[tuple[str, PhaseMap]]:
    return [
        ("bottom", stage.bottom),
        ("top", stage.top),
        *(("decoder", decoder) for decoder in stage.decoders),
    ]


def measured_phases(
    both: Both, engine: Engine
) -> Iterator[tuple[int, str, PhaseMap, int, NDArray[np.int64]]]:
    """Phases of an engine in their order: program, kind, map, rows, cycle of each output row."""
    deployment = both.plan.deployment
    config = deployment.config
    strip = (engine.row + (1 << engine.level) - 1) * config.grid + engine.column
    mine = both.columns.where(both.columns.source == strip * config.sub_array)
    first = {
        place.layers[0].parameter_base: (number, kind, place)
        for number, stage in deployment.maps[engine.unit].stages.items()
        for kind, place in phase_maps(stage)
        if place.layers
    }
    parameter, row = mine["parameter"], mine["row"]
    at = 0
    while at < len(mine):
        number, kind, place = first[int(parameter[at])]
        rows = 1
        while at + rows < len(mine) and (parameter[at + rows], row[at + rows]) == (
            parameter[at],
            row[at] + rows,
        ):
            rows += 1
        end = at + rows * sum(layer.output_tiles for layer in place.layers)
        assert end <= len(mine), f"engine {engine.unit}: a phase without end"
        yield number, kind, place, rows, mine.cycle[at:end]
        at = end


def check_schedules(both: Both) -> None:
    """Every row block runs its phases, and where their weights are resident, rows leave the columns
    as predicted.

    Which of two engines that are free within a few cycles of each other takes a row block, and so
    the order of phases on an engine, is not compared: a schedule is looked up among those of
    engines of one size.
    """
    engines = both.plan.deployment.partition.engines
    predicted: dict[tuple[int, int, str, int], set[tuple[int, ...]]] = defaultdict(set)
    said: Counter[tuple[int, str, int]] = Counter()
    for engine in engines:
        for phase in both.prediction.phases[engine.unit]:
            if not phase.output_tiles:
                continue
            kind = "top" if phase.top else "decoder" if phase.decoder else "bottom"
            rows = np.concatenate(
                [np.arange(start, start + phase.rows) for start in phase.output_tiles]
            )
            schedule = tuple(np.diff(rows).tolist())
            predicted[engine.level, phase.stage, kind, phase.rows].add(schedule)
            said[phase.stage, kind, phase.rows] += 1
    ran: Counter[tuple[int, str, int]] = Counter()
    checked, resident = 0, False
    for engine in engines:
        for number, kind, place, count, cycles in measured_phases(both, engine):
            ran[number, kind, count] += 1
            if place.streamed:
                continue
            resident = True
            known = predicted.get((engine.level, number, kind, count))
            if known is not None:  # else all such blocks went to engines of other sizes
                found = tuple(np.diff(cycles).tolist())
                assert found in known, (engine.unit, number, kind, count, found, known)
                checked += 1
    assert ran == said
    assert checked or not resident


def check_jobs(both: Both) -> None:
    """Every row block is sent, and when it is, counted from the first one."""
    sent, predicted = both.jobs, both.prediction.jobs
    names = ("program", "sub_batch", "position", "rows")
    measured = sorted(
        (*(int(sent[name][n]) for name in names), int(sent.cycle[n] - sent.cycle[0]))
        for n in range(len(sent))
    )
    said = sorted(
        (job.stage, job.sub_batch, job.position, job.rows, job.cycle - predicted[0].cycle)
        for job in predicted
    )
    assert [block[:-1] for block in said] == [block[:-1] for block in measured]
    for one, other in zip(said, measured, strict=True):
        assert close(one[-1], other[-1], of=both.rtl["cycles"]), (one, other)


def same_engines(both: Both) -> bool:
    """Whether each row block ran on the engine that the model says.

    A few cycles decide which engine is free first; of engines of several sizes, another one takes
    another number of cycles.
    """
    sent = both.jobs
    names = ("program", "sub_batch", "position", "unit")
    measured = sorted(tuple(int(sent[name][n]) for name in names) for n in range(len(sent)))
    return measured == sorted(
        (job.stage, job.sub_batch, job.position, job.unit) for job in both.prediction.jobs
    )


def check_busy(both: Both) -> None:
    """Busy cycles are exact: of every stage that shares no engine, else of all stages together.

    On a shared engine a cycle belongs to the stage of the row block that was sent last, and blocks
    are sent a few cycles earlier or later than predicted (``check_jobs``).
    """
    said = [stage["busy_cycles"] for stage in both.timing["stages"]]
    measured = [stage["busy_cycles"] for stage in both.rtl["stages"]]
    assert sum(said) == sum(measured)
    alone = set(range(len(said)))
    for engine in both.plan.deployment.maps.values():
        if len(engine.stages) > 1:
            alone -= set(engine.stages)
    for stage, (predicted, cycles) in enumerate(zip(said, measured, strict=True)):
        if stage in alone:
            assert predicted == cycles
        assert close(predicted, cycles, of=both.rtl["cycles"])


def check(both: Both, *, drawn: bool = False) -> None:
    """Schedules exact, queries and causes within the tolerance.

    Of pipelines each stage is, too; of drawn models, whose stages may be a few row blocks long, a
    stage is within the tolerance of its query.
    """
    rtl, timing = both.rtl, both.timing
    assert rtl["bit_exact"] is True
    check_schedules(both)
    check_jobs(both)
    for predicted, measured in zip(timing["query_cycles"], rtl["query_cycles"], strict=True):
        assert close(predicted, measured, of=rtl["cycles"])
    assert close(timing["cycles"], rtl["cycles"])
    for spans in both.prediction.timelines.values():  # busy + causes = total
        assert sum(last - first + 1 for first, last, _ in spans) == timing["cycles"]
    engines = len(both.plan.deployment.partition.engines)
    if same_engines(both):
        check_busy(both)
    for predicted, measured in zip(timing["stages"], rtl["stages"], strict=True):
        of = rtl["cycles"] if drawn else measured["cycles"]
        assert close(predicted["cycles"], measured["cycles"], of=of), (predicted, measured)
        for cause, cycles in measured["stall_cycles"].items():
            said = predicted["stall_cycles"][cause]
            assert close(said, cycles, of=rtl["cycles"] * engines), (cause, said, cycles)
    # A few cycles may decide which of two lookups of a line comes first, and whether it is still
    # there: what depends on ids alone is exact.
    exact = ("lookups", "static_hits", "prefetches")
    counted = dict(rtl["embedding"])
    assert timing["embedding"]["mp_cache"] == counted.pop("mp_cache")
    for name, count in counted.items():
        slack = 0 if name in exact else rtl["embedding"]["lookups"] // 500
        if name == "dram_bytes":
            slack *= LINE_BYTES
        if name.startswith("dram"):  # likewise whether two engines meet at a chunk of weights
            slack += count // 200
        assert abs(timing["embedding"][name] - count) <= slack, name


@pytest.mark.parametrize(
    ("items", "partition"),
    [(64, None), (24, "4x4:4"), (21, "4x4:3@0,4x4:1@1")],
)
def test_tiny(items: int, partition: str | None) -> None:
    check(
        run_both(preset_name="tiny", name="demo-2", items=items, partition=partition, refresh=True)
    )


def test_two_queries_in_sub_batches() -> None:
    """Of stages with engines of their own: groups, early survivors, prefetches, completions."""
    check(
        run_both(
            preset_name="tiny",
            name="kaggle-2-cat",
            items=16,
            partition="4x4:3@0,4x4:1@1",
            queries=2,
            sub_batches=2,
        )
    )


def test_engines_that_share_streams() -> None:
    """Four engines, all weights streamed: the chunks that they read for each other."""
    both = run_both(preset_name="tiny", name="kaggle-1", items=64, partition="4x4:4")
    check(both)
    deployment = both.plan.deployment
    bottom = deployment.maps[0].stages[0].bottom
    assert bottom.streamed
    blocks = -(-64 // deployment.rows[0])
    alone = blocks * bottom.tiles * TINY.sub_array**2
    # Seven row blocks are two rounds of four engines; records and embedding rows are in it, too.
    assert both.rtl["embedding"]["dram_bytes"] < 0.7 * alone


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "items", "partition"),
    [("demo-2", 64, None), ("kaggle-2", 48, "split"), ("kaggle-2-cat", 48, "4x4:4")],
)
def test_what_large_devices_have(name: str, items: int, partition: str | None) -> None:
    """A memory a slot in the activation banks, cells in the sorter."""
    config = replace(TINY, activation_memories=2, sorter_cells=16)
    spec = pipeline(name).scaled(items)
    workload = load_workload(spec, queries=1, max_rows=10_000, seed=1)
    check(run_workload(config, parse_partition(config, partition, stages=2), workload, seed=1))


WIDE = replace(
    TINY, name="wide", sub_array=16, weight_bytes=16384, dot_multipliers=2048, gather_lanes=4,
    interaction_outputs=128, axi_data_bits=128, static_cache_bytes=12288, look_ahead_bytes=4096,
)  # fmt: skip
"""A grid of edge 32 with a wide interaction unit: chunks of more than a page."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "items", "partition", "memories"),
    [
        ("kaggle-1", 48, None, 1),
        ("kaggle-1", 100, None, 2),
        ("kaggle-2", 64, "16x16:4", 1),  # the wide unit on a small engine, beside others
        ("kaggle-2-cat", 48, None, 1),
        ("mprec-kaggle-select", 32, None, 1),  # codes by the same bank writer
    ],
)
def test_wide_interaction(name: str, items: int, partition: str | None, memories: int) -> None:
    config = replace(WIDE, activation_memories=memories)
    spec = pipeline(name).scaled(items)
    workload = load_workload(spec, queries=1, max_rows=1000, seed=1)
    stages = len(spec.stages)
    check(run_workload(config, parse_partition(config, partition, stages=stages), workload, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "partition"),
    [
        pytest.param(preset("tiny-baseline"), None, id="baseline"),
        pytest.param(
            replace(TINY, features=replace(TINY.features, on_chip_filter=False)), "split", id="cut"
        ),
    ],
)
def test_where_the_host_filters(config: Config, partition: str | None) -> None:
    """All scores return, from one engine or from several that finish in any order."""
    workload = load_workload(pipeline("kaggle-1").scaled(48), queries=1, max_rows=10_000, seed=1)
    check(run_workload(config, parse_partition(config, partition, stages=1), workload, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "partition", "queries", "sub_batches", "policy"),
    [
        ("demo-2", "4x4:4", 3, 1, "exact"),
        ("demo-2", "4x4:3@0,4x4:1@1", 2, 4, "exact"),
        ("demo-2", None, 1, 16, "exact"),
        ("kaggle-3", "4x4:4", 3, 3, "quota"),
        ("kaggle-2-cat", "4x4:3@0,4x4:1@1", 2, 2, "binned"),
    ],
)
def test_queries_side_by_side(
    name: str, partition: str | None, queries: int, sub_batches: int, policy: str
) -> None:
    check(
        run_both(
            preset_name="tiny",
            name=name,
            items=48,
            partition=partition,
            queries=queries,
            sub_batches=sub_batches,
            policy=policy,
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("sub_batches", [1, 4])
def test_eight_queries_on_small(sub_batches: int) -> None:
    """More queries than there are contexts for."""
    check(
        run_both(
            preset_name="small",
            name="kaggle-2",
            items=128,
            partition="8x8:2@0,8x8:2@1",
            queries=8,
            sub_batches=sub_batches,
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kaggle-1", "kaggle-2", "kaggle-2-cat", "kaggle-3"])
@pytest.mark.parametrize(("preset_name", "items"), [("tiny", 96), ("small", 512)])
def test_pipelines(preset_name: str, name: str, items: int) -> None:
    check(run_both(preset_name=preset_name, name=name, items=items, partition=None))


@pytest.mark.slow
@pytest.mark.parametrize(
    "partition", ["8x8:4", "4x4:16", "8x8:2@1,4x4:8@0", "8x8:1@1,8x8:1@0,4x4:8@0"]
)
def test_small_partitions(partition: str) -> None:
    check(run_both(preset_name="small", name="demo-2", items=256, partition=partition))


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    items=st.integers(1, 200),
    partition=st.sampled_from(["fused", "split", "4x4:2@0,4x4:2@1", "4x4:1@0,4x4:3@1"]),
    name=st.sampled_from(["demo-2", "kaggle-2", "kaggle-2-cat", "kaggle-3"]),
    seed=st.integers(1, 30),
)
def test_drawn_pipelines(items: int, partition: str, name: str, seed: int) -> None:
    if name == "kaggle-3" and "@" in partition:
        partition = "split"  # a third stage needs an engine
    check(run_both(preset_name="tiny", name=name, items=items, partition=partition, seed=seed))


def draw_workload(draw: st.DrawFn, items: int) -> Workload:
    """One to three models of any shape, tables that the cache holds in part."""
    stages = draw(st.integers(1, 3))
    tables = draw(st.integers(1, 9))
    rows = tuple(draw(st.lists(st.integers(1, 300), min_size=tables, max_size=tables)))
    hidden = st.lists(st.integers(1, 40), max_size=2)
    models = []
    dense = draw(st.integers(1, 20))
    for number in range(stages):
        width = draw(st.sampled_from([4, 8, 16]))
        shape = ModelShape(
            name=f"drawn {number}",
            width=width,
            bottom=(dense, *draw(hidden), width),
            top=(*draw(hidden), 1),
            rows=rows,
            interaction=draw(st.sampled_from(["dot", "cat"])),
        )
        models.append(random_model(shape, seed=number))
    random = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    keep = sorted((draw(st.integers(1, items)) for _ in models), reverse=True)
    ids = np.stack([random.integers(0, count, items) for count in rows], axis=1)
    values = random.normal(0, 1, (items, dense)).astype(np.float32)
    return make_workload(models=models, keep=keep, queries=[(values, ids)], name="drawn")


def draw_partition(draw: st.DrawFn, config: Config, stages: int) -> Partition:
    """Any cut; engines serve any stages, together all of them."""
    cut = draw(st.sampled_from(legal_partitions(config)))
    every = frozenset(range(stages))
    one = st.integers(0, stages - 1).map(lambda stage: frozenset({stage}))
    serves = [draw(st.just(every) | one) for _ in cut.engines]
    if frozenset().union(*serves) != every:
        serves[0] = every
    return cut.serving(serves)


@st.composite
def drawn(draw: st.DrawFn, config: Config, most: int) -> tuple[Partition, Workload]:
    workload = draw_workload(draw, draw(st.integers(1, most)))
    return draw_partition(draw, config, len(workload.models)), workload


LARGE_CASES = pytest.mark.filterwarnings("ignore:Generating overly large repr")
"""A case that fails is shown with its weights: better than a warning in place of the failure."""


@LARGE_CASES
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=drawn(TINY, 40))
def test_drawn_models(case: tuple[Partition, Workload]) -> None:
    check(run_workload(TINY, *case, seed=1), drawn=True)


@pytest.mark.slow
@LARGE_CASES
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=drawn(TINY, 150))
def test_many_drawn_models(case: tuple[Partition, Workload]) -> None:
    check(run_workload(TINY, *case, seed=1), drawn=True)


@pytest.mark.slow
@LARGE_CASES
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=drawn(SMALL, 400))
def test_drawn_models_on_small(case: tuple[Partition, Workload]) -> None:
    check(run_workload(SMALL, *case, seed=1), drawn=True)
