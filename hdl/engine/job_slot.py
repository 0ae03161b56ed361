"""A job slot of an engine: the life of one row block from acceptance to its last score."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import job_layout

__all__ = ["JobSlot"]


class JobSlot(wiring.Component):
    """Follows a job through its stations; the parent tells what happened, this unit what is due.

    free -> descriptor read -> dense rows landed -> bottom phase queued, done -> interaction started
    -> its rows landed -> top phase queued, done and all scores handed over -> free. A stage without
    bottom layers skips the bottom phase. At each station one event counts; events for another
    station must not come. One cycle from an event to what follows from it.

    Parameters
    ----------
    config
        Sizes of the device.

    Members
    -------
    start, job
        Accept this job; only while ``free``.
    stage_done, bottom_layers
        The slot's descriptor is in place; its number of bottom layers.
    dense_row, chunk_row
        A row of dense inputs, of interaction outputs, is in the banks.
    phase_pushed, phase_done
        The slot's wanted phase was queued; the phase that runs ended.
    interaction_taken
        The interaction has the job.
    score_taken
        A score was handed over.
    rows, position, program
        Of the job.
    free, want_stage, want_bottom, want_interaction, want_top
        What the slot waits for the parent to do.
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
    dense_row: Signal
    chunk_row: Signal
    phase_pushed: Signal
    phase_done: Signal
    interaction_taken: Signal
    score_taken: Signal
    rows: Signal
    position: Signal
    program: Signal
    free: Signal
    want_stage: Signal
    want_bottom: Signal
    want_interaction: Signal
    want_top: Signal
    staged: Signal
    interacted: Signal
    waits_input: Signal
    waits_vectors: Signal

    def __init__(self, *, config: Config) -> None:
        events = (
            "start",
            "stage_done",
            "dense_row",
            "chunk_row",
            "phase_pushed",
            "phase_done",
            "interaction_taken",
            "score_taken",
        )
        states = (
            "free",
            "want_stage",
            "want_bottom",
            "want_interaction",
            "want_top",
            "staged",
            "interacted",
            "waits_input",
            "waits_vectors",
        )
        super().__init__(
            {name: In(1) for name in events}
            | {name: Out(1) for name in states}
            | {
                "job": In(job_layout(config)),
                "bottom_layers": In(5),
                "rows": Out(config.row_bits + 1),
                "position": Out(config.item_bits),
                "program": Out(4),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        counted = Signal.like(self.rows)  # rows or scores of this station
        all_rows = Signal()
        ended = Signal()  # the top phase
        m.d.comb += all_rows.eq(counted == self.rows)

        def count(event: Signal) -> None:
            with m.If(event):
                m.d.sync += counted.eq(counted + 1)

        def move(state: str) -> None:
            m.d.sync += counted.eq(0)
            m.next = state

        with m.FSM(name="state") as fsm:
            with m.State("FREE"):
                m.d.sync += [
                    self.rows.eq(self.job.rows),
                    self.position.eq(self.job.position),
                    self.program.eq(self.job.program),
                    ended.eq(0),
                ]
                with m.If(self.start):
                    move("STAGE")
            with m.State("STAGE"):
                with m.If(self.stage_done):
                    move("DENSE")
            with m.State("DENSE"):
                count(self.dense_row)
                with m.If(all_rows & (self.bottom_layers == 0)):
                    move("INTERACTION")
                with m.Elif(all_rows):
                    move("BOTTOM")
            with m.State("BOTTOM"):
                with m.If(self.phase_pushed):
                    move("BOTTOM_RUN")
            with m.State("BOTTOM_RUN"):
                with m.If(self.phase_done):
                    move("INTERACTION")
            with m.State("INTERACTION"):
                with m.If(self.interaction_taken):
                    move("VECTORS")
            with m.State("VECTORS"):
                count(self.chunk_row)
                with m.If(all_rows):
                    move("TOP")
            with m.State("TOP"):
                with m.If(self.phase_pushed):
                    move("TOP_RUN")
            with m.State("TOP_RUN"):
                count(self.score_taken)
                with m.If(self.phase_done):
                    m.d.sync += ended.eq(1)
                with m.If(all_rows & ended):
                    move("FREE")
        m.d.comb += [
            self.free.eq(fsm.ongoing("FREE")),
            self.want_stage.eq(fsm.ongoing("STAGE")),
            self.want_bottom.eq(fsm.ongoing("BOTTOM")),
            self.want_interaction.eq(fsm.ongoing("INTERACTION")),
            self.want_top.eq(fsm.ongoing("TOP")),
            self.staged.eq(~fsm.ongoing("FREE") & ~fsm.ongoing("STAGE")),
            self.interacted.eq(
                fsm.ongoing("VECTORS") | fsm.ongoing("TOP") | fsm.ongoing("TOP_RUN")
            ),
            self.waits_input.eq(fsm.ongoing("STAGE") | fsm.ongoing("DENSE")),
            self.waits_vectors.eq(fsm.ongoing("INTERACTION") | fsm.ongoing("VECTORS")),
        ]
        return m
