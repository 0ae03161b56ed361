"""First difference between expected and produced results, named by stage, layer, item, channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.pipeline import QueryResult

__all__ = ["Difference", "compare_layers", "compare_queries"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value that differs."""

    stage: int
    layer: str
    """A layer's name; or `survivors`, `survivors of sub-batch 3`, `result items` or `scores`."""
    item: int | None
    """Index of the item in the query (position, for the lists); None: the sizes differ."""
    channel: tuple[int, ...]
    """Index inside the item's output; () for a scalar."""
    expected: Any
    got: Any

    @property
    def result(self) -> bool:
        """It is in the query's result, not in a stage."""
        return self.layer.startswith("result ")

    def __str__(self) -> str:
        where = f"stage {self.stage}, layer {self.layer}"
        if self.item is None:
            return f"{where}: expected shape {self.expected}, got {self.got}"
        channel = f", channel {', '.join(map(str, self.channel))}" if self.channel else ""
        return f"{where}, item {self.item}{channel}: expected {self.expected}, got {self.got}"


def compare_layers(
    expected: Mapping[str, NDArray[Any]],
    got: Mapping[str, NDArray[Any]],
    *,
    stage: int = 0,
    items: NDArray[Any] | None = None,
) -> Difference | None:
    """First difference, in the order of `expected`; layers that `got` does not have are skipped.

    Parameters
    ----------
    items : index in the query of each row (default: the row's number)

    Raises
    ------
    KeyError
        `got` has a layer that `expected` does not have.
    """
    unknown = [name for name in got if name not in expected]
    if unknown:
        raise KeyError(f"unknown layer {unknown[0]!r}; known layers: {', '.join(expected)}")
    for layer, right in expected.items():
        if layer not in got:
            continue
        found = np.asarray(got[layer])
        if right.shape != found.shape:
            return Difference(
                stage=stage,
                layer=layer,
                item=None,
                channel=(),
                expected=right.shape,
                got=found.shape,
            )
        different = np.argwhere(right != found)
        if len(different):
            row, *channel = (int(i) for i in different[0])
            index = (row, *channel)
            return Difference(
                stage=stage,
                layer=layer,
                item=row if items is None else int(items[row]),
                channel=tuple(channel),
                expected=right[index].item(),
                got=found[index].item(),
            )
    return None


def _named(forwarded: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What each sub-batch passed on, by the name of a difference."""
    if len(forwarded) == 1:
        return {"survivors": forwarded[0]}
    return {f"survivors of sub-batch {n}": part for n, part in enumerate(forwarded)}


def compare_queries(
    expected: QueryResult,
    *,
    items: NDArray[Any],
    scores: NDArray[Any],
    layers: Sequence[Mapping[str, NDArray[Any]]] = (),
    survivors: Sequence[Sequence[NDArray[Any]]] = (),
) -> Difference | None:
    """First difference of a device's results from a golden query result run with `keep_layers`.

    Parameters
    ----------
    expected : golden result
    items, scores : the device's ordered result
    layers : per stage, outputs the device produced, rows in the order of the stage's items
    survivors : per stage and sub-batch, items passed on, in the order of the list
    """
    for number, stage in enumerate(expected.stages):
        difference = None
        if number < len(layers):
            if stage.layers is None:
                raise ValueError("expected must be run with keep_layers")
            difference = compare_layers(
                stage.layers, layers[number], stage=number, items=stage.items
            )
        if difference is None and number < len(survivors):
            difference = compare_layers(
                _named(stage.forwarded), _named(survivors[number]), stage=number
            )
        if difference is not None:
            return difference
    return compare_layers(
        {"result items": expected.items, "result scores": expected.scores},
        {"result items": items, "result scores": scores},
        stage=len(expected.stages) - 1,
    )
