"""Device memory image and LOAD entries of models that are mapped to engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from golden.filter import MOST_SUB_BATCHES
from golden.quantised_model import QuantisedLayer, QuantisedModel
from hdl import program as fmt
from hdl.control.targets import SUB_ARRAY_TARGETS
from hdl.dhe.layouts import HASH_CHUNK_BYTES
from hdl.words import pack_bytes

from .cache_plan import CachePlan
from .decoders import decoder_word, encoder_of, hash_bytes, phase_layers
from .deployment import Deployment
from .engine_tables import EngineTables
from .engine_words import stage_word
from .image import MemoryImage
from .loads import cache_loads, make_load
from .maps import DecoderMap, EngineMap, PhaseMap
from .partition import Engine
from .records import bank_place
from .result_plan import table_number
from .tiles import layer_tiles, stream_bytes

__all__ = ["LoadBuilder"]


class LoadBuilder:
    """Fills a device memory image, and a deployment's loads with what they write from it."""

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
        tables = EngineTables(self.d.config, mapped)
        decoders = self.programs(engine, mapped, tables)
        tables.check(engine)
        self.load(fmt.Target.DECODERS, engine.unit, 0, decoders)
        e = 1 << engine.level
        for s, bank in enumerate(tables.banks):
            self.load(fmt.Target.WEIGHTS, self.unit(engine, s // e, s % e), 0, bytes(bank))
        for j, parameters in enumerate(tables.column_parameters()):
            column = self.unit(engine, e - 1, j)
            self.load(fmt.Target.PARAMETERS, column, 0, parameters)
            for values, table in tables.activations.items():
                self.load(fmt.Target.ACTIVATION_TABLE, column, table * 32, values)
        self.load(fmt.Target.LAYERS, engine.unit, 0, b"".join(tables.layers))
        self.load(fmt.Target.STAGES, engine.unit, 0, bytes(tables.stages))
        self.load(fmt.Target.DOT_SHIFTS, engine.unit, 0, b"".join(tables.shifts))

    def programs(self, engine: Engine, mapped: EngineMap, tables: EngineTables) -> bytes:
        """Fill the tables with all programs; returns the words of their decoders."""
        config = self.d.config
        decoders = 0
        for number, stage in mapped.stages.items():
            model = self.d.models[number]
            first, streams = {}, {}
            for part, layers, phase, last in (
                ("bottom", model.bottom, stage.bottom, fmt.Destination.DENSE),
                ("top", _top_layers(model, mapped.edge), stage.top, fmt.Destination.SCORE),
            ):
                streams[part] = self.stream(engine, number, part, layers, phase, tables)
                first[part] = tables.add(layers, phase, last)
            code = {
                "decoder": decoders,
                "decoders": len(stage.shape.decoders),
                "decodings": len(stage.decoders),
                "code_base": stage.code_base,
            }
            if config.hash_lanes_at(engine.row, engine.column):
                code["first_id"] = self.d.first_id
            shift_base = tables.add_shifts(model, stage)
            word = stage_word(
                stage, mapped, first=first, streams=streams, shift_base=shift_base, code=code
            )
            decoders += len(stage.decoders)
            tables.put_stage(number, word)
        # Decoders behind all MLPs: STAGE has 6 bits for an entry of the layer table, DECODER 7.
        words = b""
        for number, stage in mapped.stages.items():
            for place in stage.decoders:
                last = fmt.Destination.DENSE if place.member is None else fmt.Destination.BANK
                layers = phase_layers(self.d.models[number], place, mapped.edge)
                stream = self.stream(engine, number, place.name, layers, place, tables)
                layer = tables.add(layers, place, last)
                words += self.decoder(engine, number, place, layer, stream)
        return words

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

    def stream(
        self,
        engine: Engine,
        number: int,
        part: str,
        layers: Sequence[QuantisedLayer],
        phase: PhaseMap,
        tables: EngineTables,
    ) -> int:
        """Put a phase's weights into the resident banks or a stream; returns its address."""
        address = 0
        if layers:
            tiles = np.concatenate([layer_tiles(layer.weight, tables.edge) for layer in layers])
            if phase.streamed:
                # Engines of one size read the same stream: the device fetches it once for all.
                blob = stream_bytes(self.d.config, tiles)
                if blob not in self.streams:
                    self.streams[blob] = self.image.put(
                        blob, align=fmt.STREAM_CHUNK_BYTES, what="weights"
                    )
                address = self.streams[blob]
            else:
                tables.put_weights(tiles, phase)
        self.d.streams[engine.unit, number, part] = address
        return address

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
