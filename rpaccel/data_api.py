"""Models and data as functions of ``import rpaccel``: what the command line's words call."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driver.data.source import DataOptions
    from driver.quality.evaluate import Quantisation
    from golden.calibrate import Method

__all__ = ["evaluate", "profile", "quantize"]

PathLike = str | os.PathLike[str]


def _silent(text: str) -> None:
    """Progress that nobody watches."""


def _paths(data: PathLike | Sequence[PathLike]) -> tuple[str, ...]:
    paths = [data] if isinstance(data, str | os.PathLike) else data
    return tuple(os.fspath(path) for path in paths)


def _options(
    data: PathLike | Sequence[PathLike],
    schema: PathLike | None,
    vocabulary: PathLike | None,
    split: str,
    share: float,
) -> DataOptions:
    from driver.data.source import DataOptions

    return DataOptions(
        paths=_paths(data),
        schema=None if schema is None else Path(schema),
        vocabulary=None if vocabulary is None else Path(vocabulary),
        split=split,
        share=share,
    )


def quantize(
    model: PathLike,
    *,
    data: PathLike | Sequence[PathLike],
    schema: PathLike | None = None,
    vocabulary: PathLike | None = None,
    split: str = "time",
    share: float = 1 / 7,
    items: int = 8192,
    method: Method = "auto",
    equalisation: bool = True,
    bias_correction: bool = False,
    out: PathLike | None = None,
    report: PathLike | None = None,
    progress: Callable[[str], None] = _silent,
) -> dict[str, Any]:
    """Bring a model file into integers and say what that costs, layer by layer.

    Parameters
    ----------
    model
        Model file.
    data, schema, vocabulary, split, share
        Items, as for ``evaluate``: ranges come from the training part, the report from the other.
    items
        Items of each part at most.
    method
        ``auto`` (by measured error), ``max``, ``percentile`` or ``mse``.
    equalisation, bias_correction
        Try it; it is kept where the score gains by it.
    out, report
        Quantised model file and HTML page to write.

    Returns
    -------
    What ``rpaccel quantize --json`` writes, and ``text`` for people.

    Raises
    ------
    UserError
        Bad files, or a model that cannot be quantised.
    """
    from driver.quality.quantize import quantize as quantize_file

    return quantize_file(
        Path(model),
        data=_options(data, schema, vocabulary, split, share),
        items=items, method=method, equalisation=equalisation, bias_correction=bias_correction,
        out=None if out is None else Path(out), page=None if report is None else Path(report),
        progress=progress,
    )  # fmt: skip


def evaluate(
    pipeline: str,
    *,
    data: PathLike | Sequence[PathLike],
    schema: PathLike | None = None,
    vocabulary: PathLike | None = None,
    split: str = "time",
    share: float = 1 / 7,
    models: Sequence[PathLike] | None = None,
    items: int | None = None,
    queries: int | None = None,
    seed: int = 1,
    quantisation: Quantisation = "run",
    progress: Callable[[str], None] = _silent,
) -> dict[str, Any]:
    """Quality of a pipeline on held-out labelled queries, in int8 and in float, with intervals.

    Parameters
    ----------
    pipeline
        Name; its item counts are used.
    data
        ``demo``, a data set file, Criteo text (one file, or one a day), a CSV or Parquet file.
    schema
        Columns of a CSV or Parquet file (JSON).
    vocabulary
        Counted vocabulary; None: values modulo the rows of the tables.
    split, share
        ``time``, ``user`` or ``none``, and about how much of the data is for evaluation.
    models
        Model files, one a stage; None: the shipped ones.
    items, queries
        Items of the first stage (scales all stages), queries at most.
    seed
        Of the bootstrap.
    quantisation
        ``run``: as for the device; ``search``: as ``quantize``.

    Returns
    -------
    What ``rpaccel evaluate --json`` writes, and ``text`` for people.

    Raises
    ------
    UserError
        Bad files, or data that do not fit the models.
    """
    from driver.quality.evaluate import evaluate as evaluate_pipeline

    return evaluate_pipeline(
        pipeline,
        data=_options(data, schema, vocabulary, split, share),
        models=None if models is None else [Path(path) for path in models],
        items=items, queries=queries, seed=seed, quantisation=quantisation, progress=progress,
    )  # fmt: skip


def profile(
    model: PathLike,
    *,
    data: PathLike | Sequence[PathLike],
    schema: PathLike | None = None,
    vocabulary: PathLike | None = None,
    split: str = "time",
    share: float = 1 / 7,
    out: PathLike | None = None,
    progress: Callable[[str], None] = _silent,
) -> dict[str, Any]:
    """How often each id of a model's features occurs, and what caches of the hottest would catch.

    Parameters
    ----------
    model
        Model file.
    data, schema, vocabulary, split, share
        Items, as for ``evaluate``: the training part is counted, hits are of the other part.
    out
        File of the histograms to write.

    Returns
    -------
    What ``rpaccel profile --json`` writes, and ``text`` for people.

    Raises
    ------
    UserError
        Bad files.
    """
    from driver.data.profile import profile as profile_file

    options = _options(data, schema, vocabulary, split, share)
    out_path = None if out is None else Path(out)
    return profile_file(Path(model), data=options, out=out_path, progress=progress)
