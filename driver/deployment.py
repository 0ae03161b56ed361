"""From quantised models and a partition to a device memory image and the LOAD entries for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from golden.filter import MOST_SUB_BATCHES
from golden.quantised_model import QuantisedLayer, QuantisedModel
from golden.shape import ModelShape
from hdl import program as fmt
from hdl.config import Config
from hdl.control.targets import SUB_ARRAY_TARGETS
from hdl.dhe.layouts import HASH_CHUNK_BYTES
from hdl.words import pack_bytes

from .blocks import choose_rows
from .cache_plan import CachePlan
from .decoded_bags import DecodedIds
from .decoders import decoder_word, encoder_of, hash_bytes, phase_layers
from .engine_words import layer_word, parameter_words, shift_words, stage_word
from .errors import UserError
from .fit import check_models
from .hash_words import check_encoder
from .image import MemoryImage
from .loads import Load, cache_loads, make_load
from .mapping import map_engine, row_blocks
from .maps import DecoderMap, EngineMap, PhaseMap, StageShape
from .partition import Engine, Partition
from .records import IdPlaces, RecordLayout, bank_place, id_places, record_layout
from .result_plan import ResultPlan, held_loads, table_number
from .tiles import layer_tiles, resident_words, stream_bytes

__all__ = ["Deployment", "Load", "decoded_ids", "deploy", "stage_shape"]

IDENTITY = (32768, 15)
"""Multiplier and shift that leave a sum as it is."""


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


def stage_shape(model: QuantisedModel) -> StageShape:
    """Sizes of a model as the mapper wants them.

    Raises
    ------
    UserError
        Vectors in an order that the device does not have, or hashes that its lanes cannot compute.
    """
    shape = model.shape
    order = [("table", f) for f in shape.table_features] + [("dhe", f) for f in shape.dhe_features]
    if list(shape.embeddings) != order:
        raise UserError(
            f"{shape.name}: vectors from tables must come before those that are decoded"
        )
    for feature in shape.dhe_features:
        stack = model.stacks[feature]
        if stack is None:
            raise UserError(f"{shape.name}: feature {feature} has no decoder")
        vector = shape.embeddings.index(("dhe", feature))
        pair = int(model.pool_multiplier[vector]), int(model.pool_shift[vector])
        if shape.bags[feature] == 1 and pair != IDENTITY:
            raise UserError(
                f"{shape.name}: feature {feature} is decoded and has one id, but its vector is "
                f"requantised by {pair} as a sum of several is; the device leaves it as it is"
            )
        check_encoder(feature, stack.encoder)
    product = shape.interaction == "product"
    return StageShape(
        name=shape.name,
        bottom=shape.bottom_layers,
        top=shape.top_layers,
        width=shape.width,
        vectors=shape.vectors,
        dot=shape.interaction == "dot",
        decoders=tuple((f, shape.decoders[f]) for f in shape.dhe_features),
        bags=tuple(shape.bags[f] for f in shape.dhe_features),
        products=shape.products,
        copied=shape.copied if product else 0,
        tail=shape.tail,
    )


def decoded_ids(shape: ModelShape) -> DecodedIds:
    """Id words behind the dense values of a model's records."""
    return DecodedIds(bags=tuple((shape.place_of(f), shape.bags[f]) for f in shape.dhe_features))


