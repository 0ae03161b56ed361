"""Other tables and other cache contents on a running device, between two queries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from driver.cache_plan import plan_cache
from driver.loads import Load, refresh_loads
from driver.repartition import put_loads
from golden.pipeline import run_integer
from hdl.program import ALL_UNITS, Target

from .support import CONFIG, Case


def _inverted(case: Case) -> list[np.ndarray]:
    """Rows of all tables of the first stage, other ones in every place."""
    return [(-table).astype(np.int8) for table in case.workload.quantised[0].tables]


@pytest.mark.parametrize("cached", [False, True])
def test_tables_change_between_queries(cached: bool) -> None:
    """The same query before and after; both exact, in the caches and in device memory."""
    case = Case(cached=cached, entries=80)
    host, deployment = case.host, case.deployment
    before = case.query(0)
    tables = _inverted(case)
    first = replace(case.workload.quantised[0], tables=tuple(tables))
    models = [first, *case.workload.quantised[1:]]
    cache = deployment.cache
    assert cache is not None
    loads = refresh_loads(cache, models, case.image, deployment.loads)
    put_loads(host, loads)
    after = case.query(0)

    case.start()
    host.ring(before.entry + 1)
    host.wait(before.entry + 1, timeout=1_000_000)
    for base, table in zip(deployment.tables[0], tables, strict=True):
        host.job.memory_write(base, table.tobytes())
    end = host.ring()
    host.wait(timeout=1_000_000)
    case.finish()
    played = case.play()

    query = case.workload.queries[0]
    changed = run_integer(models, case.keep, query.dense, query.ids)
    same = case.golden(0)
    assert played.results(before)[:, 1].tolist() == same.scores.tolist()
    assert played.results(after)[:, 1].tolist() == changed.scores.tolist()
    assert played.results(after)[:, 0].tolist() == changed.items.tolist()
    assert same.scores.tolist() != changed.scores.tolist()
    # Every lane has forgotten its lines exactly once.
    steps = played.since(played.outcome.result.cycles[end])["tag_steps"]
    for lane in range(CONFIG.gather_lanes):
        mine = steps.where(steps.source == lane)
        assert mine["fresh"].tolist() == [1] + [0] * (len(mine) - 1)


def test_only_what_differs_is_loaded() -> None:
    case = Case()
    cache, models = case.deployment.cache, case.workload.quantised
    assert cache is not None
    regions: Load
    (regions,) = refresh_loads(cache, models, case.image, case.deployment.loads)
    assert (regions.target, regions.units) == (Target.CACHE_REGIONS, (ALL_UNITS,))
    counts = [[c[::-1].copy() for c in stage] for stage in case.workload.counts]
    other = plan_cache(CONFIG, models, counts)
    targets = [load.target for load in refresh_loads(other, models, case.image)]
    assert targets[0] is Target.CACHE_REGIONS
    assert set(targets[1:]) == {Target.CACHE_DATA, Target.CACHE_TAGS}
