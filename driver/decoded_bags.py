"""Bags of features that are decoded: the vector of each id, then their sum as one layer more.

The device decodes every place of a bag as it decodes the id of a feature, but leaves the vectors in
the activation banks, side by side. A layer of ones adds them and its requantiser is that of the
sum, so that the result is golden's bit for bit. Places that a bag does not use hold `EMPTY_ID`,
which is decoded like any other id: the layer takes that vector away again as often as there are
such places. Their number is an id word of its own, whose hash is the number itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.dhe import HashEncoder
from golden.embedding import EMPTY_ID
from golden.integer_model import decoder_layers
from golden.quantised_model import QuantisedLayer, QuantisedModel, QuantisedStack

__all__ = ["COUNTER", "DecodedIds", "member_number", "sum_inputs", "sum_stack"]

COUNTER = HashEncoder(a=np.array([1, 1]), b=np.array([0, 0]), p=np.array([257, 257]), m=255)
"""Of a number n below 255: its code is n - 127, twice, because a weight takes half of a vector."""
_ZERO = 127


@dataclass(frozen=True, kw_only=True)
class DecodedIds:
    """Id words behind the dense values of an item record.

    Word v is of decoded vector v: its id, or the number of places that its bag does not use. Behind
    them are the places of all bags, ids first.
    """

    bags: tuple[tuple[int, int], ...] = ()
    """Of each decoded vector: first place of its feature among the ids of an item, and its size."""

    @property
    def count(self) -> int:
        """Words."""
        return sum(1 if size == 1 else 1 + size for _, size in self.bags)

    def words(self, ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """[items, words] from ids [items, places]."""
        heads, tails = [], []
        for first, size in self.bags:
            places = ids[:, first : first + size]
            if size == 1:
                heads.append(places)
                continue
            empty = places == EMPTY_ID
            heads.append(empty.sum(axis=1, keepdims=True))
            order = np.argsort(empty, axis=1, kind="stable")
            tails.append(np.take_along_axis(places, order, axis=1))
        none = np.zeros((len(ids), 0), np.uint32)
        return np.concatenate([none, *heads, *tails], axis=1).astype(np.uint32)


def member_number(bags: Sequence[int], vector: int, place: int) -> int:
    """Word of a place of a decoded vector's bag; ``bags``: size of each vector's."""
    return len(bags) + sum(size for size in bags[:vector] if size > 1) + place


def sum_inputs(width: int, size: int, edge: int) -> int:
    """Inputs of the layer that adds a bag: vectors, whole pages each, and the code of a number."""
    return size * -(-width // edge) * edge + COUNTER.k


def sum_stack(model: QuantisedModel, feature: int, edge: int) -> QuantisedStack:
    """What adds the vectors of a feature's bag on an engine of ``edge`` PEs.

    Its layer has the vectors in front of the code: they lie in the pages before it.
    """
    shape = model.shape
    width, size = shape.width, shape.bags[feature]
    vector = shape.embeddings.index(("dhe", feature))
    empty = decoder_layers(model, feature, np.array([EMPTY_ID], np.uint32))[-1][0].astype(np.int32)
    weight = np.zeros((width, sum_inputs(width, size, edge)), np.int8)
    pitch = -(-width // edge) * edge
    every = np.arange(width)
    for place in range(size):
        weight[every, place * pitch + every] = 1
    half = -empty // 2
    weight[:, size * pitch] = half
    weight[:, size * pitch + 1] = -empty - half
    layer = QuantisedLayer(
        weight=weight,
        bias=-_ZERO * empty,
        multiplier=np.full(width, model.pool_multiplier[vector], np.uint16),
        shift=np.full(width, model.pool_shift[vector], np.uint8),
        function="none",
        weight_scale=np.ones(width),
        output_scale=1.0,
    )
    return QuantisedStack(encoder=COUNTER, decoder=(layer,))
