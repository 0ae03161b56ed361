"""Controller of a 16-bit SDR SDRAM: bursts of four columns, rows left open, refresh."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import ceil
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, Signature

from ..queue import Queue
from .word_port import WORD_BYTES, word_port_signature

__all__ = ["PAD_LATENCY", "Command", "Sdram", "SdramChip", "sdram_signature"]

_DATA_BITS = 16
_BURST = 8 * WORD_BYTES // _DATA_BITS
PAD_LATENCY = 2
"""Cycles that the registers in the pads add to a read: one outwards, one inwards."""


@dataclass(frozen=True, kw_only=True)
class SdramChip:
    """Geometry and times (ns) of a chip; the defaults are an IS42S16160G-7, 32 MB."""

    log2_rows: int = 13
    log2_columns: int = 9
    log2_banks: int = 2
    cas_latency: int = 2
    start_ns: int = 200_000
    """Clock running and inputs quiet before the first command."""
    activate_to_column_ns: int = 20
    precharge_ns: int = 20
    activate_to_precharge_ns: int = 45
    refresh_ns: int = 70
    """A refresh, and from one activation of a bank to the next."""
    write_recovery_ns: int = 15
    refresh_interval_ns: int = 7800

    @property
    def log2_bytes(self) -> int:
        """Size."""
        return self.log2_rows + self.log2_columns + self.log2_banks + 1


class Command(IntEnum):
    """RAS, CAS, WE (active low) as bits 2, 1, 0; CS is always low."""

    MODE = 0b000
    REFRESH = 0b001
    PRECHARGE = 0b010
    ACTIVATE = 0b011
    WRITE = 0b100
    READ = 0b101
    NOP = 0b111


def sdram_signature(chip: SdramChip) -> Signature:
    """Pins of the chip as seen by the controller; ``dq`` split for the pad. CS is low, CKE high."""
    quiet: Any = {"init": Command.NOP}  # not in the stubs
    return Signature(
        {
            "command": Out(3, **quiet),
            "a": Out(chip.log2_rows),
            "ba": Out(chip.log2_banks),
            "dqm": Out(2),
            "dq_o": Out(_DATA_BITS),
            "dq_oe": Out(1),
            "dq_i": In(_DATA_BITS),
        }
    )


class Sdram(wiring.Component):
    """Words of 64 bits in a 16-bit SDRAM.

    A word is a burst of four columns. A row stays open until another row of its bank or a refresh
    is due. Words of open rows follow each other every 4 cycles, the data bus' limit. In order, one
    request at a time; up to ``_ANSWERS`` words wait for their user.

    Refreshes are counted while requests are served and come before the next request when due; a
    request takes less than 40 cycles, so the interval holds on average and to that much at each.
    After reset: ``chip.start_ns``, precharge, two refreshes, mode register.

    Pins are registers here. Reads are sampled ``PAD_LATENCY`` cycles later than at the chip: the
    pads have registers both ways.

    Parameters
    ----------
    chip
        The chip.
    clock_hz
        Frequency of the clock, also the chip's.

    Members
    -------
    port
        The memory's side.
    pins
        See ``sdram_signature``.
    """

    port: Any
    pins: Any

    _ANSWERS = 8

    def __init__(self, *, chip: SdramChip, clock_hz: int) -> None:
        if not 1_000_000 <= clock_hz <= 166_000_000:
            raise ValueError(f"clock_hz must be in 1000000..166000000, not {clock_hz!r}")
        if not 11 <= chip.log2_rows <= 13 or not 3 <= chip.log2_columns <= 10:
            raise ValueError(
                f"the chip must have 11..13 row and 3..10 column bits, not {chip.log2_rows} and "
                f"{chip.log2_columns}"
            )
        if chip.cas_latency not in (2, 3):
            raise ValueError(f"cas_latency must be 2 or 3, not {chip.cas_latency!r}")
        self._chip = chip
        self._clock_hz = clock_hz
        super().__init__(
            {
                "port": In(word_port_signature(chip.log2_bytes - 3)),
                "pins": Out(sdram_signature(chip)),
            }
        )

    def _cycles(self, time_ns: int) -> int:
        """Whole cycles of at least ``time_ns``."""
        return max(1, ceil(time_ns * self._clock_hz / 1_000_000_000))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip = self._chip
        request = self.port.request.payload
        column_bits = chip.log2_columns - 2
        self._column = request.address[:column_bits]
        self._bank = request.address[column_bits : column_bits + chip.log2_banks]
        self._row = request.address[column_bits + chip.log2_banks :]
        rows = [Signal(chip.log2_rows, name=f"row_{b}") for b in range(1 << chip.log2_banks)]
        self._rows, self._open = Array(rows), Signal(1 << chip.log2_banks)
        self._wait = Signal(range(self._cycles(chip.start_ns) + 1))
        self._hold = Signal(range(64))  # cycles until a row may be closed
        self._turn = Signal(range(16))  # cycles until a write may drive the data bus
        self._due = Signal()
        self._write_data = Signal(8 * WORD_BYTES)
        self._write_mask = Signal(WORD_BYTES)
        self._writing = Signal(range(_BURST + 1))
        m.d.sync += [
            self.pins.command.eq(Command.NOP),
            self._hold.eq(Mux(self._hold == 0, 0, self._hold - 1)),
            self._turn.eq(Mux(self._turn == 0, 0, self._turn - 1)),
        ]
        done = self._refresh_timer(m)
        room, reading = self._answers(m)
        self._shift_writes(m)
        with m.FSM(name="state"):
            self._start(m)
            self._serve(m, room, reading)
            self._renew(m, done)
        return m

    def _command(self, m: Module, command: Command, wait: int, **pins: Value | int) -> None:
        """Put a command on the pins; the state after it begins ``wait`` cycles later at least."""
        m.d.sync += [self.pins.command.eq(command), self._wait.eq(wait - 1)]
        m.d.sync += [getattr(self.pins, name).eq(value) for name, value in pins.items()]

    def _paced(self, m: Module) -> Any:
        """Context of a cycle in which the wait is over."""
        with m.If(self._wait != 0):
            m.d.sync += self._wait.eq(self._wait - 1)
        return m.Else()

    def _start(self, m: Module) -> None:
        chip = self._chip
        refreshes = Signal()
        # CAS latency, sequential bursts of 4 for reads and writes.
        mode = chip.cas_latency << 4 | 0b010
        started = Signal()
        with m.State("START"):
            m.d.sync += [started.eq(1), self._wait.eq(self._wait - 1)]
            with m.If(~started):
                m.d.sync += self._wait.eq(self._cycles(chip.start_ns))
            with m.Elif(self._wait == 0):
                self._command(m, Command.PRECHARGE, self._cycles(chip.precharge_ns), a=1 << 10)
                m.next = "START_REFRESH"
        with m.State("START_REFRESH"):
            with self._paced(m):
                self._command(m, Command.REFRESH, self._cycles(chip.refresh_ns))
                m.d.sync += refreshes.eq(1)
                with m.If(refreshes):
                    m.next = "START_MODE"
        with m.State("START_MODE"):
            with self._paced(m):
                self._command(m, Command.MODE, 2, a=mode, ba=0)
                m.next = "SERVE"

    def _serve(self, m: Module, room: Value, reading: Signal) -> None:
        """Columns of open rows; else open the row, closing another one first."""
        chip, request = self._chip, self.port.request
        opened = self._open.bit_select(self._bank, 1)
        hit = opened & (self._rows[self._bank] == self._row)
        column: Any = Cat(Const(0, 2), self._column)
        write = request.payload.write
        with m.State("SERVE"):
            with self._paced(m):
                with m.If(self._due):
                    m.next = "CLOSE_ALL"
                with m.Elif(request.valid & hit & write & (self._turn == 0)):
                    m.d.comb += request.ready.eq(1)
                    self._write_column(m, column)
                with m.Elif(request.valid & hit & ~write & room):
                    m.d.comb += [request.ready.eq(1), reading.eq(1)]
                    self._command(m, Command.READ, _BURST, a=column, ba=self._bank)
                    # The chip's last column, and one cycle to let go of the bus.
                    m.d.sync += self._turn.eq(chip.cas_latency + _BURST + PAD_LATENCY)
                    self._keep_open(m, _BURST)
                with m.Elif(request.valid & ~hit & opened & (self._hold == 0)):
                    self._command(
                        m, Command.PRECHARGE, self._cycles(chip.precharge_ns), a=0, ba=self._bank
                    )
                    m.d.sync += self._open.bit_select(self._bank, 1).eq(0)
                with m.Elif(request.valid & ~opened):
                    self._activate(m)

    def _activate(self, m: Module) -> None:
        chip = self._chip
        self._command(
            m,
            Command.ACTIVATE,
            self._cycles(chip.activate_to_column_ns),
            a=self._row,
            ba=self._bank,
        )
        m.d.sync += [
            self._open.bit_select(self._bank, 1).eq(1),
            self._rows[self._bank].eq(self._row),
        ]
        # One counter for all banks is on the safe side: a bank's activations are also far enough
        # apart, as a row is closed after this and opened after a precharge.
        least = self._cycles(chip.refresh_ns) - self._cycles(chip.precharge_ns)
        self._keep_open(m, max(self._cycles(chip.activate_to_precharge_ns), least))

    def _write_column(self, m: Module, column: Value) -> None:
        request = self.port.request.payload
        self._command(m, Command.WRITE, _BURST, a=column, ba=self._bank)
        m.d.sync += [
            self._writing.eq(_BURST),
            self._write_data.eq(request.data),
            self._write_mask.eq(~request.strobe),
        ]
        self._keep_open(m, _BURST + self._cycles(self._chip.write_recovery_ns))

    def _keep_open(self, m: Module, cycles: int) -> None:
        with m.If(self._hold < cycles):
            m.d.sync += self._hold.eq(cycles)

    def _renew(self, m: Module, done: Signal) -> None:
        chip = self._chip
        with m.State("CLOSE_ALL"):
            with m.If(self._hold == 0):
                self._command(m, Command.PRECHARGE, self._cycles(chip.precharge_ns), a=1 << 10)
                m.d.sync += self._open.eq(0)
                m.next = "REFRESH"
        with m.State("REFRESH"):
            with self._paced(m):
                self._command(m, Command.REFRESH, self._cycles(chip.refresh_ns))
                m.d.comb += done.eq(1)
                m.next = "SERVE"

    def _refresh_timer(self, m: Module) -> Signal:
        """``due`` from the interval's end until the refresh; returns the signal that ends it."""
        interval = int(self._chip.refresh_interval_ns * self._clock_hz / 1_000_000_000)
        left = Signal(range(interval), init=interval - 1)
        done = Signal()
        m.d.sync += left.eq(Mux(left == 0, interval - 1, left - 1))
        with m.If(left == 0):
            m.d.sync += self._due.eq(1)
        with m.Elif(done):
            m.d.sync += self._due.eq(0)
        return done

    def _shift_writes(self, m: Module) -> None:
        """The column of a cycle: the first one goes out with the command, a register later."""
        pins = self.pins
        m.d.comb += [
            pins.dq_o.eq(self._write_data[:_DATA_BITS]),
            pins.dq_oe.eq(self._writing != 0),
            pins.dqm.eq(Mux(self._writing != 0, self._write_mask[:2], 0)),
        ]
        with m.If(self._writing != 0):
            m.d.sync += [
                self._writing.eq(self._writing - 1),
                self._write_data.eq(self._write_data >> _DATA_BITS),
                self._write_mask.eq(self._write_mask >> 2),
            ]

    def _answers(self, m: Module) -> tuple[Value, Signal]:
        """Columns to words; returns "there is room for one more" and "a read is sent now"."""
        m.submodules.answers = answers = Queue(shape=8 * WORD_BYTES, depth=self._ANSWERS)
        reading = Signal()
        # From the decision: the pins' register, the pads', the chip, four columns.
        first = 1 + PAD_LATENCY - 1 + self._chip.cas_latency
        flying = Signal(range(self._ANSWERS + 1))
        sent = Signal(first + _BURST)
        taken = answers.o.valid & answers.o.ready
        word = Signal(8 * WORD_BYTES)
        m.d.sync += [
            sent.eq(Cat(reading, sent[:-1])),
            flying.eq(flying + reading - taken),
            word.eq(Cat(word[_DATA_BITS:], self.pins.dq_i)),
        ]
        m.d.comb += [
            answers.i.valid.eq(sent[-1]),
            answers.i.payload.eq(word),
            self.port.data.payload.eq(answers.o.payload),
            self.port.data.valid.eq(answers.o.valid),
            answers.o.ready.eq(self.port.data.ready),
        ]
        return flying != self._ANSWERS, reading
