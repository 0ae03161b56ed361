"""Order of the interaction's steps: what the hardware runs and the driver's shift words follow.

Plain Python without any hardware import, so that the driver can lay out ``Target.DOT_SHIFTS``.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["InteractionStep", "ProductStep", "interaction_steps", "product_lanes", "product_steps"]


class InteractionStep(NamedTuple):
    """One step: dot products of vector ``i`` with vectors ``j0 .. j0 + count - 1``.

    Lane n of the step's shift word (bits 4n .. 4n + 3) belongs to output ``k + n``.
    """

    i: int
    j0: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    k: int


def interaction_steps(vectors: int, width: int, outputs: int) -> list[InteractionStep]:
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
        Most outputs of a step, P, 1..32.

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
    the dot products have; at least the 4 values that vectors are aligned to."""
    return min(outputs, max(4, multipliers // 4))


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
