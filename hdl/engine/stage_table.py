"""Stage table of an engine: the stage programs that it may be asked to run."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..interfaces import config_write_layout
from ..program import ALL_UNITS, STAGE, STAGE_WORDS, Target

__all__ = ["StageTable", "stage_request_layout"]


def stage_request_layout() -> data.StructLayout:
    """Read a program's descriptor into the registers of a job slot."""
    return data.StructLayout({"program": unsigned(4), "slot": unsigned(1)})


class StageTable(wiring.Component):
    """Memory of STAGE descriptors, and a register copy of one for each job slot.

    A request takes ``STAGE_WORDS`` + 2 cycles until ``done``; the next one is taken in the cycle
    after. The program number wraps at ``config.max_programs``. The copy of a slot stays until its
    next request.

    Parameters
    ----------
    config
        Sizes of the device.
    unit
        Sub-array number of the engine's anchor: the unit that ``Target.STAGES`` words name.

    Members
    -------
    config_write
        Broadcast of LOAD.
    i
        Requests.
    stages
        Descriptor of each slot's program.
    done
        Pulse in the bit of the slot: its descriptor is in place.
    """

    config_write: data.View
    i: stream.Interface
    stages: data.View
    done: Signal

    LATENCY = STAGE_WORDS + 2
    """Cycles from a request to ``done``."""

    def __init__(self, *, config: Config, unit: int) -> None:
        if not 0 <= unit < config.sub_arrays:
            raise ValueError(f"unit must be in 0..{config.sub_arrays - 1}, not {unit!r}")
        self._config = config
        self._unit = unit
        super().__init__(
            {
                "config_write": In(config_write_layout(config)),
                "i": In(stream.Signature(stage_request_layout())),
                "stages": Out(data.ArrayLayout(STAGE, 2)),
                "done": Out(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        depth = self._config.max_programs * STAGE_WORDS
        table: Any = memory.Memory(shape=64, depth=depth, init=[])
        m.submodules.table = table
        read = table.read_port(domain="sync")
        self._write(m, table)

        slot = Signal()
        address = Signal(range(depth))
        word = Signal(range(STAGE_WORDS))  # the one in the memory's output register
        m.d.comb += read.addr.eq(address)
        with m.FSM(name="state"):
            with m.State("IDLE"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [
                    slot.eq(self.i.payload.slot),
                    address.eq(self.i.payload.program << exact_log2(STAGE_WORDS)),
                    word.eq(0),
                ]
                with m.If(self.i.valid):
                    m.next = "READ"
            with m.State("READ"):
                m.d.sync += address.eq(address + 1)
                m.next = "COPY"
            with m.State("COPY"):
                m.d.sync += [address.eq(address + 1), word.eq(word + 1)]
                for number in range(2):
                    with m.If(slot == number):
                        m.d.sync += (
                            self.stages[number].as_value().word_select(word, 64).eq(read.data)
                        )
                with m.If(word == STAGE_WORDS - 1):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1 << slot)
                m.next = "IDLE"
        return m

    def _write(self, m: Module, table: Any) -> None:
        """Words of ``Target.STAGES`` for this unit; addresses beyond the table are dropped."""
        word = self.config_write
        write = table.write_port()
        m.d.comb += [
            write.addr.eq(word.address),
            write.data.eq(word.data),
            write.en.eq(
                word.valid
                & (word.target == Target.STAGES)
                & ((word.unit == self._unit) | (word.unit == ALL_UNITS))
                & (word.address < self._config.max_programs * STAGE_WORDS)
            ),
        ]
