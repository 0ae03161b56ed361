# amaranth: UnusedElaboratable=no
"""Plays dispatcher and engines to a ``Funnel`` that lives as long as the bench."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amaranth.hdl import Cat
from amaranth.sim import Simulator

from golden.filter import StageSelections, select, strided
from hdl.config import Config
from hdl.interfaces import config_write_layout, position_score_layout
from hdl.program import Target
from hdl.ranking.funnel import Funnel
from hdl.ranking.funnel_layouts import Policy, cancel_layout, open_layout

__all__ = ["FunnelBench", "Outcome", "Query", "expected"]

CODES = {"exact": Policy.EXACT, "quota": Policy.QUOTA, "binned": Policy.BINNED}


@dataclass
class Query:
    """A query: ``scores[s][item]`` is what stage s would give to an item."""

    scores: list[np.ndarray]
    keep: list[int]
    sub_batches: int = 1
    policy: str = "exact"
    fractions: list[list[int]] = field(default_factory=list)
    bins: int = 0
    cancel_after: int | None = None
    """Cancelled once so many scores were handed over."""

    @property
    def n(self) -> int:
        return len(self.scores[0])


@dataclass
class Outcome:
    """What came out: items listed by stage and sub-batch, dropped counts, results."""

    lists: list[list[list[int]]]
    dropped: list[int]
    results: list[tuple[int, int]] = field(default_factory=list)


def expected(query: Query) -> Outcome:
    """The same from the golden model."""
    outcome = Outcome([], [])
    items = np.arange(query.n)
    groups = strided(query.n, query.sub_batches)
    excluded = np.array([], dtype=np.intp)
    for stage, k in enumerate(query.keep):
        final = stage + 1 == len(query.keep)
        scores = query.scores[stage][items]
        chosen: StageSelections = select(
            scores,
            items,
            groups,
            k=k,
            policy=query.policy,
            fractions=query.fractions[stage] if query.fractions else (),
            bins=query.bins,
            excluded=excluded,
            final=final,
        )
        if final:
            order = sorted(chosen.survivors, key=lambda p: (-int(scores[p]), int(items[p])))
            outcome.results = [(int(items[p]), int(scores[p])) for p in order]
            break
        outcome.lists.append([[int(items[p]) for p in group] for group in chosen.forwarded])
        outcome.dropped.append(len(chosen.dropped))
        lengths = np.cumsum([0] + [len(group) for group in chosen.forwarded])
        groups = [np.arange(a, b) for a, b in zip(lengths[:-1], lengths[1:], strict=True)]
        listed = np.concatenate(chosen.forwarded)
        excluded = np.flatnonzero(np.isin(listed, chosen.dropped))
        items = items[listed]
    return outcome


@dataclass
class _Context:
    query: int
    stage: int
    number: int
    following: int
    base: int
    next_base: int


class _Run:
    """A few queries, all in flight together."""

    def __init__(
        self, bench: FunnelBench, queries: list[Query], seed: int, stall: float, lull: int
    ) -> None:
        self.queries = queries
        self.rng = random.Random(seed)
        self.stall = stall
        self.lull = lull
        self.outcomes = [
            Outcome(
                [[[] for _ in range(q.sub_batches)] for _ in q.keep[:-1]], [0] * len(q.keep[1:])
            )
            for q in queries
        ]
        self.contexts: dict[int, _Context] = {}
        self.opens: deque[dict[str, Any]] = deque()
        self.writes: deque[tuple[int, int]] = deque()
        self.cancels: deque[dict[str, int]] = deque()
        self.units: list[deque[dict[str, int]]] = [deque() for _ in range(bench.units)]
        self.blocks: list[tuple[int, int, list[int], list[int]]] = []
        self.reads: deque[tuple[_Context, int, int, int]] = deque()
        self.reads_open = 0
        self.lists: dict[int, list[int]] = {}
        self.results_left = len(queries)
        self.reports_left = sum(len(q.keep) * q.sub_batches for q in queries)
        self.sent = [0] * len(queries)
        self.cancelled = [False] * len(queries)
        self._admit(bench)

    def _admit(self, bench: FunnelBench) -> None:
        config = bench.config
        numbers = list(range(config.filter_contexts))
        self.rng.shuffle(numbers)
        rows = self.rng.sample(range(8), len(self.queries))  # of the table of fractions
        banks = config.candidate_banks
        base = 0
        for index, query in enumerate(self.queries):
            fractions = 4 * rows[index]
            mine = [numbers.pop() for _ in query.keep]
            bases = []
            size = query.n
            for k in query.keep:
                bases.append(base)
                base += -(-size // banks) * banks
                size = {"binned": size, "quota": k, "exact": min(size, 2 * k)}[query.policy]
            assert base <= config.candidate_words, "queries do not fit"
            for stage, k in enumerate(query.keep):
                final = stage + 1 == len(query.keep)
                following = mine[stage] if final else mine[stage + 1]
                context = _Context(
                    index, stage, mine[stage], following, bases[stage],
                    0 if final else bases[stage + 1],
                )  # fmt: skip
                self.contexts[mine[stage]] = context
                self.lists[mine[stage]] = list(range(query.n)) if stage == 0 else []
                row = fractions + stage
                for number in range(16):
                    table = query.fractions[stage] if query.fractions else []
                    value = table[number] if number < len(table) else 0
                    self.writes.append((row * 16 + number, value))
                self.opens.append(
                    {
                        "context": mine[stage], "next_context": following,
                        "base": context.base, "next_base": context.next_base,
                        "n": query.n if stage == 0 else 0, "k": k, "first": stage == 0,
                        "final": final, "policy": CODES[query.policy], "bins": query.bins,
                        "sub_batches": query.sub_batches, "fractions": row,
                    }
                )  # fmt: skip
            self.opens[-1]["then"] = index

    def opened(self, config: Config, index: int) -> None:
        """All contexts of a query are open: its first stage's row blocks may go."""
        query = self.queries[index]
        first = next(c for c in self.contexts.values() if c.query == index and c.stage == 0)
        for number, positions in enumerate(strided(query.n, query.sub_batches)):
            self._issue(config, first, number, [int(p) for p in positions])

    def _issue(self, config: Config, context: _Context, number: int, positions: list[int]) -> None:
        if self.cancelled[context.query]:
            self.cancels.append(
                {"context": context.number, "sub_batch": number, "count": len(positions)}
            )
            return
        rows = self.rng.choice([config.rows, 3, 1000])
        blocks = [positions[at : at + rows] for at in range(0, len(positions), rows)]
        for block in blocks:
            unit = self.units[0 if self.lull else self.rng.randrange(len(self.units))]
            scores = self.queries[context.query].scores[context.stage]
            for position in block:
                item = self.lists[context.number][position]
                unit.append(
                    {
                        "context": context.number, "sub_batch": number,
                        "position": position, "score": int(scores[item]),
                    }
                )  # fmt: skip

    def handed_over(self, score: dict[str, int]) -> None:
        context = self.contexts[score["context"]]
        index = context.query
        self.sent[index] += 1
        query = self.queries[index]
        if query.cancel_after is not None and self.sent[index] == query.cancel_after:
            self.cancelled[index] = True
            dropped: dict[tuple[int, int], int] = {}
            for unit in self.units:
                kept: deque[dict[str, int]] = deque()
                for other in unit:
                    if self.contexts[other["context"]].query == index and self.rng.random() < 0.7:
                        key = (other["context"], other["sub_batch"])
                        dropped[key] = dropped.get(key, 0) + 1
                    else:
                        kept.append(other)
                unit.clear()
                unit.extend(kept)
            for (number, sub_batch), count in dropped.items():
                self.cancels.append({"context": number, "sub_batch": sub_batch, "count": count})

    @property
    def done(self) -> bool:
        return not (self.reports_left or self.results_left or self.reads_open or self.cancels)


