"""Criteo-shaped click data with a planted preference, from a seed.

Thirteen counts and twenty-six ids an item, independent items, a query is 512 consecutive items. The
click probability is `sigmoid(logit)`; the logit is a sum of four standardised parts and a constant:

* `unary`: an effect of every id, and of the popularity of the item id (table 2);
* `pairs`: products of hidden id vectors of pairs of tables, each pair with a mixing matrix of its
  own, so that one short vector a table cannot serve all pairs;
* `dense`: a fixed random sine network of the standardised log counts;
* `cross`: outputs of that network times hidden id vectors of some tables.

Nothing here is fitted to a model: the parameters were fixed before any model was trained.

    python -m examples.demo.generate        prints the statistics of the data
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.criteo import CRITEO_KAGGLE_ROWS
from golden.dataset import Dataset, dense_values
from golden.model import DENSE_FEATURES

__all__ = ["ITEM_TABLE", "PARAMETERS", "Parameters", "Teacher", "table_rows"]

ITEM_TABLE = 2
"""The largest table, taken as the id of the item itself (for the popularity baseline)."""


@dataclass(frozen=True)
class Parameters:
    """Everything the data depend on."""

    seed: int = 20210520
    query_items: int = 512
    train_items: int = 600_000
    row_power: float = 0.5
    """Rows of a table: Criteo Kaggle's to this power ..."""
    row_limits: tuple[int, int] = (30, 3000)
    """... clipped to these."""
    zipf_exponent: float = 1.1
    zipf_offset: float = 2.0
    """Probability of the r-th hottest id (from 0): (r + offset) ** -exponent, normalised."""
    hidden: int = 6
    """Length of the hidden id vectors."""
    pairs: int = 40
    sines: int = 12
    """Outputs of the dense network."""
    crosses: int = 12
    """Tables that the dense network's outputs are multiplied with."""
    unary_spread: float = 0.8
    pairs_spread: float = 1.4
    dense_spread: float = 0.7
    cross_spread: float = 0.9
    popularity_weight: float = 0.4
    """Share of item popularity inside the unary part."""
    offset: float = -2.0
    """Constant of the logit: sets the click rate."""


PARAMETERS = Parameters()


def table_rows(parameters: Parameters = PARAMETERS) -> tuple[int, ...]:
    """Rows of the 26 tables."""
    low, high = parameters.row_limits
    return tuple(
        int(np.clip(round(rows**parameters.row_power), low, high)) for rows in CRITEO_KAGGLE_ROWS
    )


