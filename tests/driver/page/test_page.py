from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import rpaccel
from driver.errors import UserError
from driver.page import page_text, write_page

from .support import facts, result

VOID = ("meta", "i", "br")


class Balance(HTMLParser):
    """Notes tags that are not closed in order, and everything that would load something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.wrong += [f"{tag} {n}" for n, _ in attrs if n in ("src", "href", "srcset", "action")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def check(page: str) -> None:
    balance = Balance()
    balance.feed(page)
    assert not balance.wrong and not balance.open
    links = set(re.findall(r"https?://[^\"\s]+", page))
    assert links <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in page and "url(" not in page


def test_page_is_whole_and_loads_nothing() -> None:
    page = page_text(facts())
    check(page)
    for word in ("Timeline", "Partition", "Roofline", "Stages", "Embedding", "Top items"):
        assert word in page
    assert "bit-exact with the golden model" in page
    assert page.count("<svg") == 3 and page.count("<details>") == 3


def test_words_of_the_run_are_escaped() -> None:
    evil = "<script>alert(1)</script>&"
    page = page_text(
        facts(
            result=result(pipeline=evil, notes=[evil], bit_exact=False, difference=evil),
            conditions=[(evil, evil)],
        )
    )
    check(page)
    assert "alert(1)" in page and "<script>alert" not in page
    assert "differs from the golden model" in page


def test_without_traces_the_timeline_is_left_out_and_said() -> None:
    run = facts(
        activity=None, work=(), result=result(backend="golden", cycles=None, bit_exact=None)
    )
    page = page_text(run)
    check(page)
    assert "back end golden has no traces" in page and 'id="timeline"' not in page
    assert "not compared" in page and 'id="floor-plan"' in page


def test_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    path.write_text("old")
    broken = replace(facts(), result={})
    with pytest.raises(KeyError):
        write_page(path, broken)
    assert path.read_text() == "old"
    write_page(path, facts())
    assert path.read_text(encoding="utf-8") == page_text(facts())
    assert [p.name for p in tmp_path.iterdir()] == ["run.html"]


def test_folder_that_is_not_there_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        rpaccel.run(preset="tiny", pipeline="demo-2", report=tmp_path / "no" / "run.html")


@pytest.mark.parametrize("backend", ["golden", "timing"])
def test_page_of_a_run(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "run.html"
    out = rpaccel.run(preset="tiny", pipeline="demo-2", items=64, backend=backend, report=path)
    assert "activity" not in out
    page = path.read_text(encoding="utf-8")
    check(page)
    assert ('id="timeline"' in page) == (backend == "timing")
    if backend == "timing":
        cycles = re.search(r"over (\d+) cycles", page)
        assert cycles is not None and int(cycles[1]) == out["cycles"]
