"""Other finished DHE vectors for a running device, chosen from the ids that it was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from golden.shape import ModelShape, layer_macs
from hdl.config import Config

from .result_plan import ResultPlan, plan_results, table_number
from .workload import histograms

__all__ = ["HeldRefresh"]


class HeldRefresh:
    """Refresh of tier 1 at run time.

    Policy: ids are counted as queries are submitted. When the host asks (`proposal`), contents are
    chosen from the counts as they are at the start, the id first whose count times the MACs of its
    decoder is largest. They are proposed only when, by the same counts, they would save ``gain`` of
    all decoder MACs more than what the device holds: a LOAD stops the queries for its time. Then
    all counts are multiplied with ``decay``: what is asked for now outweighs what once was.

    The host loads a proposal with `result_plan.held_loads` between two queries, and calls `loaded`
    when the LOADs have completed without error.

    Parameters
    ----------
    config
        Device.
    shapes
        Of its models, by program.
    held
        What it holds at the start; None: nothing.
    entries
        Most vectors to hold.
    decay
        In 0..1.
    gain
        In 0..1.

    Raises
    ------
    ValueError
        decay or gain out of range.
    """

    def __init__(
        self,
        config: Config,
        shapes: Sequence[ModelShape],
        held: ResultPlan | None,
        *,
        entries: int,
        decay: float = 0.5,
        gain: float = 0.02,
    ) -> None:
        for name, value in (("decay", decay), ("gain", gain)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in 0..1, not {value!r}")
        self._config, self._shapes, self._entries = config, list(shapes), entries
        self._decay, self._gain = decay, gain
        self.held = held
        self.counts: list[NDArray[np.float64]] = [np.zeros(rows) for rows in self._shapes[0].rows]
        """By feature and id; ids beyond the rows of a feature are not counted."""

    def observe(self, ids: NDArray[np.uint32]) -> None:
        """Count the ids of a query, [items, places] as in `workload.Query`."""
        shape = self._shapes[0]
        found = histograms(ids, shape.rows, shape.bags)
        for count, new in zip(self.counts, found, strict=True):
            count += new[: len(count)]

    def saved(self, plan: ResultPlan | None) -> float:
        """Share of the decoder MACs of all counted ids that contents save."""
        total = saved = 0.0
        for program, shape in enumerate(self._shapes):
            for feature in shape.dhe_features:
                macs = layer_macs(shape.decoders[feature])
                total += macs * float(self.counts[feature].sum())
                if plan is None or plan.log2_sets(shape.width) is None or shape.bags[feature] > 1:
                    continue
                table = table_number(program, feature)
                seen = np.flatnonzero(self.counts[feature])
                hit = plan.places_of(table, seen.astype(np.uint32)) >= 0
                saved += macs * float(self.counts[feature][seen[hit]].sum())
        return saved / total if total else 0.0

    def proposal(self) -> ResultPlan | None:
        """Contents worth a LOAD, or None; counts decay.

        Raises
        ------
        UserError
            The device holds no vectors, or not so many as ``entries``.
        """
        counts = [[count.copy() for count in self.counts] for _ in self._shapes]
        plan = plan_results(self._config, self._shapes, counts, self._entries)
        better = plan is not None and self.saved(plan) - self.saved(self.held) >= max(
            self._gain, np.finfo(float).eps
        )
        for count in self.counts:
            count *= self._decay
        return plan if better else None

    def loaded(self, plan: ResultPlan) -> None:
        """The device holds these now."""
        self.held = plan