def records_of(
    config: Config, shapes: Sequence[ModelShape]
) -> tuple[RecordLayout, IdPlaces, ModelShape]:
    """Item records of models that share them, places of the ids that are looked up, and the model
    whose decoded ids they carry.

    Raises
    ------
    UserError
        The models do not take the same features from tables, or more than one set of features is
        decoded.
    """
    first = shapes[0]
    widest = max(shapes, key=lambda shape: len(shape.dhe_features))
    for shape in shapes:
        if shape.table_features != first.table_features:
            raise UserError(
                f"{shape.name} takes features {list(shape.table_features)} from tables, "
                f"{first.name} takes {list(first.table_features)}: the models of a deployment "
                "share their item records"
            )
        if shape.dhe_features not in ((), widest.dhe_features):
            raise UserError(
                f"{shape.name} decodes features {list(shape.dhe_features)}, {widest.name} decodes "
                f"{list(widest.dhe_features)}: the models of a deployment share their item records"
            )
    vectors, decoded = len(widest.dhe_features), decoded_ids(widest).count
    if vectors > config.max_dhe_vectors:
        raise UserError(
            f"{widest.name}: {vectors} decoded features, {config.name} takes at most "
            f"{config.max_dhe_vectors}"
        )
    if decoded > config.max_dhe_ids:
        feature = max(widest.dhe_features, key=lambda f: widest.bags[f])
        raise UserError(
            f"{widest.name}: decoded features have {decoded} id words with those of their bags, "
            f"{config.name} takes at most {config.max_dhe_ids}; the largest bag is that of feature "
            f"{feature}, {widest.bags[feature]} ids"
        )
    places = id_places(config, [first.bags[f] for f in first.table_features])
    layout = record_layout(config, dense=first.dense_features, ids=places.count, decoded=decoded)
    most = (1 << fmt.PIPELINE["dense_bytes"].width) - 1
    if layout.dense_bytes > most:
        raise UserError(
            f"{widest.name}: {first.dense_features} dense features and {decoded} ids behind them "
            f"take {layout.dense_bytes} bytes, an item record holds {most}"
        )
    return layout, places, widest


