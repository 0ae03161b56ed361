"""Order of the interaction's steps: what the hardware runs and the driver's shift words follow.

Plain Python without any hardware import, so that the driver can lay out ``Target.DOT_SHIFTS``.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "ROW_LANES",
    "InteractionStep",
    "ProductStep",
    "interaction_steps",
    "most_rows",
    "product_lanes",
    "product_steps",
    "step_lanes",
    "step_rows",
]

ROW_LANES = 32
"""Lanes of one vector i in a step of several: those of the r-th begin at lane 32 r."""


class InteractionStep(NamedTuple):
    """One step: dot products of vector ``i`` with vectors ``j0 .. j0 + count - 1``.

    With ``rows`` > 1: of vectors ``i .. i + rows - 1``, each with all vectors before it, one after
    the other; ``count`` of them together. ``step_lanes`` says which lane makes which output.
    """

    i: int
    j0: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    k: int
    rows: int = 1


def most_rows(outputs: int) -> int:
    """Most vectors i of a step at a unit of so many outputs."""
    return max(1, outputs // ROW_LANES)


def step_rows(vectors: int, width: int, outputs: int, multipliers: int, most: int) -> int:
    """Vectors i of a dot step at a unit of so many multipliers: 1, 2 or 4.

    Several where ``ROW_LANES`` lanes each are enough for all vectors before them.

    Parameters
    ----------
    vectors, width, outputs
        As for ``interaction_steps``.
    multipliers
        M.
    most
        Most outputs that the unit hands over in a step.
    """
    if vectors > outputs or outputs != ROW_LANES:
        return 1
    return max(1, min(most_rows(most), multipliers // (ROW_LANES * width)))


def step_lanes(step: InteractionStep) -> list[int]:
    """Lane of the shift word (bits 4n .. 4n + 3) that each output ``k, k + 1, ..`` belongs to."""
    if step.rows == 1:
        return list(range(step.count))
    return [r * ROW_LANES + n for r in range(step.rows) for n in range(step.i + r)]


def interaction_steps(
    vectors: int, width: int, outputs: int, rows: int = 1
) -> list[InteractionStep]:
    """List the steps of one item in the order of the hardware; step s uses word shift_base + s.

    The copy of the dense vector (outputs ``0 .. width - 1``) comes first and is not a step here:
    it has no shifts.

    Parameters
    ----------
    vectors
        Vectors of an item, the dense vector included, at least 1.
    width
        Values of a vector, d.
    outputs
        Most outputs of a vector i in a step, P, 1..32.
    rows
        Vectors i of a step, see ``step_rows``. They begin at multiples of it.

    Raises
    ------
    ValueError
        A parameter is out of range.
    """
    if vectors < 1:
        raise ValueError(f"vectors must be at least 1, not {vectors!r}")
    if width < 1:
        raise ValueError(f"width must be at least 1, not {width!r}")
    if not 1 <= outputs <= 32:
        raise ValueError(f"outputs must be in 1..32, not {outputs!r}")
    if rows > 1:
        return [
            InteractionStep(
                i, 0, sum(range(i, min(i + rows, vectors))), width + i * (i - 1) // 2,
                min(rows, vectors - i),
            )
            for i in range(0, vectors, rows)
            if vectors > 1
        ]  # fmt: skip
    return [
        InteractionStep(i, j0, min(outputs, i - j0), width + i * (i - 1) // 2 + j0)
        for i in range(1, vectors)
        for j0 in range(0, i, outputs)
    ]


class ProductStep(NamedTuple):
    """One step: products of the values ``part .. part + count - 1`` of a pair of vectors."""

    pair: int
    """Of vectors ``1 + 2 * pair`` and ``2 + 2 * pair``."""
    part: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    k: int
    """Output behind the program's ``product_base``."""


def product_lanes(multipliers: int, outputs: int) -> int:
    """Products of a step at a unit of so many multipliers and outputs: each takes a shifter, which
    the dot products of a vector i have; at least the 4 values that vectors are aligned to."""
    return min(outputs, ROW_LANES, max(4, multipliers // 4))


def product_steps(products: int, width: int, lanes: int) -> list[ProductStep]:
    """List the product steps of one item in the order of the hardware, before the copies.

    Parameters
    ----------
    products
        Pairs of vectors.
    width
        Values of a vector, d.
    lanes
        Most products of a step, see ``product_lanes``.
    """
    return [
        ProductStep(pair, part, min(lanes, width), pair * width + part)
        for pair in range(products)
        for part in range(0, width, lanes)
    ]
