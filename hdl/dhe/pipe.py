"""Values that travel beside a pipeline."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Shape, Signal, Value

__all__ = ["delayed"]


def delayed(m: Module, source: Any, cycles: int, name: str) -> list[Value]:
    """``source`` after 0 .. ``cycles`` cycles; registers without reset."""
    taps = [Value.cast(source)]
    for k in range(cycles):
        tap = Signal(Shape.cast(taps[0].shape()), name=f"{name}_{k + 1}", reset_less=True)
        m.d.sync += tap.eq(taps[-1])
        taps.append(tap)
    return taps
