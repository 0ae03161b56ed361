from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from driver.page.floor_plan import draw_floor_plan, floor_plan_rows
from driver.page.roofline import draw_roofline, roofline_points
from driver.page.svg import Svg
from driver.page.timeline import STACK, _tracks, draw_timeline, hover_data, timeline_rows
from driver.partition import parse_partition
from hdl.config import preset

from .support import CONFIG, CYCLES, PARTITION, random_activity, work

SPACE = "{http://www.w3.org/2000/svg}"
NASTY = '<b>&"it\'s"</b>'


def parse(svg: Svg) -> ElementTree.Element:
    root = ElementTree.fromstring(str(svg))
    title, description = root.findall(f"{SPACE}title")[0], root.findall(f"{SPACE}desc")[0]
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text and description.text
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SPACE}text")]


def edges() -> dict[int, int]:
    return {e.unit: CONFIG.sub_array << e.level for e in PARTITION.engines}


def test_text_is_escaped_and_comes_back() -> None:
    svg = Svg(name="x", width=1, height=1, title=NASTY, description=NASTY)
    svg.rect(0, 0, 1, 1, tip=NASTY, class_=NASTY)
    svg.text(0, 0, NASTY)
    root = parse(svg)
    assert root[0].text == NASTY and root[1].text == NASTY
    assert root[2][0].text == NASTY and root[2].get("class") == NASTY
    assert texts(root) == [NASTY]


def path_area(data: str) -> float:
    """Area of the rectangles of a path."""
    return sum(float(w) * float(h) for w, h in re.findall(r"h([\d.]+)v([\d.]+)h-", data))


def test_timeline_areas_are_the_cycles() -> None:
    activity = random_activity(5)
    root = parse(draw_timeline(activity, ["wide", "thin"], edges(), 250.0))
    grounds = [r for r in root.iter(f"{SPACE}rect") if r.get("class") == "idle"]
    assert len(grounds) == len(activity.lanes)
    whole = float(grounds[0].get("width", 0)) * float(grounds[0].get("height", 0))
    for cause in STACK[:-1]:
        paths = [p for p in root.iter(f"{SPACE}path") if p.get("class") == cause.name.lower()]
        for lane, path in zip(activity.lanes, paths, strict=True):
            drawn = path_area(path.get("d", "")) / whole
            assert drawn == pytest.approx(lane.cycles()[cause] / CYCLES, abs=0.003)


def test_timeline_names_stages_and_engines() -> None:
    root = parse(draw_timeline(random_activity(5), [NASTY, "thin"], edges(), 250.0))
    words = texts(root)
    assert f"stage 0 {NASTY}" in words and "stage 1 thin" in words
    assert "engine 0" in words and "8 × 8 PEs" in words


def test_timeline_table_adds_up() -> None:
    for row in timeline_rows(random_activity(5))[1:]:
        counts = [int(cell.replace(",", "")) for cell in row[1:]]
        assert sum(counts[:-1]) == counts[-1] == CYCLES


def test_overlapping_row_blocks_get_tracks_of_their_own() -> None:
    blocks = [b for b in random_activity(1).blocks if b.stage == 0]
    assert _tracks(blocks) == [0, 1, 2]
    assert _tracks([blocks[0], blocks[0].__class__(**(vars(blocks[1]) | {"start": 999}))]) == [0, 0]


def test_pictures_of_a_long_run_stay_small() -> None:
    activity = random_activity(7, cycles=50_000_000, spans=200_000)
    picture = str(draw_timeline(activity, ["wide", "thin"], edges(), 250.0))
    assert len(picture) + len(hover_data(activity)) < 1_000_000


@pytest.mark.parametrize("name, text", [("small", "8x8:2@0,4x4:3@1"), ("paper", "split")])
def test_floor_plan_shows_every_engine_once(name: str, text: str) -> None:
    config = preset(name)
    partition = parse_partition(config, text, stages=2)
    busy = {e.unit: 0.25 for e in partition.engines}
    root = parse(draw_floor_plan(config, partition, ["wide", "thin"], busy))
    outlines = [r for r in root.iter(f"{SPACE}rect") if r.get("class") == "engine"]
    fills = [r for r in root.iter(f"{SPACE}rect") if r.get("class") == "engine-fill"]
    assert len(outlines) == len(fills) == len(partition.engines)
    for outline, fill in zip(outlines, fills, strict=True):
        side = float(outline.get("width", 0)) + 2
        assert float(fill.get("height", 0)) == pytest.approx(side / 4, abs=0.02)
    rows = floor_plan_rows(config, partition, ["wide", "thin"], busy)
    assert len(rows) == len(partition.engines) + 1
    assert all(row[-1] == "25.0 %" for row in rows[1:])


def test_floor_plan_without_measurements() -> None:
    root = parse(draw_floor_plan(CONFIG, PARTITION, ["wide", "thin"], {}))
    assert not [r for r in root.iter(f"{SPACE}rect") if r.get("class") == "engine-fill"]
    rows = floor_plan_rows(CONFIG, PARTITION, ["wide", "thin"], {})
    assert rows[1][-1] == "not measured"


def test_roofline_points_and_limits() -> None:
    wide, thin = roofline_points(CONFIG, work(), [8000, 512])
    assert (wide.rate, wide.traffic, wide.intensity) == (100.0, 0.128, 781.25)
    assert wide.limit == pytest.approx(192 * 0.8)  # padding
    assert (thin.rate, thin.traffic, thin.intensity) == (8.0, 8.0, 1.0)
    assert thin.limit == 16.0  # a beat of 16 bytes a cycle
    root = parse(draw_roofline(CONFIG, [wide, thin]))
    heights = {
        c.get("class"): (float(c.get("cx", 0)), float(c.get("cy", 0)))
        for c in root.iter(f"{SPACE}circle")
    }
    assert heights["stage0 ring"][1] < heights["stage1 ring"][1]  # higher up the page
    assert heights["stage0 ring"][0] > heights["stage1 ring"][0]
