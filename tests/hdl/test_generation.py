"""Quick generation: what it leaves out of Amaranth's conversion does not change the design."""

from __future__ import annotations

from typing import Any

from amaranth.back import rtlil  # type: ignore[attr-defined]  # not in the stubs
from amaranth.hdl import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.generation import quick_conversion

LANES = 8


class Ones(wiring.Component):
    """Sum of the lanes that are large: bits of one concatenation, taken one by one."""

    i: Any
    o: Signal

    def __init__(self) -> None:
        super().__init__({"i": In(4).array(LANES), "o": Out(4)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        large = Cat(lane >= 11 for lane in self.i)
        m.d.sync += self.o.eq(sum(large[lane] for lane in range(LANES)))
        return m


class Clocks(wiring.Component):
    """The same expression of a clock in two domains."""

    o: Any

    def __init__(self) -> None:
        super().__init__({"o": Out(1).array(2)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        clock = ~ClockSignal("sync")
        for number, domain in enumerate(("fast", "slow")):
            m.domains += ClockDomain(domain)
            part = Module()
            part.d.comb += self.o[number].eq(clock)
            m.submodules[domain] = DomainRenamer(domain)(part)
        return m


def test_an_expression_is_written_once() -> None:
    with quick_conversion():
        text = rtlil.convert(Ones(), name="ones")
    assert text.count("cell $ge ") == LANES
    assert text.count("cell $add ") in (LANES - 1, LANES)  # sum() begins with 0


def test_an_expression_in_two_domains_keeps_both() -> None:
    with quick_conversion():
        text = rtlil.convert(Clocks(), name="clocks")
    assert "\\fast_clk" in text and "\\slow_clk" in text
    assert text.count("cell $not ") == 2