class _Builder:
    def __init__(self, deployment: Deployment, image: MemoryImage) -> None:
        self.d = deployment
        self.image = image
        self.shared: dict[tuple[fmt.Target, int, bytes], int] = {}
        self.streams: dict[bytes, int] = {}

    def load(self, target: fmt.Target, unit: int, start: int, blob: bytes) -> None:
        """Add a LOAD of ``blob`` (nothing for an empty one).

        Engines with equal contents share one: it is read once and written to all of them.
        """
        if not blob:
            return
        key = target, start, blob
        if target in SUB_ARRAY_TARGETS and key in self.shared:
            index = self.shared[key]
            old = self.d.loads[index]
            self.d.loads[index] = replace(old, units=tuple(sorted({*old.units, unit})))
            return
        self.shared[key] = len(self.d.loads)
        self.d.loads.append(make_load(self.d.config, self.image, target, unit, start, blob))

    # -- engines -------------------------------------------------------------------------------
    def engine(self, engine: Engine, mapped: EngineMap) -> None:
        """Weights, parameters, layer and stage tables of one engine."""
        config = self.d.config
        e = 1 << engine.level
        banks = [bytearray(mapped.resident_words * config.axi_bytes) for _ in range(e * e)]
        layer_words: list[bytes] = []
        stage_words = bytearray(8 * fmt.STAGE_WORDS * config.max_programs)
        parameters = np.zeros((mapped.parameter_tiles * mapped.edge, 8), np.uint8)
        shifts: list[bytes] = []
        tables: dict[bytes, int] = {}

        def add(
            number: int, part: str, layers: Sequence[QuantisedLayer], phase: PhaseMap
        ) -> tuple[int, int]:
            """Layers of a phase into the tables: first entry, address of the weight stream."""
            first = len(layer_words)
            stream = self.phase(layers, phase, mapped.edge, banks)
            self.d.streams[engine.unit, number, part] = stream
            for index, (layer, place) in enumerate(zip(layers, phase.layers, strict=True)):
                destination = fmt.Destination.BANK
                if index == len(layers) - 1:
                    destination = ends.get(part, fmt.Destination.DENSE)
                table = 0
                if layer.table is not None:
                    table = tables.setdefault(layer.table.tobytes(), len(tables))
                layer_words.append(layer_word(layer.function, place, destination, table))
                start = place.parameter_base * mapped.edge
                parameters[start : start + len(layer.bias)] = parameter_words(layer)
            return first, stream

        ends = {"top": fmt.Destination.SCORE}
        decoders = 0
        for number, stage in mapped.stages.items():
            model = self.d.models[number]
            first = {}
            streams = {}
            for part, layers, phase in (
                ("bottom", model.bottom, stage.bottom),
                ("top", _top_layers(model, mapped.edge), stage.top),
            ):
                first[part], streams[part] = add(number, part, layers, phase)
            shift_base = len(shifts)
            shifts += shift_words(model, stage)
            code = {
                "decoder": decoders,
                "decoders": len(stage.shape.decoders),
                "decodings": len(stage.decoders),
                "code_base": stage.code_base,
            }
            if config.hash_lanes_at(engine.row, engine.column):
                code["first_id"] = self.d.first_id
            word = stage_word(
                stage, mapped, first=first, streams=streams, shift_base=shift_base, code=code
            )
            decoders += len(stage.decoders)
            size = 8 * fmt.STAGE_WORDS
            stage_words[number * size : (number + 1) * size] = word
        # Decoders behind all MLPs: STAGE has 6 bits for an entry of the layer table, DECODER 7.
        words = b""
        for number, stage in mapped.stages.items():
            for place in stage.decoders:
                if place.member is not None:
                    ends[place.name] = fmt.Destination.BANK
                layers = phase_layers(self.d.models[number], place, mapped.edge)
                layer, stream = add(number, place.name, layers, place)
                words += self.decoder(engine, number, place, layer, stream)
        self.load(fmt.Target.DECODERS, engine.unit, 0, words)
        for s, bank in enumerate(banks):
            self.load(fmt.Target.WEIGHTS, self.unit(engine, s // e, s % e), 0, bytes(bank))
        size = config.sub_array
        strips = parameters.reshape(mapped.parameter_tiles, e, size, 8)
        for j in range(e):
            blob = np.ascontiguousarray(strips[:, j]).tobytes()
            self.load(fmt.Target.PARAMETERS, self.unit(engine, e - 1, j), 0, blob)
            for values, table in tables.items():
                self.load(
                    fmt.Target.ACTIVATION_TABLE, self.unit(engine, e - 1, j), table * 32, values
                )
        self.load(fmt.Target.LAYERS, engine.unit, 0, b"".join(layer_words))
        self.load(fmt.Target.STAGES, engine.unit, 0, bytes(stage_words))
        if len(tables) > config.activation_tables:
            names = ", ".join(stage.shape.name for stage in mapped.stages.values())
            raise UserError(
                f"{names}: {len(tables)} different activation tables, an engine of {config.name} "
                f"holds {config.activation_tables}"
            )
        steps = fmt.DOT_SHIFT_WORDS * 8 // max(map(len, shifts), default=8)
        if len(shifts) > steps:
            names = ", ".join(stage.shape.name for stage in mapped.stages.values())
            raise UserError(
                f"{names}: {len(shifts)} interaction steps on the engine of edge {mapped.edge} at "
                f"sub-array {engine.unit}, it holds the shifts of {steps}"
            )
        self.load(fmt.Target.DOT_SHIFTS, engine.unit, 0, b"".join(shifts))

    def decoder(
        self, engine: Engine, number: int, place: DecoderMap, layer: int, stream: int
    ) -> bytes:
        """DECODER words; the hash constants go into device memory."""
        model = self.d.models[number]
        key = number, place.part
        # Held vectors leave gaps: ids of bags, which are added row by row, never hit.
        results = None if place.sums or place.member is not None else self.d.results
        table = table_number(number, place.feature)
        if key not in self.d.hashes:
            self.d.hashes[key] = self.image.put(
                hash_bytes(encoder_of(model, place)), align=HASH_CHUNK_BYTES, what="hashes"
            )
        return decoder_word(
            model,
            place,
            lanes=self.d.config.hash_lanes_at(engine.row, engine.column),
            layer=layer,
            id_number=place.number,
            hashes=self.d.hashes[key],
            stream=stream,
            table=table,
            seed=0 if results is None else results.seed(table),
            log2_sets=None if results is None else results.log2_sets(model.shape.width),
        )

    def unit(self, engine: Engine, row: int, column: int) -> int:
        """Sub-array (row, column) of an engine."""
        return (engine.row + row) * self.d.config.grid + engine.column + column

    def phase(
        self,
        layers: Sequence[QuantisedLayer],
        phase: PhaseMap,
        edge: int,
        banks: list[bytearray],
    ) -> int:
        """Put a phase's weights into the resident banks or a stream; returns its address."""
        config = self.d.config
        if not layers:
            return 0
        tiles = np.concatenate([layer_tiles(layer.weight, edge) for layer in layers])
        if phase.streamed:
            # Engines of one size read the same stream: the device fetches it once for all of them.
            blob = stream_bytes(config, tiles)
            if blob not in self.streams:
                self.streams[blob] = self.image.put(
                    blob, align=fmt.STREAM_CHUNK_BYTES, what="weights"
                )
            return self.streams[blob]
        start = phase.weights * config.axi_bytes
        for bank, words in zip(banks, resident_words(config, tiles), strict=True):
            bank[start : start + len(words)] = words
        return 0

    # -- embedding and ranking -----------------------------------------------------------------
    def features(self, cache: CachePlan) -> None:
        """Embedding tables, feature descriptors, static cache contents."""
        config = self.d.config
        for number, model in enumerate(self.d.models):
            word_bytes = 8 * fmt.FEATURE_WORDS
            lanes = [bytearray(config.lane_words * word_bytes) for _ in range(config.gather_lanes)]
            bases: list[int] = []
            self.d.tables.append(bases)
            tables = model.shape.table_features
            # Each lane's last vector of an item.
            last = {bank_place(config, 1 + t)[0]: t for t in range(len(tables))}
            for table, feature in enumerate(tables):
                base = self.image.put(
                    np.ascontiguousarray(model.tables[feature]).tobytes(),
                    align=4096,
                    what=f"table {feature}",
                )
                bases.append(base)
                words = self.d.places.words[table]
                for word in words:
                    k, lane = divmod(word, config.gather_lanes)
                    ends = {
                        "pool_first": word == words[0],
                        "pool_last": word == words[-1],
                        "item_last": word == words[-1] and last[lane] == table,
                    }
                    lanes[lane][k * word_bytes : (k + 1) * word_bytes] = self.feature(
                        cache, number, table, base, ends
                    )
            start = number * config.lane_words * fmt.FEATURE_WORDS
            for lane in sorted(last):
                # Words that no table uses have no descriptor: all zero, neither pool bit.
                most = max(w // config.gather_lanes for w in self.words_of(lane))
                blob = bytes(lanes[lane][: (most + 1) * word_bytes])
                self.load(fmt.Target.FEATURES, lane, start, blob)
        self.d.loads += cache_loads(cache, self.d.models, self.image)

    def words_of(self, lane: int) -> list[int]:
        """Id words of a record that go to a lane."""
        lanes = self.d.config.gather_lanes
        return [word for word in range(1, self.d.places.count + 1) if word % lanes == lane]

    def feature(
        self, cache: CachePlan, number: int, table: int, base: int, ends: Mapping[str, bool]
    ) -> bytes:
        """FEATURE words of an id of a program's table number ``table``; ``ends``: what ends or
        begins with it."""
        model = self.d.models[number]
        width = model.shape.width
        _, vector = bank_place(self.d.config, 1 + table)
        return pack_bytes(
            fmt.FEATURE,
            {
                "base": base,
                "log2_row_bytes": width.bit_length() - 1,
                "offset": vector * width,
                "cached": cache.contents[number] is not None,
                "rows": len(model.tables[model.shape.table_features[table]]),
                "seed": cache.seed(number, table),
                "region": number % 4,
                "table": number * self.d.config.max_features + table,
                # Vectors from tables come first.
                "multiplier": int(model.pool_multiplier[table]),
                "shift": int(model.pool_shift[table]),
                **ends,
            },
        )

    def pipeline_tables(self) -> None:
        """All pipelines; their records are laid out alike."""
        d = self.d
        for number, programs in enumerate(d.pipelines):
            stages = [{"program": 0, "features": 0, "rows": 0}] * 4
            for stage, program in enumerate(programs):
                stages[stage] = {
                    "program": program,
                    "features": d.places.count,
                    "rows": d.rows[program],
                    "ahead": 0 if d.cache is None else d.cache.rows_ahead(program),
                }
            word = pack_bytes(
                fmt.PIPELINE,
                {
                    "stages": len(programs),
                    "pitch": d.pitch,
                    "dense_bytes": d.dense_bytes,
                    "ids_offset": d.ids_offset,
                    "stage": stages,
                },
            )
            self.load(fmt.Target.PIPELINES, 0, number * fmt.PIPELINE_WORDS, word)

    def quotas(self, fractions: Sequence[Sequence[int]]) -> None:
        """What pipeline 0 forwards early, by stage and sub-batch."""
        for stage, shares in enumerate(fractions):
            blob = b"".join(share.to_bytes(8, "little") for share in shares)
            self.load(fmt.Target.QUOTAS, 0, stage * MOST_SUB_BATCHES, blob)


def _top_layers(model: QuantisedModel, edge: int) -> tuple[QuantisedLayer, ...]:
    """The top MLP as an engine reads its inputs: zeros where the products' last page has none."""
    product = model.shape.product_width
    if not product:
        return model.top
    last = model.top[-1]
    weight = np.insert(last.weight, [product] * (-product % edge), 0, axis=1)
    return (*model.top[:-1], replace(last, weight=weight))


def _hosts(engine: Engine, program: int, pipelines: Sequence[Sequence[int]]) -> bool:
    """The engine serves a stage of a pipeline that runs the program."""
    return any(
        mine == program and engine.serves(stage)
        for programs in pipelines
        for stage, mine in enumerate(programs)
    )


def _map_engines(
    config: Config,
    partition: Partition,
    shapes: dict[int, StageShape],
    pipelines: Sequence[Sequence[int]],
    layout: RecordLayout,
) -> dict[int, EngineMap]:
    """Every engine that serves a stage, by anchor.

    Pages lie apart by the largest row block of the engine itself, so that its tables do not depend
    on the rest of the partition: an engine that stays needs no LOAD when the others change.
    """
    maps = {}
    for e in partition.engines:
        programs = {
            n: _on_engine(config, e, s, layout)
            for n, s in shapes.items()
            if _hosts(e, n, pipelines)
        }
        if not programs:
            continue
        try:
            maps[e.unit] = _map_engine(config, e.row, e.column, e.level, programs)
        except UserError as error:
            raise UserError(f"{error}; {_nearest(config, e.level, programs)}") from None
    return maps


def _on_engine(config: Config, e: Engine, shape: StageShape, layout: RecordLayout) -> StageShape:
    """The shape with what the dense pass of such records writes into the engine's banks.

    Raises
    ------
    UserError
        The model has decoders, the engine no hash lanes.
    """
    if config.hash_lanes_at(e.row, e.column):
        return replace(shape, inputs=layout.first_id)
    if shape.decoders:
        feature = shape.decoders[0][0]
        if not config.hash_lanes:
            raise UserError(
                f"{shape.name}: feature {feature} is decoded, {config.name} has no hash lanes"
            )
        edge = config.sub_array << config.hash_level
        raise UserError(
            f"{shape.name}: feature {feature} is decoded, the engine at sub-array {e.unit} has no "
            f"hash lanes; engines of {edge}x{edge} and larger have them, and those at their upper "
            "left corners"
        )
    return replace(shape, inputs=layout.dense_bytes if layout.first_id else 0)


def _ordered(results: ResultPlan, mapped: EngineMap) -> EngineMap:
    """The engine with its decoders in the order of the rows that they are expected to have.

    While the array decodes a feature of one slot, codes of the other slot's next one are made: the
    longer of the two takes its time, so neighbours are to have as many rows.
    """

    def rows(number: int, place: DecoderMap) -> float:
        return results.misses.get(table_number(number, place.feature), 1.0)

    stages = {
        number: replace(
            stage, decoders=tuple(sorted(stage.decoders, key=lambda d: rows(number, d)))
        )
        for number, stage in mapped.stages.items()
    }
    return replace(mapped, stages=stages)


def _map_engine(
    config: Config, row: int, column: int, level: int, programs: dict[int, StageShape]
) -> EngineMap:
    rows = row_blocks(config, programs, config.sub_array << level)
    return map_engine(config, row=row, column=column, level=level, programs=programs, rows=rows)


def _nearest(config: Config, level: int, programs: dict[int, StageShape]) -> str:
    """Which engine would hold models that this one does not."""
    legal = range(config.levels) if config.features.fission else range(config.levels - 1, -1)
    for other in sorted(legal, key=lambda one: abs(one - level)):
        try:
            _map_engine(config, 0, 0, other, programs)
        except UserError:
            continue
        edge = config.sub_array << other
        return f"the nearest engine that holds it is {edge}x{edge}"
    return f"no engine of {config.name} holds it"


def _checked(
    config: Config,
    models: Sequence[QuantisedModel],
    pipelines: Sequence[Sequence[int]] | None,
) -> tuple[tuple[int, ...], ...]:
    """The pipelines, or the one of all programs."""
    found = tuple(tuple(p) for p in pipelines) if pipelines else (tuple(range(len(models))),)
    if len(found) > config.max_pipelines:
        raise UserError(f"{len(found)} pipelines; {config.name} holds {config.max_pipelines}")
    _check_ids(config, models)
    used = {program for programs in found for program in programs}
    if used != set(range(len(models))):
        raise UserError(f"pipelines run programs {sorted(used)}, there are 0 to {len(models) - 1}")
    for programs in found:
        if not 1 <= len(programs) <= config.max_stages:
            raise UserError(
                f"a pipeline has {len(programs)} stages, {config.name} takes 1 to "
                f"{config.max_stages}"
            )
    return found


def _check_ids(config: Config, models: Sequence[QuantisedModel]) -> None:
    """Records are the same for all models, and hold a number of id words."""
    first = models[0].shape
    for model in models[1:]:
        if model.shape.bags != first.bags:
            raise UserError(
                f"{model.shape.name} has bags of {model.shape.bags} ids, {first.name} of "
                f"{first.bags}: stages read the same records"
            )
    words = id_places(config, [first.bags[f] for f in first.table_features]).count
    if words > config.max_features and first.id_places > first.sparse_features:
        raise UserError(
            f"{first.name}: bags of {first.id_places} ids take {words} id words of a record on "
            f"{config.gather_lanes} gather lanes, {config.name} holds {config.max_features}"
        )


def deploy(
    config: Config,
    *,
    partition: Partition,
    models: Sequence[QuantisedModel],
    cache: CachePlan,
    image: MemoryImage,
    pipelines: Sequence[Sequence[int]] | None = None,
    groups: Sequence[Sequence[int]] | None = None,
    fractions: Sequence[Sequence[int]] = (),
    results: ResultPlan | None = None,
) -> Deployment:
    """Place ``models`` on the device; fills ``image`` and returns what to load.

    Parameters
    ----------
    config, partition
        Device and its engines.
    models
        Programs, all of the same inputs.
    cache
        Contents of the static cache.
    image
        Device memory.
    pipelines
        Programs of the stages of each pipeline; a query names the one it runs through. Pipelines
        may share programs. None: one pipeline of all programs.
    groups
        Items that each program usually ranks, by sub-batch, to choose the row blocks by; None: the
        largest that fit. Queries of any size run on either.
    fractions
        Of each stage of pipeline 0, see ``driver.rules``; none: nothing is forwarded early.
    results
        Finished DHE vectors to hold; None: every vector is decoded.

    Raises
    ------
    UserError
        A model, table or image does not fit.
    """
    shapes = {number: stage_shape(model) for number, model in enumerate(models)}
    pipelines = _checked(config, models, pipelines)
    for engine in partition.engines:  # the plainest reason first
        check_models(config, {n: s for n, s in shapes.items() if _hosts(engine, n, pipelines)})
    layout, places, widest = records_of(config, [model.shape for model in models])
    maps = _map_engines(config, partition, shapes, pipelines, layout)
    if results is not None:
        maps = {unit: _ordered(results, mapped) for unit, mapped in maps.items()}
    most_rows = {n: min(m.stages[n].rows for m in maps.values() if n in m.stages) for n in shapes}
    rows = dict(most_rows)
    if groups is not None:
        for number, shape in shapes.items():
            engines = {
                e: maps[e.unit].streamed_tiles(number)
                for e in partition.engines
                if _hosts(e, number, pipelines)
            }
            rows[number] = choose_rows(config, shape, engines, groups[number], rows[number])
    deployment = Deployment(
        config=config,
        partition=partition,
        models=tuple(models),
        pipelines=pipelines,
        maps=maps,
        rows=tuple(rows.values()),
        most_rows=tuple(most_rows.values()),
        cache=cache,
        results=results,
        places=places,
        pitch=layout.pitch,
        ids_offset=layout.ids_offset,
        dense_bytes=layout.dense_bytes,
        first_id=layout.first_id,
        looked_up=tuple(place for _, place in models[0].shape.table_places),
        decoded=decoded_ids(widest),
    )
    builder = _Builder(deployment, image)
    for engine in partition.engines:
        if engine.unit in maps:
            builder.engine(engine, maps[engine.unit])
    if results is not None:
        units = [u for u, m in maps.items() if any(s.decoders for s in m.stages.values())]
        deployment.loads += held_loads(config, results, models, image, units)
    builder.features(cache)
    builder.pipeline_tables()
    builder.quotas(fractions)
    return deployment
