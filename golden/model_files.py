"""Model files: a float or a quantised model in one archive (`golden.files` has the container).

Header of kind `model`: `shape`, `functions` ({"bottom": [...], "top": [...]}), `features` (their
names; left out: C1, C2, ...); arrays `bottom.0.weight`, `bottom.0.bias`, ..., `tables.0`, ...,
`top.0.weight`, ..., float32 or float16.
A feature f with a DHE vector adds the MLP `decoder.f`, the array `hash.f` (int64 [k, 4] of a, b, p,
m) and an entry of the header's `transforms`.
Header of kind `quantised-model`: the same and `scores`, `output_scales`, `dense_scale`; arrays
named after the fields of `QuantisedModel` and `QuantisedLayer` in the same way. All keys are in
`docs/model-file.md`. NeuMF has a kind of its own (`golden.neumf_files`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from golden.dhe import DheStack, HashEncoder
from golden.files import ModelFileError, read_archive, write_archive
from golden.hash_files import hash_array, hash_encoder
from golden.model import DenseLayer, Model, ModelShape
from golden.quantised_check import check_quantised
from golden.quantised_model import QuantisedLayer, QuantisedModel, QuantisedStack

__all__ = [
    "ModelFileError",
    "load_model",
    "load_quantised_model",
    "save_model",
    "save_quantised_model",
]

FLOAT = "model"
QUANTISED = "quantised-model"
LAYER_ARRAYS = {
    "weight": np.int8,
    "bias": np.int32,
    "multiplier": np.uint16,
    "shift": np.uint8,
    "weight_scale": np.float64,
}
MODEL_ARRAYS = {
    "table_scale": np.float64,
    "pool_multiplier": np.uint16,
    "pool_shift": np.uint8,
    "dot_shift": np.uint8,
    "interaction_scale": np.float64,
}


def save_model(
    path: str | os.PathLike[str],
    model: Model,
    *,
    storage: Literal["float32", "float16"] = "float32",
) -> None:
    """Write a float model; float16 halves the file and rounds every value to 11 bits."""
    arrays: dict[str, NDArray[Any]] = {}
    for part, layers in _parts(model).items():
        for i, layer in enumerate(layers):
            arrays[f"{part}.{i}.weight"] = layer.weight
            arrays[f"{part}.{i}.bias"] = layer.bias
    arrays |= {f"tables.{t}": table for t, table in enumerate(model.tables)}
    arrays = {name: array.astype(storage) for name, array in arrays.items()}
    header = {
        "shape": asdict(model.shape),
        "functions": _functions(model),
        "features": model.features,
        **_transforms(model),
    }
    write_archive(path, FLOAT, header, arrays | _hash_arrays(model))


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a float model.

    Raises
    ------
    ModelFileError
        Missing, damaged or foreign file, or arrays that do not fit the shape.
    """
    header, arrays = read_archive(path, FLOAT)

    def layers(part: str) -> tuple[DenseLayer, ...]:
        return tuple(
            DenseLayer(
                weight=arrays[f"{part}.{i}.weight"].astype(np.float32),
                bias=arrays[f"{part}.{i}.bias"].astype(np.float32),
                function=function,
            )
            for i, function in enumerate(header["functions"][part])
        )

    try:
        shape = ModelShape(**header["shape"])
        tables = tuple(arrays[f"tables.{t}"].astype(np.float32) for t in range(len(shape.rows)))
        return Model(
            shape=shape,
            bottom=layers("bottom"),
            tables=tables,
            top=layers("top"),
            stacks=tuple(
                DheStack(encoder=_encoder(header, arrays, f), decoder=layers(f"decoder.{f}"))
                if sizes
                else None
                for f, sizes in enumerate(shape.decoders)
            ),
            features=tuple(header.get("features", ())),
        )
    except KeyError as error:
        raise ModelFileError(f"{path}: {error.args[0]} is missing") from None
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: {error}") from None


