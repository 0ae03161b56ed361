"""Files of models and data for users: what is wrong with one is said in one line."""

from __future__ import annotations

import os

from golden.dataset import Dataset, load_dataset
from golden.files import ModelFileError, archive_kind
from golden.model import Model
from golden.model_files import load_model
from golden.neumf import NeuMf
from golden.neumf_files import NEUMF_KIND, load_neumf

from .errors import UserError

__all__ = ["read_any_model", "read_dataset", "read_model"]


def read_model(path: str | os.PathLike[str]) -> Model:
    """Read a float model.

    Raises
    ------
    UserError
        Missing, truncated or foreign file.
    """
    try:
        return load_model(path)
    except ModelFileError as error:
        raise UserError(str(error)) from None


def read_any_model(path: str | os.PathLike[str]) -> Model | NeuMf:
    """Read a float model, a DLRM or a NeuMF.

    Raises
    ------
    UserError
        Missing, truncated or foreign file.
    """
    try:
        return load_neumf(path) if archive_kind(path) == NEUMF_KIND else load_model(path)
    except ModelFileError as error:
        raise UserError(str(error)) from None


def read_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Read a data set.

    Raises
    ------
    UserError
        Missing, truncated or foreign file.
    """
    try:
        return load_dataset(path)
    except ModelFileError as error:
        raise UserError(str(error)) from None
