"""The whole device: queries one after the other, stage by stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hdl.config import Config
from hdl.control.engine_picker import EnginePicker
from hdl.control.entry_fetcher import AHEAD
from hdl.engine.cause import Cause

from .dram import Dram
from .engine import EngineModel, PhaseRecord
from .events import Clock, Poll
from .front_end import (
    DOORBELL_LATENCY,
    INTERRUPT_LATENCY,
    Results,
    completion_end,
    dispatch_start,
    entry_beats,
    entry_taken,
)
from .gather import Gather
from .loader import LoadersModel, round_robin
from .memory import Memory
from .plan import EnginePlan, PhasePlan, Plan, QueryPlan
from .ranking import RankingModel
from .streamer import StreamerModel
from .units import LoaderJob

__all__ = ["DeviceModel", "Prediction", "StageTimes"]

DISPATCH_GAP = 2
"""A stage's last survivor or result to the next stage's start."""


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """A row block that was sent to an engine."""

    cycle: int
    query: int
    stage: int
    unit: int
    slot: int
    rows: int
    position: int


@dataclass(kw_only=True)
class StageTimes:
    """A stage of a query."""

    start: int
    end: int = 0

    @property
    def cycles(self) -> int:
        """As the completion counts them."""
        return self.end - self.start


@dataclass(kw_only=True)
class Prediction:
    """What the model says."""

    cycles: int
    """From the doorbell's write to the last interrupt."""
    queries: list[list[StageTimes]]
    query_ends: list[int]
    jobs: list[JobRecord]
    phases: dict[int, list[PhaseRecord]]
    """By engine anchor."""
    timelines: dict[int, list[tuple[int, int, Cause]]]
    """What each engine does: cycles [first, last] by cause, without a hole."""
    hits: int
    look_ahead_hits: int
    merged: int
    misses: int
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


