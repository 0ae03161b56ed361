"""Packaging files: well formed, with the Verilog's own port names."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from hdl.config import preset
from hdl.control.registers import register_table
from hdl.integration import litex_module, vivado_script
from hdl.ip_xact import ip_xact
from hdl.ports import device_ports

NAMESPACE = {"x": "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"}
PRESETS = ("ecp5", "paper")  # one and four memory channels


@pytest.mark.parametrize("name", PRESETS)
def test_ip_xact_is_well_formed_and_complete(name: str) -> None:
    config = preset(name)
    table = register_table(config)
    root = ET.fromstring(ip_xact(config, table, top="rpaccel").encode())
    ports = {
        port.findtext("x:name", namespaces=NAMESPACE): (
            port.findtext("x:wire/x:direction", namespaces=NAMESPACE),
            int(port.findtext(".//x:left", "0", namespaces=NAMESPACE)) + 1,
        )
        for port in root.iterfind(".//x:model/x:ports/x:port", NAMESPACE)
    }
    wanted = {"aclk": ("in", 1), "aresetn": ("in", 1), "irq": ("out", 1)}
    for bus in device_ports(config):
        wanted |= {p.name: ("out" if p.is_output else "in", p.width) for _, p in bus.ports}
    assert ports == wanted
    interfaces = [
        e.findtext("x:name", namespaces=NAMESPACE)
        for e in root.iterfind(".//x:busInterface", NAMESPACE)
    ]
    masters = ["m_axi"] if config.axi_channels == 1 else ["m_axi0", "m_axi1", "m_axi2", "m_axi3"]
    assert interfaces == ["s_axil", *masters, "aclk", "aresetn", "irq"]
    physical = {e.text for e in root.iterfind(".//x:physicalPort/x:name", NAMESPACE)}
    assert physical == set(ports)
    registers = [
        e.findtext("x:name", namespaces=NAMESPACE)
        for e in root.iterfind(".//x:register", NAMESPACE)
    ]
    assert registers == [register.name for register in table]


@pytest.mark.parametrize("name", PRESETS)
def test_litex_module_names_every_port(name: str) -> None:
    text = litex_module(preset(name), top="rpaccel")
    compile(text, "rpaccel_litex.py", "exec")
    named = set(re.findall(r"^            [io]_(\w+)=", text, re.MULTILINE))
    ports = {port.name for bus in device_ports(preset(name)) for _, port in bus.ports}
    assert named == ports | {"aclk", "aresetn", "irq"}


def test_vivado_script_is_whole_tcl(tmp_path: Path) -> None:
    """Braces and brackets pair, and an interpreter without Vivado's commands parses it."""
    text = vivado_script(preset("ecp5"), top="rpaccel")
    for opening, closing in ("{}", "[]"):
        assert text.count(opening) == text.count(closing)
    assert "foreach bus {s_axil m_axi}" in text
    tkinter = pytest.importorskip("tkinter")
    assert tkinter.Tcl().eval(f"info complete {{{text}}}") == "1"
