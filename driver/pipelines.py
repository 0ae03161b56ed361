"""Reference pipelines: which models rank how many items."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from golden.mprec import mprec_shape
from golden.shape import REPRESENTATIONS, Representation

from .errors import UserError

__all__ = ["PIPELINES", "Pipeline", "StageSpec", "fitted", "pipeline"]


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One ranking stage."""

    model: str
    """Model shape: RMsmall, RMmed, RMlarge, the name of one of MP-Rec's, or of a NeuMF."""
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
    """``dot``, ``cat`` or, of NeuMF, ``product``."""
    data: str
    """``demo``: the shipped data set and trained models; ``kaggle``: Criteo Kaggle shapes;
    ``mprec``: MP-Rec's models; ``movielens``: NeuMF over MovieLens' users and items."""
    decoder: tuple[int, ...] = ()
    """MP-Rec's models: hashes, then outputs of the decoders' layers; () for the default."""
    bags: tuple[int, ...] = ()
    """Most ids of an item, by table; () for one each."""

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


def fitted(spec: Pipeline, edge: int) -> tuple[Pipeline, str | None]:
    """The pipeline with decoders that an array of ``edge`` x ``edge`` PEs runs in reasonable time.

    MP-Rec's own sizes, 1024 hashes and 128 hidden values, unless the array is smaller than 16 x 16:
    then 4 ``edge``**2 hashes and an eighth of that. A decoder that was named stays. Also a sentence
    about what was changed, or None.
    """
    if spec.data != "mprec" or spec.decoder:
        return spec, None
    _, data, representation = spec.stages[0].model.split("-")
    whole = max(mprec_shape(data, cast(Representation, representation)).decoders)
    hashes = 4 * edge**2
    if not whole or hashes >= whole[0]:
        return spec, None
    sizes = (hashes, hashes // 8, whole[-1])
    text = "-".join(map(str, sizes))
    said = "-".join(map(str, whole))
    return replace(spec, decoder=sizes), (
        f"decoders scaled for an array of {edge}x{edge}: {text} instead of {said}; "
        f"{spec.name}:{said} runs those"
    )


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
_MPREC = [f"mprec-{data}-{r}" for data in ("kaggle", "terabyte") for r in REPRESENTATIONS]

PIPELINES: dict[str, Pipeline] = {
    name + suffix: Pipeline(name=name + suffix, stages=stages, interaction=interaction, data=source)
    for name, (source, stages) in _BASE.items()
    for suffix, interaction in (("", "dot"), ("-cat", "cat"))
    if not (source == "demo" and interaction == "cat")
}
"""Pipelines by name; ``-cat`` appended: concatenation instead of pairwise dots. Those of MP-Rec
concatenate; ``-dot`` appended: dots."""

BAG = 4
"""Most ids of a multi-hot table."""
_BAGS = tuple(BAG if table % 5 == 1 else 1 for table in range(26))
"""Five tables of 26: 41 ids."""

PIPELINES |= {
    name + "-bags": replace(PIPELINES[name], name=name + "-bags", bags=_BAGS)
    for name in ("kaggle-1", "kaggle-2", "kaggle-2-cat")
}
"""``-bags`` appended: some tables are multi-hot, the rows of an item's ids are summed."""

PIPELINES |= {
    name + suffix: Pipeline(
        name=name + suffix, stages=_stages((name, 256, 64)), interaction=interaction, data="mprec"
    )
    for name in _MPREC
    for suffix, interaction in (("", "cat"), ("-dot", "dot"))
}


PIPELINES |= {
    f"mprec-kaggle-{r}-bags": replace(
        PIPELINES[f"mprec-kaggle-{r}"], name=f"mprec-kaggle-{r}-bags", bags=_BAGS
    )
    for r in REPRESENTATIONS
}


_MOVIELENS = {"movielens1m": (1000, 400, 256), "movielens20m": (4000, 1000, 256)}
"""Items of the stages."""
_SIZES = {1: ("large",), 2: ("small", "large"), 3: ("small", "medium", "large")}
_SERVED = 64

PIPELINES |= {
    f"{data}-{count}": Pipeline(
        name=f"{data}-{count}",
        stages=_stages(
            *zip(
                (f"{data}-{size}" for size in sizes),
                items[:count],
                (*items[1:count], _SERVED),
                strict=True,
            )
        ),
        interaction="product",
        data="movielens",
    )
    for data, items in _MOVIELENS.items()
    for count, sizes in _SIZES.items()
}


def pipeline(name: str) -> Pipeline:
    """Look up a pipeline.

    MP-Rec's take a decoder behind a colon: ``mprec-kaggle-dhe:2048-512-256-16``.

    Raises
    ------
    UserError
        Unknown name, and the message lists the known ones; or a decoder that is none.
    """
    base, colon, decoder = name.partition(":")
    if base not in PIPELINES or (colon and PIPELINES[base].data != "mprec"):
        known = ", ".join(PIPELINES)
        raise UserError(f"unknown pipeline {name!r}; known pipelines: {known}")
    found = PIPELINES[base]
    if not colon:
        return found
    sizes = decoder.split("-")
    if len(sizes) < 2 or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise UserError(
            f"decoder of {base} must be sizes such as 1024-128-16 (hashes first), not {decoder!r}"
        )
    return replace(found, name=name, decoder=tuple(map(int, sizes)))
