"""Paths from SDF: delays add up, the worst comes first, bits of a register count once."""

from __future__ import annotations

import pytest

from synth.timing_paths import read_sdf

_CELL = """\
  (CELL
    (CELLTYPE "{kind}")
    (INSTANCE {name})
    (DELAY
      (ABSOLUTE
{arcs}
      )
    )
{check}
  )
"""


def _arc(source: str, sink: str, delay: int) -> str:
    return f"        (IOPATH {source} {sink} (1:2:{delay}) (1:2:{delay}))"


def _register(name: str) -> str:
    check = "    (SETUPHOLD (posedge DI) (posedge CLK) (0:0:100) (1:1:1))"
    return _CELL.format(kind="TRELLIS_FF", name=name, arcs=_arc("CLK", "Q", 300), check=check)


def _lut(name: str) -> str:
    arcs = "\n".join(_arc(port, "F", 200) for port in "AB")
    return _CELL.format(kind="TRELLIS_COMB", name=name, arcs=arcs, check="")


def _wire(source: str, sink: str, delay: int) -> str:
    return f"        (INTERCONNECT {source} {sink} (1:2:{delay}) (1:2:{delay}))\n"


def test_paths_and_names() -> None:
    text = (
        _wire("a_TRELLIS_FF_Q_1/Q", "\\$lut\\/1/A", 500)
        + _wire("b_TRELLIS_FF_Q/Q", "\\$lut\\/1/B", 400)
        + _wire("\\$lut\\/1/F", "a_TRELLIS_FF_Q_1/DI", 0)
        + _wire("\\$lut\\/1/F", "a_TRELLIS_FF_Q/DI", 10)
        + _wire("a_TRELLIS_FF_Q/Q", "b_TRELLIS_FF_Q/DI", 50)
        + _register("a_TRELLIS_FF_Q_1")
        + _register("a_TRELLIS_FF_Q")
        + _register("b_TRELLIS_FF_Q")
        + _lut("\\$lut\\/1")
    )
    paths = read_sdf(text.splitlines()).worst(10)
    assert [(path.start, path.end, path.levels) for path in paths] == [("a", "a", 1), ("a", "b", 0)]
    worst = paths[0]
    assert worst.delay_ns == pytest.approx(0.3 + 0.5 + 0.2 + 0.01 + 0.1)
    assert worst.routing_ns == pytest.approx(0.51)
    assert worst.logic_ns == pytest.approx(0.6)
    assert worst.cells == ("a_TRELLIS_FF_Q_1", "$lut/1", "a_TRELLIS_FF_Q")
    assert paths[1].delay_ns == pytest.approx(0.3 + 0.05 + 0.1)


def test_pins_without_a_clock_start_no_path() -> None:
    text = _wire("pin/O", "a/DI", 9000) + _register("a")
    assert read_sdf(text.splitlines()).worst(10) == []


def test_a_loop_is_told() -> None:
    text = (
        _wire("one/F", "two/A", 1)
        + _wire("two/F", "one/A", 1)
        + _wire("two/F", "a/DI", 1)
        + _register("a")
        + _lut("one")
        + _lut("two")
    )
    with pytest.raises(ValueError, match="combinational loop"):
        read_sdf(text.splitlines()).worst(1)
