"""Shorter Verilog: zeroed memories as loops instead of one line a word."""

from __future__ import annotations

import re

__all__ = ["zero_loops"]

_LINE = re.compile(r"^\s*(?P<name>\S+?) ?\[(?P<index>\d+)\] = (?P<width>\d+)'[hbd]0+;$")


def zero_loops(text: str) -> str:
    """Replace runs of ``memory[i] = 0`` for i = 0, 1, .. in initial blocks by a loop.

    The meaning stays: every word starts at zero, which block memories of FPGAs do and without
    which event-driven simulation would start with unknown values.
    """
    out: list[str] = []
    run: list[str] = []
    name = width = ""

    def flush() -> None:
        if len(run) > 4:
            out.append(f"    for (zero_index = 0; zero_index < {len(run)}; ")
            out[-1] += f"zero_index = zero_index + 1) {name} [zero_index] = {width}'h0;"
        else:
            out.extend(run)
        run.clear()

    for line in text.split("\n"):
        match = _LINE.match(line)
        if match and run and (match["name"] != name or int(match["index"]) != len(run)):
            flush()
        if match and (run or match["index"] == "0"):
            name, width = match["name"], match["width"]
            run.append(line)
            continue
        flush()
        out.append(line)
    flush()
    return _declare("\n".join(out))


def _declare(text: str) -> str:
    """Name the initial blocks that hold loops and declare their index there."""
    blocks = re.compile(r"^  initial begin\n(?P<body>(?:    .*\n)*?)  end$", re.MULTILINE)
    count = 0

    def name(match: re.Match[str]) -> str:
        nonlocal count
        if "zero_index" not in match["body"]:
            return match[0]
        count += 1
        return f"  initial begin : zero_{count}\n    integer zero_index;\n{match['body']}  end"

    return blocks.sub(name, text)
