"""ONNX files: exported models compute what PyTorch did; everything else is refused in one line."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driver.errors import UserError
from driver.importers.checkpoint import import_checkpoint
from driver.importers.onnx_dlrm import import_onnx
from golden import float_model
from golden.layer import apply_function
from golden.model import Model
from tests.driver.importers.test_bad_checkpoints import EDITS, mutate

CHECKPOINTS = Path(__file__).parent / "checkpoints"
NAMES = sorted(path.stem for path in CHECKPOINTS.glob("*.onnx"))


def compare(folder: Path, name: str) -> None:
    """The imported model against the outputs stored beside the file."""
    model = import_checkpoint(folder / f"{name}.onnx")
    assert isinstance(model, Model) and model.shape.name == name
    with np.load(folder / f"{name}-onnx.npz") as vectors:
        score = float_model.forward(model, vectors["dense"], vectors["ids"])["score"]
        if name.endswith("sigmoid"):
            score = apply_function("sigmoid", score)
        np.testing.assert_allclose(score, vectors["y"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_import_equals_pytorch(name: str) -> None:
    compare(CHECKPOINTS, name)


def test_every_case_is_committed() -> None:
    assert NAMES == ["cat-inputs", "dot-sigmoid", "dot-upper"]


@pytest.mark.torch
def test_exports_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from tests.driver.importers import make_onnx

    monkeypatch.setattr(sys, "argv", ["make_onnx", "--check"])
    assert make_onnx.main() == 0


# -- a writer of small graphs ----------------------------------------------------------------------


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def message(*parts: tuple[int, int | bytes | str]) -> bytes:
    out = b""
    for number, value in parts:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def tensor(name: str, values: Any) -> bytes:
    array = np.asarray(values, np.float32)
    sizes = [(1, size) for size in array.shape]
    return message(*sizes, (2, 1), (8, name), (9, array.tobytes()))


def node(operator: str, inputs: list[str], output: str, **attributes: int) -> bytes:
    parts: list[tuple[int, int | bytes | str]] = [(1, name) for name in inputs]
    for key, value in attributes.items():
        parts.append((5, message((1, key), (3, value), (20, 2))))
    return message(*parts, (2, output), (3, f"the {output}"), (4, operator))


def value_info(name: str, kind: int, *sizes: int) -> bytes:
    shape = message(*((1, message((1, size))) for size in sizes))
    return message((1, name), (2, message((1, message((1, kind), (2, shape))))))


class Parts:
    """A DLRM of one layer each, one table of 5 rows, width 2, `cat`; tests change it."""

    def __init__(self) -> None:
        random = np.random.default_rng(1)
        self.constants = {
            "w": random.normal(size=(2, 3)) + 1,
            "b": np.ones(2),
            "table": random.normal(size=(5, 2)),
            "v": random.normal(size=(1, 4)),
        }
        self.inputs = [value_info("dense", 1, 32, 3), value_info("ids", 7, 32)]
        self.nodes = [
            node("Gemm", ["dense", "w", "b"], "x0", transB=1),
            node("Relu", ["x0"], "x"),
            node("Gather", ["table", "ids"], "rows"),
            node("Concat", ["x", "rows"], "joined", axis=1),
            node("Gemm", ["joined", "v"], "y", transB=1),
        ]

    def bytes(self) -> bytes:
        graph = message(
            *((1, part) for part in self.nodes),
            (2, "graph"),
            *((5, tensor(name, values)) for name, values in self.constants.items()),
            *((11, part) for part in self.inputs),
            (12, value_info("y", 1, 32, 1)),
        )
        return message((1, 8), (7, graph))


def test_a_graph_by_hand() -> None:
    parts = Parts()
    model = import_onnx(parts.bytes(), "m")
    assert model.shape.interaction == "cat" and model.shape.rows == (5,)
    np.testing.assert_array_equal(model.bottom[0].weight, np.float32(parts.constants["w"]))


def test_matmul_and_add() -> None:
    parts = Parts()
    parts.constants["w"] = parts.constants["w"].T.copy()
    parts.nodes[0:1] = [node("MatMul", ["dense", "w"], "m"), node("Add", ["m", "b"], "x0")]
    model = import_onnx(parts.bytes(), "m")
    np.testing.assert_array_equal(model.bottom[0].weight.T, np.float32(parts.constants["w"]))
    assert model.bottom[0].bias.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("change", "message_text"),
    [
        (
            lambda p: p.nodes.insert(1, node("LSTM", ["x0"], "z")),
            r"node 'the z' \(LSTM\) is not supported; supported: Add, ",
        ),
        (
            lambda p: p.nodes.insert(1, node("Loop", ["x0"], "z")),
            r"\(Loop\) is not supported; use Embedding",
        ),
        (lambda p: p.nodes.__setitem__(4, node("Gemm", ["joined", "v"], "y")), "do not fit it"),
        (lambda p: p.constants.pop("table"), "'table' is missing|must gather rows"),
        (lambda p: p.constants.update(table=p.constants["table"][:1]), "at least 2 rows"),
        (lambda p: p.constants.update(table=np.full((5, 2), np.nan)), "table holds NaN"),
        (lambda p: p.inputs.pop(), "one input of floating-point numbers and inputs of ids"),
        (
            lambda p: p.nodes.__setitem__(1, node("Sigmoid", ["x0"], "x")),
            "neither the dense vector and the dot|something else|do not follow",
        ),
        (
            lambda p: p.nodes.__setitem__(3, node("Concat", ["rows", "rows"], "joined", axis=1)),
            "neither the dense vector and the dot products of 2 vectors",
        ),
        (
            lambda p: p.nodes.append(node("Mul", ["y", "y"], "y")),
            "computes something else than the DLRM found in it",
        ),
        (
            lambda p: (
                p.nodes.insert(2, node("Add", ["ids", "ids"], "other"))
                or p.nodes.__setitem__(3, node("Gather", ["table", "other"], "rows"))
            ),
            "does not read the ids of one feature|do not fit it",
        ),
    ],
)
def test_graphs_that_are_refused(change: Any, message_text: str) -> None:
    parts = Parts()
    change(parts)
    with pytest.raises(UserError, match=message_text):
        import_onnx(parts.bytes(), "m")


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x3a\x7f\x00", message((7, b"\x0a\xff")), b"\xff" * 40]
)
def test_no_onnx_file(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged or not an ONNX model|must have one input"):
        import_checkpoint(path)


def test_weights_elsewhere() -> None:
    outside = message((1, 2), (2, 1), (8, "big"), (14, 1), (13, struct.pack("<I", 0)))
    with pytest.raises(UserError, match="big lies in a file of its own"):
        import_onnx(message((7, message((5, outside)))), "m")


def fuzz(examples: int) -> None:
    """Refused in one line, or a model that computes what the changed graph does."""
    sources = [Parts().bytes(), *((CHECKPOINTS / f"{n}.onnx").read_bytes() for n in NAMES)]

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, len(sources) - 1), EDITS, st.none() | st.integers(0, 6000))
    def run(source: int, edits: list[tuple[int, int]], cut: int | None) -> None:
        try:
            with np.errstate(all="ignore"):
                import_onnx(mutate(sources[source], edits, cut), "m")
        except UserError as error:
            assert len(str(error).splitlines()) == 1

    run()


def test_fuzzed_graphs() -> None:
    fuzz(60)


@pytest.mark.slow
def test_many_fuzzed_graphs() -> None:
    fuzz(2000)
