"""Policies and orders of items on scores made up here; the tables of the bench."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from driver.bench.funnel_quality import ORDERS, bench_rules, order_rows, policy_rows
from driver.errors import UserError
from driver.options import RunOptions
from driver.pipelines import pipeline
from driver.rules import early_fractions, funnel_rules, group_sizes, listed_words
from driver.workload import Workload, load_workload
from golden.filter import FunnelRules
from hdl.config import preset
from rpaccel import cli

SPEC = pipeline("kaggle-2").scaled(512)


@cache
def workload() -> Workload:
    return load_workload(pipeline("demo-2").scaled(64), queries=2, max_rows=10_000, seed=1)


def test_exact_keeps_everything_and_the_others_some() -> None:
    random = np.random.default_rng(3)
    scores = [[random.integers(-3000, 3000, 64).astype(np.int16) for _ in "ab"] for _ in "ab"]
    rows = policy_rows(workload(), scores, [4])
    for row in rows:
        assert row["ndcg"] is not None
        if row["policy"] == "exact":
            assert row["recall"] == row["first_recall"] == 1
            assert row["ranked"] >= 1
        elif row["policy"] == "quota":
            assert 0.3 < row["first_recall"] < 1 and row["ranked"] == 1
        elif row["sub_batches"] == 1:
            assert row["first_recall"] == 1 and row["ranked"] >= 1


def test_orders_are_permutations_and_late_best_items_cost_most() -> None:
    random = np.random.default_rng(4)
    scores = [[random.permutation(64).astype(np.int16), np.zeros(64, np.int16)]]
    for name, order in ORDERS.items():
        assert sorted(order(scores[0][0], 4, random)) == list(range(64)), name
    rows = {row["order"]: row for row in order_rows(workload(), scores, [4])}
    assert rows["best first"]["wasted"] == rows["best last"]["wasted"] == 0
    worst = rows["best in the last one"]
    # Everything forwarded before falls out: of k = 8, what the fractions allow.
    early = early_fractions(workload().pipeline, 4)[0][-1] * 8 >> 16
    assert worst["wasted"] == early / 8 <= worst["limit"]
    assert worst["late"] == 1


@pytest.mark.parametrize("parts", [2, 4, 16])
def test_fractions_leave_a_margin_and_rise(parts: int) -> None:
    (shares,) = early_fractions(SPEC, parts)
    quotas = [64 * share >> 16 for share in shares]
    assert len(quotas) == parts - 1
    for number, quota in enumerate(quotas, 1):
        assert 0 <= quota < 64 * number / parts
    assert quotas == sorted(quotas)


def test_groups_add_up_and_lists_are_counted() -> None:
    config = preset("small")
    for policy, parts in (("exact", 1), ("exact", 4), ("quota", 16), ("binned", 3)):
        rules = bench_rules(SPEC, policy, parts)
        sizes = group_sizes(SPEC, rules)
        assert [sum(groups) for groups in sizes] == [512, 64]
        assert all(len(groups) == parts for groups in sizes)
    assert listed_words(config, SPEC, FunnelRules()) == 512 + 64
    assert listed_words(config, SPEC, FunnelRules(sub_batches=2)) == 512 + 128
    assert listed_words(config, SPEC, FunnelRules(policy="binned", sub_batches=2)) == 1024


def test_rules_that_do_not_fit() -> None:
    options = RunOptions(preset="tiny", pipeline="kaggle-2", policy="binned", sub_batches=2)
    with pytest.raises(UserError, match="take 3072 candidates with policy binned in 2 sub-batches"):
        three = pipeline("kaggle-3").scaled(1024)
        funnel_rules(preset("tiny"), three, options)
    with pytest.raises(UserError, match="at most the 8 items of a query, not 9"):
        funnel_rules(preset("tiny"), SPEC.scaled(8), replace(options, sub_batches=9))
    with pytest.raises(UserError, match="tiny-baseline filters on the host"):
        funnel_rules(preset("tiny-baseline"), SPEC, options)


def test_quality_tables(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "funnel", "--only", "quality", "--quality-queries", "1", "--sub-batches", "4"]
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert "recall of stage 0" in text and "best in the last one" in text
    assert cli.main(["bench", "funnel", "--preset", "tiny-baseline", "--only", "latency"]) == 2
    assert cli.main(["bench", "funnel", "--pipeline", "kaggle-1", "--only", "latency"]) == 2
