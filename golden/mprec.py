"""MP-Rec's models, DLRM on Criteo Kaggle and Terabyte, by representation; their sizes and work."""

from __future__ import annotations

from collections.abc import Sequence

from golden.criteo import CRITEO_KAGGLE_ROWS, CRITEO_TERABYTE_ROWS
from golden.shape import (
    REPRESENTATIONS,
    Interaction,
    ModelShape,
    Representation,
    Source,
    layer_macs,
)

__all__ = [
    "account",
    "embeddings_of",
    "large_features",
    "mprec_shape",
]

SELECTED = 5
"""Features that "select" computes by DHE: those of the most rows, as MP-Rec's code does."""

_DATA: dict[str, tuple[tuple[int, ...], int, tuple[int, ...], tuple[int, ...]]] = {
    "kaggle": (CRITEO_KAGGLE_ROWS, 16, (13, 512, 256, 64, 16), (512, 256, 1)),
    "terabyte": (CRITEO_TERABYTE_ROWS, 64, (13, 512, 256, 64), (512, 512, 256, 1)),
}
"""Rows, vector width, bottom and top MLP."""

_HASH_BYTES = 16
"""MP-Rec counts four 32-bit numbers a hash; the device stores as much (`hdl.dhe.layouts`)."""


def large_features(rows: Sequence[int], count: int = SELECTED) -> tuple[int, ...]:
    """The features of the most rows, ascending."""
    return tuple(sorted(sorted(range(len(rows)), key=lambda f: -rows[f])[:count]))


def embeddings_of(
    representation: Representation, rows: Sequence[int], dhe_features: Sequence[int] | None = None
) -> tuple[tuple[Source, int], ...]:
    """Vectors in the order of MP-Rec: all tables, then all DHE features, each in column order.

    Parameters
    ----------
    representation
        Which vectors there are.
    rows
        Rows of each feature.
    dhe_features
        "select" only: features computed by DHE; default: the five of the most rows.
    """
    features = range(len(rows))
    if representation == "select":
        chosen = set(large_features(rows) if dhe_features is None else dhe_features)
        if not chosen <= set(features) or not chosen or len(chosen) == len(rows):
            raise ValueError(
                f"dhe_features must be some, not all, of 0..{len(rows) - 1}, not {sorted(chosen)}"
            )
    else:
        chosen = set() if representation == "table" else set(features)
    tables = features if representation == "hybrid" else sorted(set(features) - chosen)
    return (*(("table", f) for f in tables), *(("dhe", f) for f in sorted(chosen)))


def mprec_shape(
    data: str,
    representation: Representation,
    *,
    interaction: Interaction = "cat",
    decoder: Sequence[int] | None = None,
    max_rows: int | None = None,
) -> ModelShape:
    """Shape of one of MP-Rec's models.

    Parameters
    ----------
    data
        "kaggle" or "terabyte".
    representation
        Where the embedding vectors come from.
    interaction
        MP-Rec's code concatenates by default.
    decoder
        Hashes, then outputs of the decoder's layers; default 1024-128-d.
    max_rows
        Cap on the rows of every feature. Which features "select" computes does not change.

    Raises
    ------
    ValueError
        Unknown data or representation, or a decoder that does not end in d.
    """
    if data not in _DATA or representation not in REPRESENTATIONS:
        raise ValueError(f"no MP-Rec model of {data!r} with representation {representation!r}")
    rows, width, bottom, top = _DATA[data]
    embeddings = embeddings_of(representation, rows)
    sizes = tuple(decoder or (1024, 128, width))
    return ModelShape(
        name=f"mprec-{data}-{representation}",
        width=width,
        bottom=bottom,
        top=top,
        rows=tuple(count if max_rows is None else min(count, max_rows) for count in rows),
        interaction=interaction,
        embeddings=embeddings,
        decoders=tuple(sizes if ("dhe", f) in embeddings else () for f in range(len(rows))),
    )


def account(shape: ModelShape, *, value_bytes: int = 4) -> dict[str, int]:
    """Bytes of a model, and work of one item with one id a feature.

    `table_bytes`, `hash_bytes`, `decoder_bytes`, `mlp_bytes` (weights and biases), `bytes` in all;
    `hashes`, `decoder_macs`, `mlp_macs`, `dot_macs`; `gather_bytes` read from tables.

    Parameters
    ----------
    value_bytes
        Bytes of a parameter: 4 as in the papers' tables, 1 on the device (biases counted alike).
    """

    def parameters(sizes: Sequence[int]) -> int:
        return layer_macs(tuple(sizes)) + sum(sizes[1:])

    layers = (*shape.bottom_layers, *shape.top_layers)

    tables = [f for source, f in shape.embeddings if source == "table"]
    decoders = [sizes for sizes in shape.decoders if sizes]
    hashes = sum(sizes[0] for sizes in decoders)
    counted = {
        "table_bytes": value_bytes * shape.width * sum(shape.rows[f] for f in tables),
        "hash_bytes": _HASH_BYTES * hashes,
        "decoder_bytes": value_bytes * sum(map(parameters, decoders)),
        "mlp_bytes": value_bytes * sum((inputs + 1) * outputs for inputs, outputs in layers),
    }
    return counted | {
        "bytes": sum(counted.values()),
        "hashes": hashes,
        "decoder_macs": shape.decoder_macs,
        "mlp_macs": shape.macs - shape.decoder_macs,
        "dot_macs": shape.pairs * shape.width if shape.interaction == "dot" else 0,
        "gather_bytes": value_bytes * shape.width * len(tables),
    }
