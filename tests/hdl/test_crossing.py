"""The device with its bus on another clock: constraints, lint, and a register access in Icarus."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hdl.config import preset
from hdl.control.registers import register_table
from hdl.crossing import constraints
from hdl.emit import CROSSING_FILES, FILES, emit
from hdl.top import Accelerator
from sim import toolchain

TINY = preset("tiny")
BENCH = """\
`timescale 1ns / 1ps
module bench;
  reg aclk = 0, bus_aclk = 0, aresetn = 0, bus_aresetn = 0;
  always #2 aclk = ~aclk;
  always #3.7 bus_aclk = ~bus_aclk;
  reg [11:0] address = 0;
  reg [31:0] wdata = 0;
  reg awvalid = 0, wvalid = 0, arvalid = 0;
  wire awready, wready, arready, bvalid, rvalid;
  wire [31:0] rdata;
  rpaccel_crossing dut (
    .aclk(aclk), .aresetn(aresetn), .bus_aclk(bus_aclk), .bus_aresetn(bus_aresetn),
    .s_axil_awaddr(address), .s_axil_awprot(3'd0), .s_axil_awvalid(awvalid),
    .s_axil_awready(awready), .s_axil_wdata(wdata), .s_axil_wstrb(4'hf), .s_axil_wvalid(wvalid),
    .s_axil_wready(wready), .s_axil_bvalid(bvalid), .s_axil_bready(1'b1), .s_axil_araddr(address),
    .s_axil_arprot(3'd0), .s_axil_arvalid(arvalid), .s_axil_arready(arready),
    .s_axil_rdata(rdata), .s_axil_rvalid(rvalid), .s_axil_rready(1'b1),
    .m_axi_awready(1'b0), .m_axi_wready(1'b0), .m_axi_bvalid(1'b0), .m_axi_arready(1'b0),
    .m_axi_rvalid(1'b0));
  task read(input [11:0] where); begin
    @(negedge bus_aclk) address = where; arvalid = 1;
    @(posedge bus_aclk); while (!arready) @(posedge bus_aclk);
    @(negedge bus_aclk) arvalid = 0;
    while (!rvalid) @(negedge bus_aclk);
    $display("%03x %08x", where, rdata);
    @(posedge bus_aclk);
  end endtask
  task write(input [11:0] where, input [31:0] what); begin
    @(negedge bus_aclk) address = where; wdata = what; awvalid = 1; wvalid = 1;
    fork
      begin @(posedge bus_aclk); while (!awready) @(posedge bus_aclk);
        @(negedge bus_aclk) awvalid = 0; end
      begin @(posedge bus_aclk); while (!wready) @(posedge bus_aclk);
        @(negedge bus_aclk) wvalid = 0; end
    join
    while (!bvalid) @(negedge bus_aclk);
    @(posedge bus_aclk);
  end endtask
  initial begin
    #100 aresetn = 1;
    #40 bus_aresetn = 1;
    #100;
    read(12'h@ID@);
    write(12'h@BASE@, 32'h12345640);
    read(12'h@BASE@);
    $finish;
  end
  initial #50000 begin $display("watchdog"); $finish; end
endmodule
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crossing")
    emit(TINY, folder, lambda config: Accelerator(config=config), bus_mhz=100)
    return folder


def test_files_and_lint(files: Path) -> None:
    assert {path.name for path in files.iterdir()} == {*FILES, *CROSSING_FILES}
    command = ["verilator", "--lint-only", "--quiet", "--top-module", "rpaccel_crossing"]
    with toolchain.environment("verilator"):
        done = subprocess.run(
            [*command, "rpaccel.vlt", "rpaccel.v", "rpaccel_crossing.v"],
            cwd=files, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.stdout + done.stderr == ""
    assert "lint_crossing" in (files / "rpaccel.core").read_text()


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
def test_registers_through_the_crossing(files: Path, tmp_path: Path) -> None:
    offsets = {register.name: register.offset for register in register_table(TINY)}
    places = {"@ID@": offsets["CONFIG_HASH"], "@BASE@": offsets["SUBMISSION_BASE"]}
    text = BENCH
    for name, offset in places.items():
        text = text.replace(name, f"{offset:03x}")
    (tmp_path / "bench.v").write_text(text)
    sources = [str(files / f"{name}.v") for name in ("rpaccel", "rpaccel_crossing")]
    command = ["iverilog", "-g2005", "-s", "bench", "-o", "bench.vvp", "bench.v", *sources]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(
        ["vvp", "-n", "bench.vvp"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert re.findall(r"^(\w+) (\w+)$", done.stdout, re.MULTILINE) == [
        (f"{offsets['CONFIG_HASH']:03x}", f"{TINY.hash:08x}"),
        (f"{offsets['SUBMISSION_BASE']:03x}", "12345640"),
    ]


def test_constraints_bound_each_direction_by_the_faster_clock() -> None:
    texts = constraints(TINY, bus_mhz=100)
    assert set(texts) == {"sdc", "xdc", "lpf"}
    assert "-period 4.000 [get_ports aclk]" in texts["sdc"]
    assert "-period 10.000 [get_ports bus_aclk]" in texts["xdc"]
    for text in texts.values():
        assert len(re.findall(r"4\.000( NS|$)", text, re.MULTILINE)) == 2
    assert 'FREQUENCY PORT "bus_aclk" 100 MHZ;' in texts["lpf"]
    assert texts["xdc"].count("-datapath_only") == 2
