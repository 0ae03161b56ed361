"""Generated files: readable by their tools, from one table, written once."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.bus.axi import axi4_signature, axi_lite_signature
from hdl.config import PRESETS, Config
from hdl.control.csr import RegisterFile
from hdl.control.registers import ADDRESS_BITS, VERSION, register_table
from hdl.emit import FILES, emit
from hdl.program import COMPLETION, LAYER, PIPELINE, SUBMISSION
from hdl.words import pack_bytes

ROOT = Path(__file__).resolve().parents[2]
TINY = PRESETS["tiny"]


class Stub(wiring.Component):
    """A device with the ports of the real one: registers only."""

    s_axil: Any
    irq: Any

    def __init__(self, config: Config) -> None:
        self._table = register_table(config)
        super().__init__(
            {
                "s_axil": In(axi_lite_signature(address_bits=ADDRESS_BITS)),
                "m_axi": Out(axi4_signature(config)).array(config.axi_channels),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        registers: Any = RegisterFile(table=self._table)
        m.submodules.registers = registers
        wiring.connect(m, wiring.flipped(self.s_axil), registers.bus)
        m.d.comb += self.irq.eq(registers.irq_status.completion)
        return m


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("emit") / "deep" / "out"
    changed = emit(TINY, directory, Stub)
    assert [path.name for path in changed] == list(FILES)
    return directory


def test_written_only_when_changed(files: Path) -> None:
    assert sorted(path.name for path in files.iterdir()) == sorted(FILES)
    times = {path.name: path.stat().st_mtime_ns for path in files.iterdir()}
    assert emit(TINY, files, Stub) == []
    assert {path.name: path.stat().st_mtime_ns for path in files.iterdir()} == times


def test_failure_writes_nothing(tmp_path: Path) -> None:
    def broken(config: Config) -> wiring.Component:
        raise RuntimeError("no device")

    with pytest.raises(RuntimeError, match="no device"):
        emit(TINY, tmp_path / "out", broken)
    assert not (tmp_path / "out").exists()


def test_port_names(files: Path, tmp_path: Path) -> None:
    text = (files / "rpaccel.v").read_text()
    assert re.search(r"^module rpaccel\(", text, re.M)
    header = text[text.index("module rpaccel(") :].split(";", 1)[0]
    ports = set(re.findall(r"\w+", header)) - {"module", "rpaccel"}
    assert {"aclk", "aresetn", "irq", "s_axil_awaddr", "m_axi_araddr", "m_axi_bready"} <= ports
    assert not any(port.startswith(("clk", "rst", "m_axi0")) for port in ports)
    assert str(ROOT) not in text and "src =" not in text
    emit(replace(TINY, axi_channels=2), tmp_path, Stub)
    wide = (tmp_path / "rpaccel.v").read_text()
    assert "m_axi0_araddr" in wide and "m_axi1_wdata" in wide


def test_verilog_compiles(files: Path, tmp_path: Path) -> None:
    icarus = shutil.which("iverilog")
    if icarus is None:
        pytest.skip("iverilog is not installed")
    command = [icarus, "-g2005", "-t", "null", str(files / "rpaccel.v")]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)


def test_json(files: Path) -> None:
    side = json.loads((files / "rpaccel.json").read_text())
    assert side["preset"] == "tiny" and side["config_hash"] == f"{TINY.hash:08x}"
    assert side["config"]["grid"] == TINY.grid and side["derived"]["tile_interval"] == 4
    offsets = {register["name"]: register["offset"] for register in side["registers"]}
    assert offsets["SUBMISSION_TAIL"] == 0x05C
    assert {target["name"]: target["words"] for target in side["targets"]}["WEIGHTS"] == 512


def test_version_is_the_distribution_s() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{".".join(str(part) for part in VERSION)}"' in text


C_PROGRAM = r"""
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "rpaccel.h"

