"""How queries are cut when nobody says so."""

from __future__ import annotations

import pytest

from driver.options import RunOptions
from driver.partition import parse_partition
from driver.pipelines import Pipeline, pipeline
from driver.rules import funnel_rules
from golden.filter import FunnelRules
from hdl.config import Config, preset

SMALL = preset("small")


@pytest.mark.parametrize(
    ("name", "items", "partition", "parts"),
    [
        ("kaggle-2", 512, "8x8:2@0,8x8:2@1", 8),
        ("kaggle-3", 512, "8x8:2@0,8x8:1@1,8x8:1@2", 8),
        ("kaggle-2", 128, "8x8:2@0,8x8:2@1", 4),
        ("kaggle-2", 63, "8x8:2@0,8x8:2@1", 1),  # row blocks of a few items
        ("kaggle-2", 512, "8x8:2@0,8x8:2", 1),  # engines that serve both overlap by themselves
        ("kaggle-2", 512, "16x16:1", 1),
        ("kaggle-1", 512, "8x8:4", 1),
    ],
)
def test_sub_batches_where_stages_have_engines_of_their_own(
    name: str, items: int, partition: str, parts: int
) -> None:
    spec = pipeline(name).scaled(items)
    cut = parse_partition(SMALL, partition, stages=len(spec.stages))
    options = RunOptions(preset="small", pipeline=name)
    assert funnel_rules(SMALL, spec, options, cut).sub_batches == parts
    assert funnel_rules(SMALL, spec, options).sub_batches == 1


@pytest.mark.parametrize("words", [{"sub_batches": 1}, {"policy": "quota"}, {"policy": "binned"}])
def test_what_is_asked_for_is_done(words: dict[str, object]) -> None:
    spec = pipeline("kaggle-2").scaled(512)
    cut = parse_partition(SMALL, "8x8:2@0,8x8:2@1", stages=2)
    options = RunOptions(preset="small", pipeline="kaggle-2", **words)  # type: ignore[arg-type]
    assert funnel_rules(SMALL, spec, options, cut).sub_batches == 1


@pytest.mark.parametrize(("most", "parts"), [(8, 8), (2, 2), (1, 1)])
def test_lists_that_do_not_fit_are_cut_into_fewer(
    most: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where later stages' lists need room for survivors that are dropped again."""

    def words(config: Config, spec: Pipeline, rules: FunnelRules) -> int:
        return config.candidate_words + (rules.sub_batches > most)

    monkeypatch.setattr("driver.rules.listed_words", words)
    spec = pipeline("kaggle-2").scaled(512)
    cut = parse_partition(SMALL, "8x8:2@0,8x8:2@1", stages=2)
    options = RunOptions(preset="small", pipeline="kaggle-2")
    assert funnel_rules(SMALL, spec, options, cut).sub_batches == parts
