"""Words of the command line that deal with models and data, not with a device."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["add_data_commands"]

Command = Callable[[argparse.Namespace], dict[str, Any]]
Add = Callable[[str, Command, str], argparse.ArgumentParser]


def add_data_commands(add: Add) -> None:
    """Add the words to the command line.

    Parameters
    ----------
    add
        Makes the parser of a word, its function and help text.
    """
    _add_import(add)


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
