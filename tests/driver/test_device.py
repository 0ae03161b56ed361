"""How a device is compiled for simulation."""

from __future__ import annotations

from pathlib import Path

from driver.device import blocks
from hdl.config import preset

TEXT = """\
module engine_0(clk);
endmodule
module \\engine_0.writer (clk);
endmodule
module engine_12(clk);
endmodule
module strip(clk);
endmodule
module strips(clk);
endmodule
"""


def test_large_devices_are_compiled_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "device.v"
    path.write_text(TEXT)
    assert blocks(preset("paper"), path) == ["engine_0", "engine_12", "strip"]
    assert blocks(preset("medium"), path) == []
