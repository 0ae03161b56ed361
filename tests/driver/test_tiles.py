from __future__ import annotations

import numpy as np
import pytest

from driver.tiles import layer_tiles, resident_words, stream_bytes
from hdl.config import preset


@pytest.mark.parametrize(
    ("inputs", "outputs", "edge"), [(13, 5, 4), (8, 8, 8), (17, 20, 8), (1, 1, 4)]
)
def test_tiles_hold_the_layer_in_walking_order(inputs: int, outputs: int, edge: int) -> None:
    random = np.random.default_rng(inputs)
    weight = random.integers(-127, 128, (outputs, inputs), dtype=np.int8)
    tiles = layer_tiles(weight, edge)
    x = random.integers(-128, 128, inputs)
    k_tiles = -(-inputs // edge)
    padded = np.zeros(k_tiles * edge, int)
    padded[:inputs] = x
    out = np.zeros(-(-outputs // edge) * edge, int)
    for t, tile in enumerate(tiles.astype(int)):
        n, k = divmod(t, k_tiles)
        out[n * edge : (n + 1) * edge] += padded[k * edge : (k + 1) * edge] @ tile
    np.testing.assert_array_equal(out[:outputs], weight.astype(int) @ x)
    assert not out[outputs:].any()


@pytest.mark.parametrize("name", ["tiny", "small", "medium", "paper"])
def test_streams_and_banks_follow_the_stated_layout(name: str) -> None:
    config = preset(name)
    edge = 2 * config.sub_array
    random = np.random.default_rng(3)
    tiles = random.integers(-127, 128, (5, edge, edge), dtype=np.int8)
    stream = stream_bytes(config, tiles)
    assert len(stream) % 256 == 0
    banks = resident_words(config, tiles)
    size, words = config.sub_array, config.slice_words
    for beat in range(5 * 4 * words):
        tile, sub, word = beat // (4 * words), beat // words % 4, beat % words
        block = tiles[tile].reshape(2, size, 2, size)[sub // 2, :, sub % 2]
        want = block.tobytes()[word * config.axi_bytes : (word + 1) * config.axi_bytes]
        start = beat * config.axi_bytes
        assert stream[start : start + config.axi_bytes] == want
        place = (tile * words + word) * config.axi_bytes
        assert banks[sub][place : place + config.axi_bytes] == want