int main(void)
{
    struct rpaccel_submission s;
    struct rpaccel_completion c;
    uint64_t layer[2] = {~0ull, 0}, pipeline[3] = {0, 0, 0};
    memset(&s, 0, sizeof s);
    memset(&c, 0, sizeof c);
    s.opcode = RPACCEL_OPCODE_QUERY;
    s.tag = 0x01020304;
    s.result = 0x1122334455667788ull;
    s.keep[3] = 9;
    s.start = 7;
    c.phase = 1;
    c.stage_cycles[2] = 5;
    c.misses = 6;
    layer[0] = 0;
    rpaccel_put(layer, RPACCEL_LAYER_OUTPUT_BASE_LSB, RPACCEL_LAYER_OUTPUT_BASE_WIDTH, 0x1abcd);
    rpaccel_put(layer, RPACCEL_LAYER_PARAMETER_BASE_LSB, RPACCEL_LAYER_PARAMETER_BASE_WIDTH, 5);
    rpaccel_put(pipeline, RPACCEL_PIPELINE_STAGE_LSB + 3 * RPACCEL_PIPELINE_STAGE_WIDTH
                + RPACCEL_PIPELINE_STAGE_ROWS_LSB, RPACCEL_PIPELINE_STAGE_ROWS_WIDTH, 64);
    fwrite(&s, 1, sizeof s, stdout);
    fwrite(&c, 1, sizeof c, stdout);
    fwrite(layer, 1, sizeof layer, stdout);
    fwrite(pipeline, 1, sizeof pipeline, stdout);
    return RPACCEL_GRID != 0x00C || RPACCEL_CONFIG_HASH_VALUE_VALUE != RPACCEL_HASH;
}
"""


def test_c_header(files: Path, tmp_path: Path) -> None:
    """The structures and macros place every bit where the layouts do."""
    source = tmp_path / "host.c"
    source.write_text(C_PROGRAM)
    options = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{files}"]
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    subprocess.run([compiler, *options, str(source), "-o", str(tmp_path / "host")], check=True)
    output = subprocess.run([str(tmp_path / "host")], check=True, capture_output=True).stdout
    expected: list[tuple[Any, dict[str, Any]]] = [
        (SUBMISSION, {
            "opcode": 1, "tag": 0x01020304, "result": 0x1122334455667788, "keep": [0, 0, 0, 9],
            "start": 7,
        }),
        (COMPLETION, {"phase": 1, "stage_cycles": [0, 0, 5, 0], "misses": 6}),
        (LAYER, {"output_base": 0xABCD, "parameter_base": 5}),
        (PIPELINE, {"stage": [{}, {}, {}, {"rows": 64}]}),
    ]  # fmt: skip
    want = b"".join(pack_bytes(layout, values) for layout, values in expected)
    assert output == want


def test_system_rdl(files: Path) -> None:
    path = files / "rpaccel.rdl"
    text = path.read_text()
    plain = re.sub(r'"(\\.|[^"\\])*"', '""', text)
    assert plain.count("{") == plain.count("}") > 40
    table = register_table(TINY)
    for register in table:
        assert re.search(rf"}} {register.name}(\[\d+\])? @ {register.offset:#05x}", plain)
    if find_spec("systemrdl") is not None:
        # The reference compiler, where it is installed, places everything as the table does.
        systemrdl = import_module("systemrdl")
        compiler = systemrdl.RDLCompiler()
        compiler.compile_file(str(path))
        top = compiler.elaborate().top
        for register in table:
            for i in range(register.count):
                suffix = f"[{i}]" if register.array else ""
                node = top.find_by_path(register.name + suffix)
                assert node.absolute_address == register.offset + i * register.width // 8
                fields = {(f.inst_name, f.lsb, f.width) for f in node.fields()}
                assert fields == {(f.name, f.lsb, f.width) for f in register.fields}


def test_markdown_names_every_register(files: Path) -> None:
    text = (files / "registers.md").read_text()
    for register in register_table(TINY):
        assert f"### {register.name}\n" in text
        for field in register.fields:
            assert f"`{field.name}`" in text


def test_core_file(files: Path) -> None:
    text = (files / "rpaccel.core").read_text()
    assert text.startswith("CAPI=2:\n") and "name: ::rpaccel-tiny:" in text
    for target in ("lint", "sim", "synth"):
        assert re.search(rf"^  {target}:$", text, re.M)
