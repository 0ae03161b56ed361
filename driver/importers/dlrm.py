"""DLRM state dicts: names of the public reference (`emb_l.*`) and of TorchRec."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError
from golden.float_model import lower_triangle
from golden.model import Interaction, Model, ModelShape

from .layers import chain, load_chain, matrix
from .tensors import Tensors

__all__ = ["import_reference", "import_torchrec"]

_REFERENCE = re.compile(r"(emb_l|bot_l|top_l)\.(\d+)\.(weight|bias)")
_BAGS = "sparse_arch.embedding_bag_collection.embedding_bags."


@dataclass(frozen=True)
class _Names:
    """Where the parts of a model are in its state dict."""

    tables: Sequence[str]
    bottom: Sequence[str]
    top: Sequence[str]


def import_reference(tensors: Tensors, name: str) -> Model:
    """A model saved by the public PyTorch reference: embedding bags, dot or cat, ReLU.

    Raises
    ------
    UserError
        A key is missing or unknown, a shape does not fit, a weight is not finite.
    """
    found: dict[str, set[int]] = {"emb_l": set(), "bot_l": set(), "top_l": set()}
    for key in tensors:
        if key.split(".")[0] not in found:
            continue
        match = _REFERENCE.fullmatch(key)
        if match is None or (match[1], match[3]) == ("emb_l", "bias"):
            raise UserError(
                f"{key} is not a plain embedding table or layer; train without quotient-remainder "
                "and mixed-dimension embeddings"
            )
        found[match[1]].add(int(match[2]))
    for part, numbers in found.items():
        if not numbers:
            raise UserError(f"{part}.0.weight is missing")
    tables = sorted(found["emb_l"])
    if tables[-1] != len(tables) - 1:
        missing = min(set(range(tables[-1])) - set(tables))
        raise UserError(f"emb_l.{missing}.weight is missing")
    names = _Names(
        [f"emb_l.{n}.weight" for n in tables],
        *([f"{part}.{n}" for n in sorted(found[part])] for part in ("bot_l", "top_l")),
    )
    return _model(tensors, names, name)


def import_torchrec(tensors: Tensors, name: str) -> Model:
    """A model with TorchRec's names; its pairs are the upper triangle, row by row.

    Raises
    ------
    UserError
        As `import_reference`.
    """
    tables = [k for k in tensors if k.startswith(_BAGS) and k.endswith(".weight")]
    if not tables:
        raise UserError(f"{_BAGS}*.weight is missing")
    names = _Names(
        tables, _layers(tensors, "dense_arch.model."), _layers(tensors, "over_arch.model.")
    )
    features = tuple(key.removeprefix(_BAGS).removesuffix(".weight") for key in tables)
    model = replace(_model(tensors, names, name), features=features)
    if model.shape.interaction != "dot":
        raise UserError(f"{names.top[0]}.weight does not fit TorchRec's pairwise dot products")
    first = model.top[0]
    weight = first.weight.copy()
    weight[:, model.shape.width :] = weight[:, model.shape.width :][
        :, _upper_to_lower(model.shape.vectors)
    ]
    return replace(model, top=(replace(first, weight=weight), *model.top[1:]))


def _layers(tensors: Tensors, part: str) -> list[str]:
    """Layers of a part in the order of the numbers in their names."""
    names = {key.rpartition(".")[0] for key in tensors if key.startswith(part)}
    if not names:
        raise UserError(f"{part}*.weight is missing")
    unknown = [n for n in names if not re.fullmatch(r"[\w.]*\.(_linear|\d+)", n)]
    if unknown:
        raise UserError(f"{min(unknown)} is not a dense layer that can be imported")
    return sorted(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])


def _upper_to_lower(vectors: int) -> NDArray[np.intp]:
    """For each pair of the lower triangle, its place in the upper one, both row-major."""
    place = np.zeros((vectors, vectors), np.intp)
    place[np.triu_indices(vectors, 1)] = np.arange(vectors * (vectors - 1) // 2)
    i_of, j_of = lower_triangle(vectors)
    return place[j_of, i_of]


def _model(tensors: Tensors, names: _Names, name: str) -> Model:
    """Check all shapes, then read the weights."""
    bottom = chain(tensors, names.bottom)
    width = bottom[-1]
    rows = []
    for key in names.tables:
        count, columns = matrix(tensors, key)
        if columns != width:
            hint = "; it looks transposed" if count == width else ""
            raise UserError(f"{key} must be of shape [rows, {width}], not {[count, columns]}{hint}")
        rows.append(count)
    interaction = _interaction(tensors, names, width)
    vectors = len(rows) + 1
    inputs = vectors * width
    if interaction == "dot":
        inputs = width + vectors * (vectors - 1) // 2
    top = chain(tensors, names.top, inputs)
    if top[-1] != 1:
        raise UserError(f"{names.top[-1]}.weight must have 1 output (the logit), not {top[-1]}")
    shape = ModelShape(
        name=name,
        width=width,
        bottom=tuple(bottom),
        top=tuple(top[1:]),
        rows=tuple(rows),
        interaction=interaction,
    )
    return Model(
        shape=shape,
        bottom=load_chain(tensors, names.bottom, "relu"),
        tables=tuple(tensors[key].numbers(key) for key in names.tables),
        top=load_chain(tensors, names.top, "none"),
    )


def _interaction(tensors: Tensors, names: _Names, width: int) -> Interaction:
    """What the inputs of the first top layer say."""
    outputs, inputs = matrix(tensors, f"{names.top[0]}.weight")
    vectors = len(names.tables) + 1
    dot = width + vectors * (vectors - 1) // 2
    itself = width + vectors * (vectors + 1) // 2
    cat = vectors * width
    if inputs == dot:
        return "dot"
    if inputs == cat:
        return "cat"
    if inputs == itself:
        raise UserError(
            f"{names.top[0]}.weight takes dot products of vectors with themselves; "
            "train without --arch-interaction-itself"
        )
    hint = "; it looks transposed" if outputs in (dot, cat) else ""
    raise UserError(
        f"{names.top[0]}.weight must take {dot} inputs (dot) or {cat} (cat) with {vectors - 1} "
        f"tables of width {width}, not {inputs}{hint}"
    )
