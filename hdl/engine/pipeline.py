"""Delay lines that keep control bits in step with a pipelined datapath."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value

__all__ = ["carry", "delay"]


def delay(m: Module, value: Value, cycles: int, *, name: str) -> Value:
    """Return ``value`` delayed by ``cycles`` clock cycles; registers are added to ``m``.

    Raises
    ------
    ValueError
        ``cycles`` is negative.
    """
    if cycles < 0:
        raise ValueError(f"cycles must be at least 0, not {cycles!r}")
    for number in range(cycles):
        stage = Signal(value.shape(), name=f"{name}_{number + 1}")
        m.d.sync += stage.eq(value)
        value = stage
    return value


def carry(m: Module, valid: Value, value: Value, cycles: int, *, name: str) -> tuple[Value, Value]:
    """Return ``valid`` and ``value`` delayed by ``cycles``; the value only moves while valid.

    Registers of an idle pipeline stand still. The value means nothing while the returned valid is
    low; it is not reset.

    Raises
    ------
    ValueError
        ``cycles`` is negative.
    """
    if cycles < 0:
        raise ValueError(f"cycles must be at least 0, not {cycles!r}")
    for number in range(cycles):
        stage_valid = Signal(name=f"{name}_valid_{number + 1}")
        m.d.sync += stage_valid.eq(valid)
        if len(value):  # Verilog has no signals without bits
            stage = Signal(value.shape(), name=f"{name}_{number + 1}", reset_less=True)
            with m.If(valid):
                m.d.sync += stage.eq(value)
            value = stage
        valid = stage_valid
    return valid, value
