"""The board at its pins with a small device of registers in the place of the real one.

Crystal, PLL, pads, serial line, host bridge and SDRAM are the board's own; the host is the
driver's, behind a pseudo terminal. Compiling the whole device takes minutes: see ``test_board``.
"""

from __future__ import annotations

import random
from functools import cache

import pytest

from driver.board.errors import BoardError
from driver.board.link import Link, open_port
from hdl.config import preset
from hdl.ports import device_ports
from rpaccel.port import build_around, simulated_design
from sim.board_process import simulated_board
from sim.build import Build
from sim.line import LineSettings

CONFIG = preset("ecp5")
TIMEOUT = 60.0
"""Seconds for an answer: the machine may be busy."""

_BODY = """\
    // Sixteen registers; bit 0 of the first one is the interrupt.
    reg [31:0] words [0:15];
    reg bvalid, rvalid;
    reg [31:0] rdata;
    wire write = s_axil_awvalid && s_axil_wvalid && !bvalid;
    assign s_axil_awready = write;
    assign s_axil_wready = write;
    assign s_axil_bvalid = bvalid;
    assign s_axil_bresp = 0;
    assign s_axil_arready = !rvalid;
    assign s_axil_rvalid = rvalid;
    assign s_axil_rdata = rdata;
    assign s_axil_rresp = 0;
    assign irq = words[0][0];
    integer i;
    always @(posedge aclk) if (!aresetn) begin
        for (i = 0; i < 16; i = i + 1) words[i] <= 0;
        bvalid <= 0;
        rvalid <= 0;
    end else begin
        if (s_axil_bready) bvalid <= 0;
        if (s_axil_rready) rvalid <= 0;
        if (write) begin
            words[s_axil_awaddr[5:2]] <= s_axil_wdata;
            bvalid <= 1;
        end
        if (s_axil_arvalid && !rvalid) begin
            rdata <= words[s_axil_araddr[5:2]];
            rvalid <= 1;
        end
    end
"""


def _registers() -> str:
    """A module with the device's ports; its memory port asks for nothing."""
    lite, memory = device_ports(CONFIG)
    declared = ["input aclk", "input aresetn", "output irq"]
    for _, port in (*lite.ports, *memory.ports):
        direction = "output" if port.is_output else "input"
        declared.append(f"{direction} [{port.width - 1}:0] {port.name}")
    idle = [f"    assign {port.name} = 0;" for _, port in memory.ports if port.is_output]
    head = ",\n    ".join(declared)
    return f"module rpaccel (\n    {head}\n);\n{_BODY}" + "\n".join(idle) + "\nendmodule\n"


@cache
def _build() -> Build:
    return build_around(simulated_design("ulx3s-85f", CONFIG), _registers())


def test_registers_memory_and_interrupt_at_the_pins() -> None:
    rng = random.Random(1)
    with simulated_board(_build()) as port:
        link = Link(open_port(port, 3_000_000), timeout=TIMEOUT)
        assert link.memory_bytes == 32 << 20 and link.clock_hz == 50_000_000
        link.write_register(4, 0x12345678)
        assert link.read_register(4) == 0x12345678
        data = rng.randbytes(700)
        # In one row, over the end of a row, the last bytes.
        for address in (3, 1000, (32 << 20) - 700):
            link.write_memory(address, data)
            assert link.read_memory(address, 700) == data
        link.zero_memory(1024, 256)
        assert link.read_memory(1016, 300)[8:264] == bytes(256)
        link.write_register(0, 1)
        assert link.wait_interrupt()
        link.reset()
        assert not link.interrupt and link.read_register(4) == 0
        assert link.read_memory(1000, 20) == data[:20]
        assert link.retries == 0
        link.close()


@pytest.mark.slow
def test_garbled_and_lost_line() -> None:
    data = random.Random(2).randbytes(2000)
    with simulated_board(_build(), LineSettings(faults=0.0005, seed=3)) as port:
        link = Link(open_port(port, 3_000_000), timeout=5.0)
        link.write_memory(0, data)
        assert link.read_memory(0, 2000) == data
        assert link.retries > 0
        link.close()
    with simulated_board(_build(), LineSettings(deaf_after=500)) as port:
        link = Link(open_port(port, 3_000_000), timeout=0.5)
        with pytest.raises(BoardError, match="no answer to WRITE_MEMORY at 0x0 in 8 tries"):
            link.write_memory(0, data)
        link.close()
