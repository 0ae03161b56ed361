"""The core: engines, embedding unit, dispatcher and array, between the bus and the front end."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Member, Out

from .array.grid import Grid
from .array.timing import latency
from .bus.ordered_reads import OrderedReads
from .clock_gate import share_gated
from .config import Config
from .control.dispatcher import Dispatcher
from .control.query_control import QueryControl
from .control.read_share import ReadShare
from .dhe.hash_fetch import CHUNKS
from .embedding.embedding_unit import EmbeddingUnit
from .engine.cause import Cause
from .engine.engine import Engine
from .engine.weight_streamer import WeightStreamer
from .interfaces import (
    QUERY_BITS,
    config_write_layout,
    load_reaches,
    query_done_layout,
    query_layout,
    read_port_signature,
    result_layout,
)
from .share import share
from .trace import TracePort, trace_members, trace_ports

__all__ = ["HELD_EVENTS", "LOOKUP_EVENTS", "Core"]

LOOKUP_EVENTS = ("hits", "look_ahead_hits", "merged", "misses", "bad_ids", "prefetches")
"""What becomes of lookups, for the counters."""
HELD_EVENTS = ("held_hits", "held_misses")
"""What becomes of ids that are looked up among finished DHE vectors."""

_HERE = 0
"""Number that every engine answers to: LOAD's words are readdressed on their way to it."""


