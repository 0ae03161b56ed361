"""A simulated LiteX SoC with the device on its bus: registers as a region, memory as a manager.

Needs LiteX and a folder of ``rpaccel generate`` on PYTHONPATH. Not run by the project's tests:
LiteX is no dependency of it.
"""

from litex.build.sim import SimPlatform
from litex.build.sim.config import SimConfig
from litex.soc.integration.builder import Builder
from litex.soc.integration.soc import SoCRegion
from litex.soc.integration.soc_core import SoCCore
from rpaccel_litex import RPAccel

CLOCK_HZ = int(1e6)


class Soc(SoCCore):
    """A CPU, some memory, the device."""

    def __init__(self) -> None:
        platform = SimPlatform("SIM", [("sys_clk", 0), ("sys_rst", 0)])
        super().__init__(platform, CLOCK_HZ, integrated_main_ram_size=1 << 20, bus_standard="axi")
        self.rpaccel = RPAccel(platform)
        region = SoCRegion(size=0x1000, cached=False)
        self.bus.add_slave("rpaccel", self.rpaccel.bus, region)
        for number, master in enumerate(self.rpaccel.masters):
            self.bus.add_master(f"rpaccel_{number}", master)
        self.irq.add("rpaccel", use_loc_if_exists=True)


if __name__ == "__main__":
    config = SimConfig(default_clk="sys_clk")
    Builder(Soc()).build(sim_config=config, run=False)
