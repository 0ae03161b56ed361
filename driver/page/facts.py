"""What a page shows, gathered from the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hdl.config import Config
from hdl.engine.cause import Cause

from ..cache_split import SplitPoint
from ..partition import Partition
from .activity import Activity
from .work import StageWork

__all__ = ["PageFacts"]


@dataclass(frozen=True, kw_only=True)
class PageFacts:
    """What a page shows."""

    result: dict[str, Any]
    """The run's keys."""
    config: Config
    partition: Partition
    conditions: Sequence[tuple[str, str]] = ()
    """Options of the run in words."""
    activity: Activity | None = None
    """None: the back end has no traces."""
    splits: Sequence[SplitPoint] = ()
    """Static cache by split; empty: no device was planned."""
    work: Sequence[StageWork] = ()
    """Of the first query's stages; empty: no device was planned."""

    @property
    def names(self) -> list[str]:
        """Of the stages."""
        return [stage["name"] for stage in self.result["stages"]]

    @property
    def measured(self) -> bool:
        """Cycles are known."""
        return self.result["cycles"] is not None

    @property
    def busy(self) -> dict[int, float]:
        """Busy share of each engine."""
        if self.activity is None:
            return {}
        return {
            lane.engine.unit: lane.cycles()[Cause.BUSY] / self.activity.cycles
            for lane in self.activity.lanes
        }
