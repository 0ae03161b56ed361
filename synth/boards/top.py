"""A board's top: clocks from the PLL, pins, the system between them."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockDomain, Elaboratable, Module, Signal
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer

from hdl.board.device_instance import DeviceInstance
from hdl.board.system import BoardSystem
from hdl.config import Config

from .board import Board
from .pll import Pll

__all__ = ["BoardTop"]


class BoardTop(Elaboratable):
    """The whole board around the module that ``hdl.emit`` writes.

    ``sync`` is the PLL's clock; its reset ends when the PLL has locked (and the board's reset
    button, if there is one, is let go). All pins but the serial line and the lamps have their
    registers in the pads.

    Parameters
    ----------
    board
        Which.
    config
        Device.
    module
        Name of its Verilog module.
    pll
        The clock.
    baud
        Bits a second on the serial line.
    """

    def __init__(self, *, board: Board, config: Config, module: str, pll: Pll, baud: int) -> None:
        self._board, self._pll = board, pll
        self._system = BoardSystem(
            config=config,
            device=DeviceInstance(config=config, module=module),
            clock_hz=round(pll.output_mhz * 1e6),
            baud=baud,
            log2_bytes=board.log2_bytes,
            chip=board.chip,
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._clocks(m, platform)
        m.submodules.system = system = self._system
        uart = platform.request("uart", 0, dir={name: "-" for name in self._uart(platform)})
        m.submodules.rx = rx = io.Buffer(io.Direction.Input, uart.rx)
        m.submodules.tx = tx = io.Buffer(io.Direction.Output, uart.tx)
        m.d.comb += [system.rx.eq(rx.i), tx.o.eq(system.tx)]
        if self._board.chip is not None:
            self._sdram(m, platform)
        return m

    def _uart(self, platform: Any) -> list[str]:
        """Names of the serial line's pins."""
        return [sub.name for sub in platform.lookup("uart", 0).ios]

    def _clocks(self, m: Module, platform: Any) -> None:
        clock = platform.request(platform.default_clk, dir="-")
        m.submodules.clock_pad = pad = io.Buffer(io.Direction.Input, clock)
        locked, held = Signal(), Signal()
        sync: Any = ClockDomain("sync")
        shifted: Any = ClockDomain("shifted", reset_less=True)
        m.domains += [sync, shifted]
        source = Signal(name="clock_in")
        m.d.comb += source.eq(pad.i)
        # The pad's frequency is in the constraints; place and route derives those behind the PLL.
        m.submodules.pll = self._pll.instance(
            source,
            sync.clk,
            shifted.clk,
            locked,
            degrees=self._board.clock_phase,
        )
        m.d.comb += held.eq(~locked)
        if platform.default_rst is not None:
            button = platform.request(platform.default_rst, dir="-")
            m.submodules.reset_pad = reset = io.Buffer(io.Direction.Input, button)
            m.d.comb += held.eq(~locked | reset.i)
        m.submodules.reset = ResetSynchronizer(held, domain="sync")

    def _sdram(self, m: Module, platform: Any) -> None:
        names = [sub.name for sub in platform.lookup("sdram", 0).ios]
        pads = platform.request("sdram", 0, dir={name: "-" for name in names})
        pins = self._system.sdram
        clock: Any = io.DDRBuffer(io.Direction.Output, pads.clk, o_domain="shifted")
        m.submodules.sdram_clock = clock
        m.d.comb += [clock.o[0].eq(1), clock.o[1].eq(0)]

        def out(name: str, value: Any, port: Any) -> None:
            m.submodules[f"sdram_{name}"] = buffer = io.FFBuffer(io.Direction.Output, port)
            m.d.comb += buffer.o.eq(value)

        out("cs", 1, pads.cs)
        out("cke", 1, pads.clk_en)
        for bit, name in enumerate(("we", "cas", "ras")):
            # The resource's pins are inverted: what the chip sees low is 1 here.
            out(name, ~pins.command[bit], getattr(pads, name))
        out("a", pins.a, pads.a)
        out("ba", pins.ba, pads.ba)
        out("dqm", pins.dqm, pads.dqm)
        m.submodules.sdram_dq = data = io.FFBuffer(io.Direction.Bidir, pads.dq)
        m.d.comb += [data.o.eq(pins.dq_o), data.oe.eq(pins.dq_oe), pins.dq_i.eq(data.i)]
