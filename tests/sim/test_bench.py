"""The bench, memory, checks and runner, proved with a device that copies memory."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import verilog

from sim.bench import BenchSpec, Master, Trace
from sim.errors import SimulationError, SimulatorError
from sim.job import Job
from sim.runner import Build, Memory, build_bench, run_job, run_module
from sim.timing.dram import Banks, Dram
from sim.waves import Waves

from . import copy_device as device
from .copy_device import CopyDevice

BYTES = 8
BURST_BYTES = device.BURST * BYTES
SPEC = BenchSpec(
    device="copy_device",
    clock="clk",
    reset="rst",
    reset_active_low=False,
    data_bits=8 * BYTES,
    traces=(
        Trace(
            name="copies",
            valid="trace_valid",
            payload="trace_payload",
            count=2,
            width=device.TRACE_WIDTH,
        ),
    ),
    memory_log2_bytes=16,
)
ICARUS = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
BOTH = pytest.mark.parametrize("simulator", ["verilator", pytest.param("icarus", marks=ICARUS)])


@cache
def device_text() -> str:
    dut = CopyDevice(data_bits=8 * BYTES)
    return verilog.convert(dut, name="copy_device", emit_src=False)


def make(folder: Path, simulator: str, waves: str | None = None, spec: BenchSpec = SPEC) -> Build:
    """Compile the copy device in its bench."""
    path = folder / "copy_device.v"
    path.write_text(device_text())
    return build_bench(spec, [path], simulator=simulator, waves=waves)


def copy_job(source: int, target: int, bursts: int) -> Job:
    """Copy `bursts` bursts and dump what was written."""
    job = Job()
    job.read(0, "identity")
    job.write(device.SOURCE, source)
    job.write(device.TARGET, target)
    job.write(device.BURSTS, bursts)
    job.write(device.START, 1)
    job.wait_interrupt(timeout=100_000)
    job.read(device.STATUS, "status")
    job.write(device.CLEAR, 0)
    job.dump(target, bursts * BURST_BYTES, "copy")
    return job


def image(seed: int = 7, size: int = 32768) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


@BOTH
@pytest.mark.parametrize("hostile", [0, 1, 2])
def test_copy(tmp_path: Path, simulator: str, hostile: int) -> None:
    contents = image()
    build = make(tmp_path, simulator)
    job = copy_job(0x400, 0x9000, 20)
    outcome = run_job(build, job, image=contents, memory=Memory(hostile=hostile), seed=3)
    expected = contents[0x400 : 0x400 + 20 * BURST_BYTES].tobytes()
    assert outcome.result.values == {"identity": device.IDENTITY, "status": 1}
    assert outcome.result.memory["copy"] == expected
    assert outcome.result.outstanding == 0
    # The trace has every beat once, read (source 0) and written (source 1), in order.
    trace = outcome.traces["copies"]
    for source in (0, 1):
        beats = trace[trace["source"] == source]["payload"][:, :BYTES]
        assert beats.tobytes() == expected
    assert np.all(np.diff(trace["cycle"].astype(np.int64)) >= 0)


@ICARUS
@pytest.mark.parametrize("hostile", [0, 2])
def test_channels_share_one_memory(tmp_path: Path, hostile: int) -> None:
    """Reads through one channel, writes through another, a third one idle."""
    masters = (Master(reads=False, writes=False), Master(reads=False), Master(writes=False))
    build = make(tmp_path, "icarus", spec=replace(SPEC, masters=masters))
    contents = image()
    job = copy_job(0x400, 0x9000, 5)
    outcome = run_job(build, job, image=contents, memory=Memory(hostile=hostile))
    expected = contents[0x400 : 0x400 + 5 * BURST_BYTES].tobytes()
    assert outcome.result.memory["copy"] == expected


@ICARUS
@pytest.mark.parametrize("hostile", [0, 2])
def test_simulators_agree_to_the_cycle(tmp_path: Path, hostile: int) -> None:
    job = copy_job(0, 0x8000, 5)
    job.memory_write(0x8003, b"hello, memory")
    job.memory_read(0x8001, 17, "patched")
    outcomes = [
        run_job(make(tmp_path, simulator), job, image=image(), memory=Memory(hostile=hostile))
        for simulator in ("verilator", "icarus")
    ]
    assert outcomes[0].result == outcomes[1].result
    assert np.array_equal(outcomes[0].traces["copies"], outcomes[1].traces["copies"])
    patched = bytearray(image()[:32])
    patched[3:16] = b"hello, memory"
    assert outcomes[0].result.memory["patched"] == bytes(patched[1:18])


def test_latency_and_row_are_as_stated(tmp_path: Path) -> None:
    """From start to interrupt: two bursts, of which the first one opens the row."""
    build = make(tmp_path, "verilator")
    cycles = {}
    for latency, row in ((100, 12), (50, 12), (50, 0)):
        job = copy_job(0, 0x8000, 2)
        memory = Memory(latency=latency, row_cycles=row, refresh_cycles=0)
        seen = run_job(build, job, image=image(), memory=memory).result.cycles
        cycles[latency, row] = seen[5] - seen[4]
    # Two reads and two write responses wait for the latency; one read opens a row.
    assert cycles[100, 12] - cycles[50, 12] == 4 * 50
    assert cycles[50, 12] - cycles[50, 0] == 12
    # A burst: latency, 15 more beats, address, data of 16 beats, latency, next address. The start
    # takes one cycle more.
    assert cycles[50, 0] == 2 * (50 + 15 + 1 + 16 + 50 + 1) + 1


def test_refresh(tmp_path: Path) -> None:
    """Bursts one after the other wait for refreshes and open their row again, as the model says."""
    build = make(tmp_path, "verilator")
    dram = Dram(latency=50, row_cycles=12, refresh_interval=150, refresh_cycles=40)
    memory = Memory(latency=50, row_cycles=12, refresh_interval=150, refresh_cycles=40)
    period = 50 + 15 + 1 + 16 + 50 + 1  # of a burst, see above
    for idle in (1, 37, 90):
        job = Job()
        job.idle(idle)
        job.steps += copy_job(0, 0x8000, 6).steps
        seen = run_job(build, job, image=image(), memory=memory).result.cycles
        banks = Banks(dram)
        at = seen[5] + 1  # the first address is taken
        for _ in range(6):
            at = banks.ready(at, 0) + period - 49
        assert seen[6] == at, idle


def test_bandwidth(tmp_path: Path) -> None:
    """Half the bandwidth: each of the 15 beats after a burst's first takes two cycles."""
    build = make(tmp_path, "verilator")
    cycles = []
    for bandwidth in (256, 128):
        job = copy_job(0, 0x8000, 1)
        memory = Memory(bandwidth=bandwidth, refresh_cycles=0)
        seen = run_job(build, job, memory=memory).result.cycles
        cycles.append(seen[5] - seen[4])
    assert cycles[1] - cycles[0] == 15