class Core(wiring.Component):
    """Everything that a soft reset clears.

    Parameters
    ----------
    config
        Device sizes.
    trace
        Bring the trace ports out, for simulation.

    Members
    -------
    config_write
        Broadcast of LOAD, to all units.
    levels, engine_stages
        Partition in force.
    engine_idle, needed
        Bit u: the engine anchored at u holds no job; the query may still send it one. See
        ``PartitionControl``.
    i_query, o_result, o_done, cancelled
        See ``QueryControl``.
    read_{n}
        Read ports of requesters 1 .. (weight streamer, record loaders, gather lanes, hash
        constants).
    causes
        What each engine does in this cycle.
    fault
        An engine met a program that it cannot run; the core needs a reset.
    hits, look_ahead_hits, merged, misses, bad_ids, prefetches
        Lookups decided in this cycle: in the static cache; in the look-ahead cache, among them
        those whose data is still coming; in neither; ids out of range. Prefetches count apart.
    held_hits, held_misses
        Ids looked up in this cycle among the finished DHE vectors that engines hold.
    idle
        No job held and nothing being fetched, in the cycle before.
    trace_{name}_valid, trace_{name}_payload
        With ``trace``: events, see ``trace_ports``.
    """

    config_write: data.View
    levels: data.View
    engine_stages: data.View
    engine_idle: Signal
    needed: Signal
    i_query: stream.Interface
    o_result: stream.Interface
    o_done: stream.Interface
    cancelled: Signal
    read_1: Any
    causes: data.View
    fault: Signal
    hits: Signal
    look_ahead_hits: Signal
    merged: Signal
    misses: Signal
    bad_ids: Signal
    prefetches: Signal
    held_hits: Signal
    held_misses: Signal
    idle: Signal

    def __init__(self, *, config: Config, trace: bool = False) -> None:
        self._config = config
        self._trace = trace
        units, lanes = config.sub_arrays, config.gather_lanes
        members: dict[str, Member] = {
            "config_write": In(config_write_layout(config)),
            "levels": In(data.ArrayLayout(unsigned(config.level_bits), units)),
            "engine_stages": In(data.ArrayLayout(config.max_stages, units)),
            "engine_idle": Out(units),
            "needed": Out(units),
            "i_query": In(stream.Signature(query_layout(config))),
            "o_result": Out(stream.Signature(result_layout(config))),
            "o_done": Out(stream.Signature(query_done_layout(config))),
            "cancelled": In(1 << QUERY_BITS),
            "causes": Out(data.ArrayLayout(Cause, units)),
            "fault": Out(1),
            **{name: Out(range(lanes + 1)) for name in LOOKUP_EVENTS},
            **{name: Out(range(config.decoding_engines + 1)) for name in HELD_EVENTS},
            "idle": Out(1),
        }
        for number in range(1, config.read_requesters):
            members[f"read_{number}"] = Out(read_port_signature(config))
        if trace:
            members |= trace_members(config)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        # Every unit of every lane and engine sees the broadcast: one register against its fan-out.
        config_write = Signal.like(self.config_write)
        m.d.sync += config_write.eq(self.config_write)
        grid = Grid(config=config, trace=self._trace)
        m.submodules.grid = share(platform, grid, "grid")
        streamer = WeightStreamer(config=config)
        m.submodules.streamer = share(platform, streamer, "weight_streamer")
        embedding = EmbeddingUnit(config=config)
        m.submodules.embedding = share(platform, embedding, "embedding")
        # Where the host filters, there are no lists: queries have one stage, one after the other.
        queries: QueryControl | Dispatcher
        if config.features.on_chip_filter:
            queries = QueryControl(config=config)
        else:
            queries = Dispatcher(config=config)
        m.submodules.queries = share(platform, queries, "queries")
        m.d.comb += self.engine_idle.eq(~0)  # where no engine is; the others follow and win
        engines = self._engines(m, config_write, grid, streamer, embedding, queries, platform)
        decoding = [
            e for u, e in zip(config.anchors, engines, strict=True) if u in config.hash_anchors
        ]
        hash_errors: Value = Const(0)
        for engine in decoding:
            hash_errors |= engine.bus_error
        # The partition reaches every unit through a register of its own: it changes where nothing
        # is at work, and for all in the same cycle. A reset of the core leaves it as it is.
        stages = Signal.like(self.engine_stages, reset_less=True)
        m.d.sync += stages.eq(self.engine_stages)
        for name, unit in (("grid", grid), ("streamer", streamer), ("embedding", embedding)):
            m.d.comb += unit.levels.eq(self._late_levels(m, name))
        m.d.comb += [
            grid.config_write.eq(config_write),
            grid.weight_write.eq(streamer.weight_write),
            embedding.config_write.eq(config_write),
            queries.config_write.eq(config_write),
            queries.levels.eq(self._late_levels(m, "queries")),
            queries.engine_stages.eq(stages),
            embedding.live.eq(queries.live),
            self.needed.eq(queries.needed),
            queries.cancelled.eq(self.cancelled),
            queries.bad_ids.eq(embedding.bad_id),
            queries.bus_errors.eq(embedding.bus_error | streamer.bus_error | hash_errors),
        ]
        self._query(m, embedding, queries)
        m.submodules.streamer_reads = ordered = OrderedReads(config=config)
        wiring.connect(m, streamer.read, ordered.reader)
        readers = [
            ordered.read,
            *(getattr(embedding, f"read_record_{n}") for n in range(config.record_loaders)),
            *(getattr(embedding, f"read_lane_{n}") for n in range(config.gather_lanes)),
        ]
        if decoding:
            readers.append(self._hash_reads(m, decoding))
        for number, reader in enumerate(readers, 1):
            wiring.connect(m, reader, wiring.flipped(getattr(self, f"read_{number}")))
        self._events(m, embedding, engines)
        placed = [engine.placed for engine in decoding]
        m.d.comb += [
            self.held_hits.eq(sum((x.valid & x.hit for x in placed), Value.cast(0))),
            self.held_misses.eq(sum((x.valid & ~x.hit for x in placed), Value.cast(0))),
        ]
        if self._trace:
            self._traces(m, grid, embedding, queries, engines)
        return m

    def _late_levels(self, m: Module, name: str) -> Any:
        """``levels`` for one unit, a cycle late."""
        late: Any = Signal(self.levels.shape(), name=f"{name}_levels", reset_less=True)
        m.d.sync += late.eq(self.levels)
        return late

    def _engines(
        self,
        m: Module,
        config_write: Any,
        grid: Grid,
        streamer: WeightStreamer,
        embedding: EmbeddingUnit,
        queries: QueryControl | Dispatcher,
        platform: object,
    ) -> list[Engine]:
        """One engine at every anchor, wired to its place in the grid."""
        config = self._config
        engines = []
        job = queries.o_engine_job
        row_writes = Cat(Value.cast(row_write) for row_write in embedding.row_write)
        for u in config.anchors:
            row, column = divmod(u, config.grid)
            # Anchors differ only in the largest engine there: engines of one kind are one module.
            engine = Engine(config=config, unit=_HERE, row=row, column=column)
            kind = config.largest_level_at(row, column)
            engines.append(engine)
            mine = job.payload.unit == u
            awake = self._awake(m, engine, u, (job.valid & mine) | engine.config_write.valid)
            share_gated(m, platform, engine, f"engine_{kind}", name=f"engine_{u}", enable=awake)
            m.d.comb += grid.active[u].eq(awake)
            level: Value = Const(kind)  # without fission, or where there is nothing to cut
            if config.features.fission and config.levels > 1:
                level = Signal(config.level_bits, name=f"level_{u}", reset_less=True)
                m.d.sync += level.eq(self.levels[u])
            m.d.comb += [
                engine.level.eq(level),
                engine.i_job.payload.eq(job.payload),
                engine.i_job.valid.eq(job.valid & mine),
                getattr(grid, f"control_{u}").eq(engine.control),
                getattr(grid, f"dense_address_{u}").eq(engine.dense_address),
                Value.cast(engine.dense_data).eq(Value.cast(getattr(grid, f"dense_data_{u}"))),
                Value.cast(engine.row_write).eq(row_writes),
                engine.row_unit.eq(u),
                engine.score.eq(getattr(grid, f"score_{u}")),
                engine.tile_done.eq(getattr(grid, f"tile_done_{u}")),
                engine.page_ready.eq(getattr(grid, f"page_ready_{u}")),
                engine.landed.eq(getattr(streamer, f"landed_{u}")),
                getattr(streamer, f"consumed_{u}").eq(engine.consumed),
                engine.allocate.eq(embedding.allocate[u]),
                embedding.can_allocate[u].eq(engine.can_allocate),
                embedding.allocate_address[u].eq(engine.allocate_address),
                embedding.allocate_index[u].eq(engine.allocate_index),
                queries.free[u].eq(engine.free),
                self.causes[u].eq(engine.cause),
                self.engine_idle[u].eq(engine.idle),
            ]
            mine_to_load = config_write.valid & load_reaches(config_write, u)
            m.d.comb += [
                # Broadcast words for the engine, readdressed; others lose their valid bit.
                engine.config_write.eq(config_write),
                engine.config_write.unit.eq(_HERE),
                engine.config_write.valid.eq(mine_to_load),
            ]
            with m.If(mine):
                m.d.comb += job.ready.eq(engine.i_job.ready)
            loaders = sorted({config.loader_of(row, column, n) for n in range(kind + 1)})
            # Nobody looks at the payload while ``valid`` is low.
            m.d.comb += engine.i_dense.payload.eq(embedding.o_dense[loaders[0]].payload.chunk)
            for number in loaders:
                # An engine's jobs are in one loader, so no two have dense values for it.
                dense = embedding.o_dense[number]
                ours = dense.payload.unit == u
                with m.If(dense.valid & ours):
                    m.d.comb += engine.i_dense.valid.eq(1)
                    if number != loaders[0]:
                        m.d.comb += engine.i_dense.payload.eq(dense.payload.chunk)
                with m.If(ours):
                    m.d.comb += dense.ready.eq(engine.i_dense.ready)
            wiring.connect(m, engine.bank_write, getattr(grid, f"bank_write_{u}"))
            wiring.connect(m, engine.o_stream, getattr(streamer, f"i_{u}"))
            wiring.connect(m, engine.o_score, queries.i_scores[u])
        return engines

    def _hash_reads(self, m: Module, engines: list[Engine]) -> Any:
        """One reader for the hash constants of all engines: a tree of pairs."""
        bursts = CHUNKS * len(engines)
        ports: list[Any] = [engine.read for engine in engines]
        while len(ports) > 1:
            pairs = []
            for first, second in zip(ports[::2], ports[1::2], strict=True):
                pair = ReadShare(config=self._config, bursts=bursts)
                m.submodules += pair
                wiring.connect(m, first.request, pair.first)
                wiring.connect(m, second.request, pair.second)
                wiring.connect(m, pair.to_first, first.response)
                wiring.connect(m, pair.to_second, second.response)
                pairs.append(pair.memory)
            ports = pairs
        m.submodules.hash_reads = ordered = OrderedReads(config=self._config)
        wiring.connect(m, ports[0], ordered.reader)
        return ordered.read

    def _awake(self, m: Module, engine: Engine, u: int, wake: Value) -> Signal:
        """Whether the engine and its part of the grid need their clock.

        From what wakes it until all is at rest: an engine without jobs has nothing under way but
        the end of a wave through the array and its strips, which this is long enough for.
        """
        rest = latency(self._config.grid * self._config.sub_array)
        awake = Signal(name=f"awake_{u}")
        left = Signal(range(rest + 1), name=f"awake_left_{u}")
        busy = wake | ~engine.idle
        m.d.comb += awake.eq(busy | (left != 0))
        with m.If(busy):
            m.d.sync += left.eq(rest)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return awake

    def _query(
        self, m: Module, embedding: EmbeddingUnit, queries: QueryControl | Dispatcher
    ) -> None:
        """Queries in, row blocks to the record loaders, results out."""
        wiring.connect(m, wiring.flipped(self.i_query), queries.i_query)
        wiring.connect(m, queries.o_result, wiring.flipped(self.o_result))
        wiring.connect(m, queries.o_done, wiring.flipped(self.o_done))
        wiring.connect(m, queries.o_loader_job, embedding.i_job)
        wiring.connect(m, queries.o_prefetch, embedding.i_prefetch)
        for lane in range(self._config.gather_lanes):
            m.d.comb += queries.lookup[lane].eq(embedding.lookup[lane])
        for number in range(self._config.record_loaders):
            m.d.comb += [
                queries.list_address[number].eq(embedding.list_address[number]),
                embedding.list_data[number].eq(queries.list_data[number]),
                queries.walked[number].eq(embedding.walked[number]),
            ]

    def _events(self, m: Module, embedding: EmbeddingUnit, engines: list[Engine]) -> None:
        """Counters' increments."""
        lookups = [embedding.lookup[lane] for lane in range(self._config.gather_lanes)]

        def count(outcome: str, *, prefetch: bool = False) -> Value:
            found = (x.valid & x[outcome] & (x.prefetch == prefetch) for x in lookups)
            return sum(found, start=Value.cast(0))

        m.d.comb += [
            self.hits.eq(count("static_hit")),
            self.look_ahead_hits.eq(count("look_ahead_hit")),
            self.merged.eq(count("merged")),
            self.misses.eq(count("miss")),
            self.bad_ids.eq(count("bad")),
            self.prefetches.eq(sum((x.valid & x.prefetch for x in lookups), Value.cast(0))),
        ]
        m.d.sync += [
            self.fault.eq(Cat(engine.fault for engine in engines).any()),
            self.idle.eq(embedding.idle & Cat(engine.idle for engine in engines).all()),
        ]

    def _traces(
        self,
        m: Module,
        grid: Grid,
        embedding: EmbeddingUnit,
        queries: QueryControl | Dispatcher,
        engines: list[Engine],
    ) -> None:
        """Events for simulation; nothing in the device reads them."""
        config = self._config
        ports = {port.name: port for port in trace_ports(config)}

        def out(port: TracePort, index: int, valid: Value, fields: dict[str, Any]) -> None:
            size = port.payload.size
            bits = getattr(self, f"trace_{port.name}_payload")[index * size : (index + 1) * size]
            m.d.comb += getattr(self, f"trace_{port.name}_valid")[index].eq(valid)
            offset = 0
            for name, field in port.payload:
                m.d.comb += bits[offset : offset + field.width].eq(Value.cast(fields[name]))
                offset += field.width

        def view(fields: Any, names: TracePort) -> dict[str, Any]:
            return {name: fields[name] for name, _ in names.payload}

        for index in range(ports["columns"].count):
            record = grid.trace[index]
            out(ports["columns"], index, record.valid, view(record, ports["columns"]))
        for u, engine in zip(config.anchors, engines, strict=True):
            chunk = engine.trace_chunk
            wide = config.wide_interaction_at(*divmod(u, config.grid))
            port = ports["wide_interaction" if wide else "interaction"]
            out(port, u, chunk.valid, view(chunk.chunk, port))
            last = Signal(Cause, name=f"last_cause_{u}")
            m.d.sync += last.eq(engine.cause)
            out(ports["causes"], u, last != engine.cause, {"cause": engine.cause})
            if u in config.hash_anchors:
                placed = engine.placed
                out(ports["placed"], u, placed.valid, view(placed, ports["placed"]))
        job = queries.o_engine_job
        out(ports["jobs"], 0, job.valid & job.ready, view(job.payload, ports["jobs"]))
        for lane in range(config.gather_lanes):
            for name, record in (
                ("lookups", embedding.lookup[lane]),
                ("tag_steps", embedding.step[lane]),
                ("fills", embedding.filled[lane]),
            ):
                out(ports[name], lane, record.valid, view(record, ports[name]))
        for index in range(config.filter_survivors):
            kept = queries.kept[index]
            out(ports["survivors"], index, kept.valid, view(kept, ports["survivors"]))
