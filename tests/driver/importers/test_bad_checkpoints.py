"""Bad checkpoints: damaged, malicious, of other shapes. One clear line each, never a crash."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from driver.errors import UserError
from driver.importers.checkpoint import import_checkpoint
from driver.importers.inert_pickle import read_pickle
from rpaccel import cli

CHECKPOINTS = Path(__file__).parent / "checkpoints"

Arrays = dict[str, NDArray[Any]]


def safetensors(path: Path, arrays: Arrays, **changes: Any) -> Path:
    """Write a safetensors file; `changes` replace header entries."""
    header: dict[str, Any] = {}
    place = 0
    for name, array in arrays.items():
        end = place + array.nbytes
        kind = {"f4": "F32", "f8": "F64", "i8": "I64"}[array.dtype.str[1:]]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(header | changes).encode()
    data = b"".join(array.tobytes() for array in arrays.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def dlrm() -> Arrays:
    """A small DLRM: 13-8-4, two tables, dot, 7-5-1."""
    random = np.random.default_rng(1)
    shapes = {
        "emb_l.0.weight": (9, 4), "emb_l.1.weight": (6, 4),
        "bot_l.0.weight": (8, 13), "bot_l.0.bias": (8,),
        "bot_l.2.weight": (4, 8), "bot_l.2.bias": (4,),
        "top_l.0.weight": (5, 7), "top_l.0.bias": (5,),
        "top_l.2.weight": (1, 5), "top_l.2.bias": (1,),
    }  # fmt: skip
    return {key: random.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}


def without(*names: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {key: value for key, value in arrays.items() if key not in names}


def transposed(name: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {name: np.ascontiguousarray(arrays[name].T)}


def replaced(name: str, value: Any) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {name: np.asarray(value)}


def nan(arrays: Arrays) -> Arrays:
    arrays["bot_l.2.weight"][3, 1] = np.nan
    return arrays


def test_the_good_one_is_imported(tmp_path: Path) -> None:
    model = import_checkpoint(safetensors(tmp_path / "m.safetensors", dlrm()))
    assert model.shape.name == "m"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("emb_l.0.weight"), "emb_l.0.weight is missing"),
        (without("bot_l.2.bias"), "bot_l.2.bias is missing"),
        (without("top_l.0.weight"), "top_l.0.weight is missing"),
        (
            without("top_l.0.weight", "top_l.0.bias", "top_l.2.weight", "top_l.2.bias"),
            "top_l.0.weight is missing",
        ),
        (transposed("bot_l.2.weight"), r"must be of shape \[outputs, 8\], not \[8, 4\]; it looks"),
        (transposed("bot_l.0.weight"), r"bot_l.0.bias must be of shape \[13\], not \[8\]; the wei"),
        (
            transposed("emb_l.1.weight"),
            r"emb_l.1.weight must be of shape \[rows, 4\], not",
        ),
        (transposed("top_l.0.weight"), r"must take 7 inputs \(dot\) or 12 \(cat\).*transposed"),
        (
            replaced("top_l.0.weight", np.zeros((5, 10), np.float32)),
            "without --arch-interaction-itself",
        ),
        (replaced("top_l.2.weight", np.zeros((2, 5), np.float32)), "top_l.2.bias must be of shape"),
        (replaced("bot_l.0.weight", np.zeros(8, np.float32)), "must be a matrix, not of shape"),
        (replaced("emb_l.0.weight", np.zeros((9, 4), np.int64)), "holds int64, not floating-point"),
        (
            replaced("emb_l.0.weight_q", np.zeros((9, 4), np.float32)),
            "without quotient-remainder",
        ),
        (nan, r"bot_l.2.weight\[3, 1\] is nan: weights must be finite"),
        (
            replaced("bot_l.0.bias", np.full(8, 1e300)),
            r"bot_l.0.bias\[0\] is inf: weights must be finite",
        ),
        (lambda _: {"conv.weight": np.zeros((3, 3), np.float32)}, "neither a DLRM .* conv.weight"),
        (lambda _: {}, "holds no state dict"),
    ],
)
def test_state_dicts_that_do_not_fit(
    change: Callable[[Arrays], Arrays],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = safetensors(tmp_path / "m.safetensors", change(dlrm()))
    with pytest.raises(UserError, match=message) as caught:
        import_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert cli.main(["import", str(path), "--out", str(tmp_path / "out.npz")]) == 2
    assert capsys.readouterr().err == f"rpaccel: {caught.value}\n"
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32", "shape": [9, 5], "data_offsets": [0, 144]}, "must have the bytes of sha"),
        ({"dtype": "F32", "shape": [9, 4], "data_offsets": [0, -144]}, "damaged: entry"),
        ({"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}, "truncated"),
        ({"dtype": "F8", "shape": [9, 4], "data_offsets": [0, 144]}, "type F8"),
        ([], "damaged: entry"),
    ],
)
def test_headers_that_lie(entry: Any, message: str, tmp_path: Path) -> None:
    path = safetensors(tmp_path / "m.safetensors", dlrm(), **{"emb_l.0.weight": entry})
    with pytest.raises(UserError, match=message):
        import_checkpoint(path)


class Evil:
    """Unpickling this would run a command."""

    def __reduce__(self) -> Any:
        return os.system, ("touch pwned",)


def torch_zip(path: Path, pickled: bytes, *, packed: bool = False, name: str = "m") -> Path:
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr(f"{name}/data.pkl", pickled)
        archive.writestr(f"{name}/data/0", bytes(64))
    return path


@pytest.mark.parametrize("protocol", [2, 4])
def test_malicious_pickle_runs_nothing(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = torch_zip(tmp_path / "m.pt", pickle.dumps({"emb_l.0.weight": Evil()}, protocol))
    with pytest.raises(UserError, match=r"names \w+.system: only weights are read, never code"):
        import_checkpoint(path)
    assert not (tmp_path / "pwned").exists()


def persistent(kind: str, size: Sequence[int], stride: Sequence[int], offset: int = 0) -> bytes:
    """A pickle of one tensor on storage 0 of 16 values."""
    text = "((Vemb_l.0.weight\nctorch._utils\n_rebuild_tensor_v2\n("
    text += f"(Vstorage\nctorch\n{kind}\nV0\nVcpu\nI16\ntQI{offset}\n"
    for values in (size, stride):
        text += "(" + "".join(f"I{value}\n" for value in values) + "t"
    return b"\x80\x02" + text.encode() + b"I00\nNtRd."


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (persistent("FloatStorage", [4, 4], [4, 1])[1:], "its pickle is damaged"),
        (persistent("FloatStorage", [4, 5], [4, 1]), "exceeds its storage"),
        (persistent("FloatStorage", [4, 4], [4, 1], 1), "exceeds its storage"),
        (persistent("FloatStorage", [1 << 40, 4], [0, 1]), "exceeds its storage"),
        (persistent("FloatStorage", [4, 4], [-4, 1]), "its pickle is damaged"),
        (persistent("ComplexFloatStorage", [4, 4], [4, 1]), "type ComplexFloatStorage"),
        (persistent("DoubleStorage", [4, 4], [4, 1]), "truncated: storage 0 must have 128 bytes"),
        (pickle.dumps(OrderedDict(a=1), 2), "holds no state dict"),
        (pickle.dumps([1, 2], 2), "holds no state dict"),
        (pickle.dumps({(1, (2, 3)): 1}, 2), "its pickle is damaged"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "holds no state dict"),
        (b"(" * 100_000 + b"t" * 99_999, "its pickle is damaged"),
        (b"", "its pickle is damaged"),
        (b"\x80\x02.", "its pickle is damaged"),
        (b"\x80\x05\x82\x01.", "uses EXT1"),
    ],
)
def test_damaged_pickles(pickled: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        import_checkpoint(torch_zip(tmp_path / "m.pt", pickled))


def test_tensor_of_the_helper_is_read(tmp_path: Path) -> None:
    """The pickles above are right but for what each of them has wrong."""
    pickled = persistent("FloatStorage", [4, 4], [4, 1])
    with pytest.raises(UserError, match="bot_l.0.weight is missing"):
        import_checkpoint(torch_zip(tmp_path / "m.pt", pickled))


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    def check(name: str, content: bytes | None, message: str) -> None:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            import_checkpoint(path)

    check("none.pt", None, "no such file")
    check("empty.pt", b"", "empty file")
    check("text.pt", b"a,b,c\n" * 100, "neither a checkpoint of torch.save nor")
    check("old.pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02", "PyTorch before 1.6")
    good = (CHECKPOINTS / "reference-dot.pt").read_bytes()
    check("half.pt", good[: len(good) // 2], "damaged: File is not a zip file")
    flipped = bytearray(good)
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        member = next(m for m in archive.infolist() if m.filename.endswith("data/0"))
    flipped[member.header_offset + 128] ^= 1
    check("flipped.pt", bytes(flipped), "damaged: Bad CRC-32")
    torch_zip(tmp_path / "packed.pt", pickle.dumps({}, 2), packed=True)
    check("packed.pt", None, "is compressed")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("readme", "hello")
    check("zip.pt", None, "must have one data.pkl")


def test_output_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(CHECKPOINTS / "reference-dot.pt")
    assert cli.main(["import", source, "--out", str(tmp_path / "no" / "m.npz")]) == 2
    assert "cannot write" in capsys.readouterr().err


def mutate(data: bytes, edits: list[tuple[int, int]], cut: int | None) -> bytes:
    changed = bytearray(data)
    for place, value in edits:
        changed[place % len(changed)] = value
    return bytes(changed[:cut]) if cut is not None else bytes(changed)


EDITS = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=8)


def check_mutated(tmp_path: Path, data: bytes) -> None:
    """Refused in one line, or a model whose weights are all finite; nothing else."""
    path = tmp_path / "m.pt"
    path.write_bytes(data)
    try:
        import_checkpoint(path)
    except UserError as error:
        assert len(str(error).splitlines()) == 1


def fuzz(tmp_path: Path, examples: int) -> None:
    sources = [(CHECKPOINTS / f"{n}.pt").read_bytes() for n in ("reference-dot", "neumf-embed")]
    sources.append(safetensors(tmp_path / "m.safetensors", dlrm()).read_bytes())

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, len(sources) - 1), EDITS, st.none() | st.integers(0, 8000))
    def run(source: int, edits: list[tuple[int, int]], cut: int | None) -> None:
        check_mutated(tmp_path, mutate(sources[source], edits, cut))

    run()


def fuzz_pickle(examples: int) -> None:
    """Pickles alone, because a changed one in a zip mostly fails its checksum."""
    with zipfile.ZipFile(CHECKPOINTS / "rmsmall-training.pt") as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        source = archive.read(name)

    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(EDITS)
    def run(edits: list[tuple[int, int]]) -> None:
        try:
            read_pickle(mutate(source, edits, None))
        except UserError as error:
            assert len(str(error).splitlines()) == 1

    run()


def test_fuzzed_files(tmp_path: Path) -> None:
    fuzz(tmp_path, 60)
    fuzz_pickle(60)


@pytest.mark.slow
def test_many_fuzzed_files(tmp_path: Path) -> None:
    fuzz(tmp_path, 2000)
    fuzz_pickle(1000)
