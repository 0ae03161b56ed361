"""Which finished DHE vectors a device holds, and where: tier 1 of the MP-Cache.

Policy: chosen offline from id histograms, the id first whose count times the MACs of its decoder is
largest, as long as its set has a free way. A running device is refreshed as static caches are: the
host loads vectors and the tags that name them between two queries (`held_loads`); what they are is
chosen by `held_refresh.HeldRefresh`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.integer_model import decoder_layers
from golden.quantised_model import QuantisedModel
from golden.shape import ModelShape, layer_macs
from hdl.config import Config
from hdl.dhe.held_vectors import HELD_WORD_BYTES
from hdl.dhe.layouts import RESULT_TAG
from hdl.program import Target
from hdl.words import pack

from .errors import UserError
from .image import MemoryImage
from .loads import Load, make_load

__all__ = ["ResultPlan", "choose_results", "held_loads", "plan_results", "table_number"]


_FEATURES = 64
"""Most features of a program."""


def table_number(program: int, feature: int) -> int:
    """Of a decoder in the tags of finished vectors."""
    return program * _FEATURES + feature


@dataclass(frozen=True, kw_only=True, eq=False)
class ResultPlan:
    """Contents of the tags."""

    places: dict[tuple[int, int], int]
    """Place (set * ways + way) by table and id, see `table_number`."""
    sets: int
    ways: int
    width: int = 0
    """Values of the vectors that are held; decoders of other widths have none."""
    misses: dict[int, float] = field(default_factory=dict)
    """By table: share of the ids of its histogram that are not held."""

    def seed(self, table: int) -> int:
        """Spreads the tables over the sets."""
        return table * 0x9E35 & 0x7FFF

    def log2_sets(self, width: int) -> int | None:
        """Of the sets where a decoder's vectors may be; None: nowhere."""
        return self.sets.bit_length() - 1 if width == self.width else None

    def hits(self, program: int, shape: ModelShape, ids: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """[items, decoded vectors]: whose vector is held, of ``ids`` [items, places]."""
        found = np.zeros((len(ids), len(shape.dhe_features)), bool)
        if self.log2_sets(shape.width) is not None:
            for vector, feature in enumerate(shape.dhe_features):
                if shape.bags[feature] > 1:
                    continue
                named = ids[:, shape.place_of(feature)]
                found[:, vector] = self.places_of(table_number(program, feature), named) >= 0
        return found

    def places_of(self, table: int, ids: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Place of each id's vector; -1: not held."""
        held = {id_: place for (named, id_), place in self.places.items() if named == table}
        return np.array([held.get(id_, -1) for id_ in ids.tolist()], np.int64)


def choose_results(
    counts: Sequence[NDArray[Any] | None],
    decoders: Sequence[Sequence[int]],
    *,
    tables: Sequence[int],
    seeds: Sequence[int],
    sets: int,
    ways: int,
    entries: int | None = None,
) -> ResultPlan:
    """Fill the tags.

    Parameters
    ----------
    counts, decoders, tables, seeds
        By feature: histogram of its ids (None: leave it out), sizes of its decoder (() for none),
        number of its table in the tags, seed of its sets.
    sets, ways
        Of the device.
    entries
        Most vectors; None: as many as fit.
    """
    most = sets * ways if entries is None else min(entries, sets * ways)
    worth, table_of, id_of, set_of = [], [], [], []
    for count, sizes, table, seed in zip(counts, decoders, tables, seeds, strict=True):
        if count is None or not sizes:
            continue
        seen = np.flatnonzero(count)
        worth.append(count[seen] * layer_macs(tuple(sizes)))
        table_of.append(np.full(len(seen), table))
        id_of.append(seen)
        set_of.append((seen ^ seed) & (sets - 1))
    places: dict[tuple[int, int], int] = {}
    if worth:
        used = np.zeros(sets, np.int64)
        named, ids, chosen = (np.concatenate(x) for x in (table_of, id_of, set_of))
        for i in np.argsort(-np.concatenate(worth), kind="stable"):
            if len(places) == most:
                break
            if used[chosen[i]] < ways:
                places[int(named[i]), int(ids[i])] = int(chosen[i] * ways + used[chosen[i]])
                used[chosen[i]] += 1
    return ResultPlan(places=places, sets=sets, ways=ways)


def _words(width: int) -> int:
    """Words that a held vector takes."""
    return max(1, width // HELD_WORD_BYTES)


def plan_results(
    config: Config,
    shapes: Sequence[ModelShape],
    counts: Sequence[Sequence[NDArray[Any]]],
    entries: int,
) -> ResultPlan | None:
    """At most so many vectors of a deployment's models; None where nothing is decoded.

    Vectors of one width are held, that of the first model with decoders.

    Parameters
    ----------
    counts
        ``counts[program][feature][id]``: how often the id was seen in the training split.

    Raises
    ------
    UserError
        The device holds no vectors, or not so many.
    """
    width = next((shape.width for shape in shapes if shape.dhe_features), None)
    if not entries or width is None:
        return None
    if not config.held_bytes:
        raise UserError(f"mp_cache: {config.name} has no memory for finished DHE vectors")
    sets = config.held_sets // _words(width)
    room = sets * config.held_ways
    if entries > room:
        raise UserError(
            f"mp_cache must be at most {room} on {config.name}, which holds so many vectors of "
            f"{width} values, not {entries}"
        )
    empty = ResultPlan(places={}, sets=sets, ways=config.held_ways, width=width)
    histograms, decoders, tables = [], [], []
    for program, shape in enumerate(shapes):
        if shape.width != width:
            continue
        for feature in shape.dhe_features:
            if shape.bags[feature] > 1:
                continue  # ids of bags never hit
            histograms.append(counts[program][feature])
            decoders.append(shape.decoders[feature])
            tables.append(table_number(program, feature))
    chosen = choose_results(
        histograms,
        decoders,
        tables=tables,
        seeds=[empty.seed(table) for table in tables],
        sets=sets,
        ways=config.held_ways,
        entries=entries,
    )
    left = {}
    for table, count in zip(tables, histograms, strict=True):
        seen = int(sum(count[id_] for named, id_ in chosen.places if named == table))
        left[table] = 1 - seen / max(1, int(count.sum()))
    return replace(empty, places=chosen.places, misses=left)


def _contents(
    config: Config, plan: ResultPlan, models: Sequence[QuantisedModel]
) -> tuple[bytes, bytes]:
    """Vectors and tags as they lie in the device, all tags that are used."""
    entries = plan.sets * plan.ways
    tags = np.zeros(entries, "<u8")
    size = max(plan.width, HELD_WORD_BYTES)
    vectors = np.zeros((entries, size), np.int8)
    by_table: dict[int, list[tuple[int, int]]] = {}
    for (table, id_), place in plan.places.items():
        tags[place] = pack(RESULT_TAG, {"valid": 1, "table": table, "id": id_})
        by_table.setdefault(table, []).append((id_, place))
    for table, held in by_table.items():
        program, feature = divmod(table, _FEATURES)
        ids, places = (np.array(column) for column in zip(*held, strict=True))
        found = decoder_layers(models[program], feature, ids.astype(np.uint32))[-1]
        vectors[places] = np.tile(found, size // plan.width)
    last = max(plan.places.values(), default=-1)
    return vectors[: last + 1].tobytes(), tags.tobytes()


def held_loads(
    config: Config,
    plan: ResultPlan,
    models: Sequence[QuantisedModel],
    image: MemoryImage,
    units: Sequence[int],
) -> list[Load]:
    """LOADs of all that is held, vectors before the tags that name them.

    For the start, or for a running device that is to hold others: no query runs while a LOAD does,
    so none sees a part. When one of them completes with an error, the host puts all in again before
    the next query.

    Parameters
    ----------
    units
        Anchors of the engines that run the models.
    """
    vectors, tags = _contents(config, plan, models)
    loads = []
    for target, blob in ((Target.HELD_VECTORS, vectors), (Target.HELD_TAGS, tags)):
        if blob and units:
            load = make_load(config, image, target, units[0], 0, blob)
            loads.append(Load(**{**vars(load), "units": tuple(sorted(units))}))
    return loads
