"""Writes a device: Verilog and the side files, all from the one configuration."""

from __future__ import annotations

import gc
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amaranth.back import rtlil, verilog  # type: ignore[attr-defined]  # rtlil: not in the stubs
from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    Elaboratable,
    Module,
    ResetSignal,
    Signal,
    UnusedElaboratable,
    Value,
)
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from . import program
from .bus.axi import port_name
from .c_header import c_header
from .clock_gate import CLOCK_GATE
from .config import Config
from .control.register import Register
from .control.registers import VERSION, register_table
from .control.targets import target_units, target_words
from .core_file import core_file
from .crossing import CrossingTop, constraints, crossing_ports
from .generation import quick_conversion, with_zero_loops
from .integration import litex_module, vivado_script
from .ip_xact import ip_xact
from .register_documents import registers_markdown, system_rdl
from .share import ModuleLibrary

__all__ = [
    "CROSSING_FILES",
    "FILES",
    "TOP",
    "crossing_verilog",
    "emit",
    "rtlil_text",
    "side_data",
    "to_verilog",
    "verilog_text",
]

TOP = "rpaccel"
"""Name of the top module and stem of all files."""
FILES = (
    f"{TOP}.v",
    f"{TOP}.vlt",
    f"{TOP}.json",
    f"{TOP}.h",
    f"{TOP}.rdl",
    f"{TOP}.core",
    f"{TOP}.xml",
    f"{TOP}_vivado.tcl",
    f"{TOP}_litex.py",
    "registers.md",
)
CROSSING = f"{TOP}_crossing"
"""The device with its bus on another clock: module, and stem of its files."""
CROSSING_FILES = tuple(f"{CROSSING}.{suffix}" for suffix in ("v", "sdc", "xdc", "lpf"))
"""Written for a bus clock only."""
LINT_WAIVER = """\
`verilator_config
// Decisions without an effect in some case are cases without a default: the value set before holds.
lint_off -rule CASEINCOMPLETE
// The description says where a value is extended or cut; Verilog's implicit rules do just that.
lint_off -rule WIDTHEXPAND
lint_off -rule WIDTHTRUNC
"""
"""Verilator's waiver; loops, latches, multiple drivers and the rest stay errors."""


class _Wrapper(Elaboratable):
    """Clock and reset as AXI names them: ``aclk`` and the active-low, synchronous ``aresetn``.

    The reset goes through one register, which also holds the device in reset from power-on.
    """

    def __init__(self, device: wiring.Component) -> None:
        self.device = device
        self.aclk = Signal()
        self.aresetn = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.domains.start = ClockDomain(reset_less=True)
        reset = Signal(init=1)
        m.d.start += reset.eq(~self.aresetn)
        m.d.comb += [
            ClockSignal("start").eq(self.aclk),
            ClockSignal("sync").eq(self.aclk),
            ResetSignal("sync").eq(reset),
        ]
        m.submodules.device = self.device
        return m


def _ports(wrapper: _Wrapper, channels: int) -> dict[str, tuple[Value, PortDirection]]:
    """Top-level ports by their standard names."""
    ports: dict[str, tuple[Value, PortDirection]] = {
        "aclk": (wrapper.aclk, PortDirection.Input),
        "aresetn": (wrapper.aresetn, PortDirection.Input),
    }
    device = wrapper.device
    for path, member, value in device.signature.flatten(device):
        direction = PortDirection.Input if member.flow == In else PortDirection.Output
        ports[port_name(path, channels=channels)] = (Value.cast(value), direction)
    return ports


@contextmanager
def _pinned_yosys() -> Iterator[None]:
    """The Yosys that Amaranth brings, whatever the machine has: the text depends on no other."""
    before = os.environ.get("AMARANTH_USE_YOSYS")
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    try:
        yield
    finally:
        if before is None:
            del os.environ["AMARANTH_USE_YOSYS"]
        else:
            os.environ["AMARANTH_USE_YOSYS"] = before


def rtlil_text(
    config: Config, device: wiring.Component, *, top: str = TOP, clock_gates: bool = False
) -> str:
    """RTLIL of ``device`` inside the wrapper ``top``; equal modules are written once.

    With ``clock_gates`` it has instances of a ``clock_gate`` that is not part of it.
    """
    wrapper = _Wrapper(device)
    library = ModuleLibrary(clock_gates=clock_gates)
    with quick_conversion(), warnings.catch_warnings():
        # Components behind shared modules are never elaborated themselves.
        warnings.simplefilter("ignore", UnusedElaboratable)
        text = rtlil.convert(
            wrapper,
            name=top,
            platform=library,
            ports=_ports(wrapper, config.axi_channels),
            # Without source attributes: no path of this machine gets into the text.
            emit_src=False,
        )
        del device, wrapper
        gc.collect()  # the components' own warnings come now, while they are silenced
    return f"{text}\n{library.text}"


