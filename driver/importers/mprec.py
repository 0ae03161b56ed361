"""State dicts of MP-Rec's code: DLRM with `dhe_l.hash_params.*` and `dhe_l.dhe_mlps.*`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from driver.errors import UserError
from golden.dhe import DheStack, HashEncoder
from golden.hash_files import hash_encoder
from golden.model import DenseLayer, Function, Interaction, Model, ModelShape
from golden.shape import Source

from .batch_norm import Affine, fold_before, fold_behind, read_norm
from .layers import chain, load_chain, matrix
from .tensors import Tensors

__all__ = ["DheOptions", "import_mprec"]

_HASHES = "dhe_l.hash_params."
_DECODERS = "dhe_l.dhe_mlps."
ANY_ID = (1 << 32) - 1
"""Rows of a feature without table: every id but the largest, which marks empty places in bags."""


@dataclass(frozen=True, kw_only=True)
class DheOptions:
    """What a checkpoint of MP-Rec's code does not say."""

    features: tuple[int, ...] | None = None
    """Features computed by DHE where others have tables ("select"). Default: the last ones."""
    activation: Function = "sigmoid"
    """After the last layer of each decoder."""


def import_mprec(tensors: Tensors, name: str, options: DheOptions) -> Model:
    """A model of MP-Rec's code: DHE, select or hybrid, dot or cat.

    As many tables as decoders are a hybrid, unless features are given. Batch norm is folded into
    the layer in front of or behind it, behind the last activation into the top MLP (cat only).
    Decoders that end in fewer values than d are padded with channels of weight zero (cat only).

    Raises
    ------
    UserError
        A key is missing or a shape does not fit; names it.
    """
    tables = _numbered(tensors, "emb_l.")
    stacks = _numbered(tensors, _HASHES)
    if not stacks or _numbered(tensors, _DECODERS) != stacks:
        raise UserError(f"{_HASHES}* and {_DECODERS}* must be numbered from 0, and as many")
    embeddings, features = _embeddings(len(tables), len(stacks), options.features)
    bottom_names = [f"bot_l.{n}" for n in _numbered(tensors, "bot_l.", gaps=True)]
    top_names = [f"top_l.{n}" for n in _numbered(tensors, "top_l.", gaps=True)]
    if not bottom_names or not top_names:
        raise UserError(f"{'bot_l' if not bottom_names else 'top_l'}.0.weight is missing")
    bottom = chain(tensors, bottom_names)
    width = bottom[-1]
    rows = {f: ANY_ID for _, f in embeddings}
    table_of = {f: f"emb_l.{n}.weight" for n, f in enumerate(_of(embeddings, "table"))}
    for f, key in table_of.items():
        rows[f], columns = matrix(tensors, key)
        if columns != width:
            raise UserError(f"{key} must be of shape [rows, {width}], not {[rows[f], columns]}")
    built = [_stack(tensors, n, options.activation) for n in stacks]
    narrow = len(built[0][0].decoder[-1].bias)
    vectors = len(tables) + len(stacks) + 1
    interaction = _interaction(tensors, top_names[0], vectors, len(stacks), width, narrow)
    takes = matrix(tensors, f"{top_names[0]}.weight")[1]
    top_sizes = chain(tensors, top_names, takes)
    top = load_chain(tensors, top_names, "none")
    if interaction == "cat":
        top = (_fold_into_top(top[0], built, width, narrow), *top[1:])
    elif any(after is not None for _, after in built):
        raise UserError("batch norm behind the last activation cannot be folded with dot")
    by_feature = dict(zip(_of(embeddings, "dhe"), built, strict=True))
    padded = {f: _pad(stack, width) for f, (stack, _) in by_feature.items()}
    shape = ModelShape(
        name=name,
        width=width,
        bottom=tuple(bottom),
        top=tuple(top_sizes[1:]),
        rows=tuple(rows[f] for f in range(features)),
        interaction=interaction,
        embeddings=embeddings,
        decoders=tuple(padded[f].sizes if f in padded else () for f in range(features)),
    )
    none = np.zeros((0, width), np.float32)
    return Model(
        shape=shape,
        bottom=load_chain(tensors, bottom_names, "relu"),
        tables=tuple(
            tensors[table_of[f]].numbers(table_of[f]) if f in table_of else none
            for f in range(features)
        ),
        top=top,
        stacks=tuple(padded.get(f) for f in range(features)),
    )


def _numbered(tensors: Tensors, prefix: str, *, gaps: bool = False) -> list[int]:
    """Numbers behind a prefix, ascending; without `gaps` they must be 0, 1, ..."""
    found = {re.match(r"\d+", key[len(prefix) :]) for key in tensors if key.startswith(prefix)}
    numbers = sorted({int(match[0]) for match in found if match is not None})
    if not gaps and numbers != list(range(len(numbers))):
        missing = min(set(range(numbers[-1])) - set(numbers))
        raise UserError(f"{prefix}{missing} is missing")
    return numbers