class FunnelBench:
    """One funnel, many runs: a run starts when the one before has ended."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.units = config.sub_arrays
        self.dut = Funnel(config=config, readers=1)
        self.cycle = 0
        self.last_scores: dict[int, int] = {}  # when a context's last score was taken
        self.waits: list[int] = []
        """Of each report: cycles since its context's last score was taken."""
        self._run: _Run | None = None
        dut = self.dut
        self._inputs: dict[str, tuple[Any, Any]] = {
            "config": (dut.config_write.as_value(), config_write_layout(config)),
            "open_valid": (dut.i_open.valid, None),
            "open": (dut.i_open.payload.as_value(), open_layout(config)),
            "cancel_valid": (dut.i_cancel.valid, None),
            "cancel": (dut.i_cancel.payload.as_value(), cancel_layout(config)),
            "forward_ready": (dut.o_forward.ready, None),
            "result_ready": (dut.o_result.ready, None),
            "list_address": (dut.list_address[0], None),
        }
        for unit in range(self.units):
            port = dut.i_scores[unit]
            self._inputs[f"score_valid_{unit}"] = (port.valid, None)
            payload = port.payload.as_value()
            self._inputs[f"score_{unit}"] = (payload, position_score_layout(config))
        self._values: dict[str, int] = {}
        self._ports = [
            dut.i_open.ready,
            dut.i_cancel.ready,
            Cat(dut.i_scores[unit].ready for unit in range(self.units)),
            dut.o_forward.valid,
            dut.o_forward.payload,
            dut.o_result.valid,
            dut.o_result.payload,
            dut.list_data[0],
        ]
        self._simulator: Simulator | None = None

    def run(
        self, queries: list[Query], *, seed: int = 0, stall: float = 0.0, lull: int = 0
    ) -> list[Outcome]:
        """All queries at once; ends when all reports and results are in.

        ``lull``: that many cycles lie between two scores; all come from one engine then, in order.
        """
        run = self._run = _Run(self, queries, seed, stall, lull)
        if self._simulator is None:  # a bench that nobody runs leaves no coroutine
            self._simulator = Simulator(self.dut)
            self._simulator.add_clock(1e-6)
            self._simulator.add_testbench(self._bench)
        start = self.cycle
        size = sum(q.n * len(q.keep) * q.sub_batches for q in queries)
        limit = 20_000 + 60 * size
        while not run.done:
            self._simulator.advance()
            if self.cycle - start > limit:
                raise TimeoutError(
                    f"{run.reports_left} reports, {run.results_left} results missing"
                )
        self._run = None
        return run.outcomes

    def check(
        self, queries: list[Query], *, seed: int = 0, stall: float = 0.0, lull: int = 0
    ) -> None:
        """Run and compare with the golden model."""
        for query, got in zip(
            queries, self.run(queries, seed=seed, stall=stall, lull=lull), strict=True
        ):
            if query.cancel_after is not None:
                continue
            want = expected(query)
            assert got.lists == want.lists, (query, got.lists, want.lists)
            assert got.dropped == want.dropped, query
            assert got.results == want.results, (query, got.results, want.results)

    async def _bench(self, ctx: Any) -> None:
        while True:
            if self._run is None or self._run.done:
                self.cycle += 1
                await ctx.tick()
            else:
                await self._play(ctx, self._run)

    async def _play(self, ctx: Any, run: _Run) -> None:
        ports, put = self._ports, self._put
        heads: list[dict[str, int] | None] = [None] * self.units
        taken = 0  # when the last score was
        reading: tuple[_Context, int, int, int] | None = None
        groups: dict[tuple[int, int], list[int]] = {}
        while not run.done:
            write = run.writes.popleft() if run.writes else None
            if write is not None:
                word = {"valid": 1, "target": Target.QUOTAS, "address": write[0], "data": write[1]}
                put(ctx, "config", word)
            else:
                put(ctx, "config", {})
            opening = run.opens[0] if run.opens and write is None else None
            put(ctx, "open_valid", int(opening is not None))
            if opening is not None:
                put(ctx, "open", {k: v for k, v in opening.items() if k != "then"})
            cancel = run.cancels[0] if run.cancels else None
            put(ctx, "cancel_valid", int(cancel is not None))
            if cancel is not None:
                put(ctx, "cancel", cancel)
            for unit, queue in enumerate(run.units):
                resting = self.cycle < taken + run.lull
                if heads[unit] is None and queue and not resting and run.rng.random() >= run.stall:
                    heads[unit] = queue.popleft()
                    put(ctx, f"score_{unit}", heads[unit])
                put(ctx, f"score_valid_{unit}", int(heads[unit] is not None))
            taking = run.rng.random() >= run.stall, run.rng.random() >= run.stall
            put(ctx, "forward_ready", int(taking[0]))
            put(ctx, "result_ready", int(taking[1]))
            asked, reading = reading, run.reads.popleft() if run.reads else None
            if reading is not None:
                put(ctx, "list_address", reading[0].base + reading[2])

            got = (await ctx.tick().sample(*ports))[-len(ports) :]
            open_ready, cancel_ready, ready, forward, report, result_valid, result, item = got
            self.cycle += 1
            if asked is not None:
                self._note_item(run, asked, item, groups)
            if opening is not None and open_ready:
                run.opens.popleft()
                if "then" in opening:
                    run.opened(self.config, opening["then"])
            if cancel is not None and cancel_ready:
                run.cancels.popleft()
            for unit, head in enumerate(heads):
                if head is not None and ready >> unit & 1:
                    heads[unit] = None
                    run.handed_over(head)
                    self.last_scores[head["context"]] = taken = self.cycle
            if forward and taking[0]:
                self.waits.append(self.cycle - self.last_scores.get(report.context, 0))
                self._note_report(report, run)
            if result_valid and taking[1]:
                context = run.contexts[result.context]
                run.outcomes[context.query].results.append((result.item, result.score))
                run.results_left -= result.last
        put(ctx, "cancel_valid", 0)
        for unit in range(self.units):
            assert heads[unit] is None and not run.units[unit]

    def _put(self, ctx: Any, name: str, value: Any) -> None:
        """Set an input, unless it has that value: each setting costs the simulator a step."""
        port, layout = self._inputs[name]
        number = layout.const(value).as_bits() if layout is not None else value
        if self._values.get(name) != number:
            self._values[name] = number
            ctx.set(port, number)

    def _note_report(self, report: Any, run: _Run) -> None:
        run.reports_left -= 1
        context = run.contexts[report.context]
        query = run.queries[context.query]
        assert report.last == (report.sub_batch + 1 == query.sub_batches)
        assert report.final == (context.stage + 1 == len(query.keep))
        if report.final:
            if report.last and not report.count:
                run.results_left -= 1  # cancelled
            return
        if report.last:
            run.outcomes[context.query].dropped[context.stage] = report.dropped
        following = run.contexts[report.next_context]
        known = len(run.lists[following.number])
        run.lists[following.number] += [-1] * (report.count - known)
        if report.count == known and run.cancelled[context.query]:
            return
        for position in range(known, report.count):
            run.reads_open += 1
            run.reads.append((following, report.sub_batch, position, report.count - 1))

    def _note_item(
        self, run: _Run, reading: Any, item: int, groups: dict[tuple[int, int], list[int]]
    ) -> None:
        """The item at a list's position is known; with the last of a sub-batch it may be issued."""
        context, sub_batch, position, end = reading
        run.reads_open -= 1
        run.lists[context.number][position] = item
        run.outcomes[context.query].lists[context.stage - 1][sub_batch].append(item)
        groups.setdefault((context.number, sub_batch), []).append(position)
        if position == end:
            positions = groups.pop((context.number, sub_batch))
            run._issue(self.config, context, sub_batch, positions)
