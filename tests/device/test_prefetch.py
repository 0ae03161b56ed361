"""What the prefetcher asks for on the device: never a row that is on chip already."""

from __future__ import annotations

import pytest

from driver.lane_replay import Filled, replay_lane
from golden.filter import FunnelRules
from golden.look_ahead import Outcome
from hdl.config import LINE_BYTES

from .support import CONFIG, Case, three_stage_workload


@pytest.mark.parametrize("cached", [False, True])
def test_no_row_is_fetched_twice_while_it_is_on_chip(cached: bool) -> None:
    """By the RTL's own log: a fetch is of a line that no line and no static row holds."""
    case = Case(three_stage_workload(), partition="fused", cached=cached)
    for number in range(3):
        case.query(number, rules=FunnelRules(policy="quota", sub_batches=4))
    played = case.run()
    deployment = case.deployment
    assert deployment.cache is not None
    steps = played.records["tag_steps"]
    fetched = ahead = 0
    for lane in range(CONFIG.gather_lanes):
        held: dict[int, int] = {}  # line of the cache: line of device memory
        for event in replay_lane(deployment, steps, played.records["fills"], lane):
            if isinstance(event, Filled) or not event.step.lookup:
                continue
            if event.step.fresh:
                held.clear()
            program, feature = divmod(event.step.table, CONFIG.max_features)
            width = deployment.models[program].shape.width
            address = deployment.tables[program][feature] + event.step.id * width
            line = address // LINE_BYTES + event.step.half
            fetch = bool(steps["miss"][event.index])
            assert fetch == (event.outcome is Outcome.MISS)
            if fetch:
                assert line not in held.values(), f"lane {lane}: line {line:#x} was on chip"
                contents = deployment.cache.contents[program] or {}
                assert (feature, event.step.id) not in contents
                held[event.line] = line
                fetched += 1
                ahead += event.step.prefetch
            elif event.outcome in (Outcome.HIT, Outcome.MERGED):
                assert held[event.line] == line
    assert ahead and fetched > ahead
