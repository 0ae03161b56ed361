"""Models of the MP-Cache: finished DHE vectors of hot ids, and centroids in place of a decoder.

Tier 1 is exact: a vector is a function of the id alone, so reading it instead of computing it
changes no bit. Tier 2 is not: the nearest of some centroids stands for a code (or for the output
of a decoder layer), and the output computed for the centroid for that of the id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.dhe import HashEncoder
from golden.integer_model import decoder_layers
from golden.quantised_model import QuantisedModel
from golden.shape import layer_macs

__all__ = [
    "Centroids",
    "ResultCache",
    "fill_results",
    "find_centroids",
    "rows_left",
    "vectors_with_results",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class ResultCache:
    """Tier 1: vectors of the ids that were chosen from a histogram."""

    keys: tuple[NDArray[np.int64], ...]
    """By feature, ascending: ids, or residues modulo p where `residues` is set."""
    vectors: tuple[NDArray[np.int8], ...]
    """By feature, [keys, width]."""
    residues: tuple[bool, ...]
    """By feature: keyed by id mod p, as all ids of a residue have the same vector."""

    @property
    def entries(self) -> int:
        """Vectors held."""
        return sum(map(len, self.keys))


def _keys(encoder: HashEncoder, ids: NDArray[np.uint32], residue: bool) -> NDArray[np.int64]:
    return ids.astype(np.int64) % encoder.p[0] if residue else ids.astype(np.int64)


def fill_results(
    model: QuantisedModel,
    counts: Sequence[NDArray[np.int64]],
    entries: int,
    *,
    residues: bool = False,
) -> ResultCache:
    """The `entries` vectors that save the most work: count of the id times MACs of its decoder.

    Parameters
    ----------
    counts
        How often each id of each feature was seen; ids never seen are not held.
    residues
        Key by id mod p where all hashes of the feature share p.
    """
    stacks = model.stacks
    keyed: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    worth: list[NDArray[np.float64]] = []
    for f, (stack, count) in enumerate(zip(stacks, counts, strict=True)):
        if stack is None:
            keyed.append((np.zeros(0, np.int64), np.zeros(0, np.int64)))
            worth.append(np.zeros(0))
            continue
        seen = np.flatnonzero(count).astype(np.uint32)
        residue = residues and stack.encoder.shared_prime
        keys, place = np.unique(_keys(stack.encoder, seen, residue), return_inverse=True)
        total = np.bincount(place, weights=count[seen], minlength=len(keys))
        first = np.zeros(len(keys), np.int64)
        first[place] = seen  # any id of the residue will do
        keyed.append((keys, first))
        worth.append((total * layer_macs(model.shape.decoders[f])).astype(np.float64))
    everything = np.concatenate(worth)
    best = np.argsort(-everything, kind="stable")[:entries]
    chosen = np.zeros(len(everything), bool)
    chosen[best] = True
    held, vectors, by_residue = [], [], []
    start = 0
    for f, (keys, first) in enumerate(keyed):
        pick = chosen[start : start + len(keys)]
        start += len(keys)
        stack = stacks[f]
        held.append(keys[pick])
        ids = first[pick].astype(np.uint32)
        empty = np.zeros((0, model.shape.width), np.int8)
        vectors.append(decoder_layers(model, f, ids)[-1] if len(ids) else empty)
        by_residue.append(residues and stack is not None and stack.encoder.shared_prime)
    return ResultCache(keys=tuple(held), vectors=tuple(vectors), residues=tuple(by_residue))


def vectors_with_results(
    model: QuantisedModel, cache: ResultCache, feature: int, ids: NDArray[np.uint32]
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """[n, width] vectors, held ones from the cache and the others decoded; [n] which were held."""
    stack = model.stacks[feature]
    if stack is None:
        raise ValueError(f"feature {feature} of {model.shape.name} has no decoder")
    keys = _keys(stack.encoder, ids, cache.residues[feature])
    place = np.searchsorted(cache.keys[feature], keys)
    hit = np.zeros(len(ids), bool)
    inside = place < len(cache.keys[feature])
    hit[inside] = cache.keys[feature][place[inside]] == keys[inside]
    result = np.zeros((len(ids), model.shape.width), np.int8)
    result[hit] = cache.vectors[feature][place[hit]]
    if not hit.all():
        result[~hit] = decoder_layers(model, feature, ids[~hit])[-1]
    return result, hit


def rows_left(hits: NDArray[np.bool_], rows: int, least: int) -> int:
    """Array rows a tile for the misses of one feature, in blocks of `rows` lookups in order.

    Misses of a block follow each other without gaps; a tile takes at least `least` cycles, and
    nothing when all lookups of the block hit.
    """
    left = 0
    for start in range(0, len(hits), rows):
        misses = int((~hits[start : start + rows]).sum())
        left += max(misses, least) if misses else 0
    return left


@dataclass(frozen=True, kw_only=True, eq=False)
class Centroids:
    """Tier 2: points of a decoder's input or of a layer's output."""

    points: NDArray[np.float64]
    """[centroids, values]"""

    def nearest(self, values: NDArray[np.float64]) -> NDArray[np.intp]:
        """[n]: the nearest centroid of each row; of equals the first."""
        points = self.points
        scores = values @ points.T - 0.5 * (points**2).sum(axis=1)
        return np.argmax(scores, axis=1)


def find_centroids(
    values: NDArray[np.float64], weights: NDArray[np.float64], count: int
) -> Centroids:
    """k-means of weighted rows: Lloyd's steps from the heaviest rows, then until little changes.

    The heaviest rows as a start are also what makes hot ids exact in the limit.
    """
    count = min(count, len(values))
    points = values[np.argsort(-weights, kind="stable")[:count]].astype(np.float64)
    before = np.inf
    for _ in range(50):
        found = Centroids(points=points)
        nearest = found.nearest(values)
        error = float((weights * ((values - points[nearest]) ** 2).sum(axis=1)).sum())
        if before - error <= 1e-3 * abs(error):
            break
        before = error
        total = np.bincount(nearest, weights=weights, minlength=count)
        sums = np.zeros_like(points)
        np.add.at(sums, nearest, values * weights[:, None])
        moved = total > 0
        points = points.copy()
        points[moved] = sums[moved] / total[moved, None]
    return Centroids(points=points)