def save_quantised_model(path: str | os.PathLike[str], model: QuantisedModel) -> None:
    """Write a quantised model."""
    arrays: dict[str, NDArray[Any]] = {name: getattr(model, name) for name in MODEL_ARRAYS}
    arrays |= _hash_arrays(model)
    parts = _parts(model)
    for part, layers in parts.items():
        for i, layer in enumerate(layers):
            arrays |= {f"{part}.{i}.{name}": getattr(layer, name) for name in LAYER_ARRAYS}
            if layer.table is not None:
                arrays[f"{part}.{i}.table"] = layer.table
    arrays |= {f"tables.{t}": table for t, table in enumerate(model.tables)}
    header = {
        "shape": asdict(model.shape),
        "functions": _functions(model),
        "scores": {part: [layer.score for layer in layers] for part, layers in parts.items()},
        "output_scales": {
            part: [layer.output_scale for layer in layers] for part, layers in parts.items()
        },
        "dense_scale": model.dense_scale,
        "features": model.features,
        **_transforms(model),
    }
    write_archive(path, QUANTISED, header, arrays)


def load_quantised_model(path: str | os.PathLike[str]) -> QuantisedModel:
    """Read a quantised model.

    Raises
    ------
    ModelFileError
        Missing, damaged or foreign file.
    """
    header, arrays = read_archive(path, QUANTISED)

    def typed(name: str, dtype: Any) -> NDArray[Any]:
        if arrays[name].dtype != dtype:
            raise ValueError(f"{name} must be {np.dtype(dtype)}, not {arrays[name].dtype}")
        return arrays[name]

    def layers(part: str, sizes: tuple[tuple[int, int], ...]) -> tuple[QuantisedLayer, ...]:
        built = []
        for i, function in enumerate(header["functions"][part]):
            fields = {n: typed(f"{part}.{i}.{n}", kind) for n, kind in LAYER_ARRAYS.items()}
            inputs, outputs = sizes[i]
            if fields["weight"].shape != (outputs, inputs):
                raise ValueError(
                    f"{part}.{i}.weight must be of shape {(outputs, inputs)}, "
                    f"not {fields['weight'].shape}"
                )
            built.append(
                QuantisedLayer(
                    **fields,
                    function=function,
                    table=typed(f"{part}.{i}.table", np.int8) if function == "table" else None,
                    score=header["scores"][part][i],
                    output_scale=header["output_scales"][part][i],
                )
            )
        return tuple(built)

    try:
        shape = ModelShape(**header["shape"])
        model = QuantisedModel(
            shape=shape,
            dense_scale=header["dense_scale"],
            bottom=layers("bottom", shape.bottom_layers),
            tables=tuple(typed(f"tables.{t}", np.int8) for t in range(len(shape.rows))),
            top=layers("top", shape.top_layers),
            stacks=tuple(
                QuantisedStack(
                    encoder=_encoder(header, arrays, f),
                    decoder=layers(f"decoder.{f}", tuple(zip(sizes, sizes[1:], strict=False))),
                )
                if sizes
                else None
                for f, sizes in enumerate(shape.decoders)
            ),
            features=tuple(header.get("features", ())),
            **cast(Any, {name: typed(name, kind) for name, kind in MODEL_ARRAYS.items()}),
        )
        check_quantised(model)
    except KeyError as error:
        raise ModelFileError(f"{path}: {error.args[0]} is missing") from None
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: {error}") from None
    return model


def _parts(model: Model | QuantisedModel) -> dict[str, tuple[Any, ...]]:
    """Layers of each MLP."""
    decoders = {f"decoder.{f}": s.decoder for f, s in enumerate(model.stacks) if s is not None}
    return {"bottom": model.bottom, "top": model.top, **decoders}


def _functions(model: Model | QuantisedModel) -> Mapping[str, list[str]]:
    return {part: [layer.function for layer in layers] for part, layers in _parts(model).items()}


def _hash_arrays(model: Model | QuantisedModel) -> dict[str, NDArray[Any]]:
    return {f"hash.{f}": hash_array(s.encoder) for f, s in enumerate(model.stacks) if s is not None}


def _transforms(model: Model | QuantisedModel) -> dict[str, Any]:
    """Header entry of the encoders; none for a model of tables."""
    named = {str(f): s.encoder.transform for f, s in enumerate(model.stacks) if s is not None}
    return {"transforms": named} if named else {}


def _encoder(
    header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], feature: int
) -> HashEncoder:
    return hash_encoder(arrays[f"hash.{feature}"], header["transforms"][str(feature)])
