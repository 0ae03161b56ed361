"""What a change of partition between queries costs, in simulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hdl.config import Config
from sim.errors import SimulationError
from sim.runner import run_job

from ..cache_plan import plan_cache
from ..check import compare_traces, read_records
from ..deploy import deploy
from ..device import build_device
from ..host import Host, completions, results
from ..image import MEMORY_LIMIT, MemoryImage
from ..partition import parse_partition
from ..pipelines import Pipeline
from ..repartition import Contents, put_loads, write_switch
from ..rtl import check_status
from ..run import golden_results
from ..workload import load_workload

__all__ = ["CHANGE_COLUMNS", "measure_changes"]

CHANGE_COLUMNS = {
    "before": "from",
    "partition": "to",
    "register_cycles": "register writes [cycles]",
    "applied_cycles": "until in force [cycles]",
    "loads": "LOADs",
    "words": "limit: words [cycles]",
    "load_cycles": "LOADs [cycles]",
}


def measure_changes(
    config: Config,
    spec: Pipeline,
    texts: list[str],
    *,
    max_rows: int,
    simulator: str,
    seed: int,
    progress: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Rank a query in each partition, one after the other, without a reset; a row a change.

    Embedding tables and cache stay; an engine is loaded with the tables that it has not yet.

    Raises
    ------
    UserError
        A partition is none, or the models do not fit it.
    SimulationError
        The device reports an error, or a query is not bit-exact.
    """
    workload = load_workload(spec, queries=len(texts), max_rows=max_rows, seed=seed)
    models = workload.quantised
    items = [stage.items for stage in spec.stages]
    cache = plan_cache(config, models, workload.counts, items)
    image = MemoryImage(limit=MEMORY_LIMIT)
    deployments = []
    for text in texts:
        partition = parse_partition(config, text, stages=len(models))
        deployments.append(
            deploy(config, partition=partition, models=models, cache=cache, image=image)
        )
    contents = Contents(deployments[0])
    loads = [contents.change(deployment) for deployment in deployments[1:]]
    host = Host(deployments[0], image, entries=len(texts) + sum(map(len, loads)))
    keep = [stage.keep for stage in spec.stages]
    first, *others = workload.queries
    placed, tails = [host.put_query(first.dense, first.ids, keep)], []
    for new, query in zip(loads, others, strict=True):
        tails.append(put_loads(host, new))
        placed.append(host.put_query(query.dense, query.ids, keep))

    host.open()
    host.ring(host.loads)
    host.wait(host.loads)
    host.ring(placed[0].entry + 1)
    host.wait(placed[0].entry + 1)
    switches = []
    for deployment, tail, query_entry in zip(deployments[1:], tails, placed[1:], strict=True):
        switches.append(write_switch(host, deployment, tail))
        host.ring(query_entry.entry + 1)
        host.wait(query_entry.entry + 1)
    host.dump_completions()
    for place in placed:
        host.dump_results(place, f"results.{place.entry}")
    build = build_device(
        config, simulator=simulator, memory_bytes=image.size, waves=None, waves_depth=None,
        progress=progress,
    )  # fmt: skip
    progress(f"simulating {len(texts)} queries and {len(switches)} changes of partition")
    outcome = run_job(build, host.job, image=image.to_bytes(), seed=seed)
    check_status(completions(outcome.result, host.entries))

    records, at = read_records(config, outcome.traces), outcome.result.cycles
    bounds = [0, *(at[switch.begin] for switch in switches), at[-1] + 1]
    expected = golden_results(workload, keep_layers=True)
    for number, (deployment, place) in enumerate(zip(deployments, placed, strict=True)):
        begin, end = bounds[number : number + 2]
        difference = compare_traces(
            deployment,
            {k: r.where((r.cycle >= begin) & (r.cycle < end)) for k, r in records.items()},
            [expected[number]],
            [results(outcome.result, place, f"results.{place.entry}")],
        )
        if difference is not None:
            raise SimulationError(f"{texts[number]}: not bit-exact: {difference}")
    rows = []
    for number, (switch, new) in enumerate(zip(switches, loads, strict=True)):
        registers, applied, loading = switch.cycles(outcome.result)
        rows.append(
            {
                "before": texts[number],
                "partition": texts[number + 1],
                "register_cycles": registers,
                "applied_cycles": applied,
                "loads": len(new),
                "words": sum(load.words for load in new),
                "load_cycles": loading,
            }
        )
    return rows
