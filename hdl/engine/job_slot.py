"""A job slot of an engine: the life of a row block from acceptance to its last score."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import QUERY_BITS, job_layout
from ..program import STAGE

__all__ = ["JobSlot"]

_SCORED = ("position", "stride", "context", "sub_batch")
"""What a job's scores are told by."""


class JobSlot(wiring.Component):
    """Follows a job through its stations; the parent tells what happened, this unit what is due.

    free -> descriptor read -> dense rows landed -> bottom phase queued, done -> (decoders run) ->
    interaction started -> its rows landed -> top phase queued -> free for the next job, while the
    **tail** follows the old one: top phase done and all scores handed over. So the next job's
    inputs land and its bottom phase is queued while the top phase still runs; the array takes
    phases in order, and the inputs lie apart from what a top phase reads. A top phase is wanted
    only when the tail is empty.

    A stage without bottom layers skips the bottom phase, one without decoders the decoding. Without
    a bottom phase nothing else keeps the interaction off the tensors of the slot's top phase: the
    job waits for the tail. At each
    station one event counts; events for another station must not come. One cycle from an event to
    what follows from it.

    Parameters
    ----------
    config
        Sizes of the device.
    decodes
        The engine has hash lanes.

    Members
    -------
    start, job
        Accept this job; only while ``free``.
    stage_done, bottom_layers
        The slot's descriptor is in place; its number of bottom layers.
    no_dense
        The program takes no dense values: none are waited for. There are no bottom layers then.
    dense_row, chunk_row
        A row of dense inputs, of interaction outputs, is in the banks.
    ids_row, decoders, decoded
        With ``decodes``: all ids of a row are stored; decoders of the program; all have run.
    phase_pushed
        The slot's wanted phase was queued; a decoder's, which others follow, has no effect.
    bottom_done, top_done
        A phase of the slot ended; a decoder's counts as neither, whatever is told.
    interaction_taken
        The interaction has the job.
    score_taken
        A score was handed over.
    rows, program, query
        Of the job.
    tail_rows, tail_position, tail_stride, tail_context, tail_sub_batch
        Of the job whose top phase was queued last.
    tail
        The tail holds a job.
    free, want_stage, want_bottom, want_interaction, want_top
        What the slot waits for the parent to do.
    decode
        With ``decodes``, pulse: ids and bottom MLP are there, the decoders may run.
    staged
        The descriptor of a job is in place.
    interacted
        The interaction has taken the job.
    waits_input, waits_vectors
        The job waits for dense rows or its descriptor; for the interaction.
    """

    start: Signal
    job: data.View
    stage_done: Signal
    bottom_layers: Signal
    no_dense: Signal
    dense_row: Signal
    chunk_row: Signal
    ids_row: Signal
    decoders: Signal
    decoded: Signal
    decode: Signal
    phase_pushed: Signal
    bottom_done: Signal
    top_done: Signal
    interaction_taken: Signal
    score_taken: Signal
    rows: Signal
    program: Signal
    query: Signal
    tail_rows: Signal
    tail_position: Signal
    tail_stride: Signal
    tail_context: Signal
    tail_sub_batch: Signal
    tail: Signal
    free: Signal
    want_stage: Signal
    want_bottom: Signal
    want_interaction: Signal
    want_top: Signal
    staged: Signal
    interacted: Signal
    waits_input: Signal
    waits_vectors: Signal

    COUNT_LATENCY = 2
    """Pulse of a job's last row to the next station."""

    def __init__(self, *, config: Config, decodes: bool = False) -> None:
        self._decodes = decodes
        events = (
            "start",
            "stage_done",
            "dense_row",
            "chunk_row",
            "phase_pushed",
            "bottom_done",
            "top_done",
            "interaction_taken",
            "score_taken",
        )
        states = (
            "free",
            "tail",
            "want_stage",
            "want_bottom",
            "want_interaction",
            "want_top",
            "staged",
            "interacted",
            "waits_input",
            "waits_vectors",
        )
        decoding = {
            "ids_row": In(1),
            "decoders": In(STAGE["decoders"].shape),
            "decoded": In(1),
            "decode": Out(1),
        }
        layout = job_layout(config)
        super().__init__(
            {name: In(1) for name in events}
            | {name: Out(1) for name in states}
            | {"free": Out(1, init=1)}  # type: ignore[call-arg]  # not in the stubs
            | {
                "job": In(job_layout(config)),
                "bottom_layers": In(5),
                "no_dense": In(1),
                "rows": Out(config.row_bits + 1),
                "program": Out(4),
                "query": Out(QUERY_BITS),
                "tail_rows": Out(config.row_bits + 1),
            }
            | {f"tail_{name}": Out(layout[name].shape) for name in _SCORED}
            | (decoding if decodes else {})
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        counted = Signal.like(self.rows)  # rows of this station
        scored = {name: Signal.like(getattr(self, f"tail_{name}"), name=name) for name in _SCORED}
        all_rows = Signal()  # counted == rows, a register
        # The state a second time, a bit each: much waits for these.
        names = ("STAGE", "DENSE", "BOTTOM", "IDS", "INTERACTION", "VECTORS", "TOP")
        ongoing = {name: Signal(name=f"in_{name.lower()}") for name in names}
        self._follow_tail(m, scored)
        if self._decodes:
            self._ids = Signal.like(self.rows)  # rows whose ids are stored
            with m.If(self.start):
                m.d.sync += self._ids.eq(0)
            with m.Elif(self.ids_row):
                m.d.sync += self._ids.eq(self._ids + 1)

        def count(event: Signal) -> None:
            with m.If(event):
                m.d.sync += [counted.eq(counted + 1), all_rows.eq(counted + 1 == self.rows)]

        def move(state: str) -> None:
            # A job has rows.
            m.d.sync += [counted.eq(0), all_rows.eq(self.rows == 0)]
            m.d.sync += [now.eq(name == state) for name, now in ongoing.items()]
            m.next = state

        def after_bottom() -> None:
            move("INTERACTION")
            if self._decodes:
                with m.If(self.decoders != 0):
                    move("IDS")

        with m.FSM(name="state"):
            with m.State("FREE"):
                m.d.sync += [
                    self.rows.eq(self.job.rows),
                    *(value.eq(self.job[name]) for name, value in scored.items()),
                    self.program.eq(self.job.program),
                    self.query.eq(self.job.query),
                ]
                with m.If(self.start):
                    # A job comes from far away: nothing else waits for it.
                    m.d.sync += [self.free.eq(0), ongoing["STAGE"].eq(1)]
                    m.next = "STAGE"
            with m.State("STAGE"):
                with m.If(self.stage_done):
                    m.d.sync += self.staged.eq(1)
                    move("DENSE")
            with m.State("DENSE"):
                count(self.dense_row)
                with m.If(all_rows & (self.bottom_layers != 0)):
                    move("BOTTOM")
                with m.Elif((all_rows | self.no_dense) & ~self.tail):
                    after_bottom()
            with m.State("BOTTOM"):
                with m.If(self.phase_pushed):
                    move("BOTTOM_RUN")
            with m.State("BOTTOM_RUN"):
                with m.If(self.bottom_done):
                    after_bottom()
            if self._decodes:
                self._decode(m, move)
            with m.State("INTERACTION"):
                with m.If(self.interaction_taken):
                    move("VECTORS")
            with m.State("VECTORS"):
                count(self.chunk_row)
                with m.If(all_rows):
                    move("TOP")
            with m.State("TOP"):
                with m.If(self.phase_pushed):
                    m.d.sync += [self.free.eq(1), self.staged.eq(0)]
                    move("FREE")
        m.d.comb += [
            # ``free`` and ``staged`` are registers: other units' ready depends on them.
            self.want_stage.eq(ongoing["STAGE"]),
            self.want_bottom.eq(ongoing["BOTTOM"]),
            self.want_interaction.eq(ongoing["INTERACTION"]),
            self.want_top.eq(ongoing["TOP"] & ~self.tail),
            self.interacted.eq(ongoing["VECTORS"] | ongoing["TOP"]),
            self.waits_input.eq(ongoing["STAGE"] | ongoing["DENSE"] | ongoing["IDS"]),
            self.waits_vectors.eq(ongoing["INTERACTION"] | ongoing["VECTORS"]),
        ]
        return m

    def _decode(self, m: Module, move: Callable[[str], None]) -> None:
        """States between bottom MLP and interaction. Ids may land later than dense values."""
        with m.State("IDS"):
            with m.If(self._ids == self.rows):
                m.d.comb += self.decode.eq(1)
                move("DECODE")
        with m.State("DECODE"):
            with m.If(self.decoded):
                move("INTERACTION")

    def _follow_tail(self, m: Module, scored: dict[str, Signal]) -> None:
        """The job whose top phase was queued, until its phase has ended and its scores are out."""
        scores = Signal.like(self.tail_rows)  # handed over
        ended = Signal()
        with m.If(self.score_taken):
            m.d.sync += scores.eq(scores + 1)
        with m.If(self.top_done):
            m.d.sync += ended.eq(1)
        with m.If(ended & (scores == self.tail_rows)):
            m.d.sync += self.tail.eq(0)
        with m.If(self.want_top & self.phase_pushed):
            m.d.sync += self.tail.eq(1)
        # The tail is empty while a top phase is wanted: it may be filled as often as it likes.
        with m.If(self.want_top):
            m.d.sync += [
                self.tail_rows.eq(self.rows),
                *(getattr(self, f"tail_{name}").eq(value) for name, value in scored.items()),
                scores.eq(0),
                ended.eq(0),
            ]
