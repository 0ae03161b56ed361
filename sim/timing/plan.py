"""What the model is asked about: engines, stages, items and where their rows lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.filter import FunnelRules

from .array import LayerTiles
from .units import Sums

__all__ = [
    "DecoderPlan",
    "EnginePlan",
    "PhasePlan",
    "Plan",
    "ProgramPlan",
    "QueryPlan",
    "StagePlan",
    "StageQuery",
]


@dataclass(frozen=True, kw_only=True)
class PhasePlan:
    """One MLP on one engine."""

    layers: tuple[LayerTiles, ...]
    streamed: bool
    stream: int
    """Device memory address of the weight stream."""

    @property
    def tiles(self) -> int:
        return sum(layer.input_tiles * layer.output_tiles for layer in self.layers)


@dataclass(frozen=True, kw_only=True)
class DecoderPlan(PhasePlan):
    """One decoder on one engine."""

    hashes: int
    """Device memory address of its constants."""
    groups: int
    """Words of constants: ceil(k / hash lanes of the engine)."""
    vector: int
    """Number among the decoded vectors of an item."""


@dataclass(frozen=True, kw_only=True)
class ProgramPlan:
    """One stage program on one engine."""

    bottom: PhasePlan
    top: PhasePlan
    width: int
    """Vector width d."""
    vectors: int
    """The dense vector, those from tables, those that are decoded."""
    dot: bool
    outputs: int
    """Interaction outputs of a step, P."""
    slot_bytes: int
    slots: int
    decoded: int = 0
    """Vectors that are decoded."""
    decoders: tuple[DecoderPlan, ...] = ()
    """What runs for them, one after the other: of a bag one an id, and their sum."""
    products: int = 0
    """Pairs of vectors that are multiplied; then there is no dense vector."""
    product_base: int = 0
    """k of the first product."""
    copied: int = 0
    """With products: values that are copied, all steps of 16."""

    @property
    def features(self) -> int:
        """Vectors from tables."""
        return self.vectors - 1 - self.decoded


@dataclass(frozen=True, kw_only=True)
class EnginePlan:
    """One engine of the partition."""

    unit: int
    row: int
    column: int
    level: int
    programs: dict[int, ProgramPlan]
    """By stage."""
    ring_words: int


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """What the dispatcher and the record loader know of a stage."""

    rows: int
    """Items of a full row block."""
    features: int
    """Id words of a record."""
    sums: tuple[Sums, ...]
    """What becomes of the row of each id word."""
    ends: tuple[bool, ...]
    """Id words that a lane's last vector of an item comes with."""
    row_bytes: int
    """Bytes of an embedding row."""
    ahead: int
    """Rows that may be fetched ahead of their lookup."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A device with everything placed."""

    engines: tuple[EnginePlan, ...]
    stages: tuple[StagePlan, ...]
    pitch: int
    """Bytes between item records."""
    dense_bytes: int
    """Dense values, and ids behind them."""
    ids_offset: int
    first_id: int = 0
    """Byte of the first id behind the dense values; 0: there are none."""


@dataclass(frozen=True, kw_only=True)
class StageQuery:
    """A stage of one query: its list of items, their lookups, and what the filter makes of them."""

    items: NDArray[np.int64]
    """Item index by position, those that are dropped later among them."""
    scores: NDArray[np.int64]
    """By position."""
    addresses: NDArray[np.int64]
    """``[items, id words]``: device memory address of the row; -1: nothing is looked up."""
    hits: NDArray[np.bool_]
    """``[items, id words]``: the row is in the static cache."""
    keep: int
    """k."""
    forwarded: tuple[NDArray[np.intp], ...]
    """For each sub-batch the positions that its selection passes on, ascending."""
    dropped: NDArray[np.intp]
    """Positions that were passed on and are no survivors."""
    held: NDArray[np.bool_]
    """``[items, decoded vectors]``: the finished vector is held."""


@dataclass(frozen=True, kw_only=True)
class QueryPlan:
    """One query."""

    records: int
    """Device memory address of the item records."""
    submission: int
    """Device memory address of its submission entry."""
    stages: tuple[StageQuery, ...]
    rules: FunnelRules = FunnelRules()
