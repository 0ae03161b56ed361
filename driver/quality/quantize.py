"""`rpaccel quantize`: a float model to integers, and what that costs, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from driver.data.lines import BadLines
from driver.data.source import DataOptions, load_items
from driver.errors import UserError
from driver.files import read_model
from golden.calibrate import Method
from golden.dataset import Dataset
from golden.model import Model
from golden.model_files import save_quantised_model
from golden.quantise_layer import QuantiseError
from golden.quantise_report import TensorReport, report
from golden.quantise_search import SearchResult, Trial, search

from .quantise_page import write_quantise_page

__all__ = ["check_data", "quantize"]


def quantize(
    path: Path,
    *,
    data: DataOptions,
    items: int = 8192,
    method: Method = "auto",
    equalisation: bool = True,
    bias_correction: bool = False,
    out: Path | None = None,
    page: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Quantise the model file `path`.

    Parameters
    ----------
    data
        Calibration items come from its training part, the report is made on the other part.
    items
        Items of each part at most.
    method, equalisation, bias_correction
        As `golden.quantise_search.search`.
    out
        Quantised model file to write.
    page
        HTML report to write.

    Returns
    -------
    What `--json` writes: `model`, `items`, `trials`, `layers`, `score_snr_db`, `malformed`; and
    `text` for people.

    Raises
    ------
    UserError
        A bad model file or bad data, a model that cannot be quantised, an unwritable file.
    """
    for target in (out, page):
        if target is not None and (target.is_dir() or not target.absolute().parent.is_dir()):
            raise UserError(f"cannot write {target}")
    model = read_model(path)
    bad = BadLines()
    parts = []
    for evaluation in (False, True):
        progress(f"{'evaluation' if evaluation else 'calibration'} items")
        part = load_items(
            data, evaluation=evaluation, rows=model.shape.rows, features=model.features,
            query_items=1, lines=items, bad=bad,
        )  # fmt: skip
        check_data(model, part)
        parts.append(part)
    progress("quantisation")
    calibration, evaluation_items = parts
    try:
        found = search(
            model, calibration.dense, calibration.ids,
            method=method, equalisation=equalisation, bias_correction=bias_correction,
        )  # fmt: skip
    except QuantiseError as error:
        raise UserError(f"{path}: {error}") from None
    rows = report(found.model, found.quantised, evaluation_items.dense, evaluation_items.ids)
    title = f"{model.shape.name}: int8, {method}"
    if page is not None:
        write_quantise_page(page, title, rows, found.trials)
    if out is not None:
        try:
            save_quantised_model(out, found.quantised)
        except OSError as error:
            raise UserError(f"cannot write {out}: {error.strerror}") from None
    return _result(model, parts, found, rows, bad)


def check_data(model: Model, part: Dataset) -> None:
    """Require the dense features of the model; ids are checked as they are read."""
    if part.counts.shape[1] != model.shape.dense_features:
        raise UserError(
            f"the data has {part.counts.shape[1]} dense features, {model.shape.name} takes "
            f"{model.shape.dense_features}"
        )


def _result(
    model: Model,
    parts: list[Dataset],
    found: SearchResult,
    rows: list[TensorReport],
    bad: BadLines,
) -> dict[str, Any]:
    calibration, evaluation = (len(part.labels) for part in parts)
    heading = (
        f"{model.shape.name}: {calibration} calibration items, measured on {evaluation} others"
    )
    lines = [heading, *_trial_lines(found.trials), "", *_table_lines(rows)]
    lines += [bad.text] if bad.text else []
    return {
        "model": model.shape.name,
        "items": {"calibration": calibration, "evaluation": evaluation},
        "trials": [_finite(asdict(trial)) for trial in found.trials],
        "layers": [_finite(asdict(row)) for row in rows],
        "score_snr_db": _finite({"snr": rows[-1].snr})["snr"],
        "malformed": bad.count,
        "text": "\n".join(lines),
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: None."""
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in values.items()
    }


def _trial_lines(trials: list[Trial]) -> list[str]:
    return [
        f"{trial.what}: score {trial.score_snr:.1f} dB{'' if trial.kept else ', left out'}"
        for trial in trials
    ]


def _table_lines(rows: list[TensorReport]) -> list[str]:
    lines = [
        f"{'tensor':<12} {'least':>10} {'largest':>10} {'unit':>10} {'method':<10} "
        f"{'clipped':>8} {'SNR [dB]':>8}"
    ]
    for row in rows:
        lines.append(
            f"{row.name:<12} {row.low:>10.4g} {row.high:>10.4g} {row.scale:>10.4g} "
            f"{row.method:<10} {row.clipped:>8.2%} {row.snr:>8.1f}"
        )
    return lines