@BOTH
def test_error_window_and_beyond_memory(tmp_path: Path, simulator: str) -> None:
    build = make(tmp_path, simulator)
    for source, error, status in ((0, (0x78, 0x80), 2), (0, (0x80, 0x88), 1), (1 << 20, None, 2)):
        outcome = run_job(build, copy_job(source, 0x8000, 1), memory=Memory(error=error))
        assert outcome.result.values["status"] == status


@BOTH
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("unstable", "read address changed before arready"),
        ("last", "wlast is not at the last beat"),
        ("page", "write burst crosses 4 KB"),
        ("size", "read burst of wrong kind or size"),
    ],
)
def test_broken_rule_is_named(tmp_path: Path, simulator: str, fault: str, message: str) -> None:
    job = Job()
    job.write(device.FAULT, device.FAULTS.index(fault))
    job.steps += copy_job(0, 0x8000, 40).steps
    with pytest.raises(SimulationError, match=message):
        run_job(make(tmp_path, simulator), job, memory=Memory(hostile=1))


@BOTH
def test_wait_register_with_interrupt_and_clear(tmp_path: Path, simulator: str) -> None:
    job = Job()
    job.write(device.BURSTS, 1)
    started = job.write(device.START, 1)
    done = job.wait_register(
        device.STATUS, 1, at_least=True, clear=(device.CLEAR, 0), timeout=10_000
    )
    polled = job.wait_register(device.STATUS, 1, interval=10)
    outcome = run_job(make(tmp_path, simulator), job)
    cycles = outcome.result.cycles
    assert 200 < cycles[done] - cycles[started] < 300
    assert cycles[polled] >= cycles[done]


