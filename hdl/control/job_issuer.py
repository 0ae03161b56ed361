"""Cuts a stage into row blocks and hands them to engines and record loader."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import job_layout
from ..program import PIPELINE_STAGE
from .engine_picker import EnginePicker

__all__ = ["CARRIED", "JobIssuer"]

CARRIED = ("records", "pitch", "dense_bytes", "ids_offset", "first")
"""Fields of a job that are the same for a whole stage."""


class JobIssuer(wiring.Component):
    """Sends the row blocks of one stage, in the order of positions.

    Each job goes to the engine first and, once that took it, with the same payload to the record
    loader: two plain streams, none waits for the other's ready, and an engine always knows a job
    before the first byte of it can arrive. A block that has nowhere to go waits for a slot.
    At best a job every 7 cycles.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    start, items, stage
        Begin a stage of ``items`` items, 1 .. max_items; all three are stable until ``busy`` falls
        again (``start`` is a pulse).
    engines
        Bit u is set when the engine anchored at u serves this stage. Stable during it.
    free
        Bit u is set when the engine anchored at u has a free slot. It must be up to date in the
        cycle after the engine took a job.
    busy
        Jobs of the stage are still to be taken.
    o_engine_job
        Stream of ``job_layout`` for the engine ``payload.unit``: its ``valid`` is this one's where
        the unit matches, its ``ready`` is passed back.
    o_loader_job
        Stream of ``job_layout`` for the record loaders.
    records, pitch, dense_bytes, ids_offset, first
        What the stage's jobs carry, stable until ``busy`` falls.
    """

    start: Signal
    items: Signal
    stage: data.View
    engines: Signal
    free: Signal
    busy: Signal
    o_engine_job: stream.Interface
    o_loader_job: stream.Interface
    records: Signal
    pitch: Signal
    dense_bytes: Signal
    ids_offset: Signal
    first: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        layout = job_layout(config)
        job = stream.Signature(layout)
        super().__init__(
            {
                "start": In(1),
                "items": In(config.item_bits + 1),
                "stage": In(PIPELINE_STAGE),
                "engines": In(config.sub_arrays),
                "free": In(config.sub_arrays),
                "busy": Out(1),
                "o_engine_job": Out(job),
                "o_loader_job": Out(job),
                **{name: In(layout[name].shape) for name in CARRIED},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.picker = picker = EnginePicker(config=self._config)
        left = Signal(self._config.item_bits + 1)
        position = Signal(self._config.item_bits)
        rows = Signal(self._config.row_bits + 1)
        job: Any = Signal(job_layout(self._config))
        m.d.comb += [
            picker.candidates.eq(self.engines & self.free),
            rows.eq(Mux(left < self.stage.rows, left, self.stage.rows)),
            self.o_engine_job.payload.eq(job),
            self.o_loader_job.payload.eq(job),
            self.busy.eq(1),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.busy.eq(self.start)
                m.d.sync += [left.eq(self.items), position.eq(0)]
                with m.If(self.start):
                    m.next = "PICK"
            with m.State("PICK"):
                m.d.comb += [picker.search.eq(1), picker.take.eq(picker.found)]
                m.d.sync += [
                    job.unit.eq(picker.unit),
                    job.slot.eq(picker.slot),
                    job.program.eq(self.stage.program),
                    job.features.eq(self.stage.features),
                    job.rows.eq(rows),
                    job.position.eq(position),
                    job.stride.eq(1),
                    *(job[name].eq(getattr(self, name)) for name in CARRIED),
                ]
                with m.If(picker.found):
                    m.d.sync += [left.eq(left - rows), position.eq(position + rows)]
                    m.next = "ENGINE"
            with m.State("ENGINE"):
                m.d.comb += self.o_engine_job.valid.eq(1)
                with m.If(self.o_engine_job.ready):
                    m.next = "LOADER"
            with m.State("LOADER"):
                m.d.comb += self.o_loader_job.valid.eq(1)
                with m.If(self.o_loader_job.ready):
                    m.next = "IDLE"
                    with m.If(left != 0):
                        m.next = "PICK"
        return m
