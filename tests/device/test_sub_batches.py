"""Queries in sub-batches, of all policies, side by side: every layer and selection is golden's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import rpaccel
from driver.host import PlacedQuery
from driver.lookup_check import compare_lookups
from golden.filter import POLICIES, FunnelRules
from golden.pipeline import QueryResult
from hdl.control.registers import COUNTERS
from hdl.program import Status

from .support import CONFIG, ITEMS, Case, Played, small_workload, three_stage_workload

FRACTIONS = ((9000, 24000, 43000, 60000, 62000), (20000, 30000, 65000))
"""Too much at the end: some of it is dropped again. Sub-batches behind them forward nothing."""
CASES = {
    "two stages on one engine": ("fused", 2),
    "an engine for each stage": ("4x4:2@0,4x4:2@1", 2),
    "three stages on any engine": ("4x4:4", 3),
    "three stages on their own": ("4x4:1@0,4x4:1@1,4x4:2@2", 3),
}
COUNTS = (1, 2, 3, 4, 5, 8, 16)
BAD: dict[str, tuple[dict[str, Any], FunnelRules, Status]] = {
    "more sub-batches than items": (
        {"items": 3, "keep": [2, 1, 1, 0]}, FunnelRules(sub_batches=4), Status.BAD_SIZE
    ),
    "unknown policy": ({"flags": {"policy": 3}}, FunnelRules(), Status.BAD_SIZE),
}  # fmt: skip

TOO_LONG = CONFIG.max_items
"""Items of a query whose lists fill the candidate memory when no stage drops one."""


class Run:
    """One simulation: queries of all policies and many cuts, bad ones between them."""

    def __init__(self, partition: str, stages: int) -> None:
        self.case = Case(
            small_workload() if stages == 2 else three_stage_workload(),
            partition=partition,
            fractions=FRACTIONS[: stages - 1],
        )
        self.good: list[tuple[PlacedQuery, QueryResult]] = []
        self.numbers: list[int] = []
        self.bad: dict[str, int] = {}
        bad = iter(BAD)
        for index, count in enumerate(COUNTS):
            for turn, policy in enumerate(POLICIES):
                rules = FunnelRules(
                    policy=policy,
                    sub_batches=count,
                    bins=(index + turn) % 4 if policy == "binned" else 0,
                    fractions=FRACTIONS,
                )
                number = (index + turn) % 3
                placed = self.case.query(number, rules=rules)
                self.good.append((placed, self.case.golden(number, rules=rules)))
                self.numbers.append(number)
            for name in [next(bad)] if index < len(BAD) else []:
                fields, rules, _ = BAD[name]
                self.bad[name] = self.case.query(0, rules=rules, **fields).entry
        self.long = self._long_lists() if stages == 3 else None
        self.played: Played = self.case.run()

    def _long_lists(self) -> int:
        """A query whose three lists do not fit the candidate memory, two would."""
        case = self.case
        records = case.image.reserve(
            TOO_LONG * case.deployment.pitch, align=CONFIG.record_alignment, what="records"
        )
        rules = FunnelRules(policy="binned", sub_batches=2)
        fields: dict[str, Any] = {"items": TOO_LONG, "keep": [TOO_LONG - 1] * 3 + [0]}
        return case.query(0, rules=rules, address=records, result=records, **fields).entry


@pytest.fixture(scope="module", params=CASES)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    yield Run(*CASES[request.param])


def test_every_layer_and_selection_is_golden(run: Run) -> None:
    assert run.case.difference(run.played, run.good) is None


def test_every_lookup_is_golden(run: Run) -> None:
    counters = {name: run.played.register(name) for name, _ in COUNTERS}
    ids = [run.case.workload.queries[number].ids for number in run.numbers]
    goldens = [golden for _, golden in run.good]
    found = compare_lookups(run.case.deployment, run.played.records, goldens, ids, counters)
    assert found is None


def test_completions(run: Run) -> None:
    for placed, golden in run.good:
        completion = run.played.completions[placed.entry]
        assert (completion.status, completion.count) == (Status.OK, len(golden.items))
    for name, (_, _, status) in BAD.items():
        assert run.played.status(run.bad[name]) == status, name
    if run.long is not None:
        assert 2 * TOO_LONG <= CONFIG.candidate_words < 3 * TOO_LONG
        assert run.played.status(run.long) == Status.BAD_SIZE


def test_something_was_dropped(run: Run) -> None:
    """The cases hold what they are for."""
    assert any(len(s.dropped) for _, golden in run.good for s in golden.stages)
    assert any(len(s.items) > len(g.stages[0].survivors) for _, g in run.good for s in g.stages[1:])
    assert len(run.good[0][1].stages[0].items) == ITEMS


def test_host_keeps_a_window_of_queries() -> None:
    result = rpaccel.run(
        preset="tiny", pipeline="demo-2", items=16, queries=4, in_flight=2, policy="quota",
        sub_batches=3,
    )  # fmt: skip
    assert result["difference"] is None
    assert (result["in_flight"], result["policy"], result["sub_batches"]) == (2, "quota", 3)
    assert len(result["query_cycles"]) == 4
