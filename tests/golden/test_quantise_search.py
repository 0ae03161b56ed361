"""Choice of scales by measured error, equalisation, bias correction, the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from golden import float_model, integer_model
from golden.bias_correction import correct_biases
from golden.calibrate import METHODS, choose_method, choose_scale, choose_shifts, squared_error
from golden.equalise import equalise
from golden.model import Model, named_shape, random_model
from golden.quantise import QuantiseError, quantise, quantise_dense
from golden.quantise_report import report
from golden.quantise_search import noise_db, search


def items(model: Model, count: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    random = np.random.default_rng(5)
    dense = np.log1p(random.integers(0, 200, (count, 13))).astype(np.float32)
    ids = [random.integers(0, rows, count) for rows in model.shape.rows]
    return dense, np.stack(ids, axis=1).astype(np.uint32)


def uneven(name: str = "RMlarge") -> Model:
    """A model whose hidden channels differ in size by up to 30 times, to the same result."""
    model = random_model(named_shape(name, max_rows=30), seed=3)
    random = np.random.default_rng(1)
    layers = list(model.bottom)
    for i in range(len(layers) - 1):
        factor = np.exp(random.uniform(-1.7, 1.7, len(layers[i].bias))).astype(np.float32)
        layers[i] = replace(
            layers[i], weight=layers[i].weight * factor[:, None], bias=layers[i].bias * factor
        )
        layers[i + 1] = replace(layers[i + 1], weight=layers[i + 1].weight / factor)
    return replace(model, bottom=tuple(layers))


def score_snr(model: Model, quantised: object, dense: NDArray[np.float32], ids: object) -> float:
    wanted = float_model.forward(model, dense, ids)["score"].astype(np.float64)  # type: ignore[arg-type]
    integers = quantise_dense(dense, quantised.dense_scale)  # type: ignore[attr-defined]
    got = integer_model.forward(quantised, integers, ids)["score"]  # type: ignore[arg-type]
    return noise_db(wanted, got * quantised.score_scale)  # type: ignore[attr-defined]


def test_method_is_chosen_by_measured_error() -> None:
    even = np.linspace(-1, 1, 40_002)[:, None]
    outlier = even.copy()
    outlier[20_000] = 100.0
    chosen = {}
    for name, values in {"even": even, "outlier": outlier}.items():
        odd = np.abs(values[1::2])
        errors = {m: squared_error(odd, choose_scale(values[0::2], m)) for m in METHODS}
        chosen[name] = choose_method(values)
        assert errors[chosen[name]] == min(errors.values())
        assert choose_scale(values, "auto") == choose_scale(values, chosen[name])
    assert chosen["outlier"] == "percentile" and choose_scale(even, "auto") < 1.01 / 127


def test_zeros_have_no_trouble_with_auto() -> None:
    assert choose_scale(np.zeros((8, 3)), "auto") == 1.0
    assert choose_scale(np.zeros((0, 3)), "auto") == 1.0


def test_shifts_are_chosen_by_column() -> None:
    random = np.random.default_rng(1)
    even = random.uniform(-4000, 4000, (4000, 3))
    heavy = random.laplace(size=(4000, 3)) * 800
    values = np.concatenate([even, heavy], axis=1)
    got = choose_shifts(values, "auto").astype(int)
    assert (got[:3] == 5).all()
    assert (got[3:] <= choose_shifts(values, "max")[3:]).all()


@pytest.mark.parametrize("part", ["bottom", "top"])
def test_equalisation_keeps_the_float_model(part: str) -> None:
    model = uneven()
    dense, ids = items(model, 200)
    outputs = float_model.forward(model, dense, ids)
    changed = equalise(model, part, outputs)  # type: ignore[arg-type]
    got = float_model.forward(changed, dense, ids)["score"]
    np.testing.assert_allclose(got, outputs["score"], rtol=1e-3, atol=1e-3)
    before = getattr(model, part)[0].weight
    assert not np.array_equal(getattr(changed, part)[0].weight, before)


def test_equalisation_helps_where_channels_differ() -> None:
    model = uneven()
    dense, ids = items(model, 1200)
    result = search(model, dense[:800], ids[:800])
    by_name = {trial.what: trial for trial in result.trials}
    plain = by_name["as it is"].score_snr
    assert by_name["equalisation of the bottom MLP"].kept
    assert by_name["equalisation of the bottom MLP"].score_snr > plain + 1
    # On items that neither ranges nor trials have seen.
    untouched = quantise(model, dense[:800], ids[:800], method="auto")
    gain = score_snr(model, result.quantised, dense[800:], ids[800:]) - score_snr(
        model, untouched, dense[800:], ids[800:]
    )
    assert gain > 1


def test_what_does_not_help_is_not_kept() -> None:
    model = random_model(named_shape("RMsmall", max_rows=30), seed=3)
    dense, ids = items(model, 400)
    result = search(model, dense, ids, bias_correction=True)
    best = -np.inf
    for trial in result.trials:
        assert trial.kept == (trial.score_snr > best)
        best = max(best, trial.score_snr)
    assert len(result.trials) == 4
    none = search(model, dense, ids, equalisation=False)
    assert [trial.what for trial in none.trials] == ["as it is"] and none.model is model


def test_bias_correction_takes_out_the_mean() -> None:
    """A model quantised with an offset in its biases gets it taken out again."""
    model = random_model(named_shape("RMmed", max_rows=30), seed=3)
    dense, ids = items(model, 400)
    quantised = quantise(model, dense, ids)
    layer = quantised.bottom[0]
    moved = replace(layer, bias=(layer.bias + 900).astype(np.int32))
    wrong = replace(quantised, bottom=(moved, *quantised.bottom[1:]))
    outputs = float_model.forward(model, dense, ids)
    integers = quantise_dense(dense, quantised.dense_scale)
    right = correct_biases(model, wrong, outputs, integers, ids)
    before = score_snr(model, wrong, dense, ids)
    assert score_snr(model, right, dense, ids) > before + 3
    score = integer_model.forward(right, integers, ids)["score"] * right.score_scale
    assert abs(score.mean() - outputs["score"].mean()) < 0.05 * outputs["score"].std()
    largest = np.abs(right.top[-1].weight.astype(int)).sum() * 127 + abs(int(right.top[-1].bias[0]))
    m, s = int(right.top[-1].multiplier[0]), int(right.top[-1].shift[0])
    assert (largest * m >> s) < 32768


def test_report() -> None:
    model = random_model(named_shape("RMlarge", max_rows=30), seed=3)
    dense, ids = items(model, 300)
    quantised = quantise(model, dense, ids, method="percentile")
    rows = {row.name: row for row in report(model, quantised, dense, ids)}
    outputs = float_model.forward(model, dense, ids)
    assert list(rows) == ["dense", *outputs]
    for name, values in outputs.items():
        assert rows[name].low == values.min() and rows[name].high == values.max()
    layer = rows["bottom.1"]
    unit = quantised.bottom[1].output_scale
    assert layer.scale == unit
    assert layer.clipped == (np.abs(outputs["bottom.1"]) > 127.5 * unit).mean() > 0
    assert rows["score"].snr == score_snr(model, quantised, dense, ids) > 10
    assert all(row.method in (*METHODS, "-") for row in rows.values())


def test_noise() -> None:
    wanted = np.array([1.0, -1.0, 1.0, -1.0])
    assert noise_db(wanted, wanted) == np.inf
    assert noise_db(wanted, wanted + 0.1) == pytest.approx(20)
    assert noise_db(np.ones(3), np.zeros(3)) == -np.inf


def test_too_few_items() -> None:
    model = random_model(named_shape("RMsmall", max_rows=30), seed=3)
    with pytest.raises(QuantiseError, match="at least 4 items, not 3"):
        search(model, *items(model, 3))
