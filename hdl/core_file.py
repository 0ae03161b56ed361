"""FuseSoC core file."""

from __future__ import annotations

from .config import Config
from .control.registers import VERSION

__all__ = ["core_file"]


def core_file(config: Config, *, top: str) -> str:
    """FuseSoC core file (CAPI2) of the device whose files are called ``top``."""
    version = ".".join(str(part) for part in VERSION)
    return f"""\
CAPI=2:
name: ::rpaccel-{config.name}:{version}
description: RPAccel recommendation inference accelerator, preset {config.name}

filesets:
  rtl:
    files:
      - {top}.v
    file_type: verilogSource
  waiver:
    files:
      - {top}.vlt
    file_type: vlt
  software:
    files:
      - {top}.h: {{is_include_file: true}}
      - {top}.json
      - {top}.rdl
    file_type: user

targets:
  default: &default
    filesets: [rtl]
    toplevel: {top}
  lint:
    <<: *default
    filesets: [waiver, rtl]
    description: Verilator lint
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
  sim:
    <<: *default
    description: Elaborate in Icarus Verilog; add a bench of your own
    default_tool: icarus
    tools:
      icarus:
        iverilog_options: [-g2005]
  synth:
    <<: *default
    description: Synthesise with Yosys
    default_tool: yosys
    tools:
      yosys:
        arch: ecp5
        output_format: json
"""