@BOTH
def test_errors_are_told(tmp_path: Path, simulator: str) -> None:
    build = make(tmp_path, simulator)
    late = Job()
    late.wait_interrupt(timeout=50)
    with pytest.raises(SimulationError, match=r"step 0 .*wait_interrupt.*cycle 8"):
        run_job(build, late)
    never = Job()
    never.wait_register(device.STATUS, 5, interval=10, timeout=100)
    with pytest.raises(SimulationError, match="is 0x0, not 0x5"):
        run_job(build, never)
    bad = Job()
    bad.write(0x100, 1)
    with pytest.raises(SimulationError, match="write at 0x100 answered with response 2"):
        run_job(build, bad)
    slow = Job()
    slow.idle(1_000_000_000)
    with pytest.raises(SimulationError, match="time limit"):
        run_job(build, slow, time_limit=0.0)


def test_run_without_tests_is_an_error(tmp_path: Path) -> None:
    build = make(tmp_path, "verilator")
    for module in ("sim.job", "tests.sim.no_such_module"):
        with pytest.raises(SimulationError):
            run_module(build, module, folder=tmp_path, plusargs=[])


def test_build_is_cached_by_content(tmp_path: Path) -> None:
    first = make(tmp_path, "verilator")
    again = make(tmp_path, "verilator")
    assert again.cached and again.folder == first.folder


def test_verilog_that_does_not_compile(tmp_path: Path) -> None:
    path = tmp_path / "broken.v"
    path.write_text("module copy_device (input a; endmodule\n")
    with pytest.raises(SimulationError, match="build.log"):
        build_bench(SPEC, [path], simulator="verilator")


def test_missing_simulator_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SimulatorError, match="icarus needs iverilog, vvp"):
        build_bench(SPEC, [], simulator="icarus")
    with pytest.raises(SimulatorError, match="verilator needs g\\+\\+, make, perl"):
        build_bench(SPEC, [], simulator="verilator")
    with pytest.raises(SimulatorError, match="unknown simulator 'ghdl'; known.*verilator, icarus"):
        build_bench(SPEC, [], simulator="ghdl")


@pytest.mark.parametrize(
    ("simulator", "suffix"),
    [
        ("verilator", ".vcd"),
        pytest.param("verilator", ".fst", marks=pytest.mark.slow),
        pytest.param("icarus", ".vcd", marks=ICARUS),
        pytest.param("icarus", ".fst", marks=ICARUS),
    ],
)
def test_waves(tmp_path: Path, simulator: str, suffix: str) -> None:
    request = Waves(file=tmp_path / f"w{suffix}", window=(100, 150)).for_machine(simulator)
    suffix = request.file.suffix
    build = make(tmp_path, simulator, waves=suffix)
    outcome = run_job(build, copy_job(0, 0x8000, 1), image=image(), waves=request)
    assert outcome.waves == request.file
    data = request.file.read_bytes()
    if suffix == ".vcd":
        times = [int(line[1:]) for line in data.decode().splitlines() if line[:1] == "#"]
        cycles = {time // 4000 for time in times if time}
        assert cycles and min(cycles) >= 99 and max(cycles) <= 151
    else:
        assert data[0] == 0 and len(data) > 1000  # an FST file begins with its header block
    signals = request.file.with_suffix(".gtkw").read_text()
    assert "host_irq" in signals and "araddr[39:0]" in signals


def test_bad_waves_requests() -> None:
    with pytest.raises(SimulatorError, match="'w.txt'"):
        Waves(file=Path("w.txt"))
    with pytest.raises(SimulatorError, match="9:5"):
        Waves(file=Path("w.vcd"), window=(9, 5))
