"""Sizes of models as the mapper and the item records need them."""

from __future__ import annotations

from collections.abc import Sequence

from golden.quantised_model import QuantisedModel
from golden.shape import ModelShape
from hdl import program as fmt
from hdl.config import Config

from .decoded_bags import DecodedIds
from .errors import UserError
from .hash_words import check_encoder
from .maps import StageShape
from .records import IdPlaces, RecordLayout, id_places, record_layout

__all__ = ["IDENTITY", "decoded_ids", "records_of", "stage_shape"]

IDENTITY = (32768, 15)
"""Multiplier and shift that leave a sum as it is."""


def stage_shape(model: QuantisedModel) -> StageShape:
    """Sizes of a model as the mapper wants them.

    Raises
    ------
    UserError
        Vectors in an order that the device does not have, or hashes that its lanes cannot compute.
    """
    shape = model.shape
    order = [("table", f) for f in shape.table_features] + [("dhe", f) for f in shape.dhe_features]
    if list(shape.embeddings) != order:
        raise UserError(
            f"{shape.name}: vectors from tables must come before those that are decoded"
        )
    for feature in shape.dhe_features:
        stack = model.stacks[feature]
        if stack is None:
            raise UserError(f"{shape.name}: feature {feature} has no decoder")
        vector = shape.embeddings.index(("dhe", feature))
        pair = int(model.pool_multiplier[vector]), int(model.pool_shift[vector])
        if shape.bags[feature] == 1 and pair != IDENTITY:
            raise UserError(
                f"{shape.name}: feature {feature} is decoded and has one id, but its vector is "
                f"requantised by {pair} as a sum of several is; the device leaves it as it is"
            )
        check_encoder(feature, stack.encoder)
    product = shape.interaction == "product"
    return StageShape(
        name=shape.name,
        bottom=shape.bottom_layers,
        top=shape.top_layers,
        width=shape.width,
        vectors=shape.vectors,
        dot=shape.interaction == "dot",
        decoders=tuple((f, shape.decoders[f]) for f in shape.dhe_features),
        bags=tuple(shape.bags[f] for f in shape.dhe_features),
        products=shape.products,
        copied=shape.copied if product else 0,
        tail=shape.tail,
    )


def decoded_ids(shape: ModelShape) -> DecodedIds:
    """Id words behind the dense values of a model's records."""
    return DecodedIds(bags=tuple((shape.place_of(f), shape.bags[f]) for f in shape.dhe_features))


def records_of(
    config: Config, shapes: Sequence[ModelShape]
) -> tuple[RecordLayout, IdPlaces, ModelShape]:
    """Item records of models that share them, places of the ids that are looked up, and the model
    whose decoded ids they carry.

    Raises
    ------
    UserError
        The models do not take the same features from tables, or more than one set of features is
        decoded.
    """
    first = shapes[0]
    widest = max(shapes, key=lambda shape: len(shape.dhe_features))
    for shape in shapes:
        if shape.table_features != first.table_features:
            raise UserError(
                f"{shape.name} takes features {list(shape.table_features)} from tables, "
                f"{first.name} takes {list(first.table_features)}: the models of a deployment "
                "share their item records"
            )
        if shape.dhe_features not in ((), widest.dhe_features):
            raise UserError(
                f"{shape.name} decodes features {list(shape.dhe_features)}, {widest.name} decodes "
                f"{list(widest.dhe_features)}: the models of a deployment share their item records"
            )
    vectors, decoded = len(widest.dhe_features), decoded_ids(widest).count
    if vectors > config.max_dhe_vectors:
        raise UserError(
            f"{widest.name}: {vectors} decoded features, {config.name} takes at most "
            f"{config.max_dhe_vectors}"
        )
    if decoded > config.max_dhe_ids:
        feature = max(widest.dhe_features, key=lambda f: widest.bags[f])
        raise UserError(
            f"{widest.name}: decoded features have {decoded} id words with those of their bags, "
            f"{config.name} takes at most {config.max_dhe_ids}; the largest bag is that of feature "
            f"{feature}, {widest.bags[feature]} ids"
        )
    places = id_places(config, [first.bags[f] for f in first.table_features])
    layout = record_layout(config, dense=first.dense_features, ids=places.count, decoded=decoded)
    most = (1 << fmt.PIPELINE["dense_bytes"].width) - 1
    if layout.dense_bytes > most:
        raise UserError(
            f"{widest.name}: {first.dense_features} dense features and {decoded} ids behind them "
            f"take {layout.dense_bytes} bytes, an item record holds {most}"
        )
    return layout, places, widest