def _of(embeddings: Sequence[tuple[Source, int]], source: Source) -> list[int]:
    return [f for kind, f in embeddings if kind == source]


def _embeddings(
    tables: int, stacks: int, chosen: tuple[int, ...] | None
) -> tuple[tuple[tuple[Source, int], ...], int]:
    """Vectors in their order, and the number of features."""
    table: Source = "table"
    dhe: Source = "dhe"
    if chosen is None and tables in (0, stacks):
        pairs = [(table, f) for f in range(tables)] + [(dhe, f) for f in range(stacks)]
        return tuple(pairs), stacks
    features = tables + stacks
    picked = sorted(set(range(tables, features) if chosen is None else chosen))
    if len(picked) != stacks or not set(picked) <= set(range(features)):
        raise UserError(
            f"{stacks} features of 0..{features - 1} are computed by DHE, not {picked}; "
            "see --dhe-features"
        )
    others = [f for f in range(features) if f not in picked]
    return (*((table, f) for f in others), *((dhe, f) for f in picked)), features


def _encoder(tensors: Tensors, number: int) -> HashEncoder:
    key = f"{_HASHES}{number}"
    if tensors[key].dtype not in ("int64", "int32"):
        raise UserError(f"{key} holds {tensors[key].dtype}, not integers")
    try:
        return hash_encoder(tensors[key].load())
    except ValueError as error:
        raise UserError(f"{key}: {error}") from None


def _stack(tensors: Tensors, number: int, activation: Function) -> tuple[DheStack, Affine | None]:
    """Encoder and decoder, and a batch norm behind the last activation."""
    encoder = _encoder(tensors, number)
    prefix = f"{_DECODERS}{number}."
    modules = _numbered(tensors, prefix, gaps=True)
    linear = [n for n in modules if f"{prefix}{n}.running_mean" not in tensors]
    names = [f"{prefix}{n}" for n in linear]
    chain(tensors, names, encoder.k)
    layers = list(load_chain(tensors, names, activation))
    after: Affine | None = None
    for position, n in enumerate(linear):
        if after is not None:
            layers[position] = fold_behind(layers[position], after)
        following = linear[position + 1] if position + 1 < len(linear) else modules[-1] + 1
        norms = [j for j in modules if n < j < following]
        if len(norms) > 1:
            raise UserError(f"{prefix}{norms[1]} is one batch norm too many")
        after = (
            read_norm(tensors, f"{prefix}{norms[0]}", len(layers[position].bias)) if norms else None
        )
        if after is not None and norms[0] == n + 1:
            layers[position] = fold_before(layers[position], after)
            after = None
    return DheStack(encoder=encoder, decoder=tuple(layers)), after


def _interaction(
    tensors: Tensors, first: str, vectors: int, stacks: int, width: int, narrow: int
) -> Interaction:
    """What the inputs of the first top layer say."""
    inputs = matrix(tensors, f"{first}.weight")[1]
    cat = (vectors - stacks) * width + stacks * narrow
    dot = width + vectors * (vectors - 1) // 2
    if inputs == cat and narrow <= width:
        return "cat"
    if inputs == dot and narrow == width:
        return "dot"
    raise UserError(
        f"{first}.weight must take {cat} inputs (cat) or {dot} (dot) with decoders that end in at "
        f"most {width} values (dot: in {width}), not {inputs} with decoders that end in {narrow}"
    )


def _fold_into_top(
    first: DenseLayer, built: Sequence[tuple[DheStack, Affine | None]], width: int, narrow: int
) -> DenseLayer:
    """First top layer with columns for padded channels, and with batch norms of the decoders."""
    start = first.weight.shape[1] - len(built) * narrow
    columns = [first.weight[:, :start]]
    bias = first.bias.astype(np.float64)
    for number, (_, after) in enumerate(built):
        weight = first.weight[:, start + number * narrow : start + (number + 1) * narrow]
        if after is not None:
            factor, addend = after
            bias += weight.astype(np.float64) @ addend
            weight = (weight * factor).astype(np.float32)
        columns += [weight, np.zeros((len(weight), width - narrow), np.float32)]
    return replace(first, weight=np.concatenate(columns, axis=1), bias=bias.astype(np.float32))


def _pad(stack: DheStack, width: int) -> DheStack:
    """A stack whose last layer has channels of weight zero up to `width`."""
    last = stack.decoder[-1]
    more = width - len(last.bias)
    if not more:
        return stack
    weight = np.pad(last.weight, ((0, more), (0, 0)))
    padded = replace(last, weight=weight, bias=np.pad(last.bias, (0, more)))
    return replace(stack, decoder=(*stack.decoder[:-1], padded))
