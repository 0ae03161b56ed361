from __future__ import annotations

import pytest

from driver.errors import UserError
from driver.partition import parse_partition
from hdl.config import preset

SMALL = preset("small")


def test_fused_is_one_engine_for_all_stages() -> None:
    partition = parse_partition(SMALL, None, stages=2)
    assert partition.text == "16x16:1"
    assert partition.levels == (2,) * 16
    assert [e.unit for e in partition.engines] == [0]
    assert partition.stage_mask(0, 2) == 0b11
    assert partition.stage_mask(5, 2) == 0


def test_default_of_a_large_grid_is_the_reference_engine() -> None:
    assert parse_partition(preset("paper"), None, stages=2).text == "32x32:16"
    assert parse_partition(preset("paper"), "fused", stages=2).text == "128x128:1"
    assert parse_partition(preset("baseline"), None, stages=1).text == "128x128:1"


def test_split_is_every_sub_array() -> None:
    partition = parse_partition(SMALL, "split", stages=1)
    assert partition.levels == (0,) * 16
    assert sorted(e.unit for e in partition.engines) == list(range(16))


def test_the_papers_cut_fills_the_grid_largest_first() -> None:
    partition = parse_partition(preset("paper"), "32x32:8@0,64x64:2@1", stages=2)
    assert [e.level for e in partition.engines] == [2, 2] + [1] * 8
    assert [(e.row, e.column) for e in partition.engines[:2]] == [(0, 0), (0, 4)]
    assert {e.row for e in partition.engines[2:]} == {4, 6}
    covered = sum(4**e.level for e in partition.engines)
    assert covered == 64


def test_anchors_are_aligned_and_do_not_overlap() -> None:
    partition = parse_partition(SMALL, "4x4:4,8x8:3", stages=1)
    seen: set[tuple[int, int]] = set()
    for e in partition.engines:
        edge = 1 << e.level
        assert e.row % edge == 0 and e.column % edge == 0
        cells = {
            (r, c) for r in range(e.row, e.row + edge) for c in range(e.column, e.column + edge)
        }
        assert not cells & seen
        seen |= cells
        assert all(partition.levels[r * 4 + c] == e.level for r, c in cells)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8x4", r"8x4 is not one of 4x4, 8x8, 16x16; the nearest legal choice is 8x8"),
        ("12x12", r"12x12 is not one of"),
        ("32x32", r"nearest legal choice is 16x16"),
        ("16x16:2", r"needs 512 PEs, the device has 256; the nearest legal choice is 16x16:1$"),
        ("8x8:3,4x4:6", r"nearest legal choice is 8x8:3,4x4:4$"),
        ("8x8:3@0,8x8:3@1", r"nearest legal choice is 8x8:2@0,8x8:2@1$|8x8:3@0,8x8:1@1$"),
        ("16x16:1@0,4x4:1@1", r"nearest legal choice is 8x8:1@0,4x4:1@1$"),
        ("8x8:0", r"count must be at least 1"),
        ("8x8@7", r"stage must be below 2"),
        ("8x8:4@0", r"stage 1 has no engine; the nearest legal choice is 8x8:1@1,8x8:3@0$"),
        ("8x8:1@1", r"stage 0 has no engine; the nearest legal choice is 8x8:1@0,8x8:1@1$"),
        ("all", r"is not ROWSxCOLS"),
    ],
)
def test_illegal_partitions_name_the_limit(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_partition(SMALL, text, stages=2)


def test_a_device_without_fission_takes_only_the_whole_grid() -> None:
    with pytest.raises(UserError, match="not one of 16x16"):
        parse_partition(preset("small-baseline"), "8x8:4", stages=1)
    for text in ("16x16:2", "16x16:1@1"):
        with pytest.raises(UserError, match="nearest legal choice is 16x16:1$"):
            parse_partition(preset("small-baseline"), text, stages=2)


@pytest.mark.parametrize(
    "text",
    [
        "16x16:2",
        "8x8:9",
        "8x8:3,4x4:6",
        "16x16:1@0,16x16:1@1",
        "4x4:15@0,8x8:2@1",
        "16x16@1",
        "4x4:16@0",
        "8x8:1@1",
    ],
)
def test_the_nearest_choice_is_legal(text: str) -> None:
    with pytest.raises(UserError) as error:
        parse_partition(SMALL, text, stages=2)
    parse_partition(SMALL, str(error.value).rsplit(" ", 1)[1], stages=2)
