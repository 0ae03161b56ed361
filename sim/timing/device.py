"""The whole device: engines, loaders and lanes between front end, core and memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hdl.config import Config
from hdl.engine.cause import Cause

from .core import CoreModel, JobRecord, StageTimes
from .dispatcher import DispatcherModel
from .dram import Dram
from .engine import EngineModel, PhaseRecord
from .events import Clock
from .front_end import INTERRUPT_LATENCY, FrontEndModel
from .gather import Gather, StageWaits
from .hash_reads import HashReads
from .loader import LoadersModel
from .memory import Memory
from .plan import EnginePlan, PhasePlan, Plan, QueryPlan
from .scheduler import SchedulerModel
from .streamer import StreamerModel
from .units import LoaderJob

__all__ = ["DeviceModel", "Prediction"]


@dataclass(kw_only=True)
class Prediction:
    """What the model says."""

    cycles: int
    """From the doorbell's write to the last interrupt."""
    queries: list[list[StageTimes]]
    query_ends: list[int]
    """Cycle in which each query's completion is written."""
    query_cycles: list[int]
    """As the completions count them, from the entry's arrival."""
    jobs: list[JobRecord]
    phases: dict[int, list[PhaseRecord]]
    """By engine anchor."""
    timelines: dict[int, list[tuple[int, int, Cause]]]
    """What each engine does: cycles [first, last] by cause, without a hole."""
    hits: int
    look_ahead_hits: int
    merged: int
    misses: int
    prefetches: int
    held_hits: int
    held_misses: int
    stages: dict[int, StageWaits]
    """Lookups of each stage, with their waits."""
    dram_reads: int
    dram_beats: int
    write_bursts: int
    write_beats: int
    load_cycles: int = 0
    """From the doorbell's write to the interrupt of the last LOAD."""
    load_reads: int = 0
    load_beats: int = 0

    def cause_cycles(self, unit: int) -> dict[Cause, int]:
        """Cycles of an engine by cause; their sum is ``cycles``."""
        counts = {cause: 0 for cause in Cause}
        for first, last, cause in self.timelines[unit]:
            counts[cause] += last - first + 1
        return counts


class DeviceModel:
    """Event model of one device.

    Parameters
    ----------
    config
        Sizes of the device.
    plan
        Engines and stages.
    dram
        Device memory.
    open_rows
        DRAM rows that what came before left open, by channel and bank.
    """

    def __init__(
        self,
        config: Config,
        plan: Plan,
        dram: Dram | None = None,
        open_rows: list[list[int]] | None = None,
    ) -> None:
        self._config, self._plan = config, plan
        self._dram = dram or Dram()
        self._clock = clock = Clock()
        self._memory = Memory(clock, config, self._dram)
        if open_rows is not None:
            self._memory.set_open_rows(open_rows)
        self._streamer = StreamerModel(clock, config, self._memory)
        self._hash_reads = HashReads(clock, config, self._memory) if config.hash_lanes else None
        self.engines: dict[int, EngineModel] = {}
        for engine in plan.engines:
            self.engines[engine.unit] = self._engine(engine)
        self._gather = Gather(
            clock,
            config,
            self._memory,
            self.engines,
            lambda cycle, lane: self._loader.lane_taken(cycle, lane),
        )
        self._loader = LoadersModel(
            clock,
            config,
            plan,
            self._memory,
            self._gather,
            self.engines,
            lambda cycle: self._core.place(cycle),
            lambda cycle, context: self._core.walked(cycle, context),
        )
        self._core: CoreModel

    def _engine(self, plan: EnginePlan) -> EngineModel:
        model: EngineModel

        def land(cycle: int) -> None:
            model.array.land(cycle)

        lane = self._streamer.lane(plan, land)

        def consumed(cycle: int) -> None:
            self._clock.at(max(cycle, self._clock.now), lane.consumed)

        def ask(cycle: int, phase: PhasePlan, granted: Callable[[int], None]) -> None:
            lane.ask(phase, cycle, granted)

        def scores(job: LoaderJob, first: int, taken: Callable[[int], None]) -> None:
            self._core.scores(job, first, taken)

        hashes = self._config.hash_lanes_at(plan.row, plan.column)
        model = EngineModel(
            self._clock,
            self._config,
            plan,
            on_free=lambda cycle: self._core.freed(cycle),
            on_room=lambda cycle: self._loader.wake(cycle),
            on_staged=lambda cycle: self._loader.resume(cycle),
            on_scores=scores,
            ask_stream=ask,
            on_consumed=consumed,
            hash_reads=self._hash_reads if hashes else None,
            first_id=self._plan.first_id,
        )
        return model

    def run(self, queries: tuple[QueryPlan, ...], window: int | None = None) -> Prediction:
        """Predict queries, at most ``window`` submitted at a time; once for a model."""
        front = FrontEndModel(
            self._clock,
            self._config,
            self._memory,
            self._dram,
            [query.submission for query in queries],
            window,
        )
        kind = SchedulerModel if self._config.features.on_chip_filter else DispatcherModel
        self._core = front.core = kind(
            self._clock,
            self._config,
            self._plan,
            queries,
            engines=self.engines,
            loaders=self._loader,
            gather=self._gather,
            front=front,
        )
        front.begin()
        self._clock.run()
        end = front.ends[-1] + INTERRUPT_LATENCY
        return Prediction(
            cycles=end,
            queries=self._core.times,
            query_ends=front.ends,
            query_cycles=front.latencies,
            jobs=self._core.jobs,
            phases={unit: engine.phases for unit, engine in self.engines.items()},
            timelines={unit: engine.timeline(end) for unit, engine in self.engines.items()},
            hits=self._gather.hits,
            look_ahead_hits=self._gather.look_ahead_hits,
            merged=self._gather.merged,
            misses=self._gather.misses,
            prefetches=self._gather.prefetches,
            held_hits=sum(engine.held[0] for engine in self.engines.values()),
            held_misses=sum(engine.held[1] for engine in self.engines.values()),
            stages=self._gather.stages,
            dram_reads=self._memory.bursts,
            dram_beats=self._memory.beats,
            write_bursts=front.writes.bursts,
            write_beats=front.writes.beats,
        )