class Teacher:
    """The planted preference, and a source of items."""

    def __init__(self, parameters: Parameters = PARAMETERS) -> None:
        self.parameters = p = parameters
        self.rows = table_rows(p)
        random = np.random.default_rng([p.seed, 0])
        tables = len(self.rows)

        self._probabilities = []
        self._order = []
        for rows in self.rows:
            weight = (np.arange(rows) + p.zipf_offset) ** -p.zipf_exponent
            self._probabilities.append(weight / weight.sum())
            self._order.append(random.permutation(rows))  # hot ids are spread over the table
        share = self._probabilities[ITEM_TABLE]
        popularity = np.log(share)
        popularity -= share @ popularity
        popularity /= np.sqrt(share @ popularity**2)
        self._popularity = np.empty(self.rows[ITEM_TABLE])
        self._popularity[self._order[ITEM_TABLE]] = popularity
        self._mean = random.uniform(0.0, 3.5, DENSE_FEATURES)
        self._spread = random.uniform(0.5, 1.2, DENSE_FEATURES)
        self._mixing = np.eye(DENSE_FEATURES) + random.normal(
            0, 0.2, (DENSE_FEATURES, DENSE_FEATURES)
        )

        self._effect = [random.normal(size=rows) for rows in self.rows]
        self._vector = [random.normal(size=(rows, p.hidden)) for rows in self.rows]
        # Pairs and crosses prefer small tables: there every pair of ids is seen often enough for
        # its effect to be learnable at all.
        preference = np.array([rows**-0.5 for rows in self.rows])
        preference /= preference.sum()
        all_pairs = [(i, j) for i in range(tables) for j in range(i)]
        weight = np.array([preference[i] * preference[j] for i, j in all_pairs])
        chosen = random.choice(len(all_pairs), p.pairs, replace=False, p=weight / weight.sum())
        self.pairs = [all_pairs[c] for c in chosen]
        self._pair_mixing = random.normal(size=(p.pairs, p.hidden, p.hidden)) / p.hidden
        self.crosses = random.choice(tables, p.crosses, replace=False, p=preference)
        self._cross_mixing = random.normal(size=(p.crosses, p.sines, p.hidden))
        self._sine_in = random.normal(size=(DENSE_FEATURES, p.sines)) * 0.6
        self._sine_phase = random.uniform(0, 2 * np.pi, p.sines)
        self._sine_out = random.normal(size=p.sines)

        # Standardise the parts on a sample of their own.
        sample = np.random.default_rng([p.seed, 1])
        parts = self._parts(*self._features(sample, 20_000))
        self._location = {name: float(part.mean()) for name, part in parts.items()}
        self._scale = {name: float(part.std()) for name, part in parts.items()}

    def items(self, count: int, *, stream: int) -> tuple[Dataset, NDArray[np.float64]]:
        """Draw labelled items, and their true click probabilities; each stream is independent."""
        random = np.random.default_rng([self.parameters.seed, 2, stream])
        counts, ids = self._features(random, count)
        parts = self._parts(counts, ids)
        spread = {
            "unary": self.parameters.unary_spread,
            "pairs": self.parameters.pairs_spread,
            "dense": self.parameters.dense_spread,
            "cross": self.parameters.cross_spread,
        }
        logit = np.full(count, self.parameters.offset)
        for name, part in parts.items():
            logit += spread[name] * (part - self._location[name]) / self._scale[name]
        probability = 1 / (1 + np.exp(-logit))
        labels = (random.random(count) < probability).astype(np.uint8)
        query_items = self.parameters.query_items
        return Dataset(counts=counts, ids=ids, labels=labels, query_items=query_items), probability

    def _features(
        self, random: np.random.Generator, count: int
    ) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
        normal = random.normal(size=(count, DENSE_FEATURES)) @ self._mixing
        counts = np.floor(np.exp(self._mean + self._spread * normal)).clip(0, 65535)
        columns = [
            order[np.searchsorted(np.cumsum(probability)[:-1], random.random(count), side="right")]
            for order, probability in zip(self._order, self._probabilities, strict=True)
        ]
        return counts.astype(np.uint16), np.stack(columns, axis=1).astype(np.uint32)

    def _parts(
        self, counts: NDArray[np.uint16], ids: NDArray[np.uint32]
    ) -> dict[str, NDArray[np.float64]]:
        p = self.parameters
        vectors = [table[ids[:, t]] for t, table in enumerate(self._vector)]
        unary = np.sum([effect[ids[:, t]] for t, effect in enumerate(self._effect)], axis=0)
        unary = unary / np.sqrt(len(self.rows))
        popularity = self._popularity[ids[:, ITEM_TABLE]]
        normal = (dense_values(counts).astype(np.float64) - self._mean) / self._spread
        sines = np.sin(normal @ self._sine_in + self._sine_phase)
        pairs = np.zeros(len(ids))
        for (i, j), mixing in zip(self.pairs, self._pair_mixing, strict=True):
            pairs += np.einsum("na,ab,nb->n", vectors[i], mixing, vectors[j], optimize=True)
        cross = np.zeros(len(ids))
        for table, mixing in zip(self.crosses, self._cross_mixing, strict=True):
            cross += ((sines @ mixing) * vectors[table]).sum(axis=1)
        return {
            "unary": unary + p.popularity_weight * popularity,
            "pairs": pairs,
            "dense": sines @ self._sine_out,
            "cross": cross,
        }


def main() -> None:
    """Print the statistics that examples/demo/README.md states."""
    teacher = Teacher()
    data, probability = teacher.items(100 * PARAMETERS.query_items, stream=99)
    print(f"tables {len(teacher.rows)}, rows {sum(teacher.rows)}: {teacher.rows}")
    print(f"click rate {data.labels.mean():.3f}")
    logit = np.log(probability / (1 - probability))
    print(f"logit mean {logit.mean():.2f}, standard deviation {logit.std():.2f}")
    hottest = [np.bincount(column).max() / len(column) for column in data.ids.T]
    print(f"share of the hottest id: {min(hottest):.3f} .. {max(hottest):.3f}")
    item = np.sort(np.bincount(data.ids[:, ITEM_TABLE], minlength=teacher.rows[ITEM_TABLE]))[::-1]
    print(f"hottest 10 % of the item table: {item[: len(item) // 10].sum() / item.sum():.3f}")
    dense = data.dense
    print("dense, mean of log(1 + count):", " ".join(f"{v:.2f}" for v in dense.mean(axis=0)))
    print("dense, standard deviation:    ", " ".join(f"{v:.2f}" for v in dense.std(axis=0)))
    print(f"counts at the 16-bit limit: {(data.counts == 65535).mean():.2e}")


if __name__ == "__main__":
    main()
