"""Words of the command line that deal with models and data, not with a device."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # NumPy is loaded by the commands that need it
    from driver.data.source import DataOptions

__all__ = ["add_data_commands"]

Command = Callable[[argparse.Namespace], dict[str, Any]]
Add = Callable[[str, Command, str], argparse.ArgumentParser]


def add_data_commands(add: Add, positive: Callable[[str], int]) -> None:
    """Add the words to the command line.

    Parameters
    ----------
    add
        Makes the parser of a word, its function and help text.
    positive
        Turns the text of an option into a number of at least 1.
    """
    _add_import(add)
    _add_quantize(add, positive)
    _add_evaluate(add, positive)
    _add_profile(add)


def _add_import(add: Add) -> None:
    parser = add("import", _import, "read a PyTorch or safetensors checkpoint into a model file")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="DLRM or NeuMF weights")
    parser.add_argument("--out", metavar="MODEL", type=Path, required=True, help="file to write")
    parser.add_argument("--name", metavar="NAME", help="name of the model (the file's)")
    parser.add_argument("--join", choices=["mf-mlp", "mlp-mf"],
        help="NeuMF: order of the branches before the last layer (by its name)")  # fmt: skip
    parser.add_argument("--dhe-features", metavar="N,N,..", type=_numbers,
        help="MP-Rec: features computed by DHE, the others have tables (the last)")  # fmt: skip
    parser.add_argument("--dhe-activation", choices=["sigmoid", "mish", "relu", "none"],
        default="sigmoid", help="MP-Rec: after the last layer of a decoder (sigmoid)")  # fmt: skip


def _numbers(text: str) -> tuple[int, ...]:
    """Numbers with commas between them."""
    return tuple(int(part) for part in text.split(","))


def _import(args: argparse.Namespace) -> dict[str, Any]:
    from driver.importers.command import import_model
    from driver.importers.mprec import DheOptions

    dhe = DheOptions(features=args.dhe_features, activation=args.dhe_activation)
    return import_model(args.checkpoint, out=args.out, name=args.name, join=args.join, dhe=dhe)


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    """Where items come from."""
    add = parser.add_argument
    add("--data", metavar="FILE", nargs="+", required=True,
        help="demo, a data set, Criteo text (one file or one a day), CSV or Parquet")  # fmt: skip
    add("--schema", metavar="FILE", type=Path, help="JSON: columns of a CSV or Parquet file")
    add("--vocabulary", metavar="FILE", type=Path,
        help="counted vocabulary (values modulo the rows of the tables)")  # fmt: skip
    add("--split", choices=["time", "user", "none"], default="time",
        help="what sets evaluation apart from training (time)")  # fmt: skip
    add("--share", metavar="X", type=float, default=1 / 7, help="share of evaluation (1/7)")


def _data_options(args: argparse.Namespace) -> DataOptions:
    from driver.data.source import DataOptions

    return DataOptions(
        paths=tuple(args.data),
        schema=args.schema,
        vocabulary=args.vocabulary,
        split=args.split,
        share=args.share,
    )


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _add_quantize(add: Add, positive: Callable[[str], int]) -> None:
    parser = add("quantize", _quantize, "bring a model into integers and say what that costs")
    parser.add_argument("model", metavar="MODEL", type=Path, help="model file")
    _add_data_options(parser)
    option = parser.add_argument
    option("--items", metavar="N", type=positive, default=8192,
        help="items for calibration and for the report, each (8192)")  # fmt: skip
    option("--method", choices=["auto", "max", "percentile", "mse"], default="auto",
        help="how scales are chosen (auto: by measured error)")  # fmt: skip
    option("--no-equalisation", action="store_true", help="leave channels as they are")
    option("--bias-correction", action="store_true", help="try it, keep it where it helps")
    option("--out", metavar="FILE", type=Path, help="quantised model file to write")
    option("--report", metavar="FILE", type=Path, help="write the table and a plot as HTML")


def _quantize(args: argparse.Namespace) -> dict[str, Any]:
    from driver.quality.quantize import quantize

    return quantize(
        args.model,
        data=_data_options(args),
        items=args.items,
        method=args.method,
        equalisation=not args.no_equalisation,
        bias_correction=args.bias_correction,
        out=args.out,
        page=args.report,
        progress=_progress,
    )


def _add_evaluate(add: Add, positive: Callable[[str], int]) -> None:
    parser = add("evaluate", _evaluate, "quality of a pipeline in int8 and float, with intervals")
    option = parser.add_argument
    option("--pipeline", metavar="NAME", required=True, help="see `rpaccel pipelines`")
    _add_data_options(parser)
    option("--model", metavar="FILE", type=Path, action="append",
        help="model file of a stage, once a stage in order (the shipped ones)")  # fmt: skip
    option("--items", metavar="N", type=positive, help="items of the first stage; scales all")
    option("--queries", metavar="N", type=positive, help="queries at most (all)")
    option("--seed", metavar="N", type=int, default=1, help="seed of the bootstrap (1)")
    option("--quantisation", choices=["run", "search"], default="run",
        help="as `rpaccel run` quantises, or as `rpaccel quantize` does (run)")  # fmt: skip


def _evaluate(args: argparse.Namespace) -> dict[str, Any]:
    from driver.quality.evaluate import evaluate

    return evaluate(
        args.pipeline,
        data=_data_options(args),
        models=args.model,
        items=args.items,
        queries=args.queries,
        seed=args.seed,
        quantisation=args.quantisation,
        progress=_progress,
    )


def _add_profile(add: Add) -> None:
    parser = add("profile", _profile, "count how often each id occurs, for the caches")
    parser.add_argument("model", metavar="MODEL", type=Path, help="model file")
    _add_data_options(parser)
    parser.add_argument("--out", metavar="FILE", type=Path, help="histograms to write")


def _profile(args: argparse.Namespace) -> dict[str, Any]:
    from driver.data.profile import profile

    return profile(args.model, data=_data_options(args), out=args.out, progress=_progress)