@dataclass(eq=False)
class _Stage:
    """The stage in work."""

    query: int
    number: int
    left: int
    position: int = 0
    job: LoaderJob | None = None
    records: int = 0
    hits: list[list[bool]] = field(default_factory=list)
    addresses: list[list[int]] = field(default_factory=list)
    items: list[int] = field(default_factory=list)


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
            clock, config, plan, self._memory, self._gather, self.engines, self._place
        )
        self._ranking = RankingModel(
            clock, config, on_listed=self._listed, on_results=self._results
        )
        self._pick = Poll(clock, self._try_pick)
        self._pick_at = 0
        self._pick_last = -1
        self._slots = {unit: 0 for unit in self.engines}
        self._stage: _Stage | None = None
        self._queries: tuple[QueryPlan, ...] = ()
        self._times: list[list[StageTimes]] = []
        self._ends: list[int] = []
        self._arrived: dict[int, int] = {}  # last beats of entries
        self._entry = 0  # the next one to begin
        self._free: int | None = 0  # the front end takes its beats from here on
        self._alone = 0  # all before it is completed
        self._jobs: list[JobRecord] = []
        self._write_bursts = self._write_beats = 0

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
            taken(self._ranking.scores(job.rows, first))

        model = EngineModel(
            self._clock,
            self._config,
            plan,
            on_free=lambda cycle: self._pick.at(cycle),
            on_room=lambda cycle: self._loader.wake(cycle),
            on_staged=lambda cycle: self._loader.resume(cycle),
            on_scores=scores,
            ask_stream=ask,
            on_consumed=consumed,
        )
        return model

    # -- queries -------------------------------------------------------------------------------
    def run(self, queries: tuple[QueryPlan, ...]) -> Prediction:
        """Predict queries that are submitted together at cycle 0."""
        self._queries = queries
        for number in range(min(AHEAD, len(queries))):
            self._clock.at(DOORBELL_LATENCY + number, self._fetch, number)
        self._clock.run()
        end = self._ends[-1] + INTERRUPT_LATENCY
        return Prediction(
            cycles=end,
            queries=self._times,
            query_ends=self._ends,
            jobs=self._jobs,
            phases={unit: engine.phases for unit, engine in self.engines.items()},
            timelines={unit: engine.timeline(end) for unit, engine in self.engines.items()},
            hits=self._gather.hits,
            look_ahead_hits=self._gather.look_ahead_hits,
            merged=self._gather.merged,
            misses=self._gather.misses,
            dram_reads=self._memory.bursts,
            dram_beats=self._memory.beats,
            write_bursts=self._write_bursts,
            write_beats=self._write_beats,
        )

    def _fetch(self, cycle: int, number: int) -> None:
        """An entry is asked for, ahead of its turn."""

        def entry(first: int, beats: int) -> None:
            self._arrived[number] = first + beats - 1
            self._begin()

        address = self._queries[number].submission
        self._memory.read(cycle, 0, 0, address, entry_beats(self._config), entry)

    def _begin(self) -> None:
        """The next entry, when it is there and the front end is free."""
        number = self._entry
        if self._free is None or number not in self._arrived:
            return
        taken = entry_taken(self._config, self._arrived.pop(number), self._free)
        check = max(taken + 1, self._alone)
        self._clock.at(dispatch_start(check, len(self._plan.stages)), self._start_stage, number, 0)
        if number + AHEAD < len(self._queries):
            self._clock.at(max(taken + 1, self._clock.now), self._fetch, number + AHEAD)
        self._free = None
        self._entry += 1

    def _start_stage(self, cycle: int, query: int, number: int) -> None:
        """Ranking takes n and k."""
        if number == 0:
            self._times.append([])
        self._times[query].append(StageTimes(start=cycle))
        data = self._queries[query].stages[number]
        self._ranking.start(data, number + 1 == len(self._plan.stages))
        self._stage = _Stage(
            query,
            number,
            left=len(data.items),
            records=self._queries[query].records,
            hits=data.hits.tolist(),
            addresses=data.addresses.tolist(),
            items=data.items.tolist(),
        )
        self._pick_at = cycle + 1
        self._pick.at(cycle + 1)

    # -- row blocks ----------------------------------------------------------------------------
    def _try_pick(self, cycle: int) -> None:
        """Picker in SAMPLE."""
        stage = self._stage
        if stage is None or stage.job is not None or not stage.left or cycle < self._pick_at:
            return
        candidates = [
            unit
            for unit, engine in sorted(self.engines.items())
            if stage.number in engine.plan.programs and engine.free
        ]
        if not candidates:
            return
        unit = self._pick_last = round_robin(candidates, self._pick_last)
        rows = min(stage.left, self._plan.stages[stage.number].rows)
        block = slice(stage.position, stage.position + rows)
        stage.job = LoaderJob(
            unit=unit,
            slot=self._slots[unit],
            stage=stage.number,
            rows=rows,
            records=stage.records,
            items=stage.items[block],
            hits=stage.hits[block],
            addresses=stage.addresses[block],
            row_bytes=self._plan.stages[stage.number].row_bytes,
        )
        self._slots[unit] ^= 1
        self._clock.at(cycle + EnginePicker.LATENCY + 1, self._send)

    def _send(self, cycle: int) -> None:
        """The engine takes the job; it has a free slot."""
        stage = self._stage
        assert stage is not None and stage.job is not None
        job = stage.job
        self.engines[job.unit].start(cycle, job)
        self._jobs.append(
            JobRecord(
                cycle=cycle,
                query=stage.query,
                stage=stage.number,
                unit=job.unit,
                slot=job.slot,
                rows=job.rows,
                position=stage.position,
            )
        )
        stage.left -= job.rows
        stage.position += job.rows
        self._clock.at(cycle + 1, self._load)

    def _place(self, cycle: int) -> None:
        """The loader may take a job again."""
        if self._loader_waits:
            self._clock.at(cycle, self._load)

    _loader_waits = False

    def _load(self, cycle: int) -> None:
        """The loader takes the job."""
        stage = self._stage
        if stage is None or stage.job is None:
            return
        job = stage.job
        self._loader_waits = not self._loader.room(cycle, job.unit)
        if self._loader_waits:
            return
        self._loader.job(cycle, job)
        stage.job = None
        self._pick_at = cycle + 1
        self._pick.at(cycle + 1)

    # -- ends ----------------------------------------------------------------------------------
    def _listed(self, cycle: int) -> None:
        """The survivors of a stage but the last are listed."""
        assert self._stage is not None
        query, number = self._stage.query, self._stage.number
        # RUN counts from the cycle after the start until the list is seen.
        self._times[query][number].end = cycle + DISPATCH_GAP - 1
        self._clock.at(cycle + DISPATCH_GAP, self._start_stage, query, number + 1)

    def _results(self, offered: list[int]) -> None:
        """The last stage's results are on offer in these cycles."""
        assert self._stage is not None
        query, number = self._stage.query, self._stage.number
        results = Results(self._config, self._dram, len(offered))

        def done(last: int) -> int:
            self._times[query][number].end = last + DISPATCH_GAP - 1
            return last + DISPATCH_GAP + 1  # DONE is taken in RUN, DRAIN follows

        drained = results.run(offered, done)
        reported = drained + 1
        end = completion_end(self._config, self._dram, reported)
        self._write_bursts += results.bursts + 1
        self._write_beats += results.beats + entry_beats(self._config)
        self._ends.append(end)
        self._free, self._alone = reported + 1, end + 1
        self._begin()
