"""Quantisation that measures: what helps the score on items apart is kept, the rest is not."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from golden import float_model, integer_model
from golden.bias_correction import correct_biases
from golden.calibrate import Method
from golden.embedding import Ids, take_items
from golden.equalise import Part, equalise
from golden.model import Model
from golden.quantise import QuantiseError, choose_dense_scale, quantise, quantise_dense
from golden.quantised_model import QuantisedModel

__all__ = ["Trial", "SearchResult", "noise_db", "search"]


@dataclass(frozen=True)
class Trial:
    """Something that was tried."""

    what: str
    score_snr: float
    """Signal to noise of the score in dB, on items apart from those that ranges come from."""
    kept: bool


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The quantised model and how it came about."""

    model: Model
    """The float model that was quantised: equalised where that helped."""
    quantised: QuantisedModel
    trials: list[Trial] = field(default_factory=list)


def noise_db(wanted: NDArray[np.float64], got: NDArray[np.float64]) -> float:
    """Signal to noise ratio in dB: power of `wanted` about its mean over that of the error.

    An offset common to all values counts as error; infinite without any.
    """
    error = float(((got - wanted) ** 2).mean())
    signal = float(wanted.var())
    if error == 0:
        return float("inf")
    return float(10 * np.log10(signal / error)) if signal > 0 else float("-inf")


def search(
    model: Model,
    dense: NDArray[np.float32],
    ids: Ids,
    *,
    dense_scale: float | None = None,
    method: Method = "auto",
    equalisation: bool = True,
    bias_correction: bool = False,
) -> SearchResult:
    """Quantise, with equalisation of each MLP kept only if the score gains by it.

    Parameters
    ----------
    dense, ids
        Calibration items: ranges come from three of four, trials are measured on the others.
    dense_scale
        Of the dense inputs, the same for all models of a pipeline (default: from `dense`).
    method
        As `quantise`.
    equalisation
        Try it.
    bias_correction
        Try it; it is kept if the score gains by it.

    Raises
    ------
    QuantiseError
        Fewer than 4 items, or as `quantise`.
    """
    if len(dense) < 4:
        raise QuantiseError(f"calibration needs at least 4 items, not {len(dense)}")
    apart = np.arange(len(dense)) % 4 == 3
    fit = (dense[~apart], take_items(ids, np.flatnonzero(~apart)))
    test = (dense[apart], take_items(ids, np.flatnonzero(apart)))
    scale = dense_scale or choose_dense_scale(fit[0])
    wanted = float_model.forward(model, *test)["score"].astype(np.float64)
    outputs = float_model.forward(model, *fit)

    def measure(candidate: QuantisedModel) -> float:
        score = integer_model.forward(candidate, quantise_dense(test[0], scale), test[1])["score"]
        return noise_db(wanted, score * candidate.score_scale)

    best = quantise(model, *fit, dense_scale=scale, method=method)
    snr = measure(best)
    trials = [Trial("as it is", snr, True)]

    def keep(what: str, candidate: QuantisedModel) -> bool:
        nonlocal best, snr
        found = measure(candidate)
        better = found > snr
        trials.append(Trial(what, found, better))
        if better:
            best, snr = candidate, found
        return better

    parts: tuple[Part, ...] = ("bottom", "top")
    for part in parts:
        if equalisation and len(getattr(model, part)) > 1:
            changed = equalise(model, part, outputs)
            candidate = quantise(changed, *fit, dense_scale=scale, method=method)
            if keep(f"equalisation of the {part} MLP", candidate):
                model = changed
    if bias_correction:
        outputs = float_model.forward(model, *fit)
        integers = quantise_dense(fit[0], scale)
        keep("bias correction", correct_biases(model, best, outputs, integers, fit[1]))
    return SearchResult(model=model, quantised=best, trials=trials)
