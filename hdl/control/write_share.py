"""Results and completions on one write port."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.interleave import channel_of
from ..bus.write_master import write_data_layout, write_port_signature, write_request_layout
from ..config import Config
from ..interfaces import QUERY_BITS
from ..queue import Queue

__all__ = ["WriteShare", "result_answer_layout", "result_request_layout"]


def result_request_layout(config: Config) -> data.StructLayout:
    """A burst of results, and the query they are of."""
    return data.StructLayout({"burst": write_request_layout(config), "query": unsigned(QUERY_BITS)})


def result_answer_layout() -> data.StructLayout:
    """The memory answered a burst of results of a query."""
    return data.StructLayout({"valid": 1, "error": 1, "query": unsigned(QUERY_BITS)})


class WriteShare(wiring.Component):
    """Bursts of both writers in turns, and every answer to the writer of its burst.

    A burst of one writer goes between two of the other when both have some. It is on the write port
    ``LATENCY`` cycles after its request was taken, and the next one is taken when its beats are
    handed over. Answers of a channel come in the order of its bursts, so a list of owners a channel
    tells whose they are, without latency.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    result_request, result_data
        Bursts of results, ``result_request_layout``.
    completion_request, completion_data
        Bursts of completions.
    write
        Write port.
    result_answers
        Answers to bursts of results, ``result_answer_layout``, one a channel.
    completion_answered, completion_error
        Pulse: some completion was answered; with it: an answer was an error.
    """

    result_request: stream.Interface
    result_data: stream.Interface
    completion_request: stream.Interface
    completion_data: stream.Interface
    write: Any
    result_answers: Any
    completion_answered: Signal
    completion_error: Signal

    LATENCY = 1
    OUTSTANDING = 32
    """Bursts of a channel that are not answered: one every 4 cycles at 128 cycles of latency; the
    result writer makes one in 12 cycles at best."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        beats = stream.Signature(write_data_layout(config))
        super().__init__(
            {
                "result_request": In(stream.Signature(result_request_layout(config))),
                "result_data": In(beats),
                "completion_request": In(stream.Signature(write_request_layout(config))),
                "completion_data": In(beats),
                "write": Out(write_port_signature(config)),
                "result_answers": Out(
                    data.ArrayLayout(result_answer_layout(), config.axi_channels)
                ),
                "completion_answered": Out(1),
                "completion_error": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request, beats = self.write.request, self.write.data
        ours, theirs = self.result_request, self.completion_request
        active = Signal()  # a burst is on the port or handing over its beats
        mine = Signal(2)  # the same, by its owner
        owner = Signal()  # of the burst handed over last: 1 is a completion
        left = Signal(8)  # beats after this one
        last = Signal()  # there are none
        chosen = Signal()
        burst: Any = Signal(write_request_layout(self._config))
        taken = Signal()
        room = self._owners(m, chosen, burst, taken)
        m.d.comb += [
            chosen.eq(Mux(owner, ~ours.valid, theirs.valid)),
            burst.eq(Mux(chosen, theirs.payload, ours.payload.burst)),
            taken.eq((ours.valid | theirs.valid) & ~active & room),
            ours.ready.eq(taken & ~chosen),
            theirs.ready.eq(taken & chosen),
            beats.payload.eq(Mux(owner, self.completion_data.payload, self.result_data.payload)),
            beats.valid.eq((mine & Cat(self.result_data.valid, self.completion_data.valid)).any()),
            self.result_data.ready.eq(mine[0] & beats.ready),
            self.completion_data.ready.eq(mine[1] & beats.ready),
        ]
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(~active):
            # Without a burst nobody looks at its payload.
            m.d.sync += [
                request.payload.eq(burst),
                left.eq(burst.beats),
                last.eq(Mux(chosen, theirs.payload.beats == 0, ours.payload.burst.beats == 0)),
            ]
        with m.If(taken):
            m.d.sync += [request.valid.eq(1), active.eq(1), owner.eq(chosen)]
            m.d.sync += mine.eq(Cat(~chosen, chosen))
        with m.Elif(beats.valid & beats.ready):
            with m.If(last):
                m.d.sync += [active.eq(0), mine.eq(0)]
            m.d.sync += [left.eq(left - 1), last.eq(left == 1)]
        return m

    def _owners(self, m: Module, chosen: Signal, burst: Any, taken: Signal) -> Signal:
        """Whose bursts are on the way, by channel; returns "one more may go"."""
        config = self._config
        owner = data.StructLayout({"completion": 1, "query": unsigned(QUERY_BITS)})
        channels = config.axi_channels
        target = Signal(max(1, channels.bit_length() - 1))
        rooms = Signal(channels)
        room = Signal()
        answered, failed = [], []
        m.d.comb += [
            target.eq(channel_of(config, burst.address)),
            room.eq(rooms.bit_select(target, 1)),
        ]
        for c in range(channels):
            queue = Queue(shape=owner, depth=self.OUTSTANDING)
            m.submodules[f"owners_{c}"] = queue
            answer: Any = self.result_answers[c]
            mine = self.write.answered[c]
            # A cycle late: the burst before takes longer.
            m.d.sync += rooms[c].eq(queue.i.ready)
            m.d.comb += [
                queue.i.payload.completion.eq(chosen),
                queue.i.payload.query.eq(self.result_request.payload.query),
                queue.i.valid.eq(taken & (target == c)),
                queue.o.ready.eq(mine),
                answer.valid.eq(mine & ~queue.o.payload.completion),
                answer.error.eq(self.write.error[c]),
                answer.query.eq(queue.o.payload.query),
            ]
            answered.append(mine & queue.o.payload.completion)
            failed.append(answered[-1] & self.write.error[c])
        m.d.comb += [
            self.completion_answered.eq(Cat(answered).any()),
            self.completion_error.eq(Cat(failed).any()),
        ]
        return room
