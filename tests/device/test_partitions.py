"""Every legal partition: bit-exact queries, engines tagged with stages, changes at run time."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from driver.cache_plan import plan_cache
from driver.check import compare_traces
from driver.deploy import deploy
from driver.options import RunOptions
from driver.partition import Partition, legal_partitions, parse_partition
from driver.pipelines import pipeline
from driver.repartition import Contents, put_loads, write_switch
from driver.rtl import plan_run, run_rtl
from driver.run import golden_results
from driver.workload import load_workload
from hdl.config import preset

from .support import CONFIG, Case

FIRST, SECOND, ANY = frozenset({0}), frozenset({1}), None
MIXES = {
    "any": (ANY,),
    "alternate": (FIRST, SECOND),
    "first alone": (FIRST, SECOND, SECOND, SECOND),
    "mixed": (SECOND, FIRST, ANY),
}
"""Stages of the engines, repeated until all have theirs."""


def name(partition: Partition) -> str:
    return "".join(map(str, partition.levels))


def mixed(partition: Partition, mix: str) -> Partition:
    stages = itertools.cycle(MIXES[mix])
    return partition.serving([next(stages) for _ in partition.engines])


def run(preset_name: str, partition: Partition, words: str, **sizes: Any) -> dict[str, Any]:
    """A query in a partition that need not have a text."""
    spec = pipeline(words).scaled(sizes.pop("items"))
    workload = load_workload(spec, queries=1, seed=1, **sizes)
    plan = plan_run(preset(preset_name), partition, workload)
    expected = golden_results(workload, keep_layers=True)
    options = RunOptions(preset=preset_name, pipeline=words)
    return run_rtl(plan, workload, expected, options, lambda text: None)


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("partition", legal_partitions(CONFIG), ids=name)
def test_tiny_in_every_partition(partition: Partition, mix: str) -> None:
    if len(partition.engines) == 1 and mix != "any":
        pytest.skip("one engine serves all stages")
    result = run("tiny", mixed(partition, mix), "demo-2", items=16, max_rows=40)
    assert result["difference"] is None


@pytest.mark.slow
@pytest.mark.parametrize("mix", ["any", "alternate"])
@pytest.mark.parametrize(
    "partition", legal_partitions(preset("small"), up_to_symmetry=True), ids=name
)
def test_small_in_every_partition(partition: Partition, mix: str) -> None:
    """All cuts of a 4x4 grid but for turns and reflections."""
    if len(partition.engines) == 1 and mix != "any":
        pytest.skip("one engine serves all stages")
    result = run("small", mixed(partition, mix), "kaggle-2", items=64, max_rows=500)
    assert result["difference"] is None


def test_partition_changes_between_queries() -> None:
    """Fused, split by stage, mixed, fused again: no reset, the embedding tables stay."""
    texts = ["4x4:1@0,4x4:3@1", "split", "fused"]
    case = Case(entries=200)
    models = case.workload.quantised
    cache = plan_cache(CONFIG, models, case.workload.counts)
    deployments = [
        deploy(
            CONFIG,
            partition=parse_partition(CONFIG, text, stages=len(models)),
            models=models,
            cache=cache,
            image=case.image,
        )
        for text in texts
    ]
    contents = Contents(case.deployment)
    queries, tails, loads = [case.query(0)], [], []
    for number, deployment in enumerate(deployments):
        loads.append(contents.change(deployment))
        tails.append(put_loads(case.host, loads[-1]))
        queries.append(case.query((number + 1) % 3))
    case.start()
    case.host.ring(queries[0].entry + 1)
    case.host.wait(queries[0].entry + 1, timeout=1_000_000)
    switches = []
    for deployment, tail, query in zip(deployments, tails, queries[1:], strict=True):
        switches.append(write_switch(case.host, deployment, tail))
        case.host.ring(query.entry + 1)
        case.host.wait(query.entry + 1, timeout=1_000_000)
    case.finish()
    played = case.play()

    starts = [0] + [played.outcome.result.cycles[switch.begin] for switch in switches]
    ends = [*starts[1:], played.outcome.result.cycles[-1] + 1]
    for number, deployment in enumerate([case.deployment, *deployments]):
        records = {
            key: r.where((r.cycle >= starts[number]) & (r.cycle < ends[number]))
            for key, r in played.records.items()
        }
        result = played.results(queries[number])
        found = compare_traces(deployment, records, [case.golden(number % 3)], [result])
        assert found is None, f"partition {number}: {found}"
    for switch, deployment, new in zip(switches, deployments, loads, strict=True):
        registers, applied, loading = switch.cycles(played.outcome.result)
        # A write over AXI4-Lite takes a few cycles.
        assert 0 < registers < 100
        assert 0 < applied < 20
        words = sum(load.words for load in new)
        # A word a cycle, the entry, the first words and the last completion from the memory.
        assert words < loading < words + 16 * len(new) + 500
        print(
            f"{deployment.partition.text}: {registers} cycles of register writes, {applied} until "
            f"it is in force, {loading} of {len(new)} LOADs ({words} words)"
        )
