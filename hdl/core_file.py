"""FuseSoC core file."""

from __future__ import annotations

from .config import Config
from .control.registers import VERSION

__all__ = ["core_file"]


def core_file(config: Config, *, top: str, crossing: str | None = None) -> str:
    """FuseSoC core file (CAPI2) of the device whose files are called ``top``.

    With the name of a ``crossing`` it also has that module and a target that lints both.
    """
    version = ".".join(str(part) for part in VERSION)
    fileset, target = ("", "") if crossing is None else _crossing(crossing)
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
{fileset}
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
        # Equal modules are mapped once.
        yosys_synth_options: [-noflatten]
{target}"""


def _crossing(name: str) -> tuple[str, str]:
    return (
        f"""\
  crossing:
    files:
      - {name}.v
    file_type: verilogSource
""",
        f"""\
  lint_crossing:
    <<: *default
    filesets: [waiver, rtl, crossing]
    toplevel: {name}
    description: Verilator lint of the device with its bus on another clock
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
""",
    )
