"""Float32 reference of a DLRM: equal to PyTorch's result to float32 rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.dhe import decode, float_code
from golden.embedding import Ids, check_ids, item_count
from golden.layer import apply_function
from golden.model import Model, ModelShape

__all__ = ["apply_function", "embedding_vectors", "forward", "lower_triangle"]


def lower_triangle(vectors: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs (i, j), j < i, of the interaction `dot`, row-major: (1,0), (2,0), (2,1), ..."""
    return np.tril_indices(vectors, -1)


def forward(model: Model, dense: NDArray[np.float32], ids: Ids) -> dict[str, NDArray[np.float32]]:
    """Run the model on items.

    Parameters
    ----------
    model : Model
    dense : float32 [n, dense_features], log already taken
    ids : uint32 [n, features], or one `Bags` per feature (sum pooling, after the decoder)

    Returns
    -------
    Outputs in order of computation: `bottom.0` ... [n, outputs], `embedding` [n, vectors, width],
    `interaction` [n, interaction_width], `top.0` ... without the last layer, `score` [n]: the
    logit.

    Raises
    ------
    ValueError
        Sizes that do not fit the model, NaN or infinity, an id out of range (`IdRangeError`).
    """
    shape = model.shape
    check_inputs(shape, dense, ids)
    outputs: dict[str, NDArray[np.float32]] = {}
    x = dense.astype(np.float32)
    for i, layer in enumerate(model.bottom):
        x = apply_function(layer.function, x @ layer.weight.T + layer.bias)
        outputs[f"bottom.{i}"] = x
    outputs["embedding"] = np.stack(embedding_vectors(model, ids), axis=1)
    if shape.interaction == "product":
        return outputs | _two_branches(model, outputs["embedding"])
    vectors = np.concatenate([x[:, None], outputs["embedding"]], axis=1)
    if shape.interaction == "dot":
        i_of, j_of = lower_triangle(shape.vectors)
        products = (vectors @ vectors.transpose(0, 2, 1))[:, i_of, j_of]
        x = np.concatenate([x, products], axis=1)
    else:
        x = vectors.reshape(len(vectors), -1)
    outputs["interaction"] = x
    for i, layer in enumerate(model.top):
        x = apply_function(layer.function, x @ layer.weight.T + layer.bias)
        outputs[f"top.{i}"] = x
    outputs["score"] = outputs.pop(f"top.{len(model.top) - 1}")[:, 0]
    return outputs


def _two_branches(model: Model, vectors: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """`interaction` and what follows of a model of the interaction `product`."""
    x = copied_values(model.shape, vectors)
    product = multiplied(model.shape, vectors)
    outputs = {"interaction": np.concatenate([x, product], axis=1)}
    for i, layer in enumerate(model.top):
        if i == len(model.top) - 1:
            x = np.concatenate([product, x], axis=1)
        x = outputs[f"top.{i}"] = apply_function(layer.function, x @ layer.weight.T + layer.bias)
    outputs["score"] = outputs.pop(f"top.{len(model.top) - 1}")[:, 0]
    return outputs


def copied_values(shape: ModelShape, vectors: NDArray[Any]) -> NDArray[Any]:
    """With `product`: inputs of the first layer, [n, copied], from vectors [n, vectors, width]."""
    whole = vectors[:, 2 * shape.products : -2].reshape(len(vectors), -1)
    last = vectors[:, -2:, : shape.tail].reshape(len(vectors), -1)
    return np.concatenate([whole, last], axis=1)


def multiplied(shape: ModelShape, vectors: NDArray[Any]) -> NDArray[Any]:
    """With `product`: products of the first pairs of vectors, [n, product_width]."""
    pairs = vectors[:, : 2 * shape.products]
    return (pairs[:, 0::2] * pairs[:, 1::2]).reshape(len(vectors), -1)


def embedding_vectors(model: Model, ids: Ids) -> list[NDArray[np.float32]]:
    """[n, width] of each embedding vector, in the order of the interaction."""
    pooled = []
    for source, feature in model.shape.embeddings:
        feature_ids = ids[:, feature] if isinstance(ids, np.ndarray) else ids[feature].ids
        if source == "table":
            rows = model.tables[feature][feature_ids]
        else:
            stack = model.stacks[feature]
            assert stack is not None  # the model was checked against its shape
            rows = decode(stack.decoder, float_code(stack.encoder, feature_ids))[-1]
        if not isinstance(ids, np.ndarray):
            rows = ids[feature].sums(rows, np.float32)
        pooled.append(rows)
    return pooled


def check_inputs(shape: ModelShape, dense: NDArray[Any], ids: Ids) -> None:
    """Require inputs that fit the model; raises as `forward` does."""
    if dense.ndim != 2 or dense.shape[1] != shape.dense_features:
        raise ValueError(f"dense must be [n, {shape.dense_features}], not {list(dense.shape)}")
    if item_count(ids) != len(dense):
        raise ValueError(f"ids must be of {len(dense)} items, not {item_count(ids)}")
    bad = np.argwhere(~np.isfinite(dense))
    if len(bad):
        item, feature = bad[0]
        raise ValueError(f"item {item}: dense feature {feature} is {dense[item, feature]}")
    check_ids(ids, shape.rows)
