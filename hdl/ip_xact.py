"""IP-XACT component (IEEE 1685-2014): ports, AXI interfaces, registers, files."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from .config import Config
from .control.register import Register
from .control.registers import ADDRESS_BITS, VERSION
from .ports import Bus, TopPort, device_ports

__all__ = ["ip_xact"]

_NAMESPACE = "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"
_VENDOR = "rpaccel"
_ACCESS = {
    "constant": "read-only", "ro": "read-only", "rw": "read-write", "w1c": "read-write",
}  # fmt: skip


def _add(parent: ET.Element, tag: str, text: str | int | None = None) -> ET.Element:
    element = ET.SubElement(parent, f"{{{_NAMESPACE}}}{tag}")
    if text is not None:
        element.text = str(text)
    return element


def ip_xact(config: Config, table: Sequence[Register], *, top: str) -> str:
    """The component of the device whose Verilog is ``top``.v."""
    ET.register_namespace("ipxact", _NAMESPACE)
    root = ET.Element(f"{{{_NAMESPACE}}}component")
    version = ".".join(str(part) for part in VERSION)
    for tag, text in (
        ("vendor", _VENDOR), ("library", "rpaccel"), ("name", top), ("version", version)
    ):  # fmt: skip
        _add(root, tag, text)
    buses = device_ports(config)
    _interfaces(root, buses)
    for bus in buses[1:]:
        spaces = root.find(f"{{{_NAMESPACE}}}addressSpaces")
        spaces = _add(root, "addressSpaces") if spaces is None else spaces
        space = _add(spaces, "addressSpace")
        _add(space, "name", bus.name)
        _add(space, "range", f"2**{config.address_bits}")
        _add(space, "width", config.axi_data_bits)
    _memory_map(root, table)
    _model(root, buses, top)
    _files(root, top)
    _add(root, "description", f"RPAccel recommendation inference accelerator, preset {config.name}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _interfaces(root: ET.Element, buses: Sequence[Bus]) -> None:
    interfaces = _add(root, "busInterfaces")
    for bus in buses:
        entry = _interface(interfaces, bus.name, "amba.com", "AMBA4", "AXI4", "AXI4_rtl", "r0p0_0")
        maps = [(signal.upper(), port.name) for signal, port in bus.ports]
        _port_maps(entry, [*maps, ("ACLK", "aclk"), ("ARESETn", "aresetn")])
        if bus.is_lite:
            _add(_add(entry, "slave"), "memoryMapRef").set(
                f"{{{_NAMESPACE}}}memoryMapRef", "registers"
            )
        else:
            _add(_add(entry, "master"), "addressSpaceRef").set(
                f"{{{_NAMESPACE}}}addressSpaceRef", bus.name
            )
    for name, kind, signal in (
        ("aclk", "clock", "CLK"), ("aresetn", "reset", "RST"), ("irq", "interrupt", "INTERRUPT")
    ):  # fmt: skip
        entry = _interface(interfaces, name, "xilinx.com", "signal", kind, f"{kind}_rtl", "1.0")
        _port_maps(entry, [(signal, name)])
        _add(entry, "master" if name == "irq" else "slave")


def _interface(
    parent: ET.Element,
    name: str,
    vendor: str,
    library: str,
    kind: str,
    abstraction: str,
    version: str,
) -> ET.Element:
    def reference(element: ET.Element, what: str) -> None:
        element.attrib |= {
            "vendor": vendor, "library": library, "name": what, "version": version
        }  # fmt: skip

    entry = _add(parent, "busInterface")
    _add(entry, "name", name)
    reference(_add(entry, "busType"), kind)
    kinds = _add(_add(entry, "abstractionTypes"), "abstractionType")
    reference(_add(kinds, "abstractionRef"), abstraction)
    return entry


def _port_maps(interface: ET.Element, maps: Sequence[tuple[str, str]]) -> None:
    kind = interface.find(f".//{{{_NAMESPACE}}}abstractionType")
    assert kind is not None
    parent = _add(kind, "portMaps")
    for logical, physical in maps:
        entry = _add(parent, "portMap")
        _add(_add(entry, "logicalPort"), "name", logical)
        _add(_add(entry, "physicalPort"), "name", physical)


def _memory_map(root: ET.Element, table: Sequence[Register]) -> None:
    entry = _add(_add(root, "memoryMaps"), "memoryMap")
    _add(entry, "name", "registers")
    block = _add(entry, "addressBlock")
    _add(block, "name", "registers")
    _add(block, "baseAddress", 0)
    _add(block, "range", 1 << ADDRESS_BITS)
    _add(block, "width", 32)
    _add(block, "usage", "register")
    for register in table:
        item = _add(block, "register")
        _add(item, "name", register.name)
        _add(item, "description", register.description)
        if register.array:
            _add(item, "dim", register.count)
        _add(item, "addressOffset", f"'h{register.offset:x}")
        _add(item, "size", register.width)
        _add(item, "access", _ACCESS[register.access])
        for field in register.fields:
            bits = _add(item, "field")
            _add(bits, "name", field.name)
            _add(bits, "description", field.description)
            _add(bits, "bitOffset", field.lsb)
            if register.access != "ro":
                _add(_add(_add(bits, "resets"), "reset"), "value", f"'h{field.reset:x}")
            _add(bits, "bitWidth", field.width)
            _add(bits, "access", _ACCESS[register.access])
            if register.access == "w1c":
                _add(bits, "modifiedWriteValue", "oneToClear")
    _add(entry, "addressUnitBits", 8)


def _model(root: ET.Element, buses: Sequence[Bus], top: str) -> None:
    model = _add(root, "model")
    view = _add(_add(model, "views"), "view")
    _add(view, "name", "rtl")
    _add(view, "componentInstantiationRef", "verilog")
    instance = _add(_add(model, "instantiations"), "componentInstantiation")
    _add(instance, "name", "verilog")
    _add(instance, "language", "Verilog")
    _add(instance, "moduleName", top)
    _add(_add(instance, "fileSetRef"), "localName", "rtl")
    ports = _add(model, "ports")
    single = [TopPort("aclk", 1, False), TopPort("aresetn", 1, False), TopPort("irq", 1, True)]
    for port in (*single, *(port for bus in buses for _, port in bus.ports)):
        entry = _add(ports, "port")
        _add(entry, "name", port.name)
        wire = _add(entry, "wire")
        _add(wire, "direction", "out" if port.is_output else "in")
        if port.width > 1:
            vector = _add(_add(wire, "vectors"), "vector")
            _add(vector, "left", port.width - 1)
            _add(vector, "right", 0)


def _files(root: ET.Element, top: str) -> None:
    sets = _add(root, "fileSets")
    for name, file, kind in (
        ("rtl", f"{top}.v", "verilogSource"), ("software", f"{top}.h", "cSource")
    ):  # fmt: skip
        entry = _add(sets, "fileSet")
        _add(entry, "name", name)
        item = _add(entry, "file")
        _add(item, "name", file)
        _add(item, "fileType", kind)
