"""The command: a space, platforms from files, a load and a target to a mapping and a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from driver.load.profile import write_profile
from driver.page.chart import Series, chart
from rpaccel import cli
from tests.driver.schedule.support import device, host, quality, space


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A small space on two profile files."""
    names = []
    for profile in (device(conditions={"source": "a file"}), host()):
        names.append(str(tmp_path / f"{profile.kind}.json"))
        write_profile(Path(names[-1]), profile)
    found = space(*names, shrink=(4,))
    (tmp_path / "space.json").write_text(json.dumps(found.as_json()))
    monkeypatch.setattr("driver.schedule.schedule.funnel_qualities", lambda *_: quality(found))
    return ["schedule", "--pipeline-space", str(tmp_path / "space.json"), "--queries", "500",
            "--workers", "1"]  # fmt: skip


class Reader(HTMLParser):
    """Counts elements and sees that they are closed."""

    VOID = {"meta", "br", "rect", "circle", "line", "path"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_search_choice_and_page(words: list[str], tmp_path: Path) -> None:
    page, out, study = tmp_path / "page.html", tmp_path / "out.json", tmp_path / "study.jsonl"
    more = ["--load", "200", "--sla-ms", "25", "--report", str(page), "--json", str(out),
            "--study", str(study)]  # fmt: skip
    assert cli.main(words + more) == 0
    found = json.loads(out.read_text())
    chosen = found["chosen"]
    assert chosen["p99_s"] <= 25e-3 and chosen["label"] in [o["label"] for o in found["front"]]
    assert found["highest_load"] > 200 and found["resumed"] == 0
    text = page.read_text()
    reader = Reader()
    reader.feed(text)
    assert not reader.open and reader.seen.count("svg") == 5
    assert "Choices over time" in text and sum(found["online"]["shares"].values()) == pytest.approx(
        1
    )
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "Pareto fronts" in text and chosen["label"].replace(">", "&gt;") in text
    assert cli.main(words + more) == 0
    again = json.loads(out.read_text())
    assert again["resumed"] == again["mappings"] > 0
    assert again["chosen"] == chosen and again["front"] == found["front"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--load", "0", "--sla-ms", "25"], "load must be above 0"),
        (["--load", "-5", "--sla-ms", "25"], "load must be above 0"),
        (["--load", "nan", "--sla-ms", "25"], "load must be above 0"),
        (["--load", "200", "--sla-ms", "0"], "--sla-ms must be above 0"),
        (["--load", "200", "--sla-ms", "0.000001"], "no mapping meets an SLA of 1e-06 ms"),
        (["--load", "1e9", "--sla-ms", "25"], "queries/s"),
        (["--load", "200", "--sla-ms", "25", "--quality", "2"], "--quality must be in 0..1"),
        (["--load", "200", "--sla-ms", "25", "--report", "/no/such/page.html"], "no folder"),
        (["--load", "200", "--sla-ms", "25", "--platform", "huge"], "unknown platform 'huge'"),
        (["--load", "200", "--sla-ms", "25", "--platform", "none.json"], "cannot read profile"),
        (["--load", "200", "--sla-ms", "25", "--platform", "tiny/5x5"], "5x5 is not one of"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str], more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words + more) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("rpaccel: ") and message in last


def test_platform_writes_what_schedule_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RPACCEL_CACHE", str(tmp_path))
    file = tmp_path / "tiny.json"
    words = ["platform", "tiny/split", "--model", "RMsmall", "--items", "4,8", "--max-rows", "60"]
    assert cli.main([*words, "--out", str(file)]) == 0
    assert "RMsmall" in capsys.readouterr().out
    assert json.loads(file.read_text())["curves"][0]["items"] == [4, 8]
    assert cli.main([*words[:-4], "--items", "8,4"]) == 2
    assert "--items must rise" in capsys.readouterr().err


def test_charts_leave_out_what_an_axis_cannot_show() -> None:
    points = [(0.0, 1.0), (1.0, float("inf")), (10.0, 2.0), (1000.0, 5.0)]
    drawn = str(chart([Series("a", points)], name="c", title="t", x="x", y="y", log_x=True))
    assert drawn.count("<circle") == 2
    assert "no finite values" in str(chart([], name="c", title="t", x="x", y="y"))
