"""Works off the host's requests: registers, memory, interrupt, reset."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Const, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.axi import axi_lite_signature
from ..words import pack
from .framing import frame_byte_layout
from .protocol import (
    CHANGES,
    HELLO,
    MAGIC,
    REQUEST,
    REQUEST_BYTES,
    RESET_CYCLES,
    WAIT_UNIT,
    BoardStatus,
    Operation,
)
from .register_access import RegisterAccess
from .request_check import RequestCheck
from .word_port import WORD_BYTES, word_port_signature

__all__ = ["HostBridge"]

_HELLO_BYTES = HELLO.size // 8


class HostBridge(wiring.Component):
    """One request after the other, byte by byte: the line is slower than that by far.

    See ``protocol`` for the requests. A frame shorter than a request is not answered.

    Parameters
    ----------
    address_bits
        Of the device's registers.
    log2_bytes
        Size of the memory.
    clock_hz, baud
        Told to the host.

    Members
    -------
    i, length
        A request, from ``FrameStore``.
    o
        Its answer.
    axil
        The device's registers.
    memory
        Port of the memory.
    interrupt
        The device's interrupt.
    reset
        Resets the device.
    """

    i: stream.Interface
    length: Signal
    o: stream.Interface
    axil: Any
    memory: Any
    interrupt: Signal
    reset: Signal

    def __init__(self, *, address_bits: int, log2_bytes: int, clock_hz: int, baud: int) -> None:
        self._address_bits = address_bits
        self._log2_bytes = log2_bytes
        self._hello = {
            "magic": MAGIC,
            "log2_memory": log2_bytes,
            "clock_hz": clock_hz,
            "baud": baud,
        }
        super().__init__(
            {
                "i": In(stream.Signature(frame_byte_layout())),
                "length": In(16),
                "o": Out(stream.Signature(frame_byte_layout())),
                "axil": Out(axi_lite_signature(address_bits=address_bits)),
                "memory": Out(word_port_signature(log2_bytes - 3)),
                "interrupt": In(1),
                "reset": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.registers = registers = RegisterAccess(address_bits=self._address_bits)
        wiring.connect(m, registers.axil, wiring.flipped(self.axil))
        self._registers = registers
        self._header: Any = Signal(REQUEST)
        self._received = Signal(range(REQUEST_BYTES))
        self._address = Signal(32)
        self._left = Signal(16)  # bytes (FILL: words, WAIT: units) still to do
        self._status = Signal(BoardStatus)
        self._word = Signal(8 * WORD_BYTES)
        self._strobe = Signal(WORD_BYTES)
        self._ticks = Signal(range(max(WAIT_UNIT, RESET_CYCLES)))
        request = self.memory.request
        m.d.comb += [
            request.payload.address.eq(self._address[3 : self._log2_bytes]),
            request.payload.data.eq(self._word),
            request.payload.strobe.eq(self._strobe),
        ]
        with m.FSM(name="state"):
            self._take(m)
            self._answer(m)
            self._write_registers(m)
            self._read_registers(m)
            self._write_memory(m)
            self._read_memory(m)
            self._wait(m)
        return m

    def _next(self, m: Module, step: int, then: str, again: str) -> None:
        """Count ``step`` done; go on with ``again`` until all is."""
        m.d.sync += [self._address.eq(self._address + step), self._left.eq(self._left - step)]
        with m.If(self._left == step):
            m.next = then
        with m.Else():
            m.next = again

    def _take(self, m: Module) -> None:
        """Header, checks, choice of what to do."""
        header, i = self._header, self.i
        m.submodules.check = check = RequestCheck(
            address_bits=self._address_bits, log2_bytes=self._log2_bytes
        )
        last_sequence, known = Signal(8), Signal()
        m.d.comb += [check.request.eq(header), check.length.eq(self.length)]
        with m.State("HEADER"):
            m.d.comb += i.ready.eq(1)
            with m.If(i.valid):
                m.d.sync += [
                    header.as_value().eq(header.as_value() >> 8 | i.payload.data << 56),
                    self._received.eq(self._received + 1),
                ]
                with m.If(self._received == REQUEST_BYTES - 1):
                    m.next = "CHECK"
                with m.Elif(i.payload.last):
                    m.d.sync += self._received.eq(0)
        with m.State("CHECK"):
            changes = Array(Const(code in CHANGES, 1) for code in range(8))
            repeated = known & (header.sequence == last_sequence)
            skip = repeated & changes[header.operation[:3]]
            m.d.sync += [
                self._address.eq(header.address),
                self._left.eq(header.count),
                self._ticks.eq(0),
                self._word.eq(0),
                self._strobe.eq(0),
                last_sequence.eq(header.sequence),
                known.eq(1),
            ]
            with m.If(skip):
                m.next = "DRAIN"  # the status is still that of the first time
            with m.Elif(check.status != BoardStatus.OK):
                m.d.sync += self._status.eq(check.status)
                m.next = "DRAIN"
            with m.Else():
                m.d.sync += self._status.eq(BoardStatus.OK)
                self._begin(m)
        with m.State("DRAIN"):
            over = self.length == REQUEST_BYTES
            m.d.comb += i.ready.eq(~over)
            with m.If(over | (i.valid & i.payload.last)):
                m.next = "SEQUENCE"

    def _begin(self, m: Module) -> None:
        with m.Switch(self._header.operation):
            for operation, state in (
                (Operation.WRITE_REGISTER, "REGISTER_BYTES"),
                (Operation.WRITE_MEMORY, "MEMORY_BYTES"),
                (Operation.FILL_MEMORY, "FILL"),
                (Operation.WAIT_INTERRUPT, "WAIT"),
                (Operation.RESET, "RESET"),
            ):
                with m.Case(operation):
                    m.next = state
            with m.Default():
                m.next = "SEQUENCE"

    def _answer(self, m: Module) -> None:
        """Sequence and operation, payload by the operation, flags and status."""
        header, out = self._header, self.o.payload
        hello = pack(HELLO, self._hello)
        table = Array(Const(hello >> 8 * n & 0xFF, 8) for n in range(_HELLO_BYTES))

        def send(byte: Value | int, then: str) -> None:
            m.d.comb += [self.o.valid.eq(1), out.data.eq(byte)]
            with m.If(self.o.ready):
                m.next = then

        with m.State("SEQUENCE"):
            m.d.sync += self._received.eq(0)
            send(header.sequence, "OPERATION")
        with m.State("OPERATION"):
            m.d.comb += [self.o.valid.eq(1), out.data.eq(header.operation)]
            with m.If(self.o.ready):
                m.next = "FLAGS"
                with m.If(self._status == BoardStatus.OK):
                    with m.Switch(header.operation):
                        with m.Case(Operation.HELLO):
                            m.next = "HELLO"
                        with m.Case(Operation.READ_REGISTER):
                            m.next = "REGISTER_READ"
                        with m.Case(Operation.READ_MEMORY):
                            m.next = "MEMORY_READ"
        with m.State("HELLO"):
            m.d.comb += [self.o.valid.eq(1), out.data.eq(table[self._address[:4]])]
            with m.If(self.o.ready):
                m.d.sync += self._address.eq(self._address + 1)
                with m.If(self._address[:4] == _HELLO_BYTES - 1):
                    m.next = "FLAGS"
        with m.State("FLAGS"):
            send(self.interrupt, "STATUS")
        with m.State("STATUS"):
            m.d.comb += out.last.eq(1)
            send(Value.cast(self._status), "HEADER")

    def _write_registers(self, m: Module) -> None:
        i, access = self.i, self._registers
        m.d.comb += [
            access.i.payload.address.eq(self._address),
            access.i.payload.data.eq(self._word[:32]),
        ]
        with m.State("REGISTER_BYTES"):
            m.d.comb += i.ready.eq(1)
            with m.If(i.valid):
                m.d.sync += [
                    self._word[:32].eq(self._word[8:32] | i.payload.data << 24),
                    self._strobe.eq(self._strobe + 1),
                ]
                with m.If(self._strobe[:2] == 3):
                    m.next = "REGISTER_WRITE"
        with m.State("REGISTER_WRITE"):
            m.d.comb += [access.i.valid.eq(1), access.i.payload.write.eq(1)]
            with m.If(access.i.ready):
                m.next = "REGISTER_WRITTEN"
        with m.State("REGISTER_WRITTEN"):
            m.d.comb += access.o.ready.eq(1)
            with m.If(access.o.valid):
                self._next(m, 4, "SEQUENCE", "REGISTER_BYTES")
                with m.If(access.o.payload.error):
                    m.d.sync += self._status.eq(BoardStatus.BUS_ERROR)
                    m.next = "REFUSED"
        with m.State("REFUSED"):  # the payload's rest goes unused
            m.d.comb += i.ready.eq(self._left != 0)
            with m.If(self._left == 0):
                m.next = "SEQUENCE"
            with m.Elif(i.valid):
                m.d.sync += self._left.eq(self._left - 1)

    def _read_registers(self, m: Module) -> None:
        access = self._registers
        with m.State("REGISTER_READ"):
            m.d.comb += access.i.valid.eq(1)
            m.d.sync += self._strobe.eq(0)
            with m.If(access.i.ready):
                m.next = "REGISTER_ANSWER"
        with m.State("REGISTER_ANSWER"):
            m.d.comb += access.o.ready.eq(1)
            with m.If(access.o.valid):
                m.d.sync += self._word[:32].eq(access.o.payload.data)
                m.next = "REGISTER_SEND"
                with m.If(access.o.payload.error):
                    m.d.sync += self._status.eq(BoardStatus.BUS_ERROR)
                    m.next = "FLAGS"
        with m.State("REGISTER_SEND"):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.data.eq(self._word[:8])]
            with m.If(self.o.ready):
                m.d.sync += [
                    self._word[:32].eq(self._word[8:32]),
                    self._strobe.eq(self._strobe + 1),
                ]
                with m.If(self._strobe[:2] == 3):
                    self._next(m, 4, "FLAGS", "REGISTER_READ")

    def _write_memory(self, m: Module) -> None:
        i, request = self.i, self.memory.request
        lane = self._address[:3]
        with m.State("MEMORY_BYTES"):
            m.d.comb += i.ready.eq(1)
            with m.If(i.valid):
                m.d.sync += [
                    self._word.word_select(lane, 8).eq(i.payload.data),
                    self._strobe.bit_select(lane, 1).eq(1),
                ]
                with m.If((lane == WORD_BYTES - 1) | (self._left == 1)):
                    m.next = "MEMORY_WRITE"
                with m.Else():
                    self._next(m, 1, "MEMORY_BYTES", "MEMORY_BYTES")
        with m.State("MEMORY_WRITE"):
            m.d.comb += [request.valid.eq(1), request.payload.write.eq(1)]
            with m.If(request.ready):
                m.d.sync += self._strobe.eq(0)
                self._next(m, 1, "SEQUENCE", "MEMORY_BYTES")
        with m.State("FILL"):
            m.d.comb += [
                request.valid.eq(1),
                request.payload.write.eq(1),
                request.payload.strobe.eq((1 << WORD_BYTES) - 1),
            ]
            with m.If(request.ready):
                m.d.sync += [
                    self._address.eq(self._address + WORD_BYTES),
                    self._left.eq(self._left - 1),
                ]
                with m.If(self._left == 1):
                    m.next = "SEQUENCE"

    def _read_memory(self, m: Module) -> None:
        request, words = self.memory.request, self.memory.data
        lane = self._address[:3]
        with m.State("MEMORY_READ"):
            m.d.comb += request.valid.eq(1)
            with m.If(request.ready):
                m.next = "MEMORY_ANSWER"
        with m.State("MEMORY_ANSWER"):
            m.d.comb += words.ready.eq(1)
            with m.If(words.valid):
                m.d.sync += self._word.eq(words.payload)
                m.next = "MEMORY_SEND"
        with m.State("MEMORY_SEND"):
            m.d.comb += [
                self.o.valid.eq(1),
                self.o.payload.data.eq(self._word.word_select(lane, 8)),
            ]
            with m.If(self.o.ready):
                self._next(m, 1, "FLAGS", "MEMORY_SEND")
                with m.If((lane == WORD_BYTES - 1) & (self._left != 1)):
                    m.next = "MEMORY_READ"

    def _wait(self, m: Module) -> None:
        with m.State("WAIT"):
            m.d.sync += self._ticks.eq(self._ticks + 1)
            with m.If(self.interrupt):
                m.next = "SEQUENCE"
            with m.Elif(self._ticks == WAIT_UNIT - 1):
                m.d.sync += self._ticks.eq(0)
                self._next(m, 1, "SEQUENCE", "WAIT")
        with m.State("RESET"):
            m.d.comb += self.reset.eq(1)
            m.d.sync += self._ticks.eq(self._ticks + 1)
            with m.If(self._ticks == RESET_CYCLES - 1):
                m.next = "SEQUENCE"
