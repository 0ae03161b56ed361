"""Everything of a board but its pins and clocks: host link, memory, device."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from ..config import Config
from ..control.registers import ADDRESS_BITS
from .axi_memory import AxiMemory
from .block_memory import BlockMemory
from .frame_store import FrameStore
from .framing import Deframer, Framer
from .host_bridge import HostBridge
from .protocol import MAX_PAYLOAD, REQUEST_BYTES
from .sdram import Sdram, SdramChip, sdram_signature
from .uart import UartReceiver, UartTransmitter
from .word_merge import WordMerge

__all__ = ["BoardSystem"]

_BLOCK_READS = 8
_SDRAM_READS = 16
"""Words in flight: what the memory holds on its way, see there, and the queues around it."""


class BoardSystem(wiring.Component):
    """Host link over a serial line, device memory, device.

    ``sync`` holds the link and the memory; the device and its bus port are in a domain of their
    own that the host's RESET resets as well.

    Parameters
    ----------
    config
        Device; one AXI channel of 64 bits.
    device
        ``Accelerator`` or ``DeviceInstance``.
    clock_hz, baud
        Frequency of ``sync``, bits a second on the line.
    log2_bytes
        Size of the memory when it is block RAM.
    chip
        The SDRAM that is the memory; None: block RAM.

    Members
    -------
    rx, tx
        Serial line.
    sdram
        With ``chip``: see ``sdram_signature``.
    alive, busy
        For lamps: a request came in (toggles), the device's interrupt is up.
    """

    rx: Signal
    tx: Signal
    sdram: Any
    alive: Signal
    busy: Signal

    def __init__(
        self,
        *,
        config: Config,
        device: wiring.Component,
        clock_hz: int,
        baud: int,
        log2_bytes: int = 16,
        chip: SdramChip | None = None,
    ) -> None:
        if config.axi_channels != 1:
            raise ValueError(f"a board has one AXI channel, {config.name} {config.axi_channels}")
        self._config, self._device = config, device
        self._clock_hz, self._baud = clock_hz, baud
        self._chip = chip
        self.log2_bytes = log2_bytes if chip is None else chip.log2_bytes
        idle: Any = {"init": 1}  # not in the stubs
        members: dict[str, Member] = {"rx": In(1, **idle), "tx": Out(1, **idle)}
        if chip is not None:
            members["sdram"] = Out(sdram_signature(chip))
        super().__init__(members | {"alive": Out(1), "busy": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bridge = HostBridge(
            address_bits=ADDRESS_BITS,
            log2_bytes=self.log2_bytes,
            clock_hz=self._clock_hz,
            baud=self._baud,
        )
        m.submodules.bridge = bridge
        self._link(m, bridge)
        self._reset(m, bridge)
        axi_memory = AxiMemory(config=self._config, log2_bytes=self.log2_bytes, reads=self._reads)
        device: Any = self._device
        m.submodules.axi_memory = DomainRenamer("device")(axi_memory)
        m.submodules.device = DomainRenamer("device")(device)
        wiring.connect(m, device.m_axi[0], axi_memory.axi)
        wiring.connect(m, bridge.axil, device.s_axil)
        self._memory(m, axi_memory, bridge)
        m.d.comb += [bridge.interrupt.eq(device.irq), self.busy.eq(device.irq)]
        return m

    @property
    def _reads(self) -> int:
        return _BLOCK_READS if self._chip is None else _SDRAM_READS

    def _link(self, m: Module, bridge: HostBridge) -> None:
        m.submodules.receiver = receiver = UartReceiver(clock_hz=self._clock_hz, baud=self._baud)
        m.submodules.transmitter = transmitter = UartTransmitter(
            clock_hz=self._clock_hz, baud=self._baud
        )
        m.submodules.deframer = deframer = Deframer()
        m.submodules.store = store = FrameStore(size=MAX_PAYLOAD + REQUEST_BYTES)
        m.submodules.framer = framer = Framer()
        wiring.connect(m, receiver.o, deframer.i)
        wiring.connect(m, deframer.o, store.i)
        wiring.connect(m, store.o, bridge.i)
        wiring.connect(m, bridge.o, framer.i)
        wiring.connect(m, framer.o, transmitter.i)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            bridge.length.eq(store.length),
        ]
        with m.If(store.o.valid & store.o.ready & store.o.payload.last):
            m.d.sync += self.alive.eq(~self.alive)

    def _reset(self, m: Module, bridge: HostBridge) -> None:
        """The device's domain; its reset is a register, as it reaches everything."""
        domain: Any = ClockDomain("device", local=True)
        m.domains.device = domain
        reset = Signal(init=1)
        m.d.sync += reset.eq(bridge.reset)
        m.d.comb += [
            domain.clk.eq(ClockSignal("sync")),
            domain.rst.eq(ResetSignal("sync") | reset),
        ]

    def _memory(self, m: Module, axi_memory: AxiMemory, bridge: HostBridge) -> None:
        m.submodules.merge = merge = WordMerge(address_bits=self.log2_bytes - 3, reads=self._reads)
        memory: BlockMemory | Sdram
        if self._chip is None:
            memory = BlockMemory(log2_bytes=self.log2_bytes)
        else:
            memory = sdram = Sdram(chip=self._chip, clock_hz=self._clock_hz)
            wiring.connect(m, sdram.pins, wiring.flipped(self.sdram))
        m.submodules.memory = memory
        wiring.connect(m, axi_memory.memory, merge.users[0])
        wiring.connect(m, bridge.memory, merge.users[1])
        wiring.connect(m, merge.memory, memory.port)
        m.d.comb += merge.flush.eq(bridge.reset)
