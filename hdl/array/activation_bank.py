"""Activation bank of one sub-array: S lanes, fed by write-back and by the engine's bank writer."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..interfaces import control_word_layout
from .layouts import lane_write_layout, write_back_layout
from .timing import ACTIVATION_LATENCY

__all__ = ["ActivationBank"]


class ActivationBank(wiring.Component):
    """S lanes of one activation memory and one dense-vector memory each, and the control chain.

    Reading: lane i takes the control word i cycles after ``control`` and gives activation and
    swap bit ACTIVATION_LATENCY later. ``control_out`` is ``control`` S cycles later.

    Writing: ``write_back`` is lane 0's, lane i follows i cycles later with ``results[i]`` of that
    cycle. It is never refused. ``write`` is taken in its cycle on the lanes enabled, except where
    ``busy`` is set: the caller enables nothing on a busy lane. What is written stands in registers
    before the memory: it is there one cycle after, whoever wrote it.
    With one memory a slot, a lane is busy with write-backs of the write's slot only;
    ``write.address`` names the slot whatever is enabled. What is read of a location in the cycle in
    which it is written is open: engines write pages that nobody reads.

    The dense-vector memories are addressed by the low bits of the write-back's address below its
    slot bit, and read all at once, DENSE_LATENCY after ``dense_address``.

    Parameters
    ----------
    config
        Sizes: ``sub_array``, ``activation_bytes``.
    dense_bytes
        Dense-vector memory of a lane; ``config.dense_bytes`` by default. A memory smaller than the
        largest one leaves out the address bits below the slot bit that it does not need.

    Members
    -------
    control, control_out
        The control chain, southwards.
    activations, swaps
        West edge of the engine.
    write_back, results
        From the strip.
    write, busy
        From the bank writer; lanes whose memory for ``write`` write-back uses in this cycle.
    dense_address, dense_data
        Read port of the dense-vector memories.
    """

    control: data.View
    control_out: data.View
    activations: data.View
    swaps: Signal
    write_back: data.View
    results: data.View
    write: data.View
    busy: Signal
    dense_address: Signal
    dense_data: data.View

    def __init__(self, *, config: Config, dense_bytes: int | None = None) -> None:
        self._config = config
        self._dense_bytes = dense_bytes or config.dense_bytes
        lanes = data.ArrayLayout(signed(8), config.sub_array)
        super().__init__(
            {
                "control": In(control_word_layout(config)),
                "control_out": Out(control_word_layout(config)),
                "activations": Out(lanes),
                "swaps": Out(config.sub_array),
                "write_back": In(write_back_layout(config)),
                "results": In(lanes),
                "write": In(lane_write_layout(config)),
                "busy": Out(config.sub_array),
                "dense_address": In(config.dense_address_bits),
                "dense_data": Out(lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        control: Any = self.control
        write_back: Any = self.write_back
        for lane in range(self._config.sub_array):
            # The words of the next lane: the same, one cycle later.
            control_next = Signal(control.shape(), name=f"control_{lane + 1}")
            write_back_next: Any = Signal(write_back.shape(), name=f"write_back_{lane + 1}")
            m.d.sync += [control_next.eq(control), write_back_next.eq(write_back)]
            self._lane(m, lane, control, write_back)
            self._dense(m, lane, write_back_next)
            control, write_back = control_next, write_back_next
        m.d.comb += self.control_out.eq(control)
        return m

    def _lane(self, m: Module, lane: int, control: data.View, write_back: data.View) -> None:
        """One lane's activation and the swap bit that travels with it."""
        activation = Signal(signed(8), name=f"activation_{lane}", reset_less=True)
        swaps = Signal(ACTIVATION_LATENCY, name=f"swaps_{lane}")
        m.d.sync += [
            # The output register, second half of ACTIVATION_LATENCY.
            activation.eq(self._values(m, lane, control, write_back)),
            swaps.eq(Cat(control.swap, swaps)),  # drops the oldest bit
        ]
        m.d.comb += [
            self.activations[lane].eq(activation),
            self.swaps[lane].eq(swaps[-1]),
        ]

    def _dense(self, m: Module, lane: int, write_back: data.View) -> None:
        """One lane's dense-vector memory; ``write_back`` is the word of its register."""
        result = Signal(signed(8), name=f"result_{lane}", reset_less=True)
        m.d.sync += result.eq(self.results[lane])
        depth = self._dense_bytes
        dense: memory.Memory = memory.Memory(shape=signed(8), depth=depth, init=[])
        m.submodules[f"dense_{lane}"] = dense
        dense_read, dense_write = dense.read_port(domain="sync"), dense.write_port()
        bits = exact_log2(depth) - 1
        below_slot = write_back.address[:bits]
        m.d.comb += [
            dense_read.addr.eq(Cat(self.dense_address[:bits], self.dense_address[-1])),
            self.dense_data[lane].eq(dense_read.data),
            dense_write.en.eq(write_back.dense),
            dense_write.addr.eq(Cat(below_slot, write_back.slot)),
            dense_write.data.eq(result),
        ]

    def _values(self, m: Module, lane: int, control: data.View, write_back: data.View) -> Value:
        """A lane's activation memory, or one a slot; what is read, one cycle after its address."""
        memories = self._config.activation_memories
        bits = self._config.activation_address_bits - (memories - 1)  # without the slot
        address = Mux(self.write.wrapped[lane], self.write.wrapped_address, self.write.address)
        # Both addresses of a write are of one slot.
        same = Const(1) if memories == 1 else write_back.address[-1] == self.write.address[-1]
        m.d.comb += self.busy[lane].eq(write_back.bank & same)
        words = []
        for slot in range(memories):
            values: memory.Memory = memory.Memory(shape=signed(8), depth=1 << bits, init=[])
            m.submodules[f"activations_{lane}" if memories == 1 else f"slot_{slot}_{lane}"] = values
            read, write = values.read_port(domain="sync"), values.write_port()
            back, own = write_back.bank, self.write.enable[lane]
            if memories > 1:
                back &= write_back.address[-1] == slot
                own &= self.write.address[-1] == slot
            # The choice ends in registers: the memory may lie far from both sources.
            enable = Signal(name=f"enable_{slot}_{lane}")
            place = Signal(bits, name=f"place_{slot}_{lane}", reset_less=True)
            value = Signal(signed(8), name=f"value_{slot}_{lane}", reset_less=True)
            m.d.sync += [
                enable.eq(back | own),
                place.eq(Mux(back, write_back.address[:bits], address[:bits])),
                value.eq(Mux(back, self.results[lane], self.write.data[lane])),
            ]
            m.d.comb += [
                read.addr.eq(control.input_address[:bits]),
                write.en.eq(enable),
                write.addr.eq(place),
                write.data.eq(value),
            ]
            words.append(read.data)
        if memories == 1:
            return words[0]
        read_slot = Signal(name=f"read_slot_{lane}")
        m.d.sync += read_slot.eq(control.input_address[-1])
        return Mux(read_slot, words[1], words[0])
