"""``rpaccel bench mp-cache``: where caching DHE results pays, and where centroids do.

Tier 1 (finished vectors of hot ids): hit rates of ids that follow a Zipf law, at the full row
counts, and the decoder cycles that are left in row blocks whose misses close up. Tier 2 (centroids
in place of a decoder): the share of the MACs that it could remove at best, and what it gets wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.criteo import CRITEO_KAGGLE_ROWS, CRITEO_TERABYTE_ROWS
from golden.dhe import decode, float_code
from golden.encoders import random_stack
from golden.mp_cache import find_centroids, rows_left
from golden.shape import layer_macs
from hdl.config import Config, preset

from .table import table_text

__all__ = ["bench_mp_cache", "centroid_error", "hit_rates", "most_removed"]

SIZES = (2 << 10, 16 << 10, 128 << 10, 1 << 20, 8 << 20)
EXPONENTS = (0.8, 1.05, 1.2)
DATA = (("kaggle", CRITEO_KAGGLE_ROWS, 16), ("terabyte", CRITEO_TERABYTE_ROWS, 64))
TAG_BYTES = 5
"""Feature and id of an entry."""
CENTROIDS = 256
LENGTHS = (2, 4, 8, 32, 128, 1024)
LOOKUPS = 1 << 12
"""Of each feature."""
STUDY_IDS = 4096

TIER_1 = {
    "data": "data",
    "zipf": "Zipf",
    "kilobytes": "size [KB]",
    "entries": "vectors",
    "hit_utilization": "hits [%]",
    "left_utilization": "cycles left [%]",
    "share_removed": "removed / hits",
}
TIER_2 = {
    "place": "centroids of",
    "k": "k",
    "centroids": "centroids",
    "code_utilization": "input unexplained [%]",
    "vector_utilization": "vector unexplained [%]",
}
AT_BEST = {
    "decoder": "decoder",
    "layer": "behind layer",
    "break_even": "centroids at break-even",
    "removed_utilization": "MACs removed at best [%]",
}


def hit_rates(rows: Sequence[int], entries: int, exponent: float) -> list[float]:
    """Share of each feature's lookups that find their id when the most likely ids are held."""
    likely = []
    for count in rows:
        weight = np.arange(1, count + 1, dtype=np.float64) ** -exponent
        likely.append(weight[:entries] / weight.sum())
    every = np.sort(np.concatenate(likely))
    least = every[-entries] if entries <= len(every) else 0.0
    return [float(share[share >= least].sum()) for share in likely]


def most_removed(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """For centroids in front of each layer: break-even number, and the MACs they replace."""
    total = layer_macs(tuple(sizes))
    found = []
    for layer in range(len(sizes) - 1):
        rest = layer_macs(tuple(sizes[layer:]))
        found.append(
            {
                "decoder": "-".join(map(str, sizes)),
                "layer": layer,
                "break_even": rest // sizes[layer],
                "removed_utilization": rest / total,
            }
        )
    return found


def _unexplained(values: NDArray[Any], guess: NDArray[Any], weights: NDArray[np.float64]) -> float:
    mean = np.average(values, axis=0, weights=weights)
    error = (weights[:, None] * (values - guess) ** 2).sum()
    return float(error / (weights[:, None] * (values - mean) ** 2).sum())


def centroid_error(
    k: int, hidden: int, place: int, *, count: int = CENTROIDS
) -> tuple[float, float]:
    """What centroids leave unexplained of a layer's input and of the vectors, ids equally likely.

    Parameters
    ----------
    k, hidden
        Decoder k-hidden-16 with random weights and Mish, as narrow codes are kept best by it.
    place
        Layer whose input is replaced: 0, the code, or 1, the hidden layer's output.
    """
    stack = random_stack((k, hidden, 16), seed=[1], hidden="mish", last="none")
    ids = np.arange(STUDY_IDS, dtype=np.uint32)
    code = float_code(stack.encoder, ids)
    outputs = decode(stack.decoder, code)
    values = (code, outputs[0])[place].astype(np.float64)
    weights = np.ones(len(ids))
    found = find_centroids(values, weights, count)
    guess = found.points[found.nearest(values)]
    rest = decode(stack.decoder[place:], guess.astype(np.float32))[-1]
    return _unexplained(values, guess, weights), _unexplained(outputs[-1], rest, weights)


def _tier_1(config: Config, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    random = np.random.default_rng(1)
    found = []
    for data, rows, width in DATA:
        for exponent in EXPONENTS:
            progress(f"tier 1: {data}, Zipf {exponent}")
            for size in SIZES:
                entries = size // (width + TAG_BYTES)
                rates = hit_rates(rows, entries, exponent)
                left = 0
                for rate in rates:
                    hits = random.random(LOOKUPS) < rate
                    left += rows_left(hits, config.rows, config.tile_interval)
                none = rows_left(np.zeros(LOOKUPS, bool), config.rows, config.tile_interval)
                share = left / (len(rows) * none)
                hit = sum(rates) / len(rates)
                found.append(
                    {
                        "data": data,
                        "zipf": f"{exponent:.2f}",
                        "kilobytes": size >> 10,
                        "entries": entries,
                        "hit_utilization": hit,
                        "left_utilization": share,
                        "share_removed": f"{(1 - share) / hit:.2f}",
                    }
                )
    return found


def _tier_2(progress: Callable[[str], None]) -> list[dict[str, Any]]:
    found = []
    for place, name in enumerate(("code", "hidden layer")):
        for k in LENGTHS:
            progress(f"tier 2: {name}, k = {k}")
            code, vector = centroid_error(k, 128, place)
            found.append(
                {
                    "place": name,
                    "k": k,
                    "centroids": CENTROIDS,
                    "code_utilization": code,
                    "vector_utilization": vector,
                }
            )
    return found


def bench_mp_cache(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Both tiers of the MP-Cache in models.

    Raises
    ------
    ConfigError
        Unknown preset.
    """
    config = preset(args.preset)
    tier_1 = _tier_1(config, progress)
    tier_2 = _tier_2(progress)
    shapes = ((1024, 128, 16), (1024, 512, 256, 16), (2048, 512, 256, 16))
    at_best = [row for sizes in shapes for row in most_removed(sizes)]
    text = "\n\n".join(
        (
            f"tier 1, row blocks of {config.rows}, at least {config.tile_interval} cycles a tile "
            f"(preset {config.name}):\n" + table_text(TIER_1, tier_1),
            "tier 2, what can be removed:\n" + table_text(AT_BEST, at_best),
            "tier 2, what it gets wrong (decoders k-128-16):\n" + table_text(TIER_2, tier_2),
        )
    )
    return {
        "bench": "mp-cache",
        "preset": config.name,
        "tier_1": tier_1,
        "tier_2": tier_2,
        "at_best": at_best,
        "text": text,
    }
