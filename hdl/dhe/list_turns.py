"""Brings the wishes of both slots for a list of rows to the miss list, one after the other."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .layouts import DECODER
from .miss_list import list_job_layout

__all__ = ["ListTurns"]


class ListTurns(wiring.Component):
    """One list at a time; of two wishes slot 0's first. Three cycles on top of the list's own.

    Parameters
    ----------
    config
        Device configuration.

    Members
    -------
    want, rows, decoder
        By slot: wish, rows of its block, descriptor of its decoder; hold until answered.
    o
        Jobs for the miss list.
    ended, ended_slot
        The list's ``done`` and ``done_slot``.
    done
        Pulse in the bit of the slot: its list is ready.
    """

    want: Signal
    rows: Any
    decoder: data.View
    o: stream.Interface
    ended: Signal
    ended_slot: Signal
    done: Signal

    def __init__(self, *, config: Config) -> None:
        super().__init__(
            {
                "want": In(2),
                "rows": In(config.row_bits + 1).array(2),
                "decoder": In(data.ArrayLayout(DECODER, 2)),
                "o": Out(stream.Signature(list_job_layout(config))),
                "ended": In(1),
                "ended_slot": In(1),
                "done": Out(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        turn = Signal()  # the slot that is served
        decoder = self.decoder[turn]
        job = self.o.payload
        m.d.comb += [
            job.slot.eq(turn),
            job.feature.eq(decoder.feature),
            job.table.eq(decoder.table),
            job.seed.eq(decoder.seed),
            job.log2_sets.eq(decoder.log2_sets),
            job.held.eq(decoder.held),
            job.rows.eq(Mux(turn, self.rows[1], self.rows[0])),
        ]
        with m.FSM(name="state"):
            with m.State("PICK"):
                m.d.sync += turn.eq(~self.want[0])
                with m.If(self.want.any()):
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(self.ended):
                    m.d.comb += self.done.eq(1 << self.ended_slot)
                    m.next = "REST"
            with m.State("REST"):  # the slot's wish is gone a cycle after its answer
                m.next = "PICK"
        return m
