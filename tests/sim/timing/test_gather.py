"""The lanes of the timing model against the generated lane, cycle by cycle."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from golden.look_ahead import Outcome
from sim.timing.events import Clock
from sim.timing.gather import Gather
from sim.timing.units import Lookup

from ...hdl.embedding.lane_bench import HostileMemory, Item, Result, Scene, exercise, random_items
from ...hdl.embedding.test_gather_lane import CONFIGS, tables


class Memory:
    """The bench's memory: a latency, then a beat a cycle, bursts one after the other."""

    def __init__(self, clock: Clock, latency: int) -> None:
        self._clock, self._latency = clock, latency
        self._free = 0

    def read(
        self, cycle: int, requester: int, tag: int, address: int, beats: int, call: Any
    ) -> None:
        # The bench sees a request one cycle later and answers ``latency`` cycles after that.
        first = max(cycle + 1 + self._latency, self._free)
        self._free = first + beats
        self._clock.at(first, call, beats)


def model(scene: Scene, items: list[Item], latency: int) -> tuple[list[int], Gather]:
    """(cycle of each item's last word, the lanes)."""
    clock, config = Clock(), scene.config
    ends: list[int] = []
    offers: deque[Lookup] = deque()

    def row_word(cycle: int, lane: int, item_last: bool) -> None:
        if item_last:
            ends.append(cycle)

    def taken(cycle: int, lane: int) -> None:
        if offers:
            gather.push(cycle + 1, 0, offers.popleft())

    engine = SimpleNamespace(row_word=row_word)
    units = {item.unit: engine for item in items}
    gather = Gather(clock, config, Memory(clock, latency), units, taken)  # type: ignore[arg-type]
    gather.live = 0xFFFF
    for item in items:
        for k, (word, id_) in enumerate(zip(scene.words, item.ids, strict=True)):
            offers.append(
                Lookup(
                    unit=item.unit,
                    hit=id_ in scene.static[word.table],
                    address=word.base + id_ * word.row_bytes,
                    row_bytes=word.row_bytes,
                    item_last=k == len(scene.words) - 1,
                    prefetch=item.prefetch,
                    query=item.query,
                )
            )
    gather.push(0, 0, offers.popleft())
    clock.run()
    return ends, gather


@pytest.mark.parametrize(
    ("name", "row_bytes", "latency", "ahead", "hot"),
    [
        pytest.param("8-byte beats", 16, 30, 0, 0.5, marks=pytest.mark.slow),
        ("8-byte beats", 32, 100, 6, 0.2),
        pytest.param("8-byte beats", 128, 50, 0, 0.2, marks=pytest.mark.slow),
        pytest.param("64-byte beats", 32, 20, 0, 0.5, marks=pytest.mark.slow),
        pytest.param("64-byte beats", 128, 100, 4, 0.0, marks=pytest.mark.slow),
        ("64-byte beats", 4, 100, 0, 1.0),
        pytest.param("no look-ahead", 64, 60, 0, 0.2, marks=pytest.mark.slow),
        pytest.param("16-byte beats", 64, 10, 2, 0.5, marks=pytest.mark.slow),
    ],
)
def test_every_item_ends_when_the_lane_ends_it(
    name: str, row_bytes: int, latency: int, ahead: int, hot: float
) -> None:
    config = CONFIGS[name]
    scene = Scene(config, tables(row_bytes, 4), share_static=0.4, seed=row_bytes)
    items = random_items(scene, 60, seed=latency, ahead=ahead, hot=hot)
    device = HostileMemory(config, scene.memory, latency=(latency, latency), mixed=False)
    result: Result = exercise(scene, items, device)
    ends, gather = model(scene, items, latency)
    offset = result.ends[0] - ends[0]
    assert [end - offset for end in result.ends] == ends
    assert gather.fetches == len(device.requests)
    wanted = [
        outcome
        for outcome, step in zip(result.predicted, result.steps, strict=True)
        if not step.prefetch and not step.static_hit
    ]
    if row_bytes <= 64:
        assert gather.misses == wanted.count(Outcome.MISS)
        assert gather.merged == wanted.count(Outcome.MERGED)
        assert gather.look_ahead_hits == len(wanted) - gather.misses
