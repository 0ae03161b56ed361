"""Small circuits over the lanes of a word: turning, counting, prefix sums."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value

__all__ = ["count_ones", "prefix_counts", "rotate"]


def rotate(m: Module, bits: Value, amount: Value, *, name: str, back: bool = False) -> Signal:
    """Turn lanes into banks: bit l goes to l + amount; ``back``: banks into lanes."""
    turned = bits
    width = len(bits)
    for step in range(len(amount)):
        by = (1 << step) % width
        moved = turned.rotate_right(by) if back else turned.rotate_left(by)
        stage = Signal(width, name=f"{name}_{step}")
        m.d.comb += stage.eq(Mux(amount[step], moved, turned))
        turned = stage
    result = Signal(width, name=name)
    m.d.comb += result.eq(turned)
    return result


def count_ones(bits: Value) -> Value:
    """Number of ones, as a balanced tree of adders."""
    terms: list[Value] = [bits[index] for index in range(len(bits))]
    while len(terms) > 1:
        pairs = [sum_of(terms[index : index + 2]) for index in range(0, len(terms), 2)]
        terms = pairs
    return terms[0]


def sum_of(terms: list[Value]) -> Value:
    """Sum of one or two values."""
    return terms[0] if len(terms) == 1 else terms[0] + terms[1]


def prefix_counts(m: Module, bits: Value, *, name: str) -> list[Signal]:
    """For each lane the ones below it, and last the ones of all: ``len(bits) + 1`` counts.

    log2 levels of adders (each lane adds the sum that lies 1, 2, 4 .. lanes below).
    """
    width = len(bits)
    limit = width.bit_length()
    sums: list[Value] = [bits[lane] for lane in range(width)]
    step = 1
    while step < width:
        sums = [
            sums[lane] if lane < step else (sums[lane] + sums[lane - step])[:limit]
            for lane in range(width)
        ]
        level = [Signal(limit, name=f"{name}_{step}_{lane}") for lane in range(width)]
        m.d.comb += Cat(level).eq(Cat(_widen(value, limit) for value in sums))
        sums = list(level)
        step *= 2
    counts = [Signal(limit, name=f"{name}_{lane}") for lane in range(width + 1)]
    m.d.comb += counts[0].eq(0)
    m.d.comb += [counts[lane + 1].eq(sums[lane]) for lane in range(width)]
    return counts


def _widen(value: Value, width: int) -> Value:
    return Cat(value, Signal(width))[:width] if len(value) < width else value[:width]
