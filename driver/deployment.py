"""What is placed on a device: tables, rows of a block, and the LOAD entries that bring it there."""

from __future__ import annotations

from dataclasses import dataclass, field

from golden.quantised_model import QuantisedModel
from hdl.config import Config

from .cache_plan import CachePlan
from .decoded_bags import DecodedIds
from .loads import Load
from .maps import EngineMap
from .partition import Partition
from .records import IdPlaces
from .result_plan import ResultPlan

__all__ = ["Deployment", "Load"]


@dataclass(kw_only=True)
class Deployment:
    """Everything placed: what to load, where the tables are, how rows are cut."""

    config: Config
    partition: Partition
    models: tuple[QuantisedModel, ...]
    """By program."""
    pipelines: tuple[tuple[int, ...], ...]
    """Programs of the stages of each pipeline."""
    maps: dict[int, EngineMap]
    """By engine anchor."""
    rows: tuple[int, ...]
    """Items of a row block, by program."""
    most_rows: tuple[int, ...] = ()
    """Largest row block that fits, by program."""
    loads: list[Load] = field(default_factory=list)
    cache: CachePlan | None = None
    results: ResultPlan | None = None
    """Finished DHE vectors that the engines hold."""
    pitch: int = 0
    ids_offset: int = 0
    places: IdPlaces = IdPlaces(words=(), count=0)
    """Of the ids in a record; the same in all models."""
    dense_bytes: int = 0
    first_id: int = 0
    """See ``RecordLayout``."""
    looked_up: tuple[int, ...] = ()
    """Features whose ids go to the gather lanes, in the order of their words in a record."""
    decoded: DecodedIds = DecodedIds()
    """Id words behind the dense values."""
    tables: list[list[int]] = field(default_factory=list)
    """Device memory address of each embedding table, by stage and vector from tables."""
    streams: dict[tuple[int, int, str], int] = field(default_factory=dict)
    """Device memory address of each weight stream, by engine anchor, stage and MLP or name of a
    decoder."""
    hashes: dict[tuple[int, str], int] = field(default_factory=dict)
    """Device memory address of the hash constants, by stage and part, see `DecoderMap`."""
