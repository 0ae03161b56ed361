"""Reads in the cycle of a write: which ports are left open."""

from __future__ import annotations

from amaranth.back import rtlil  # type: ignore[attr-defined]  # not in the stubs
from amaranth.hdl import Module
from amaranth.lib import memory

from hdl.collisions import with_open_collisions
from hdl.emit import to_verilog


def text(*, domain: str = "sync", transparent: bool = False) -> str:
    m = Module()
    cells: memory.Memory = memory.Memory(shape=8, depth=16, init=[])
    m.submodules.cells = cells
    write = cells.write_port()
    read = cells.read_port(domain=domain, transparent_for=(write,) if transparent else ())
    ports = [write.addr, write.data, write.en, read.addr, read.data]
    if domain == "sync":
        ports.append(read.en)
    return rtlil.convert(m, ports=ports, emit_src=False)


def test_a_clocked_read_is_left_open() -> None:
    before = text()
    after = with_open_collisions(before)
    assert before.count("COLLISION_X_MASK 1'0") == 1
    assert after == before.replace("COLLISION_X_MASK 1'0", "COLLISION_X_MASK 1'1")
    assert "8'hxx" in to_verilog(after)


def test_other_reads_stay() -> None:
    for kept in (text(domain="comb"), text(transparent=True)):
        assert with_open_collisions(kept) == kept
