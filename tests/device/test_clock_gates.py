"""Clock gates change nothing: the device with gates that work, and with gates that are wires."""

from __future__ import annotations

import numpy as np
import pytest

from driver.device import bench_spec, device_verilog
from sim.build import build_bench
from sim.runner import run_job

from .support import CONFIG, Case, device


@pytest.mark.slow
@pytest.mark.parametrize("partition", ["fused", "split", "4x4:1@0,4x4:3@1"])
def test_every_event_in_the_same_cycle(partition: str) -> None:
    wires = build_bench(
        bench_spec(CONFIG, memory_bytes=0),
        [device_verilog(CONFIG, lambda text: None)],
        simulator="verilator",
        arguments=["-URPACCEL_CLOCK_GATES"],
    )
    case = Case(partition=partition)
    for number in range(2):
        case.query(number)
    case.start()
    case.host.ring()
    case.host.wait(timeout=1_000_000)
    case.host.job.idle(2000)  # all clocks stop
    case.query(2)
    case.host.ring()
    case.host.wait(timeout=1_000_000)
    case.host.read_counters()
    case.finish()
    image = case.image.to_bytes()
    gated, plain = (run_job(b, case.host.job, image=image, seed=1) for b in (device(), wires))
    assert gated.result.cycles == plain.result.cycles
    assert gated.result.values == plain.result.values
    for name, events in plain.traces.items():
        np.testing.assert_array_equal(gated.traces[name], events)
