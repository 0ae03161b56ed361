"""Spaces: what is in them, and clear words for what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from driver.errors import UserError
from driver.schedule.space import SPACES, read_space
from tests.driver.schedule.support import space


def test_funnels_and_size() -> None:
    found = space("a", "b")
    funnels = list(found.funnels())
    assert (("RMsmall", 1024), ("RMmed", 256), ("RMlarge", 32)) in funnels
    assert all(funnel[-1][1] >= 16 for funnel in funnels)
    assert len(funnels) == 3 + 3 * 2 + 4
    assert found.size() == len(list(found.mappings())) == 3 * 2 + 6 * 4 + 4 * 8


def test_sub_batches_only_where_stages_follow() -> None:
    found = space("a", sub_batches=(1, 4))
    assert found.size() == len(list(found.mappings())) == 3 + 2 * (6 + 4)


def test_named_spaces_take_the_platforms_given() -> None:
    for name in SPACES:
        assert read_space(name, ["cpu"]).platforms == ("cpu",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"models": []}, "models is empty"),
        ({"stages": []}, "stages is empty"),
        ({"stages": [4]}, "4 stages need as many models, there are 3"),
        ({"stages": [0]}, "stages must be in 1..4, not 0"),
        ({"stages": [5]}, "stages must be in 1..4, not 5"),
        ({"items": [-1]}, "items must be in 1.., not -1"),
        ({"returned": 0}, "returned must be in 1..1024, not 0"),
        ({"returned": "all"}, "returned must be an integer"),
        ({"items": 4096}, "items must be a list"),
        ({"items": ["many"]}, "items must be ints"),
        ({"platforms": []}, "platforms is empty"),
        ({"platform": ["cpu"]}, "unknown field 'platform'"),
        ({"stages": [3], "returned": 1024}, "no funnel leaves 1024 items"),
    ],
)
def test_bad_spaces_are_said(words: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "space.json"
    data = space("cpu").as_json() | words
    file.write_text(json.dumps(data))
    with pytest.raises(UserError, match=message.replace("1..,", r"1\.\.\d+,")):
        read_space(str(file))


def test_no_file_no_json(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give a file or one of kaggle"):
        read_space(str(tmp_path / "none.json"))
    file = tmp_path / "bad.json"
    file.write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        read_space(str(file))


@pytest.mark.parametrize("name", SPACES)
def test_named_spaces_have_platforms_and_take_others(name: str) -> None:
    assert read_space(name).platforms == SPACES[name].platforms and SPACES[name].platforms
    assert read_space(name, ["tiny"]).platforms == ("tiny",)
