"""Memories of units under test return inverted data where they promise none.

The same as ``hdl.collisions`` does for synthesis: a clocked read in the cycle of a write to its
place. A unit that used the old value would fail its tests here.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

import pytest
from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.hdl._mem import MemoryInstance
from amaranth.lib import memory


def _elaborate(self: Any, platform: object) -> Module:
    self._frozen = True
    self._data.freeze()
    m = Module()
    instance: Any = MemoryInstance(data=self._data, attrs=self.attrs)  # type: ignore[call-arg]
    m.submodules.instance = instance
    writers = {
        port: instance.write_port(domain=port.domain, addr=port.addr, data=port.data, en=port.en)
        for port in self._write_ports
    }
    for port in self._read_ports:
        others = [writer for writer in self._write_ports if writer not in port.transparent_for]
        read = Signal.like(Value.cast(port.data))
        collided = Signal(len(read))
        instance.read_port(
            domain=port.domain,
            data=read if port.domain != "comb" else port.data,
            addr=port.addr,
            en=port.en,
            transparent_for=tuple(writers[writer] for writer in port.transparent_for),
        )
        if port.domain == "comb":
            continue
        m.d.comb += Value.cast(port.data).eq(read ^ collided)
        with m.If(port.en):
            m.d[port.domain] += collided.eq(
                reduce(or_, (_written(writer, port.addr, len(read)) for writer in others), 0)
            )
    return m


def _written(writer: Any, address: Value, width: int) -> Value:
    """Bits of the word at ``address`` that are written."""
    bits = Cat(enable.replicate(width // len(writer.en)) for enable in writer.en)
    return Mux(writer.addr == address, bits, 0)


@pytest.fixture(autouse=True)
def collisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every memory that is elaborated in a test of a unit."""
    monkeypatch.setattr(memory.Memory, "elaborate", _elaborate)