def verilog_text(config: Config, device: wiring.Component, *, top: str = TOP) -> str:
    """Verilog of ``device`` inside the wrapper ``top``; equal modules are written once."""
    text = rtlil_text(config, device, top=top, clock_gates=True)
    del device
    return with_zero_loops(to_verilog(text)) + CLOCK_GATE


def crossing_verilog(config: Config) -> str:
    """Verilog of the module around the device, whose own Verilog is not in it."""
    top = CrossingTop(config=config, module=TOP)
    text = rtlil.convert(top, name=CROSSING, ports=crossing_ports(top, config), emit_src=False)
    return with_zero_loops(to_verilog(text))


def to_verilog(rtlil_text: str) -> str:
    """RTLIL as Verilog, by the pinned Yosys."""
    convert = verilog._convert_rtlil_text  # type: ignore[attr-defined]  # not in the stubs
    with _pinned_yosys():
        text: str = convert(rtlil_text, strip_internal_attrs=True)
    return text


def side_data(config: Config, table: Sequence[Register]) -> dict[str, Any]:
    """What a driver or tool needs to know about the device, as plain data."""
    derived = {
        name: getattr(config, name)
        for name, member in vars(Config).items()
        if isinstance(member, property) and name != "hash"
    }
    registers = [
        {
            "name": register.name,
            "offset": register.offset,
            "access": register.access,
            "width": register.width,
            "count": register.count,
            "reset": register.reset,
            "description": register.description,
            "fields": [
                {
                    "name": field.name,
                    "lsb": field.lsb,
                    "width": field.width,
                    "reset": field.reset,
                    "description": field.description,
                }
                for field in register.fields
            ],
        }
        for register in table
    ]
    targets = [
        {
            "name": target.name,
            "value": target.value,
            "units": target_units(config, target),
            "words": target_words(config, target),
        }
        for target in program.Target
    ]
    return {
        "top": TOP,
        "version": ".".join(str(part) for part in VERSION),
        "preset": config.name,
        "config_hash": f"{config.hash:08x}",
        "config": config.as_dict(),
        "derived": derived,
        "registers": registers,
        "opcodes": {opcode.name: opcode.value for opcode in program.Opcode},
        "statuses": {status.name: status.value for status in program.Status},
        "targets": targets,
    }


def _stage(path: Path, content: bytes) -> str:
    """Write ``content`` to a new file beside ``path``; returns its name."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp makes private files; these are as public as the user's other files.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
    except BaseException:
        os.unlink(name)
        raise
    return name


def _replace(directory: Path, texts: dict[str, str]) -> list[Path]:
    """Replace the files whose text changes, after all of them could be written; returns them."""
    staged: dict[Path, str] = {}
    try:
        for name, text in texts.items():
            path, content = directory / name, text.encode()
            if not path.is_file() or path.read_bytes() != content:
                staged[path] = _stage(path, content)
        for path, temporary in staged.items():
            os.replace(temporary, path)
    except BaseException:
        for temporary in staged.values():
            Path(temporary).unlink(missing_ok=True)
        raise
    return list(staged)


def emit(
    config: Config,
    directory: Path | str,
    device_factory: Callable[[Config], wiring.Component],
    *,
    bus_mhz: float | None = None,
) -> list[Path]:
    """Write the device and its side files into ``directory``.

    Everything is made and written under other names before the first file is replaced in one step,
    so a failure leaves nothing half-written. Files whose text is the same keep their time.

    Parameters
    ----------
    config
        The device.
    directory
        Made if missing.
    device_factory
        Makes the top component; its members are the ports (``s_axil``, ``m_axi``, ``irq``).
    bus_mhz
        Also write ``CROSSING_FILES``, for a bus with a clock of its own of so many MHz.

    Returns
    -------
    list[Path]
        Files that changed.
    """
    table = register_table(config)
    texts = {
        f"{TOP}.json": json.dumps(side_data(config, table), indent=2) + "\n",
        f"{TOP}.h": c_header(config, table),
        f"{TOP}.rdl": system_rdl(config, table),
        f"{TOP}.core": core_file(config, top=TOP, crossing=CROSSING if bus_mhz else None),
        f"{TOP}.xml": ip_xact(config, table, top=TOP),
        f"{TOP}_vivado.tcl": vivado_script(config, top=TOP),
        f"{TOP}_litex.py": litex_module(config, top=TOP),
        "registers.md": registers_markdown(config, table),
        f"{TOP}.vlt": LINT_WAIVER,
        f"{TOP}.v": verilog_text(config, device_factory(config)),
    }
    names = list(FILES)
    if bus_mhz:
        texts[f"{CROSSING}.v"] = crossing_verilog(config)
        for suffix, text in constraints(config, bus_mhz=bus_mhz).items():
            texts[f"{CROSSING}.{suffix}"] = text
        names += CROSSING_FILES
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    return _replace(directory, {name: texts[name] for name in names})
