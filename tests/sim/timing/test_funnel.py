"""The funnel's timing model against its RTL, cycle for cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from golden.filter import select, strided
from sim.timing.funnel import StageTiming, ready_cycles
from tests.hdl.ranking.funnel_bench import FunnelBench, Query
from tests.hdl.ranking.test_funnel import CONFIGS, shaped

CASES = [
    ("tiny", "random", 50, 20), ("tiny", "constant", 30, 11), ("wide", "random", 90, 30),
    ("wide", "few values", 41, 40), ("wide", "one high byte", 64, 7), ("wide", "sorted", 40, 20),
]  # fmt: skip


@pytest.fixture(scope="module")
def benches() -> dict[str, FunnelBench]:
    return {name: FunnelBench(config) for name, config in CONFIGS.items()}


@pytest.mark.parametrize("policy", ["exact", "quota", "binned"])
def test_reports_come_when_the_model_says(benches: dict[str, FunnelBench], policy: str) -> None:
    """Both stages, selections that find the selector idle."""
    for name, shape, n, k in CASES if policy == "exact" else CASES[::3]:
        config, rng = CONFIGS[name], np.random.default_rng(n)
        scores = [shaped(shape, n, 1, rng), shaped("few values", n, 1, rng)]
        keep = [k, max(1, k // 3)]
        bench = benches[name]
        bench.waits.clear()
        bench.check([Query(scores, keep, 1, policy, [], 1)], lull=9)
        items = np.arange(n)
        for stage, final in enumerate((False, True)):
            groups = strided(len(items), 1)
            here = scores[stage][items]
            options: dict[str, Any] = {
                "k": keep[stage],
                "policy": policy,
                "bins": 1,
                "final": final,
            }
            chosen = select(here, items, groups, **options)
            timing = StageTiming(config, here, items, groups, first=stage == 0, **options)
            got = timing.selection(0)
            assert len(got.listed) == len(chosen.forwarded[0])
            wait = ready_cycles(config) + got.report
            assert bench.waits[stage] == wait, (name, shape, stage)
            items = items[chosen.forwarded[0]]


def test_the_last_of_several_sub_batches(benches: dict[str, FunnelBench]) -> None:
    """Dropped candidates are marked one a cycle; a part of a list starts at its own word."""
    rng = np.random.default_rng(5)
    n, k, parts = 120, 30, 3
    scores = shaped("rising by sub-batch", n, parts, rng)
    items, groups, config = np.arange(n), strided(n, parts), CONFIGS["wide"]
    for policy, fractions in (("exact", [20000, 40000]), ("quota", [])):
        bench = benches["wide"]
        bench.waits.clear()
        bench.check([Query([scores, scores], [k, 5], parts, policy, [fractions, []])], lull=9)
        chosen = select(scores, items, groups, k=k, policy=policy, fractions=fractions)
        timing = StageTiming(
            config,
            scores,
            items,
            groups,
            k=k,
            policy=policy,
            fractions=fractions,
            first=True,
            final=False,
        )
        selections = [timing.selection(part) for part in range(parts)]
        for selection, forwarded in zip(selections, chosen.forwarded, strict=True):
            assert len(selection.listed) == len(forwarded)
        assert selections[-1].report + ready_cycles(config) in bench.waits
