"""Scripts that put a device into other people's flows: Vivado's IP packager, LiteX."""

from __future__ import annotations

from .config import Config
from .control.registers import ADDRESS_BITS, VERSION
from .ports import device_ports

__all__ = ["litex_module", "vivado_script"]


def vivado_script(config: Config, *, top: str) -> str:
    """Tcl for ``vivado -mode batch -source``: packages the device as an IP beside its Verilog.

    Vivado infers the interfaces from the ports' names; the script checks that it did.
    """
    version = f"{VERSION[0]}.{VERSION[1]}"
    buses = [bus.name for bus in device_ports(config)]
    masters = buses[1:]
    return f"""\
# Packages {top}.v (preset {config.name}) as an IP:
#   vivado -mode batch -source {top}_vivado.tcl -tclargs ip [PART]
# Generated. Writes the IP into the folder given, "ip" unless there is one.
set here [file dirname [file normalize [info script]]]
set out [expr {{$argc > 0 ? [lindex $argv 0] : "ip"}}]
set part [expr {{$argc > 1 ? [lindex $argv 1] : "xc7a200tfbg676-2"}}]
create_project -in_memory -part $part
read_verilog $here/{top}.v
set_property top {top} [current_fileset]
ipx::package_project -root_dir $out -vendor rpaccel -library user \\
    -taxonomy /UserIP -import_files -set_current true
set core [ipx::current_core]
set_property name {top}_{config.name.replace("-", "_")} $core
set_property version {version} $core
set_property display_name "RPAccel {config.name}" $core
set_property description "Recommendation inference accelerator" $core
foreach bus {{{" ".join(buses)}}} {{
    if {{[llength [ipx::get_bus_interfaces $bus -of_objects $core]] != 1}} {{
        error "the packager found no bus interface $bus"
    }}
    ipx::associate_bus_interfaces -busif $bus -clock aclk $core
}}
ipx::infer_bus_interface irq xilinx.com:signal:interrupt_rtl:1.0 $core
set_property value LEVEL_HIGH [ipx::add_bus_parameter SENSITIVITY \\
    [ipx::get_bus_interfaces irq -of_objects $core]]
set space [ipx::get_address_blocks -of_objects [ipx::get_memory_maps s_axil -of_objects $core]]
set_property range {1 << ADDRESS_BITS} $space
# Masters: {", ".join(masters)}, {config.axi_data_bits} bits, {config.address_bits} address bits.
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
"""


def litex_module(config: Config, *, top: str) -> str:
    """Python module with a LiteX component around the device."""
    lite, *masters = device_ports(config)
    connections = []
    for index, bus in enumerate((lite, *masters)):
        target = "self.bus" if index == 0 else f"self.masters[{index - 1}]"
        for signal, port in bus.ports:
            channel = next(c for c in ("aw", "ar", "w", "r", "b") if signal.startswith(c))
            field = signal.removeprefix(channel)
            direction = "o" if port.is_output else "i"
            connections.append(f"            {direction}_{port.name}={target}.{channel}.{field},")
    listed = "\n".join(connections)
    return f'''\
"""LiteX module of {top} (preset {config.name}). Generated.

    soc.rpaccel = RPAccel(platform)
    region = SoCRegion(size={1 << ADDRESS_BITS:#x}, cached=False)
    soc.bus.add_slave("rpaccel", soc.rpaccel.bus, region)
    for number, master in enumerate(soc.rpaccel.masters):
        soc.bus.add_master(f"rpaccel_{{number}}", master)  # or a DRAM port of its own
    soc.irq.add("rpaccel")
"""

from pathlib import Path

from litex.gen import ClockSignal, Instance, LiteXModule, ResetSignal
from litex.soc.interconnect import axi
from litex.soc.interconnect.csr_eventmanager import EventManager, EventSourceLevel


class RPAccel(LiteXModule):
    """AXI4-Lite registers ``bus``, AXI4 ``masters``, one interrupt."""

    def __init__(self, platform):
        self.bus = axi.AXILiteInterface(data_width=32, address_width={ADDRESS_BITS})
        self.masters = [
            axi.AXIInterface(
                data_width={config.axi_data_bits},
                address_width={config.address_bits},
                id_width={config.id_bits},
            )
            for _ in range({len(masters)})
        ]
        self.ev = EventManager()
        self.ev.device = EventSourceLevel()
        self.ev.finalize()
        self.specials += Instance(
            "{top}",
            i_aclk=ClockSignal("sys"),
            i_aresetn=~ResetSignal("sys"),
            o_irq=self.ev.device.trigger,
{listed}
        )
        platform.add_source(str(Path(__file__).parent / "{top}.v"))
'''
