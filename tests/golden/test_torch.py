"""The committed vectors are still what PyTorch computes."""

from __future__ import annotations

import sys

import pytest


@pytest.mark.torch
def test_vectors_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from tests.golden import make_vectors

    monkeypatch.setattr(sys, "argv", ["make_vectors", "--check"])
    assert make_vectors.main() == 0
