from __future__ import annotations

import pytest

from driver.blocks import choose_rows, stage_cycles
from driver.maps import StageShape
from driver.partition import parse_partition
from hdl.config import preset

SMALL = preset("small")
LARGE = StageShape(
    name="RMlarge",
    bottom=((13, 512), (512, 256), (256, 128), (128, 64), (64, 32)),
    top=((383, 96), (96, 1)),
    width=32,
    vectors=27,
    dot=True,
)


def chosen(text: str, items: int, most: int, streamed: int = 0) -> int:
    engines = dict.fromkeys(parse_partition(SMALL, text, stages=1).engines, streamed)
    return choose_rows(SMALL, LARGE, engines, [items], most)


def test_a_short_stage_is_cut_into_blocks_that_hide_the_interaction() -> None:
    assert chosen("fused", 64, 64) < 32


def test_every_engine_gets_a_share_of_a_short_stage() -> None:
    assert chosen("8x8:4", 64, 32) == 16
    assert chosen("8x8:2", 64, 32) <= 32


def test_a_long_stage_keeps_large_blocks() -> None:
    assert chosen("fused", 4096, 64) == 64


def test_streamed_weights_keep_blocks_large() -> None:
    """Every block fetches the weights again."""
    assert chosen("split", 512, 16, streamed=4000) == 16
    assert chosen("fused", 128, 64, streamed=1000) > chosen("fused", 128, 64)


@pytest.mark.parametrize(("items", "most"), [(1, 64), (5, 64), (64, 4), (1000, 7)])
def test_blocks_stay_in_their_limits(items: int, most: int) -> None:
    assert 1 <= chosen("8x8:4", items, most) <= min(items, most)


def test_the_estimate_counts_the_array() -> None:
    """One engine, one block: all tiles of the block at least, and the first interaction."""
    engines = dict.fromkeys(parse_partition(SMALL, "fused", stages=1).engines, 0)
    tiles = 32 + 32 * 16 + 16 * 8 + 8 * 4 + 4 * 2 + 24 * 6 + 6
    assert stage_cycles(SMALL, LARGE, engines, [64], 64) > 64 * tiles
    assert stage_cycles(SMALL, LARGE, engines, [64], 64) < 1.25 * 64 * tiles


def test_decoders_want_two_equal_row_blocks() -> None:
    """The hashes of one block are made while the array decodes the other."""
    config = preset("small")
    decoder = (1024, 128, 16)
    shape = StageShape(
        name="hybrid",
        bottom=((13, 512), (512, 256), (256, 64), (64, 16)),
        top=((848, 512), (512, 256), (256, 1)),
        width=16,
        vectors=53,
        dot=False,
        decoders=tuple((f, decoder) for f in range(26)),
    )
    (engine,) = parse_partition(config, None, stages=1).engines
    assert choose_rows(config, shape, {engine: 26 * 520}, [64], 56) == 32
    assert choose_rows(config, shape, {engine: 26 * 520}, [224], 56) == 56
