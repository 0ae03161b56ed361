"""The funnel: survivors, order, carried indices; comparison of results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from golden import float_model, integer_model
from golden.compare import compare_layers, compare_queries
from golden.filter import FunnelRules
from golden.model import Model, named_shape, random_model
from golden.pipeline import QueryResult, run_float, run_integer
from golden.quantise import choose_dense_scale, quantise, quantise_dense
from golden.quantised_model import QuantisedModel

ITEMS = 300
KEEP = (40, 8)


def build() -> tuple[list[Model], list[QuantisedModel], np.ndarray, np.ndarray]:
    models = [random_model(named_shape(name, max_rows=6), seed=2) for name in ("RMsmall", "RMmed")]
    random = np.random.default_rng(3)
    dense = random.random((ITEMS, 13)).astype(np.float32)
    rows = models[0].shape.rows
    ids = np.stack([random.integers(0, n, ITEMS) for n in rows], axis=1).astype(np.uint32)
    dense[200:] = dense[:100]  # pairs of equal items: ties
    ids[200:] = ids[:100]
    scale = choose_dense_scale(dense)
    quantised = [quantise(model, dense, ids, dense_scale=scale) for model in models]
    return models, quantised, dense, ids


def check(result: QueryResult, scores: list[np.ndarray]) -> None:
    """Against a plain funnel over scores of all items."""
    items = list(range(ITEMS))
    for stage, (all_scores, keep) in enumerate(zip(scores, KEEP, strict=True)):
        assert result.stages[stage].items.tolist() == items
        assert result.stages[stage].scores.tolist() == all_scores[items].tolist()
        best = sorted(items, key=lambda i: (-float(all_scores[i]), i))[:keep]
        items = sorted(best)
        assert result.stages[stage].survivors.tolist() == items
    assert result.items.tolist() == best
    assert result.scores.tolist() == scores[-1][best].tolist()


def test_integer_funnel_keeps_original_indices_and_breaks_ties() -> None:
    _, quantised, dense, ids = build()
    q = quantise_dense(dense, quantised[0].dense_scale)
    scores = [integer_model.forward(model, q, ids)["score"] for model in quantised]
    result = run_integer(quantised, KEEP, q, ids)
    assert result.stages[0].layers is None
    check(result, scores)
    # The ties were real: an item and its copy follow each other in the result.
    pairs = {(int(i), int(i) + 200) for i in result.items if i < 100}
    assert pairs & set(zip(result.items.tolist(), result.items.tolist()[1:], strict=False))


def test_float_funnel() -> None:
    models, _, dense, ids = build()
    result = run_float(models, KEEP, dense, ids, keep_layers=True)
    layers = result.stages[1].layers
    assert layers is not None and layers["bottom.0"].shape == (40, 64)
    kept = result.stages[0].survivors
    expected = float_model.forward(models[1], dense[kept], ids[kept])
    np.testing.assert_array_equal(layers["score"], expected["score"])
    best = sorted(range(40), key=lambda m: (-float(expected["score"][m]), m))[:8]
    assert result.items.tolist() == kept[best].tolist()


def test_bad_queries() -> None:
    _, quantised, dense, ids = build()
    q = quantise_dense(dense, 0.1)
    with pytest.raises(ValueError, match="keep of stage 1 must be in 1..40, not 41"):
        run_integer(quantised, (40, 41), q, ids)
    with pytest.raises(ValueError, match="keep of stage 0 must be in 1..300, not 301"):
        run_integer(quantised, (301, 8), q, ids)
    with pytest.raises(ValueError, match="keep must have one number per stage"):
        run_integer(quantised, (40,), q, ids)
    with pytest.raises(ValueError, match="at least one item"):
        run_integer(quantised, KEEP, q[:0], ids[:0])
    assert run_integer(quantised, (1, 1), q[:1], ids[:1]).items.tolist() == [0]


def result_with_layers() -> tuple[QueryResult, list[dict[str, np.ndarray]]]:
    _, quantised, dense, ids = build()
    q = quantise_dense(dense, quantised[0].dense_scale)
    result = run_integer(quantised, KEEP, q, ids, keep_layers=True)
    copies = []
    for stage in result.stages:
        assert stage.layers is not None
        copies.append({name: values.copy() for name, values in stage.layers.items()})
    return result, copies


def test_equal_results_have_no_difference() -> None:
    result, layers = result_with_layers()
    assert (
        compare_queries(
            result,
            items=result.items,
            scores=result.scores.astype(np.int32),
            layers=layers,
            survivors=[stage.forwarded for stage in result.stages],
        )
        is None
    )


def test_first_difference_is_named() -> None:
    result, layers = result_with_layers()
    layers[1]["interaction"][5, 17] ^= 1
    layers[1]["top.0"][2, 3] ^= 1  # later in the chain, must not be the one named
    difference = compare_queries(result, items=result.items, scores=result.scores, layers=layers)
    assert difference is not None
    item = int(result.stages[1].items[5])
    assert (difference.stage, difference.layer) == (1, "interaction")
    assert (difference.item, difference.channel) == (item, (17,))
    assert str(difference) == (
        f"stage 1, layer interaction, item {item}, channel 17: "
        f"expected {difference.expected}, got {difference.got}"
    )


def test_partial_traces_survivors_and_results() -> None:
    result, layers = result_with_layers()
    some = [{"top.0": layers[0]["top.0"]}, {"score": layers[1]["score"]}]
    assert compare_queries(result, items=result.items, scores=result.scores, layers=some) is None
    kept = [[part.copy() for part in stage.forwarded] for stage in result.stages]
    kept[0][0][4] += 1
    difference = compare_queries(
        result, items=result.items, scores=result.scores, layers=some, survivors=kept
    )
    assert difference is not None
    assert (difference.stage, difference.layer, difference.item) == (0, "survivors", 4)
    swapped = result.items.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    difference = compare_queries(result, items=swapped, scores=result.scores)
    assert difference is not None and difference.layer == "result items" and difference.item == 0
    difference = compare_queries(result, items=result.items[:-1], scores=result.scores[:-1])
    assert difference is not None and difference.item is None
    assert "expected shape (8,), got (7,)" in str(difference)


def test_unknown_layer_is_an_error() -> None:
    _, layers = result_with_layers()
    with pytest.raises(KeyError, match="unknown layer 'top.9'"):
        compare_layers(layers[0], {"top.9": layers[0]["top.0"]})


def test_comparing_layers_needs_them() -> None:
    result, layers = result_with_layers()
    bare = replace(result, stages=tuple(replace(stage, layers=None) for stage in result.stages))
    with pytest.raises(ValueError, match="keep_layers"):
        compare_queries(bare, items=result.items, scores=result.scores, layers=layers)


def plain_funnel(
    scores: list[np.ndarray], keep: tuple[int, ...], parts: int
) -> list[list[list[int]]]:
    """Policy `quota` item by item: what each stage passes on of each sub-batch."""
    groups = [list(range(part, len(scores[0]), parts)) for part in range(parts)]
    passed = []
    for values, k in zip(scores[:-1], keep, strict=False):
        share = [k // parts + (part < k % parts) for part in range(parts)]
        groups = [
            sorted(sorted(group, key=lambda i: (-int(values[i]), i))[:count])
            for group, count in zip(groups, share, strict=True)
        ]
        passed.append(groups)
    return passed


def test_quota_passes_shares_on() -> None:
    _, quantised, dense, ids = build()
    q = quantise_dense(dense, quantised[0].dense_scale)
    scores = [integer_model.forward(model, q, ids)["score"] for model in quantised]
    rules = FunnelRules(policy="quota", sub_batches=7)
    result = run_integer(quantised, KEEP, q, ids, rules=rules)
    (expected,) = plain_funnel(scores, KEEP, 7)
    first, last = result.stages
    assert [part.tolist() for part in first.forwarded] == expected
    assert last.items.tolist() == [item for part in expected for item in part]
    best = sorted(last.items.tolist(), key=lambda i: (-int(scores[1][i]), i))[: KEEP[1]]
    assert result.items.tolist() == best


@pytest.mark.parametrize("parts", [1, 4, 16])
@pytest.mark.parametrize("fraction", [0, 20_000, 65_535])
def test_exact_in_sub_batches_gives_the_whole_querys_result(parts: int, fraction: int) -> None:
    """However much is forwarded early; what falls out again is ranked and named."""
    _, quantised, dense, ids = build()
    q = quantise_dense(dense, quantised[0].dense_scale)
    whole = run_integer(quantised, KEEP, q, ids)
    fractions = tuple(fraction * (part + 1) // parts for part in range(parts - 1))
    rules = FunnelRules(sub_batches=parts, fractions=(fractions,))
    result = run_integer(quantised, KEEP, q, ids, rules=rules, keep_layers=True)
    assert result.items.tolist() == whole.items.tolist()
    assert result.scores.tolist() == whole.scores.tolist()
    first, last = result.stages
    assert first.survivors.tolist() == whole.stages[0].survivors.tolist()
    assert last.items.tolist() == np.concatenate(first.forwarded).tolist()
    assert sorted(last.items) == sorted([*first.survivors, *first.dropped])
    assert last.layers is not None and len(last.layers["score"]) == len(last.items)
    if parts > 1 and fraction == 65_535:
        assert len(first.dropped) > 0
    if fraction == 0:
        assert [len(part) for part in first.forwarded] == [0] * (parts - 1) + [KEEP[0]]


def test_binned_passes_on_at_least_its_share() -> None:
    _, quantised, dense, ids = build()
    q = quantise_dense(dense, quantised[0].dense_scale)
    rules = FunnelRules(policy="binned", sub_batches=3, bins=1)
    result = run_integer(quantised, KEEP, q, ids, rules=rules)
    first = result.stages[0]
    assert all(len(p) >= n for p, n in zip(first.forwarded, (14, 13, 13), strict=True))
    assert len(result.items) == KEEP[1]
    models, _, dense, ids = build()
    with pytest.raises(ValueError, match="integer scores"):
        run_float(models, KEEP, dense, ids, rules=rules)


def test_bad_rules() -> None:
    for rules, text in (
        ({"policy": "best"}, "policy must be one of"),
        ({"sub_batches": 17}, "sub_batches must be in 1..16, not 17"),
        ({"bins": 4}, "bins must be in 0..3, not 4"),
    ):
        with pytest.raises(ValueError, match=text):
            FunnelRules(**rules)
    _, quantised, dense, ids = build()
    q = quantise_dense(dense, 0.1)
    with pytest.raises(ValueError, match="2 items cannot be cut into 3 sub-batches"):
        run_integer(quantised, (1, 1), q[:2], ids[:2], rules=FunnelRules(sub_batches=3))
