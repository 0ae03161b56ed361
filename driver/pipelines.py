"""Reference pipelines: which models rank how many items."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .errors import UserError

__all__ = ["PIPELINES", "Pipeline", "StageSpec", "pipeline"]


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One ranking stage."""

    model: str
    """Model shape: RMsmall, RMmed, RMlarge."""
    items: int
    """Items ranked."""
    keep: int
    """Items kept."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A named multi-stage pipeline."""

    name: str
    stages: tuple[StageSpec, ...]
    interaction: str
    """``dot`` or ``cat``."""
    data: str
    """``demo``: the shipped data set and trained models; ``kaggle``: Criteo Kaggle shapes."""

    def scaled(self, items: int | None) -> Pipeline:
        """Scale every stage's item count by ``items`` / default, rounded up.

        A stage never ranks more items than the one before keeps, and keeps at least one.

        Raises
        ------
        UserError
            ``items`` below 1.
        """
        if items is None:
            return self
        if items < 1:
            raise UserError(f"--items must be at least 1, not {items}")
        default = self.stages[0].items
        stages = []
        count = items
        for stage in self.stages:
            keep = min(count, max(1, -(-stage.keep * items // default)))
            stages.append(replace(stage, items=count, keep=keep))
            count = keep
        return replace(self, stages=tuple(stages))


def _stages(*steps: tuple[str, int, int]) -> tuple[StageSpec, ...]:
    return tuple(StageSpec(model=model, items=items, keep=keep) for model, items, keep in steps)


_BASE = {
    "kaggle-1": ("kaggle", _stages(("RMlarge", 4096, 64))),
    "kaggle-2": ("kaggle", _stages(("RMsmall", 4096, 512), ("RMlarge", 512, 64))),
    "kaggle-3": (
        "kaggle",
        _stages(("RMsmall", 4096, 512), ("RMmed", 512, 128), ("RMlarge", 128, 64)),
    ),
    "demo-2": ("demo", _stages(("RMsmall", 512, 64), ("RMlarge", 64, 16))),
}

PIPELINES: dict[str, Pipeline] = {
    name + suffix: Pipeline(name=name + suffix, stages=stages, interaction=interaction, data=source)
    for name, (source, stages) in _BASE.items()
    for suffix, interaction in (("", "dot"), ("-cat", "cat"))
    if not (source == "demo" and interaction == "cat")
}
"""Pipelines by name; ``-cat`` appended: concatenation instead of pairwise dots."""


def pipeline(name: str) -> Pipeline:
    """Look up a pipeline.

    Raises
    ------
    UserError
        Unknown name; the message lists the known ones.
    """
    try:
        return PIPELINES[name]
    except KeyError:
        known = ", ".join(PIPELINES)
        raise UserError(f"unknown pipeline {name!r}; known pipelines: {known}") from None
