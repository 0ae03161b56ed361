"""State dicts with the names of MP-Rec's code, against a forward pass written down plainly."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from driver.errors import UserError
from driver.importers.mprec import DheOptions, import_mprec
from driver.importers.tensors import Tensor
from golden import float_model
from golden.model_files import load_model
from rpaccel import cli

Arrays = dict[str, NDArray[Any]]
K, HIDDEN, WIDTH, ROWS = 12, 10, 8, (30, 40, 50)


def mlp(arrays: Arrays, prefix: str, sizes: list[int], random: np.random.Generator) -> None:
    """Linear layers at even places, as a Sequential with activations between has them."""
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        arrays[f"{prefix}{2 * i}.weight"] = random.normal(0, 0.4, (outputs, inputs))
        arrays[f"{prefix}{2 * i}.bias"] = random.normal(0, 0.3, outputs)


def norm(arrays: Arrays, name: str, channels: int, random: np.random.Generator) -> None:
    arrays[f"{name}.weight"] = random.normal(1, 0.2, channels)
    arrays[f"{name}.bias"] = random.normal(0, 0.5, channels)
    arrays[f"{name}.running_mean"] = random.normal(0.5, 0.1, channels)
    arrays[f"{name}.running_var"] = random.uniform(0.5, 2, channels)
    arrays[f"{name}.num_batches_tracked"] = np.array(7, np.int64)


def checkpoint(
    tables: int, stacks: int, *, inputs: int, narrow: int = WIDTH, norms: bool = False
) -> Arrays:
    random = np.random.default_rng(tables * 10 + stacks)
    arrays: Arrays = {}
    for t in range(tables):
        arrays[f"emb_l.{t}.weight"] = random.normal(0, 0.5, (ROWS[t], WIDTH))
    for s in range(stacks):
        a, b = random.integers(1, 1_000_003, (2, K))
        constants = [a, b, np.full(K, 1_000_003), np.full(K, 1_000_000)]
        arrays[f"dhe_l.hash_params.{s}"] = np.stack(constants, axis=1).astype(np.int64)
        mlp(arrays, f"dhe_l.dhe_mlps.{s}.", [K, HIDDEN, narrow], random)
        if norms:
            norm(arrays, f"dhe_l.dhe_mlps.{s}.4", narrow, random)
    mlp(arrays, "bot_l.", [13, 16, WIDTH], random)
    mlp(arrays, "top_l.", [inputs, 12, 1], random)
    return {n: x.astype(np.float32) if x.dtype == np.float64 else x for n, x in arrays.items()}


def tensors(arrays: Arrays) -> dict[str, Tensor]:
    return {
        name: Tensor(shape=x.shape, dtype=str(x.dtype), load=lambda x=x: x)  # type: ignore[misc]
        for name, x in arrays.items()
    }


def linear(arrays: Arrays, name: str, x: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"])


def vector_of_stack(arrays: Arrays, s: int, ids: NDArray[Any]) -> NDArray[Any]:
    a, b, p, m = arrays[f"dhe_l.hash_params.{s}"].T
    x = (ids.astype(np.int64)[:, None] * a + b) % p % m / (m - 1) * 2 - 1
    x = np.maximum(linear(arrays, f"dhe_l.dhe_mlps.{s}.0", x), 0)
    x = 1 / (1 + np.exp(-linear(arrays, f"dhe_l.dhe_mlps.{s}.2", x)))
    name = f"dhe_l.dhe_mlps.{s}.4"
    if f"{name}.weight" in arrays:
        scale = np.sqrt(arrays[f"{name}.running_var"] + 1e-5)
        x = (x - arrays[f"{name}.running_mean"]) / scale
        x = x * arrays[f"{name}.weight"] + arrays[f"{name}.bias"]
    return x


def expected(
    arrays: Arrays,
    dense: NDArray[Any],
    ids: NDArray[Any],
    table: list[int],
    dhe: list[int],
    dot: bool,
) -> NDArray[Any]:
    """Logits: tables in the order given, then the DHE features."""
    x = np.maximum(linear(arrays, "bot_l.0", dense), 0)
    x = np.maximum(linear(arrays, "bot_l.2", x), 0)
    vectors = [arrays[f"emb_l.{n}.weight"][ids[:, f]] for n, f in enumerate(table)]
    vectors += [vector_of_stack(arrays, n, ids[:, f]) for n, f in enumerate(dhe)]
    if dot:
        every = np.stack([x, *vectors], axis=1)
        products = every @ every.transpose(0, 2, 1)
        lower = [(i, j) for i in range(len(vectors) + 1) for j in range(i)]
        x = np.concatenate([x, *(products[:, i, j, None] for i, j in lower)], axis=1)
    else:
        x = np.concatenate([x, *vectors], axis=1)
    return linear(arrays, "top_l.2", np.maximum(linear(arrays, "top_l.0", x), 0))[:, 0]


def inputs(features: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    random = np.random.default_rng(3)
    dense = random.random((20, 13)).astype(np.float32)
    return dense, random.integers(0, 30, (20, features)).astype(np.uint32)


CASES: dict[str, Any] = {
    "dhe": (0, 3, {"inputs": 32}, {}, [], [0, 1, 2], False),
    "dhe-dot": (0, 3, {"inputs": 14}, {}, [], [0, 1, 2], True),
    "hybrid": (3, 3, {"inputs": 56}, {}, [0, 1, 2], [0, 1, 2], False),
    "select": (2, 1, {"inputs": 32}, {}, [0, 1], [2], False),
    "select-named": (2, 1, {"inputs": 32}, {"features": (1,)}, [0, 2], [1], False),
    "narrow": (1, 2, {"inputs": 24, "narrow": 4}, {}, [0], [1, 2], False),
    "batch-norm": (1, 2, {"inputs": 32, "norms": True}, {}, [0], [1, 2], False),
}


@pytest.mark.parametrize("name", list(CASES))
def test_equal_to_a_plain_forward_pass(name: str) -> None:
    tables, stacks, sizes, options, table, dhe, dot = CASES[name]
    arrays = checkpoint(tables, stacks, **sizes)
    model = import_mprec(tensors(arrays), "m", DheOptions(**options))
    assert model.shape.interaction == ("dot" if dot else "cat")
    assert [f for source, f in model.shape.embeddings if source == "dhe"] == dhe
    dense, ids = inputs(model.shape.sparse_features)
    got = float_model.forward(model, dense, ids)["score"]
    np.testing.assert_allclose(got, expected(arrays, dense, ids, table, dhe, dot), atol=2e-5)


def test_batch_norm_in_front_of_an_activation() -> None:
    """Linear, batch norm, ReLU, as later forks have it: folds into the layer before."""
    arrays = checkpoint(0, 1, inputs=16)
    random = np.random.default_rng(1)
    prefix = "dhe_l.dhe_mlps.0."
    for part in ("weight", "bias"):
        arrays[f"{prefix}3.{part}"] = arrays.pop(f"{prefix}2.{part}")
    norm(arrays, f"{prefix}1", HIDDEN, random)
    model = import_mprec(tensors(arrays), "m", DheOptions(activation="none"))
    stack = model.stacks[0]
    assert stack is not None
    x = random.random((5, K)).astype(np.float32)
    hidden = linear(arrays, f"{prefix}0", x) - arrays[f"{prefix}1.running_mean"]
    hidden /= np.sqrt(arrays[f"{prefix}1.running_var"] + 1e-5)
    hidden = np.maximum(hidden * arrays[f"{prefix}1.weight"] + arrays[f"{prefix}1.bias"], 0)
    got = np.maximum(x @ stack.decoder[0].weight.T + stack.decoder[0].bias, 0)
    np.testing.assert_allclose(got, hidden, atol=1e-5)


def without(key: str) -> Any:
    return lambda arrays: arrays.pop(key)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (without("dhe_l.hash_params.0"), {}, r"dhe_l.hash_params.0 is missing"),
        (without("dhe_l.dhe_mlps.1.0.weight"), {}, "dhe_l.dhe_mlps.1.0.weight is missing"),
        (without("top_l.0.weight"), {}, "top_l.0.weight is missing"),
        (without("emb_l.0.weight"), {}, "emb_l.0 is missing|top_l.0.weight must take"),
        (None, {"features": (0, 1, 2)}, "2 features of 0..2 are computed by DHE"),
        (None, {"features": (1, 3)}, "--dhe-features"),
    ],
)
def test_bad_checkpoints(change: Any, options: dict[str, Any], message: str) -> None:
    arrays = checkpoint(1, 2, inputs=32)
    if change is not None:
        change(arrays)
    with pytest.raises(UserError, match=message):
        import_mprec(tensors(arrays), "m", DheOptions(**options))


def test_batch_norm_behind_the_last_activation_needs_cat() -> None:
    arrays = checkpoint(0, 3, inputs=14, norms=True)
    with pytest.raises(UserError, match="cannot be folded with dot"):
        import_mprec(tensors(arrays), "m", DheOptions())


def test_overflowed_hashes_are_refused() -> None:
    arrays = checkpoint(0, 3, inputs=32)
    arrays["dhe_l.hash_params.2"][4, 0] = -3
    with pytest.raises(UserError, match=r"dhe_l.hash_params.2: hash 4: a must be in 1..p - 1"):
        import_mprec(tensors(arrays), "m", DheOptions())


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A hybrid out of a safetensors file, with the warning that its codes are too few."""
    arrays = checkpoint(3, 3, inputs=56)
    kinds = {"float32": "F32", "int64": "I64"}
    header: dict[str, Any] = {}
    blob = b""
    for name, x in arrays.items():
        end = len(blob) + x.nbytes
        header[name] = {
            "dtype": kinds[str(x.dtype)], "shape": list(x.shape), "data_offsets": [len(blob), end],
        }  # fmt: skip
        blob += x.tobytes()
    text = json.dumps(header).encode()
    path, out = tmp_path / "hybrid.safetensors", tmp_path / "m.npz"
    path.write_bytes(struct.pack("<Q", len(text)) + text + blob)
    assert cli.main(["import", str(path), "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["shape"]["decoders"] == ["12-10-8"] * 3 and result["hashes"] == 36
    assert result["warnings"] == []
    model = load_model(out)
    assert model.shape.embeddings[3] == ("dhe", 0) and model.shape.rows == ROWS
    dense, ids = inputs(3)
    got = float_model.forward(model, dense, ids)["score"]
    want = expected(arrays, dense, ids, [0, 1, 2], [0, 1, 2], False)
    np.testing.assert_allclose(got, want, atol=2e-5)
