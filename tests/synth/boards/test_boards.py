"""Boards: clocks, pins, refusals; what needs no place and route."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from hdl.config import preset
from rpaccel.cli import main
from synth.boards.board import BOARDS, board
from synth.boards.design import board_design
from synth.boards.flow import part_of
from synth.boards.pll import pll_for
from synth.errors import SynthesisError


@pytest.mark.parametrize(
    ("source", "wanted"), [(25.0, 50.0), (100.0, 60.0), (25.0, 62.5), (12.0, 48.0), (100.0, 33.4)]
)
def test_pll_within_its_limits(source: float, wanted: float) -> None:
    pll = pll_for(source, wanted)
    assert 0.98 * wanted <= pll.output_mhz <= wanted + 1e-6
    assert 400 <= pll.vco_mhz <= 800
    assert 10 <= source / pll.input_divider <= 400
    assert all(1 <= n <= 128 for n in (pll.input_divider, pll.feedback_divider, pll.output_divider))


@pytest.mark.parametrize("wanted", [0.5, 900.0])
def test_impossible_clock(wanted: float) -> None:
    with pytest.raises(SynthesisError, match=f"cannot make {wanted:g} MHz of 25 MHz"):
        pll_for(25.0, wanted)


@pytest.mark.parametrize("name", BOARDS)
def test_pins_and_clock_of_every_board(name: str) -> None:
    entry = board(name)
    design = board_design(entry, preset("ecp5"), module="rpaccel")
    assert re.search(rf"FREQUENCY PORT \S+ {entry.input_mhz * 1e6}", design.constraints)
    for pin in ("uart_0__rx__io", "uart_0__tx__io"):
        assert f'LOCATE COMP "{pin}" SITE' in design.constraints
    # Six of the command and clock, 13 + 2 of the address, 2 masks, 16 of data.
    found = re.findall(r'LOCATE COMP "sdram_0__\S+" SITE', design.constraints)
    assert len(found) == (39 if entry.chip else 0)
    assert r"cell \rpaccel" in design.rtlil and r"cell \EHXPLLL" in design.rtlil
    assert entry.package in part_of(entry).nextpnr
    assert entry.baud >= 3_000_000


def test_pins_are_those_of_the_boards_documents() -> None:
    """A few of the ULX3S' pins, as its constraints file has them."""
    design = board_design(board("ulx3s-85f"), preset("ecp5"), module="rpaccel")
    for port, site in (
        ("clk25_0__io", "G2"), ("uart_0__rx__io", "M1"), ("uart_0__tx__io", "L4"),
        ("sdram_0__clk__io", "F19"), ("sdram_0__dq__io[0]", "J16"), ("sdram_0__we__io", "T20"),
    ):  # fmt: skip
        assert f'LOCATE COMP "{port}" SITE "{site}";' in design.constraints


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--board", "de10"], "unknown board 'de10'; known boards: ulx3s-85f, ecpix5-85"),
        (["--board", "ulx3s-85f", "--preset", "small"], "one memory port of 64 bits; small has"),
        (["--board", "ulx3s-85f", "--unit", "pe"], "--board takes the whole device, not --unit pe"),
        (["--board", "ulx3s-85f", "--area-only"], "--area-only goes with --device"),
        (["--board", "ulx3s-85f", "--target-mhz", "-1"], "--target-mhz must be above 0, not -1"),
        (["--board", "ulx3s-85f", "--device", "up5k"], "give one of --device and --board"),
        ([], "give one of --device and --board"),
    ],
)
def test_bad_input_is_one_line(
    words: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synth", *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
