"""Miss list: the ids of a feature that must be decoded, without gaps."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .decoder_table import table_write_layout
from .layouts import ID_BITS
from .result_tags import ResultTags

__all__ = ["MissList", "list_job_layout", "placed_layout"]


def list_job_layout(config: Config) -> data.StructLayout:
    """One feature of a row block."""
    return data.StructLayout(
        {
            "slot": unsigned(1),
            "feature": unsigned(7),  # number of its id in the id store
            "table": unsigned(9),
            "seed": unsigned(15),
            "log2_sets": unsigned(4),
            "held": unsigned(1),  # ids may hit
            "rows": unsigned(config.row_bits + 1),
        }
    )


def placed_layout(config: Config) -> data.StructLayout:
    """Where a row's vector will be: place of a held one, or row of the decoder's output."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "slot": unsigned(1),
            "feature": unsigned(7),
            "row": unsigned(config.row_bits),
            "hit": unsigned(1),
            "place": unsigned(config.place_bits),
        }
    )


class MissList(wiring.Component):
    """Looks all ids of a feature up and lists those that miss, in row order, from 0 on.

    The decoder then runs over ``misses`` rows in place of the row block: the array stays dense. An
    id a cycle; rows + LATENCY cycles from a job to ``done``. The list of a slot stays until its
    next job.

    Parameters
    ----------
    config
        Device configuration: width of a place.
    sets, ways
        Tags, see `ResultTags`.

    Members
    -------
    i
        Jobs; taken while none is at work.
    write
        LOAD of tags.
    id_slot, id_feature, id_row, id
        To and from the id store; the id comes a cycle later.
    placed
        Pulse for each row, in order.
    done, done_slot, misses
        Pulse at the end of a job, its slot, and the number of ids on the list.
    slot, row, listed
        Reads the list: id number ``row`` of ``slot``, a cycle later.
    """

    LATENCY = 5
    """Cycles from a job to ``done``, without its rows."""

    i: stream.Interface
    write: data.View
    id_slot: Signal
    id_feature: Signal
    id_row: Signal
    id: Signal
    placed: data.View
    done: Signal
    done_slot: Signal
    misses: Signal
    slot: Signal
    row: Signal
    listed: Signal

    def __init__(self, *, config: Config, sets: int, ways: int) -> None:
        self._config = config
        self._tags = ResultTags(sets=sets, ways=ways)
        super().__init__(
            {
                "i": In(stream.Signature(list_job_layout(config))),
                "write": In(table_write_layout()),
                "id_slot": Out(1),
                "id_feature": Out(7),
                "id_row": Out(config.row_bits),
                "id": In(ID_BITS),
                "placed": Out(placed_layout(config)),
                "done": Out(1),
                "done_slot": Out(1),
                "misses": Out(config.row_bits + 1),
                "slot": In(1),
                "row": In(config.row_bits),
                "listed": Out(ID_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, tags = self._config, self._tags
        m.submodules.tags = tags
        job: Any = Signal(list_job_layout(config))
        busy = Signal()
        asking = Signal()
        row = Signal(config.row_bits)  # asked for
        answered = Signal(config.row_bits)
        # The id of a row comes a cycle after it was asked for, its outcome LATENCY cycles later.
        arrives = Signal()
        ids = [Signal(ID_BITS, name=f"id_{n}", reset_less=True) for n in range(tags.LATENCY)]
        last = row + 1 == job.rows
        hit = tags.hit & job.held
        m.d.comb += [
            self.i.ready.eq(~busy),
            self.id_slot.eq(job.slot),
            self.id_feature.eq(job.feature),
            self.id_row.eq(row),
            tags.write.eq(self.write),
            tags.valid.eq(arrives),
            tags.table.eq(job.table),
            tags.seed.eq(job.seed),
            tags.log2_sets.eq(job.log2_sets),
            tags.id.eq(self.id),
        ]
        m.d.sync += [arrives.eq(asking), ids[0].eq(self.id)]
        m.d.sync += [after.eq(before) for before, after in zip(ids, ids[1:], strict=False)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [job.eq(self.i.payload), busy.eq(1), asking.eq(1), self.misses.eq(0)]
        with m.If(asking):
            m.d.sync += [row.eq(Mux(last, 0, row + 1)), asking.eq(~last)]
        m.d.comb += [
            self.placed.valid.eq(tags.done),
            self.placed.slot.eq(job.slot),
            self.placed.feature.eq(job.feature),
            self.placed.row.eq(answered),
            self.placed.hit.eq(hit),
            self.placed.place.eq(Mux(hit, tags.place, self.misses)),
        ]
        end = tags.done & (answered + 1 == job.rows)
        m.d.sync += [self.done.eq(end), self.done_slot.eq(job.slot)]
        with m.If(tags.done):
            m.d.sync += answered.eq(Mux(end, 0, answered + 1))
            with m.If(~hit):
                m.d.sync += self.misses.eq(self.misses + 1)
        with m.If(self.done):
            m.d.sync += busy.eq(0)
        self._list(m, tags.done & ~hit, job, ids[-1])
        return m

    def _list(self, m: Module, misses: Value, job: Any, missed: Signal) -> None:
        depth = 2 << self._config.row_bits
        listed: memory.Memory = memory.Memory(shape=unsigned(ID_BITS), depth=depth, init=[])
        m.submodules.listed = listed
        write, read = listed.write_port(), listed.read_port(domain="sync")
        m.d.comb += [
            write.addr.eq(Cat(self.misses[: self._config.row_bits], job.slot)),
            write.data.eq(missed),
            write.en.eq(misses),
            read.addr.eq(Cat(self.row, self.slot)),
            self.listed.eq(read.data),
        ]
