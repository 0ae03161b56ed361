"""Results of trainings are kept one by one, and only with the settings they were made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.train.runs import Runs


def test_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    path = tmp_path / "made" / "runs.json"
    runs = Runs(path, {"passes": 2})
    assert runs.get("table.0", lambda: [0.5]) == [0.5]

    def fails() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.get("dhe.0", fails)
    again = Runs(path, {"passes": 2})
    assert again.get("table.0", fails) == [0.5]
    assert again.get("dhe.0", lambda: [0.25]) == [0.25]
    assert Runs(path, {"passes": 2}).results == {"table.0": [0.5], "dhe.0": [0.25]}


def test_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    Runs(path, {"passes": 2}).get("table.0", lambda: 1)
    with pytest.raises(ValueError, match="passes = 2, not 3"):
        Runs(path, {"passes": 3})


@pytest.mark.parametrize("text", ["", "[]", '{"runs": {}}'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "runs.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="holds no results"):
        Runs(path, {})
