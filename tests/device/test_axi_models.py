"""The device's ports against cocotbext-axi: AXI4-Lite master and AXI4 RAM, with random stalls.

Nothing of `sim/verilog` takes part: other people's reading of the protocol is at the pins.
"""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import pytest
from cocotb_tools.check_results import get_results

from driver.device import TOP
from driver.host import completions, results
from hdl.emit import verilog_text
from hdl.program import Status
from hdl.top import Accelerator
from sim import toolchain
from sim.build import TIMESCALE, build_design, quiet_runner
from sim.job import JobResult

from .support import CONFIG, Case, smallest_workload

ICARUS = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
_PINS = """\
`verilator_config
public_flat_rw -module "{top}" -var "s_axil_*"
public_flat_rw -module "{top}" -var "m_axi_*"
public_flat_rw -module "{top}" -var "a*"
public_flat_rw -module "{top}" -var "irq"
lint_off -rule CASEINCOMPLETE
lint_off -rule WIDTHEXPAND
lint_off -rule WIDTHTRUNC
"""


@cache
def compiled(simulator: str) -> Path:
    """The device alone, as ``rpaccel generate`` writes it."""
    files = {"device.v": verilog_text(CONFIG, Accelerator(config=CONFIG), top=TOP)}
    arguments = []
    if simulator == "verilator":
        files["pins.vlt"] = _PINS.format(top=TOP)
        arguments = ["--no-public-flat-rw", "--timing", "--x-initial", "fast", "pins.vlt"]
    return build_design(files, top=TOP, simulator=simulator, arguments=arguments)[0]


@pytest.mark.parametrize(
    ("simulator", "partition", "seed"),
    [
        # Icarus compiles at once, Verilator runs at once: the first is cheaper for one query.
        pytest.param("icarus", "fused", 1, marks=ICARUS),
        pytest.param("verilator", "split", 2, marks=pytest.mark.slow),
        pytest.param("verilator", "4x4:2@0,4x4:1@1", 3, marks=pytest.mark.slow),
    ],
)
def test_query_through_foreign_models(
    tmp_path: Path, simulator: str, partition: str, seed: int
) -> None:
    case = Case(smallest_workload(), partition=partition, entries=2)
    placed = case.query(0)
    case.start()
    case.host.ring()
    case.host.wait(timeout=200_000)
    case.host.registers.read("ID")
    case.finish()
    image = case.image.to_bytes()
    (tmp_path / "job.json").write_text(case.host.job.to_json())
    (tmp_path / "image.bin").write_bytes(image)
    memory = 1 << (len(image) - 1).bit_length()
    (tmp_path / "bench.json").write_text(json.dumps({"memory_bytes": memory, "seed": seed}))
    with toolchain.environment(simulator):
        found = quiet_runner(simulator).test(
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            test_module="tests.device.axi_bench",
            build_dir=compiled(simulator),
            test_dir=tmp_path,
            results_xml=str(tmp_path / "results.xml"),
            seed=seed,
            timescale=TIMESCALE,
            log_file=tmp_path / "simulation.log",
        )
    assert get_results(found) == (1, 0), (tmp_path / "simulation.log").read_text()[-3000:]
    words = json.loads((tmp_path / "results.json").read_text())
    brought = JobResult(
        values=words["values"],
        memory={key: bytes.fromhex(text) for key, text in words["memory"].items()},
        cycles=[],
        outstanding=0,
    )
    assert brought.values["ID.0.0"] == int.from_bytes(b"RPAC", "little")
    entries = completions(brought, case.host.entries)
    assert {c.status for c in entries} == {Status.OK}
    golden = case.golden(0)
    got = results(brought, placed, f"results.{placed.entry}")
    assert got[:, 0].tolist() == golden.items.tolist()
    assert got[:, 1].tolist() == golden.scores.tolist()
