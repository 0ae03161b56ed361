"""Sequencer of an engine: phases in, one control word a cycle out."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout, control_word_layout, phase_layout
from .cause import Cause
from .layer_table import LayerTable
from .load_walker import LoadWalker
from .row_walker import RowWalker, phase_name_layout

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Runs phases (one pass of a row block through one MLP each) on an engine.

    Two walkers over the same order of tiles: `LoadWalker` keeps the shadow weights filled,
    `RowWalker` sends rows. With R >= ``config.tile_interval`` rows and inputs at hand there is no
    bubble between tiles, layers and phases that wait at ``i``. The sum of ``input_tiles *
    output_tiles`` over a phase's layers must equal its ``tiles``; else, or when a layer goes beyond
    a memory, there is a ``fault``, and the engine needs a reset.

    A phase is taken when both walkers have it; ``control`` and ``cause`` are registered. First row
    of an idle engine: ``config.tile_interval`` + 4 cycles after the phase was offered.

    Parameters
    ----------
    config
        Sizes of the device.
    unit
        Sub-array number of the engine's anchor.

    Members
    -------
    config_write
        Broadcast of LOAD; words of ``Target.LAYERS`` for this unit are kept.
    i
        Phases in the order of execution.
    landed, consumed
        Exchange with the weight streamer: a pulse per streamed tile that lies in the ring, and a
        pulse per streamed tile that was issued for loading.
    control
        To the grid.
    page_ready
        Pulse from the grid: a control word two cycles later may read row 0 of the next output tile,
        in order.
    tile_done
        Pulse from the grid: one output tile was written back; in order, at least 3 cycles after its
        ``tile_end``.
    done
        Pulse: a phase ended, all its outputs are written back.
    cause
        What the cycle of ``control`` is charged to.
    fault
        The program is none that the engine can run.
    """

    config_write: data.View
    i: stream.Interface
    landed: Signal
    consumed: Signal
    control: data.View
    page_ready: Signal
    tile_done: Signal
    done: data.View
    cause: data.View
    fault: Signal

    def __init__(self, *, config: Config, unit: int) -> None:
        if not 0 <= unit < config.sub_arrays:
            raise ValueError(f"unit must be in 0..{config.sub_arrays - 1}, not {unit!r}")
        self._config = config
        self._unit = unit
        super().__init__(
            {
                "config_write": In(config_write_layout(config)),
                "i": In(stream.Signature(phase_layout(config))),
                "landed": In(1),
                "consumed": Out(1),
                "control": Out(control_word_layout(config)),
                "page_ready": In(1),
                "tile_done": In(1),
                "done": Out(phase_name_layout()),
                "cause": Out(Cause),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.layers = layers = LayerTable(config=self._config, unit=self._unit)
        m.submodules.load_walker = loads = LoadWalker(config=self._config)
        m.submodules.row_walker = rows = RowWalker(config=self._config)
        self._fork(m, loads.i, layers.i)
        wiring.connect(m, layers.o, rows.i)
        m.d.comb += [
            layers.config_write.eq(self.config_write),
            loads.landed.eq(self.landed),
            loads.swap.eq(rows.swap),
            rows.loaded.eq(loads.loaded),
            rows.starved.eq(loads.starved),
            rows.page_ready.eq(self.page_ready),
            rows.tile_done.eq(self.tile_done),
            self.consumed.eq(loads.consumed),
            self.done.eq(rows.done),
        ]
        m.d.sync += [
            self.control.eq(rows.word),
            self.control.load.eq(loads.load),
            self.control.load_address.eq(loads.load_address),
            self.cause.eq(rows.cause),
            self.fault.eq(rows.fault | loads.fault),
        ]
        return m

    def _fork(self, m: Module, *targets: stream.Interface) -> None:
        """Each target takes the phase when it can; the phase leaves ``i`` when all have it."""
        done = []
        for number, target in enumerate(targets):
            taken = Signal(name=f"taken_{number}")
            m.d.comb += [
                target.payload.eq(self.i.payload),
                target.valid.eq(self.i.valid & ~taken),
            ]
            with m.If(self.i.valid):
                m.d.sync += taken.eq(~self.i.ready & (taken | target.ready))
            done.append(taken | target.ready)
        ready = done[0]
        for other in done[1:]:
            ready = ready & other
        m.d.comb += self.i.ready.eq(ready)
