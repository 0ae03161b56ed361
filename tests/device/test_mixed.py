"""Pipelines that are resident together, some of them sharing models: each query names its own."""

from __future__ import annotations

import pytest

from driver.cache_plan import plan_cache
from driver.deploy import deploy
from driver.errors import UserError
from driver.image import MEMORY_LIMIT, MemoryImage
from driver.lookup_check import compare_lookups
from driver.partition import parse_partition
from golden.filter import FunnelRules
from hdl.control.registers import COUNTERS
from hdl.program import Status

from .support import CONFIG, Case, three_stage_workload

KEEP = (11, 6, 4)
CASES = {
    "any engine": ("4x4:4", ((0, 1, 2), (2,), (0, 2), (2, 1))),
    "engines of a stage": ("4x4:2@0,4x4:2@1", ((0, 1), (1, 2), (2,))),
}


@pytest.mark.parametrize("name", CASES)
def test_each_query_runs_through_its_pipeline(name: str) -> None:
    partition, pipelines = CASES[name]
    case = Case(three_stage_workload(), partition=partition, pipelines=pipelines)
    good, numbers, own = [], [], []
    for index in range(3 * len(pipelines)):
        pipeline, number = index % len(pipelines), index % 3
        keep = KEEP[: len(pipelines[pipeline])]
        policy = ("exact", "quota", "binned")[index % 3]
        rules = FunnelRules(policy=policy, sub_batches=1 + index % 4)
        placed = case.query(number, keep=keep, rules=rules, pipeline=pipeline)
        good.append((placed, case.golden(number, keep=keep, rules=rules, pipeline=pipeline)))
        numbers.append(number)
        own.append(pipeline)
    unknown = case.query(0, pipeline=len(pipelines)).entry
    played = case.run()
    assert case.difference(played, good, pipelines=own) is None
    counters = {name: played.register(name) for name, _ in COUNTERS}
    ids = [case.workload.queries[number].ids for number in numbers]
    goldens = [golden for _, golden in good]
    found = compare_lookups(case.deployment, played.records, goldens, ids, counters, own)
    assert found is None
    assert {played.status(placed.entry) for placed, _ in good} == {Status.OK}
    assert played.status(unknown) == Status.BAD_PIPELINE


def test_pipelines_that_are_none() -> None:
    models = three_stage_workload().quantised
    counts = three_stage_workload().counts
    for pipelines, text in (
        ([(0, 1)], "pipelines run programs"),
        ([(0, 1, 2)] * (CONFIG.max_pipelines + 1), "pipelines; tiny holds"),
        ([(0, 1, 2), ()], "a pipeline has 0 stages"),
    ):
        with pytest.raises(UserError, match=text):
            deploy(
                CONFIG,
                partition=parse_partition(CONFIG, "fused", stages=3),
                models=models,
                cache=plan_cache(CONFIG, models, counts),
                image=MemoryImage(limit=MEMORY_LIMIT),
                pipelines=pipelines,
            )
