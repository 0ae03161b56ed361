"""MP-Rec's models against the figures of its code: sizes, widths, work."""

from __future__ import annotations

from typing import Any

import pytest

from golden.criteo import CRITEO_KAGGLE_ROWS, CRITEO_TERABYTE_ROWS
from golden.mprec import (
    account,
    embeddings_of,
    large_features,
    mprec_shape,
)

TERABYTE_ASCENDING = [
    3, 4, 10, 14, 36, 61, 101, 122, 970, 1442, 2208, 7112, 7378, 11156, 12420, 17217, 20134, 36084,
    313829, 415421, 1333352, 7267859, 9758201, 9946608, 9980333, 9994222,
]  # fmt: skip


def test_rows() -> None:
    assert sorted(CRITEO_TERABYTE_ROWS) == TERABYTE_ASCENDING
    assert sum(CRITEO_KAGGLE_ROWS) == 33_762_577 and sum(CRITEO_TERABYTE_ROWS) == 49_126_297
    assert large_features(CRITEO_KAGGLE_ROWS) == (2, 3, 11, 15, 20)
    assert large_features(CRITEO_TERABYTE_ROWS) == (0, 9, 19, 20, 21)


@pytest.mark.parametrize(
    ("representation", "kaggle", "terabyte"),
    [
        ("table", (432, 367), (1728, 415)),
        ("dhe", (432, 367), (1728, 415)),
        ("select", (432, 367), (1728, 415)),
        ("hybrid", (848, 1394), (3392, 1442)),
    ],
)
def test_inputs_of_the_top_mlp(
    representation: Any, kaggle: tuple[int, int], terabyte: tuple[int, int]
) -> None:
    for data, widths in (("kaggle", kaggle), ("terabyte", terabyte)):
        cat = mprec_shape(data, representation)
        dot = mprec_shape(data, representation, interaction="dot")
        assert (cat.interaction_width, dot.interaction_width) == widths


def test_order_of_the_vectors() -> None:
    select = mprec_shape("kaggle", "select").embeddings
    assert [f for s, f in select if s == "dhe"] == [2, 3, 11, 15, 20]
    assert [s for s, _ in select] == ["table"] * 21 + ["dhe"] * 5
    assert [f for _, f in select[:4]] == [0, 1, 4, 5]
    hybrid = mprec_shape("kaggle", "hybrid").embeddings
    assert hybrid == (*(("table", f) for f in range(26)), *(("dhe", f) for f in range(26)))
    assert embeddings_of("select", (5, 6, 7), [0]) == (("table", 1), ("table", 2), ("dhe", 0))
    # A cap does not change which features are computed.
    assert mprec_shape("kaggle", "select", max_rows=10).embeddings == select


@pytest.mark.parametrize(
    ("decoder", "stack_bytes", "lookup_macs"),
    [
        ((2, 16), 4_992, 32),
        ((2048, 16), 3_409_536, 32_768),
        ((1024, 128, 16), 13_859_456, 133_120),
        ((512, 512, 256, 16), 41_401_984, 397_312),
        ((1024, 512, 256, 16), 68_664_960, 659_456),
        ((2048, 512, 256, 16), 123_190_912, 1_183_744),
    ],
)
def test_decoders(decoder: tuple[int, ...], stack_bytes: int, lookup_macs: int) -> None:
    figures = account(mprec_shape("kaggle", "dhe", decoder=decoder))
    assert figures["decoder_bytes"] == stack_bytes
    assert figures["decoder_macs"] == 26 * lookup_macs
    assert figures["hash_bytes"] == 26 * 16 * decoder[0]
    assert figures["table_bytes"] == figures["gather_bytes"] == 0


def test_whole_models() -> None:
    kaggle = account(mprec_shape("kaggle", "table"))
    assert kaggle["table_bytes"] == 2_160_804_928 and kaggle["gather_bytes"] == 1_664
    assert kaggle["mlp_bytes"] == 2_037_060
    terabyte = account(mprec_shape("terabyte", "table"))
    assert terabyte["table_bytes"] == 12_576_332_032 and terabyte["gather_bytes"] == 6_656
    hybrid = account(mprec_shape("kaggle", "hybrid"))
    assert hybrid["bytes"] == sum(
        hybrid[f"{part}_bytes"] for part in ("table", "hash", "decoder", "mlp")
    )
    assert hybrid["mlp_bytes"] > kaggle["mlp_bytes"]
    dot = account(mprec_shape("kaggle", "hybrid", interaction="dot"))
    assert dot["dot_macs"] == 53 * 52 // 2 * 16
    assert (
        account(mprec_shape("kaggle", "table"), value_bytes=1)["table_bytes"] * 4
        == (kaggle["table_bytes"])
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("avazu", "table"), "no MP-Rec model of 'avazu'"),
        (("kaggle", "both"), "representation 'both'"),
    ],
)
def test_unknown(arguments: tuple[Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mprec_shape(*arguments)
    with pytest.raises(ValueError, match="must be sizes .* end in 16"):
        mprec_shape("kaggle", "dhe", decoder=(1024, 64))
    with pytest.raises(ValueError, match="must be some, not all"):
        embeddings_of("select", (5, 6), [0, 1])
