"""Integer reference of a quantised DLRM: equal to the device bit for bit, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.dhe import integer_code
from golden.embedding import Ids, check_ids, item_count
from golden.float_model import copied_values, lower_triangle, multiplied
from golden.quantised_model import IDENTITY, QuantisedLayer, QuantisedModel
from golden.requantise import INT8, INT16, requantise

__all__ = [
    "decoder_layers",
    "dot_interaction",
    "exact_matmul",
    "forward",
    "pooled_rows",
    "run_layer",
    "shift_down",
]

FLOAT32_EXACT = 1 << 24
"""Integers up to here, and so every partial sum below, are exact in float32."""
DECODED_AT_ONCE = 4096
"""Ids: bounds the memory that 2048 hashes of each take."""


def forward(
    model: QuantisedModel, dense: NDArray[np.int8], ids: Ids, *, bad_ids_as_zero: bool = False
) -> dict[str, NDArray[Any]]:
    """Run the model on items.

    Parameters
    ----------
    model : QuantisedModel
    dense : int8 [n, dense_features], see `golden.quantise.quantise_dense`
    ids : uint32 [n, features], or one `Bags` per feature (sum pooling, after the decoder)
    bad_ids_as_zero : take the row of an id out of range as zeros, as the device does, instead of
        raising (one id a feature only)

    Returns
    -------
    Outputs in order of computation, int8: `bottom.0` ... [n, outputs]; of the features F that are
    decoded `decoder.F.0` ..., or of the N-th ids of bags `decoder.F[N].0` ... (`EMPTY_ID` where a
    bag has fewer, as the device does) and `sum.F.0`; `embedding` [n, vectors, width],
    `interaction` [n, interaction_width] (with `product`: what is copied, then the products),
    `top.0` ... without the last layer; then `score`, int16 [n].

    Raises
    ------
    ValueError
        Sizes that do not fit the model, an id out of range (`IdRangeError`).
    """
    shape = model.shape
    if dense.dtype != np.int8 or dense.ndim != 2 or dense.shape[1] != shape.dense_features:
        raise ValueError(
            f"dense must be int8 [n, {shape.dense_features}], not {dense.dtype} {list(dense.shape)}"
        )
    if item_count(ids) != len(dense):
        raise ValueError(f"ids must be of {len(dense)} items, not {item_count(ids)}")
    if not (bad_ids_as_zero and isinstance(ids, np.ndarray)):
        check_ids(ids, shape.rows)
    outputs: dict[str, NDArray[Any]] = {}
    x = dense
    for i, layer in enumerate(model.bottom):
        x = outputs[f"bottom.{i}"] = run_layer(layer, x)
    embedding = pooled_rows(model, ids)
    for feature in shape.dhe_features:
        outputs |= _decoded(model, feature, ids, embedding)
    outputs["embedding"] = embedding
    if shape.interaction == "product":
        x = copied_values(shape, outputs["embedding"])
        raw = multiplied(shape, outputs["embedding"].astype(np.int32))
        product = shift_down(raw, model.dot_shift)
        outputs["interaction"] = np.concatenate([x, product], axis=1)
    else:
        vectors = np.concatenate([x[:, None], outputs["embedding"]], axis=1)
        if shape.interaction == "dot":
            x = np.concatenate([x, dot_interaction(vectors, model.dot_shift)], axis=1)
        else:
            x = vectors.reshape(len(vectors), -1)
        outputs["interaction"] = x
    for i, layer in enumerate(model.top):
        if shape.interaction == "product" and i == len(model.top) - 1:
            x = np.concatenate([product, x], axis=1)
        x = outputs[f"top.{i}"] = run_layer(layer, x)
    outputs["score"] = outputs.pop(f"top.{len(model.top) - 1}")[:, 0]
    return outputs


def _decoded(
    model: QuantisedModel, feature: int, ids: Ids, embedding: NDArray[np.int8]
) -> dict[str, NDArray[np.int8]]:
    """Layers of a feature's decoder for the id, or for each id of a bag, of every item."""
    size = model.shape.bags[feature]
    if size == 1:
        mine = ids[:, feature] if isinstance(ids, np.ndarray) else ids[feature].ids
        if len(mine) != len(embedding):
            return {}  # bags where the model has none: the device does not run them
        members = {f"decoder.{feature}": mine}
    elif isinstance(ids, np.ndarray):
        return {}
    else:
        places = ids[feature].places(size)
        members = {f"decoder.{feature}[{n}]": places[:, n] for n in range(size)}
    outputs = {}
    for name, mine in members.items():
        unique, place = np.unique(mine, return_inverse=True)
        for i, values in enumerate(decoder_layers(model, feature, unique)[1:]):
            outputs[f"{name}.{i}"] = values[place]
    if size > 1:
        vector = model.shape.embeddings.index(("dhe", feature))
        outputs[f"sum.{feature}.0"] = embedding[:, vector]
    return outputs


