"""Decides whether a query can run."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import query_layout
from ..program import PIPELINE, Status
from ..ranking.funnel_layouts import Policy

__all__ = ["MOST_SUB_BATCHES", "QueryCheck", "region_words"]

MOST_SUB_BATCHES = 16
"""Sub-batches that a query can be cut into."""


def region_words(config: Config, query: data.View, items: Value, first: Value) -> Value:
    """Candidate memory of a stage that gets ``items`` survivors, or the query's items as ``first``.

    In sub-batches, EXACT may list twice as many as survive, BINNED any number. A region ends at a
    whole word of all ``candidate_banks``.
    """
    banks = config.candidate_banks
    bits = config.item_bits + 1
    listed: Value = items[:bits]
    with_drops = Mux(
        items[: bits - 1] << 1 < query.items[:bits], items[: bits - 1] << 1, query.items[:bits]
    )
    several = ~first & (query.sub_batches != 1)
    listed = Mux(several & (query.policy == Policy.EXACT), with_drops, listed)
    listed = Mux(several & (query.policy == Policy.BINNED), query.items[:bits], listed)
    return (listed + banks - 1) & ~(banks - 1)


class QueryCheck(wiring.Component):
    """Checks a query against its pipeline and the partition in force.

    BAD_PIPELINE: the id is beyond the table or not loaded, an entry that no engine could work on
    (more than ``max_stages`` stages, a row block of 0 or more than ``rows`` items, a program or a
    number of features beyond the tables), or a stage without an engine. Else BAD_SIZE: n = 0, n
    above ``max_items``, or the k of any stage not in 1 .. items of that stage; the number of
    sub-batches not in 1 .. 16 or above n, an unknown policy; lists of all stages together that do
    not fit the candidate memory. Else OK.

    Without ``features.on_chip_filter`` a pipeline must have one stage, and k is not looked at.

    ``done`` comes 1 cycle after ``start`` for BAD_PIPELINE, else 1 + number of stages checked
    (one 32-bit comparison a cycle).

    Parameters
    ----------
    config
        Device sizes.
    side_by_side
        Queries share the candidate memory, in sub-batches. Else one runs at a time, in one piece,
        and sub-batches and policy are not looked at.

    Members
    -------
    start
        Pulse; pipeline and present are stable from here to ``done``, the query from a cycle before.
    query, pipeline
        The query and its table entry.
    present
        Bit s is set when stage s has an engine.
    done
        Pulse.
    status
        Result, with ``done`` and until the next ``start``.
    """

    start: Signal
    query: data.View
    pipeline: data.View
    present: Signal
    done: Signal
    status: Signal

    def __init__(self, *, config: Config, side_by_side: bool = True) -> None:
        self._config = config
        self._side_by_side = side_by_side
        super().__init__(
            {
                "start": In(1),
                "query": In(query_layout(config)),
                "pipeline": In(PIPELINE),
                "present": In(config.max_stages),
                "done": Out(1),
                "status": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stage = Signal(range(self._config.max_stages))
        items = Signal(32)  # of the stage in check
        query = self.query
        keep = Signal(query.keep.shape().elem_shape)  # of the stage in check
        words = Signal(self._config.candidate_bits + 3)  # lists of four stages fit
        region = Signal(len(words))
        if self._side_by_side:
            bad_policy = (
                (query.sub_batches == 0)
                | (query.sub_batches > MOST_SUB_BATCHES)
                | (query.sub_batches > query.items)
                | (query.policy > Policy.BINNED)
            )
        else:
            bad_policy = Value.cast(0)
        bad_items = (self.query.items == 0) | (self.query.items > self._config.max_items)
        bad_keep = Value.cast(0)
        if self._config.features.on_chip_filter:
            bad_keep = (keep == 0) | (keep > items)
        # Registers: 32-bit comparisons, and sizes that come from far.
        keep_is_bad, query_is_bad = Signal(), Signal()
        m.d.sync += self.done.eq(0)
        with m.FSM():
            with m.State("PIPELINE"):
                m.d.sync += [stage.eq(0), items.eq(query.items), keep.eq(query.keep[0])]
                m.d.sync += words.eq(0)
                with m.If(self.start):
                    with m.If(self._bad_pipeline()):
                        m.d.sync += [self.status.eq(Status.BAD_PIPELINE), self.done.eq(1)]
                    with m.Else():
                        m.next = "STAGE"
            with m.State("STAGE"):
                m.d.sync += [
                    keep_is_bad.eq(bad_keep),
                    query_is_bad.eq(bad_items | bad_policy),
                    region.eq(region_words(self._config, query, items, stage == 0)),
                ]
                m.next = "SIZE"
            with m.State("SIZE"):
                m.next = "STAGE"
                m.d.sync += [
                    stage.eq(stage + 1),
                    items.eq(keep),
                    keep.eq(query.keep[(stage + 1)[: len(stage)]]),
                    words.eq(words + region),
                    self.status.eq(Status.OK),
                ]
                with m.If(stage + 1 == self.pipeline.stages):
                    if self._side_by_side:
                        m.next = "WORDS"
                    else:
                        m.d.sync += self.done.eq(1)
                        m.next = "PIPELINE"
                with m.If(keep_is_bad | query_is_bad):
                    m.d.sync += [self.status.eq(Status.BAD_SIZE), self.done.eq(1)]
                    m.next = "PIPELINE"
            with m.State("WORDS"):
                m.d.sync += self.done.eq(1)
                with m.If(words > self._config.candidate_words):
                    m.d.sync += self.status.eq(Status.BAD_SIZE)
                m.next = "PIPELINE"
        return m

    def _bad_pipeline(self) -> Value:
        config = self._config
        stages = self.pipeline.stages
        most = config.max_stages if config.features.on_chip_filter else 1
        bad = [self.query.pipeline >= config.max_pipelines, stages == 0, stages > most]
        for index in range(most):
            stage = self.pipeline.stage[index]
            bad_stage = Cat(
                stage.rows == 0,
                stage.rows > config.rows,
                stage.program >= config.max_programs,
                stage.features > config.max_features,
                ~self.present[index],
            ).any()
            bad.append((index < stages) & bad_stage)
        return Cat(bad).any()
