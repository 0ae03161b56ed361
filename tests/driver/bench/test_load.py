"""The load bench on few queries: its tables, its profile of bounds, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from driver.bench.load_mapping import read_mapping
from driver.bench.load_paths import QUALITY, bound_profile
from driver.errors import UserError
from driver.load.paths import paths_of
from driver.load.profile import PlatformProfile, write_profile
from rpaccel import cli


def test_rate_forms_and_decisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "result.json"
    words = ["bench", "load", "--only", "rate", "--only", "closed-forms", "--only", "decision",
             "--queries", "3000", "--json", str(file)]  # fmt: skip
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert "queries/s a core" in text and "M/M/1 twice" in text and "best block [us]" in text
    result = json.loads(file.read_text())
    assert [row["paths"] for row in result["decision"]] == [1, 2, 4]
    assert len(result["closed_forms"]) == 24 and len(result["rate"]) == 2


def test_a_fleet_with_tables_over_devices(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "load", "--only", "fleet", "--queries", "5000", "--rate", "100000", "--json"]
    assert cli.main(words) == 0
    rows = json.loads(capsys.readouterr().out)["fleet"]
    assert [row["per_group"] for row in rows] == sorted(row["per_group"] for row in rows)
    assert rows[0]["per_group"] == 1 and rows[-1]["per_group"] >= 8
    for row in rows:
        assert row["devices"] == row["groups"] * row["per_group"]
        assert row["fullest"] <= row["capacity"] and row["groups"] * row["highest"] >= 99_000


def test_multi_path_of_profiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = []
    for name in ("one", "two"):
        bounds = bound_profile("small").as_json() | {"name": name}
        write_profile(tmp_path / name, PlatformProfile.from_json(bounds))
        files += ["--profile", str(tmp_path / name)]
    trace = tmp_path / "trace"
    trace.write_text("\n".join(f"{0.01 * n + 0.003 * (n % 3)} {50 + n % 99}" for n in range(1200)))
    words = ["bench", "load", "--only", "multi-path", "--queries", "1500", "--load", "0.5",
             "--sla-ms", "20", "--trace", str(trace), *files, "--json"]  # fmt: skip
    assert cli.main(words) == 0
    (row,) = json.loads(capsys.readouterr().out)["multi_path"]
    assert set(row["static"]) == {
        f"mprec-kaggle/{r}@{name}" for r in QUALITY for name in ("one", "two")
    }
    assert row["multi"]["value"] > row["static"][row["best_static"]]["value"]


def test_bounds_are_those_of_the_representations() -> None:
    profile = bound_profile("paper")
    table, hybrid = paths_of(profile, "mprec-kaggle", tuple(QUALITY))
    assert table.table().latency[127] == pytest.approx(128 * 41 / 250e6)
    assert hybrid.quality > table.quality
    assert hybrid.curve.seconds(128) > 10 * table.curve.seconds(128)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sla-ms", "0"], "--sla-ms must be above 0, not 0"),
        (["--load", "-1"], "--load must be above 0, not -1"),
        (["--only", "multi-path", "--preset", "small", "--sla-ms", "0.01"],
         "no path meets an SLA of 0.01 ms for"),
        (["--only", "multi-path", "--profile", "/nowhere"], "cannot read profile /nowhere"),
        (["--only", "multi-path", "--trace", "/nowhere"], "cannot read trace /nowhere"),
        (["--only", "decision", "--queries", "10"], "queries must be at least 1000"),
        (["--only", "execution", "--load", "2"], "load must be in 0..1, not 2"),
        (["--only", "fleet", "--rate", "0"], "load must be above 0 queries a second, not 0"),
        (["--only", "fleet", "--capacity", "0"], "--capacity must be at least 1 byte, not 0"),
        (["--only", "fleet", "--sla-ms", "0.001"], "no load meets an SLA of 0.001 ms at p99"),
        (["--only", "rate", "--queries", "10"], "queries must be at least 100, not 10"),
    ],
)  # fmt: skip
def test_bad_input(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "load", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def schedule_result(**changes: Any) -> dict[str, Any]:
    """What a test needs of `rpaccel schedule --json`."""
    mapping = {"stages": [["RMsmall", 512, "cpu"], ["RMlarge", 64, "cpu"]], "returned": 16}
    return {
        "load": 20.0,
        "chosen": {"mapping": mapping},
        "profiles": {"cpu": {"kind": "cpu"}, "small": {"kind": "rpaccel"}},
    } | changes


def test_a_mapping_of_the_scheduler_is_a_pipeline(tmp_path: Path) -> None:
    file = tmp_path / "mapping"
    file.write_text(json.dumps(schedule_result()))
    spec, rate = read_mapping(file)
    assert rate == 20
    assert [(s.model, s.items, s.keep) for s in spec.stages] == [
        ("RMsmall", 512, 64), ("RMlarge", 64, 16),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "is not the result of a schedule"),
        ("[]", "is not the result of a schedule"),
        (json.dumps(schedule_result(chosen={"mapping": {
            "stages": [["RMsmall", 512, "small"]], "returned": 16}})),
         "stages must be on a CPU to be executed, not on small"),
    ],
)  # fmt: skip
def test_mappings_that_cannot_be_executed(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mapping"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        read_mapping(file)
    with pytest.raises(UserError, match="cannot read mapping"):
        read_mapping(tmp_path / "absent")


def test_a_model_that_a_profile_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_profile(tmp_path / "p", bound_profile("small"))
    words = ["bench", "load", "--only", "multi-path", "--profile", str(tmp_path / "p"),
             "--model", "RMhuge"]  # fmt: skip
    assert cli.main(words) == 2
    assert "has no latency of RMhuge (table); it has: mprec-kaggle (table)" in (
        capsys.readouterr().err
    )
