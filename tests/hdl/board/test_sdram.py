# amaranth: UnusedElaboratable=no
"""SDRAM controller behind its pads' registers, on a chip that checks every rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from amaranth.back import verilog
from amaranth.hdl import Elaboratable, Module, Signal

from hdl.board.sdram import Sdram, SdramChip
from sim.bench import BenchSpec
from sim.build import Build, build_design
from sim.runner import run_module

VERILOG = Path(__file__).parents[3] / "sim" / "verilog"
CHIP = SdramChip(start_ns=101_000, log2_rows=11)

BENCH = """\
`timescale 1ns / 1ps
module bench;
    reg clk = 0;
    always #{half} clk = !clk;
    reg chip_clk;
    initial chip_clk = 0;
    always @(posedge clk) begin
        #{quarter} chip_clk = 1;
        #{half} chip_clk = 0;
    end
    reg [{request_top}:0] request_payload = 0;
    reg request_valid = 0;
    wire request_ready;
    wire [63:0] data_payload;
    wire data_valid;
    reg data_ready = 0;
    wire failed;
    wire [2:0] command;
    wire [{row_top}:0] a;
    wire [1:0] ba, dqm;
    wire [15:0] dq, dq_o;
    wire dq_oe;
    controller controller (
        .clk(clk), .rst(1'b0), .request_payload(request_payload), .request_valid(request_valid),
        .request_ready(request_ready), .data_payload(data_payload), .data_valid(data_valid),
        .data_ready(data_ready), .command(command), .a(a), .ba(ba), .dqm(dqm), .dq_o(dq_o),
        .dq_oe(dq_oe), .dq_i(dq)
    );
    assign dq = dq_oe ? dq_o : 16'bz;
    sdram_chip #(.LOG2_ROWS({rows})) chip (
        .clk(chip_clk), .cke(1'b1), .cs(1'b0), .ras(command[2]), .cas(command[1]),
        .we(command[0]), .a(a), .ba(ba), .dqm(dqm), .dq(dq), .failed(failed)
    );
endmodule
"""


class _Controller(Elaboratable):
    """The controller with a register in each pad."""

    def __init__(self, clock_hz: int) -> None:
        self.sdram = Sdram(chip=CHIP, clock_hz=clock_hz)
        self.ports: dict[str, Signal] = {}

    def port(self, name: str, width: int) -> Signal:
        self.ports[name] = Signal(width, name=name)
        return self.ports[name]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.sdram = sdram = self.sdram
        port: Any = sdram.port
        request = port.request
        m.d.comb += [
            request.payload.as_value().eq(self.ports["request_payload"]),
            request.valid.eq(self.ports["request_valid"]),
            self.ports["request_ready"].eq(request.ready),
            self.ports["data_payload"].eq(port.data.payload),
            self.ports["data_valid"].eq(port.data.valid),
            port.data.ready.eq(self.ports["data_ready"]),
        ]
        for name in ("command", "a", "ba", "dqm", "dq_o", "dq_oe"):
            m.d.sync += self.ports[name].eq(getattr(sdram.pins, name))
        m.d.sync += sdram.pins.dq_i.eq(self.ports["dq_i"])
        return m


def _build(clock_hz: int) -> tuple[Build, int]:
    top = _Controller(clock_hz)
    address_bits = CHIP.log2_bytes - 3
    widths = {
        "request_payload": address_bits + 73, "request_valid": 1, "request_ready": 1,
        "data_payload": 64, "data_valid": 1, "data_ready": 1, "command": 3, "a": CHIP.log2_rows,
        "ba": 2, "dqm": 2, "dq_o": 16, "dq_oe": 1, "dq_i": 16,
    }  # fmt: skip
    ports = [top.port(name, width) for name, width in widths.items()]
    text = verilog.convert(top, name="controller", ports=ports, emit_src=False)
    half = 500_000_000 / clock_hz
    bench = BENCH.format(
        half=half, quarter=half / 2, request_top=widths["request_payload"] - 1,
        rows=CHIP.log2_rows, row_top=CHIP.log2_rows - 1,
    )  # fmt: skip
    files = {
        "bench.v": bench,
        "device.v": text,
        "sdram_chip.v": (VERILOG / "sdram_chip.v").read_text(),
        "board.vlt": (VERILOG / "board.vlt").read_text(),
    }
    arguments = ["--timing", "--x-initial", "fast", "--no-sched-zero-delay", "board.vlt"]
    folder, cached = build_design(files, top="bench", simulator="verilator", arguments=arguments)
    return Build(folder, "verilator", BenchSpec(), cached), address_bits


@pytest.mark.parametrize(
    "clock_hz",
    [50_000_000, pytest.param(100_000_000, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_words_keep_the_chips_rules(clock_hz: int, stall: float, tmp_path: Path) -> None:
    build, address_bits = _build(clock_hz)
    case = {"seed": 3, "stall": stall, "address_bits": address_bits}
    (tmp_path / "case.json").write_text(json.dumps(case))
    run_module(build, "tests.hdl.board.sdram_bench", folder=tmp_path, plusargs=[], seed=1)
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["words"] > 200
    if stall == 0:  # four cycles a word, and a refresh or two in between
        assert found["streamed"] <= 64 * 4 + 40


@pytest.mark.parametrize(
    ("change", "message"), [({"clock_hz": 0}, "clock_hz must be in"), ({"cas": 4}, "cas_latency")]
)
def test_bad_settings(change: dict[str, int], message: str) -> None:
    chip = SdramChip(cas_latency=change.get("cas", 2))
    with pytest.raises(ValueError, match=message):
        Sdram(chip=chip, clock_hz=change.get("clock_hz", 50_000_000))