def exact_matmul(x: NDArray[np.int8], weight: NDArray[np.int8]) -> NDArray[np.int64]:
    """`x @ weight.T` in exact integers, by floating-point units where that is exact."""
    largest_sum = int(np.abs(weight.astype(np.int32)).sum(axis=1).max(initial=0)) * 128
    # Every partial sum of any order is an integer of at most this size: no rounding can occur.
    kind: type[Any] = np.float32 if largest_sum <= FLOAT32_EXACT else np.float64
    return (x.astype(kind) @ weight.astype(kind).T).astype(np.int64)


def run_layer(layer: QuantisedLayer, x: NDArray[np.int8]) -> NDArray[Any]:
    """One layer: int8 [n, inputs] to int8 [n, outputs] (int16 for the score)."""
    accumulator = exact_matmul(x, layer.weight)
    limits = INT16 if layer.score else INT8
    q = requantise(accumulator, layer.bias, layer.multiplier, layer.shift, limits)
    if layer.score:
        return q.astype(np.int16)
    if layer.function == "relu":
        q = np.maximum(q, 0)
    elif layer.function == "table":
        if layer.table is None:
            raise ValueError("a layer of function 'table' must have a table")
        return layer.table[q + 128]
    return q.astype(np.int8)


def pooled_rows(model: QuantisedModel, ids: Ids) -> NDArray[np.int8]:
    """int8 [n, embeddings, width]: a row or decoded vector, or the requantised sum of a bag's."""
    shape = model.shape
    result = np.zeros((item_count(ids), len(shape.embeddings), shape.width), np.int8)
    for v, (source, feature) in enumerate(shape.embeddings):
        pair = (int(model.pool_multiplier[v]), int(model.pool_shift[v]))
        rows = table_rows if source == "table" else decoded_rows
        if isinstance(ids, np.ndarray):
            column = ids[:, feature]
            # Rows of other ids stay zero; what is decoded has no range.
            valid = (column < shape.rows[feature]) | (source == "dhe")
            sums = rows(model, feature, column[valid])
            if pair != IDENTITY:
                sums = _pool(sums, pair)
            result[valid, v] = sums
        else:
            vectors = rows(model, feature, ids[feature].ids)
            result[:, v] = _pool(ids[feature].sums(vectors, np.int64), pair)
    return result


def table_rows(model: QuantisedModel, feature: int, ids: NDArray[np.uint32]) -> NDArray[np.int8]:
    """Rows of a feature's table."""
    return model.tables[feature][ids]


def decoded_rows(model: QuantisedModel, feature: int, ids: NDArray[np.uint32]) -> NDArray[np.int8]:
    """Decoder outputs of a feature's ids: equal ids are decoded once, which changes no bit."""
    unique, place = np.unique(ids, return_inverse=True)
    parts = np.array_split(unique, -(-len(unique) // DECODED_AT_ONCE) or 1)
    return np.concatenate([decoder_layers(model, feature, part)[-1] for part in parts])[place]


def decoder_layers(
    model: QuantisedModel, feature: int, ids: NDArray[np.uint32]
) -> list[NDArray[np.int8]]:
    """Code, then the output of each decoder layer, [n, values]."""
    stack = model.stacks[feature]
    if stack is None:
        raise ValueError(f"feature {feature} of {model.shape.name} has no decoder")
    outputs = [integer_code(stack.encoder, ids)]
    for layer in stack.decoder:
        outputs.append(run_layer(layer, outputs[-1]))
    return outputs


def _pool(sums: NDArray[Any], pair: tuple[int, int]) -> NDArray[np.int8]:
    return requantise(sums, 0, *pair).astype(np.int8)


def dot_interaction(vectors: NDArray[np.int8], shift: NDArray[np.uint8]) -> NDArray[np.int8]:
    """int8 [n, pairs]: `clamp((dot + (1 << (shift - 1))) >> shift)`, plain clamp at shift 0."""
    i_of, j_of = lower_triangle(vectors.shape[1])
    if vectors.shape[2] * 128 * 128 > FLOAT32_EXACT:
        raise ValueError(f"vectors must have at most 1024 values, not {vectors.shape[2]}")
    exact = vectors.astype(np.float32)
    products = (exact @ exact.transpose(0, 2, 1))[:, i_of, j_of].astype(np.int32)
    return shift_down(products, shift)


def shift_down(values: NDArray[np.int32], shift: NDArray[np.uint8]) -> NDArray[np.int8]:
    """`clamp((value + (1 << (shift - 1))) >> shift)`, plain clamp at shift 0.

    As `requantise` with bias 0 and (32768, 15 + shift), value for value.
    """
    shifts = shift.astype(np.int32)
    rounding = (np.int32(1) << shifts) >> 1  # 0 at shift 0
    return np.clip((values + rounding) >> shifts, *INT8).astype(np.int8)
