"""The register table as SystemRDL and as a page of documentation."""

from __future__ import annotations

from collections.abc import Sequence

from .config import Config
from .control.register import Field, Register
from .control.registers import COUNTERS
from .engine.cause import Cause

__all__ = ["registers_markdown", "system_rdl"]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rdl_field(register: Register, field: Field) -> str:
    properties = {
        "constant": "sw = r; hw = na;",
        "ro": "sw = r; hw = w;",
        "rw": "sw = rw; hw = r;",
        "w1c": "sw = rw; hw = rw; woclr; hwset;" if field.width == 1 else "sw = rw; hw = w; woclr;",
    }[register.access]
    if field.pulse:
        properties += " singlepulse;"
    high = field.lsb + field.width - 1
    reset = f" = {field.reset:#x}" if register.access != "ro" else ""
    return (
        f"        field {{ {properties} desc = {_quoted(field.description)}; }} "
        f"{field.name}[{high}:{field.lsb}]{reset};"
    )


def system_rdl(config: Config, table: Sequence[Register]) -> str:
    """SystemRDL 2.0 of the CSRs."""
    lines = [
        f"// RPAccel registers, preset {config.name}, hash {config.hash:#010x}. Generated.",
        "addrmap rpaccel {",
        '    name = "RPAccel";',
        "    default accesswidth = 32;",
        "    default regwidth = 32;",
        "    littleendian;",
    ]
    for register in table:
        lines += ["    reg {", f"        desc = {_quoted(register.description)};"]
        if register.width != 32:
            lines.append(f"        regwidth = {register.width};")
        lines += [_rdl_field(register, field) for field in register.fields]
        array = f"[{register.count}]" if register.array else ""
        stride = f" += {register.width // 8}" if register.array else ""
        lines.append(f"    }} {register.name}{array} @ {register.offset:#05x}{stride};")
    lines += ["};", ""]
    return "\n".join(lines)


def _markdown_register(register: Register) -> list[str]:
    last = register.offset + register.bytes - register.width // 8
    place = f"`{register.offset:#05x}`"
    if register.count > 1:
        place += f" to `{last:#05x}`, {register.count} registers"
    lines = [
        f"### {register.name}",
        "",
        f"{place}, {register.width} bits, {register.access}. {register.description}",
        "",
        "| bits | field | reset | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for field in register.fields:
        high = field.lsb + field.width - 1
        bits = f"{high}:{field.lsb}" if field.width > 1 else str(field.lsb)
        reset = "-" if register.access == "ro" else f"{field.reset:#x}"
        lines.append(f"| {bits} | `{field.name}` | {reset} | {field.description} |")
    return [*lines, ""]


def registers_markdown(config: Config, table: Sequence[Register]) -> str:
    """Page of all registers and counters."""
    lines = [
        f"# Registers of RPAccel, preset {config.name}",
        "",
        f"Generated; configuration hash `{config.hash:#010x}`. AXI4-Lite, 32 data bits, 4 KB. "
        "64-bit registers are two words, low word first; reading the low word of a read-only one "
        "keeps the high word for the next read of it. Unknown addresses and writes to what cannot "
        "be written answer SLVERR.",
        "",
        "| offset | register | access | bits | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for register in table:
        name = f"{register.name}[{register.count}]" if register.array else register.name
        lines.append(
            f"| `{register.offset:#05x}` | {name} | {register.access} | {register.width} | "
            f"{register.description.split('. ')[0].rstrip('.')} |"
        )
    lines += ["", "## Counters", "", "| counter | counts |", "| --- | --- |"]
    lines += [f"| {name} | {description} |" for name, description in COUNTERS]
    lines += ["", "Cycles of an engine, `ENGINE_CYCLES`:", "", "| index | cause |", "| --- | --- |"]
    lines += [f"| {cause.value} | {cause.name.lower()} |" for cause in Cause]
    lines += ["", "## Fields", ""]
    for register in table:
        lines += _markdown_register(register)
    return "\n".join(lines).rstrip() + "\n"
