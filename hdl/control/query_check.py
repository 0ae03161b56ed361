"""Decides whether a query can run."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import query_layout
from ..program import PIPELINE, Status

__all__ = ["QueryCheck"]


class QueryCheck(wiring.Component):
    """Checks a query against its pipeline and the partition in force.

    BAD_PIPELINE: the id is beyond the table or not loaded, an entry that no engine could work on
    (more than ``max_stages`` stages, a row block of 0 or more than ``rows`` items, a program or a
    number of features beyond the tables), or a stage without an engine. Else BAD_SIZE: n = 0, n
    above ``max_items``, or the k of any stage not in 1 .. items of that stage. Else OK.

    Without ``features.on_chip_filter`` a pipeline must have one stage, and k is not looked at.

    ``done`` comes 1 cycle after ``start`` for BAD_PIPELINE, else 1 + number of stages checked
    (one 32-bit comparison a cycle).

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    start
        Pulse; query, pipeline and present are stable from here to ``done``.
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

    def __init__(self, *, config: Config) -> None:
        self._config = config
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
        keep = self.query.keep[stage]
        bad_items = (self.query.items == 0) | (self.query.items > self._config.max_items)
        bad_keep = (keep == 0) | (keep > items)
        if not self._config.features.on_chip_filter:
            bad_keep = Value.cast(0)
        m.d.sync += self.done.eq(0)
        with m.FSM():
            with m.State("PIPELINE"):
                m.d.sync += [stage.eq(0), items.eq(self.query.items)]
                with m.If(self.start):
                    with m.If(self._bad_pipeline()):
                        m.d.sync += [self.status.eq(Status.BAD_PIPELINE), self.done.eq(1)]
                    with m.Else():
                        m.next = "SIZE"
            with m.State("SIZE"):
                m.d.sync += [
                    stage.eq(stage + 1),
                    items.eq(keep),
                    self.status.eq(Mux(bad_items | bad_keep, Status.BAD_SIZE, Status.OK)),
                ]
                with m.If(bad_items | bad_keep | (stage + 1 == self.pipeline.stages)):
                    m.d.sync += self.done.eq(1)
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
