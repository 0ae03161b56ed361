"""A mapping that ``rpaccel schedule`` chose, as a pipeline to execute on CPU processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..pipelines import Pipeline, StageSpec

__all__ = ["read_mapping"]


def read_mapping(path: Path) -> tuple[Pipeline, float]:
    """Read the chosen mapping of a schedule's JSON.

    Returns
    -------
    The pipeline, and the load in queries a second that it was chosen for.

    Raises
    ------
    UserError
        The file cannot be read, is no schedule, or has a stage that is not on a CPU.
    """
    try:
        result = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read mapping {path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"mapping {path} is not JSON: {error}") from None
    try:
        chosen, rate = result["chosen"]["mapping"], float(result["load"])
        stages = [(str(m), int(n), str(p)) for m, n, p in chosen["stages"]]
        returned = int(chosen["returned"])
        kinds = {name: profile["kind"] for name, profile in result["profiles"].items()}
        elsewhere = [name for _, _, name in stages if kinds[name] != "cpu"]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{path} is not the result of a schedule") from None
    if elsewhere:
        raise UserError(f"{path}: stages must be on a CPU to be executed, not on {elsewhere[0]}")
    return _pipeline(stages, returned), rate


def _pipeline(stages: list[tuple[str, int, str]], returned: int) -> Pipeline:
    keeps: list[int] = [*(items for _, items, _ in stages[1:]), returned]
    specs: Any = (
        StageSpec(model=model, items=items, keep=keep)
        for (model, items, _), keep in zip(stages, keeps, strict=True)
    )
    name = " > ".join(f"{model}:{items}" for model, items, _ in stages)
    return Pipeline(
        name=f"{name}, top {returned}", stages=tuple(specs), interaction="dot", data="kaggle"
    )
