"""Bad input: one clear line, exit status 2, nothing half-written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rpaccel
from driver import image, workload
from golden.dataset import save_dataset
from golden.model import Model, ModelShape, random_model
from golden.model_files import save_model
from rpaccel import UserError, cli

RUN = ["run", "--preset", "tiny", "--pipeline", "demo-2"]
DEMO = Path(workload.__file__).parents[1] / "examples" / "demo"


def refused(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command in an empty folder; returns its one error line."""
    folder.mkdir(exist_ok=True)
    before = sorted(folder.iterdir())
    assert cli.main([*words, "--json", str(folder / "result.json")]) == 2
    assert sorted(folder.iterdir()) == before
    captured = capsys.readouterr()
    assert captured.out == ""
    errors = [line for line in captured.err.splitlines() if line.startswith("rpaccel: ")]
    assert len(errors) == 1 and captured.err.endswith(errors[0] + "\n")
    assert "Traceback" not in captured.err
    return errors[0]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["run", "--preset", "huge", "--pipeline", "demo-2"], ["'huge'", "tiny", "paper"]),
        (["run", "--preset", "tiny", "--pipeline", "demo-9"], ["'demo-9'", "demo-2", "kaggle-2"]),
        ([*RUN, "--items", "0"], ["--items", "at least 1", "0"]),
        ([*RUN, "--items", "513"], ["512", "513"]),
        ([*RUN, "--queries", "0"], ["--queries", "at least 1"]),
        ([*RUN, "--queries", "129"], ["128", "129"]),
        (["run", "--preset", "tiny", "--pipeline", "kaggle-2"], ["4096", "1024", "--items"]),
        ([*RUN, "--cache-split", "512+0"], ["cache split 512+0", "8192 bytes", "3072"]),
        ([*RUN, "--cache-split", "0+256"], ["32768 bytes", "3072"]),
        ([*RUN, "--cache-split", "3+1"], ["power of two", "3"]),
        ([*RUN, "--histogram", "no/such/file"], ["no/such/file", "no such file"]),
        ([*RUN, "--dram", "hostile", "--backend", "timing"], ["hostile", "rtl"]),
        ([*RUN, "--table-dram", "1000"], ["table_dram", "timing"]),
        ([*RUN, "--partition", "5x5:1"], ["5x5", "4x4, 8x8", "nearest"]),
        ([*RUN, "--partition", "4x8:1"], ["4x8"]),
        ([*RUN, "--partition", "8x8:2"], ["128 PEs", "64"]),
        ([*RUN, "--partition", "4x4:1@0"], ["stage 1"]),
        ([*RUN, "--partition", "4x4:1@7"], ["stage must be below 2"]),
        ([*RUN, "--partition", "large"], ["'large'", "ROWSxCOLS"]),
        ([*RUN, "--seed", "-1"], ["seed", "-1"]),
        ([*RUN, "--waves", "waves.txt"], [".fst or .vcd", "waves.txt"]),
        ([*RUN, "--waves", "/no/such/folder/w.vcd"], ["/no/such/folder"]),
        ([*RUN, "--waves", "w.vcd", "--waves-window", "9"], ["FROM:TO", "'9'"]),
        ([*RUN, "--waves", "w.vcd", "--waves-window", "9:3"], ["FROM:TO", "9:3"]),
        (["run", "--preset", "tiny-baseline", "--pipeline", "demo-2"], ["one stage", "has 2"]),
        (
            ["run", "--preset", "paper", "--pipeline", "kaggle-2", "--max-rows", "99999999"],
            ["embedding tables", "1215", "1073741824", "--max-rows"],
        ),
    ],
)
def test_words(
    words: list[str],
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refused(words, tmp_path / "here", capsys)
    for part in parts:
        assert part in line
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.parametrize(("simulator", "missing"), [("verilator", "g++"), ("icarus", "iverilog")])
def test_missing_simulator(
    simulator: str,
    missing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    line = refused([*RUN, "--simulator", simulator], tmp_path / "here", capsys)
    assert f"simulator {simulator} needs {missing}" in line


def test_json_that_cannot_be_written_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(**words: object) -> dict[str, Any]:
        raise AssertionError("the run began")

    monkeypatch.setattr(cli, "run", never)
    for target in (tmp_path, tmp_path / "missing" / "result.json"):
        assert cli.main([*RUN, "--json", str(target)]) == 2
        assert capsys.readouterr().err == f"rpaccel: cannot write {target}\n"


def test_image_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("driver.rtl.MEMORY_LIMIT", 100_000)
    line = refused(RUN, tmp_path / "here", capsys)
    assert "do not fit the device memory of 100000 bytes" in line


@pytest.mark.parametrize(
    ("file", "size", "what"),
    [
        ("rmsmall.npz", 0, "damaged or not an rpaccel file"),
        ("rmsmall.npz", 500, "damaged or not an rpaccel file"),
        ("rmlarge.npz", -1, "damaged or not an rpaccel file"),
        ("queries.npz", 1000, "damaged or not an rpaccel file"),
        ("calibration.npz", None, "holds a model, not a dataset"),
    ],
)
def test_damaged_shipped_file(
    file: str,
    size: int | None,
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``size``: bytes that are left of the file; None: another kind of file in its place."""
    data = tmp_path / "demo"
    data.mkdir()
    for path in DEMO.glob("*.npz"):
        (data / path.name).write_bytes(path.read_bytes())
    content = (DEMO / ("rmsmall.npz" if size is None else file)).read_bytes()
    (data / file).write_bytes(content[:size])
    monkeypatch.setattr(workload, "_DEMO", data)
    line = refused(RUN, tmp_path / "here", capsys)
    assert str(data / file) in line and what in line


# -- the Python interface ------------------------------------------------------------------------
DENSE, ROWS = 5, (4, 9)


def model(name: str = "m", **sizes: Any) -> Model:
    words: dict[str, Any] = {
        "width": 4, "bottom": (DENSE, 8, 4), "top": (6, 1), "rows": ROWS, "interaction": "cat"
    }  # fmt: skip
    return random_model(ModelShape(name=name, **words | sizes), seed=1)


def inputs(items: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    dense = rng.normal(0, 1, (items, DENSE)).astype(np.float32)
    return dense, rng.integers(0, ROWS, (items, 2)).astype(np.uint32)


def with_value(row: int, column: int, value: float) -> tuple[np.ndarray, np.ndarray]:
    dense, ids = inputs()
    dense[row, column] = value
    return dense, ids


def with_id(row: int, column: int, value: int) -> tuple[np.ndarray, np.ndarray]:
    dense, ids = inputs()
    signed = ids.astype(np.int64)
    signed[row, column] = value
    return dense, signed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": [with_value(1, 2, np.nan)]}, "query 0, item 1: dense feature 2 is nan"),
        (
            {"queries": [inputs(), with_value(0, 4, -np.inf)]},
            "query 1, item 0: dense feature 4 is -inf",
        ),
        ({"queries": [with_id(2, 1, 9)]}, "query 0, item 2: id 9 is outside table 1 of 9 rows"),
        ({"queries": [with_id(0, 0, -1)]}, "query 0, item 0: id -1 is outside table 0 of 4 rows"),
        (
            {"queries": [inputs(3)], "calibration": with_id(1, 0, 4)},
            "calibration, item 1: id 4 is outside table 0 of 4 rows",
        ),
        ({"queries": [inputs(0)]}, "query 0 is empty"),
        ({"queries": []}, "at least one query"),
        ({"queries": [inputs(3), inputs(2)]}, "query 1 has 2 items, query 0 has 3"),
        ({"queries": [(inputs(3)[0], inputs(2)[1])]}, "query 0 has 3 items in dense, 2 in ids"),
        ({"queries": [(inputs()[0][:, 1:], inputs()[1])]}, r"dense must be .* \[items, 5\]"),
        ({"queries": [(inputs()[0], inputs()[0][:, :2])]}, "ids must be integers, not float32"),
        ({"queries": [(*inputs(), [1, 0])]}, r"labels must be of shape \[3\]"),
        ({"queries": [inputs()[:1]]}, r"must be \(dense, ids\)"),
        ({"keep": [4]}, "keep of stage 0 must be in 1..3, not 4"),
        ({"keep": [0]}, "keep of stage 0 must be in 1..3, not 0"),
        ({"models": [model(), model()], "keep": [2, 3]}, "keep of stage 1 must be in 1..2, not 3"),
        ({"keep": [1, 1]}, "one number for each of 1 models"),
        ({"models": [], "keep": []}, "at least one model"),
        (
            {"models": [model(), model(rows=(4, 9, 2))], "keep": [2, 1]},
            "model 1 has 3 sparse_features, model 0 has 2",
        ),
        ({"models": ["no-such-file.npz"]}, "no-such-file.npz: no such file"),
    ],
)
def test_workload_is_refused(changes: dict[str, Any], message: str) -> None:
    words: dict[str, Any] = {"models": [model()], "keep": [2], "queries": [inputs()]}
    with pytest.raises(UserError, match=message) as error:
        rpaccel.workload(**words | changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [0, 100, -40])
def test_truncated_model_file(size: int, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    save_model(path, model())
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=r"model\.npz: damaged or not an rpaccel file"):
        rpaccel.load_model(path)


def test_foreign_model_files(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    np.savez(path, weights=np.zeros(3))
    with pytest.raises(UserError, match="not an rpaccel file"):
        rpaccel.load_model(path)
    path.write_text("PK and then some text")
    with pytest.raises(UserError, match="not an rpaccel file"):
        rpaccel.load_model(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(UserError, match="not an rpaccel file"):
        rpaccel.load_model(tmp_path / "array.npy")
    save_dataset(path, workload.read_dataset(DEMO / "queries.npz"))
    with pytest.raises(UserError, match="holds a dataset, not a model"):
        rpaccel.load_model(path)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"bottom": (DENSE, 5000, 4)}, "wide: bottom layer 0 has 5000 outputs, tiny takes at most"),
        (
            {"bottom": (DENSE, 3000, 2900, 4)},
            r"wide: activations need \d+ pages .* at most 512 pages; "
            "the widest is bottom layer 1 with 3000 inputs and 2900 outputs; no engine of tiny",
        ),
        ({"width": 6, "bottom": (DENSE, 6)}, "vector width must be 4, 8, .. 128, not 6"),
        ({"bottom": (DENSE, *[4] * 40)}, "wide: 40 bottom layers, at most 31"),
    ],
)
def test_model_too_large_is_named(sizes: dict[str, Any], message: str) -> None:
    own = rpaccel.workload(models=[model("wide", **sizes)], keep=[1], queries=[inputs()])
    with pytest.raises(UserError, match=message):
        rpaccel.run(preset="tiny", workload=own)


def test_an_engine_too_small_is_told_the_nearest_that_fits() -> None:
    own = rpaccel.workload(
        models=[model("wide", bottom=(DENSE, 1500, 1400, 4))], keep=[1], queries=[inputs()]
    )
    message = r"wide: activations need .*; the nearest engine that holds it is 8x8$"
    with pytest.raises(UserError, match=message):
        rpaccel.run(preset="tiny", workload=own, partition="split")


def test_models_too_large_together() -> None:
    models = [model(name, top=(3000, 1)) for name in ("one", "two")]
    own = rpaccel.workload(models=models, keep=[2, 1], queries=[inputs()])
    message = r"one, two: 756 output tiles on an engine of edge 8, tiny holds .* of 512"
    with pytest.raises(UserError, match=message):
        rpaccel.run(preset="tiny", workload=own)
    deep = [model(name, bottom=(DENSE, *[4] * 20), top=(4,) * 14 + (1,)) for name in "abcd"]
    own = rpaccel.workload(models=deep, keep=[3, 3, 2, 1], queries=[inputs()])
    with pytest.raises(UserError, match="a, b, c, d: 140 layers together, .* at most 128"):
        rpaccel.run(preset="tiny", workload=own)


def test_too_many_tables() -> None:
    rows = (2,) * 65
    dense, _ = inputs()
    own = rpaccel.workload(
        models=[model("many", rows=rows)],
        keep=[1],
        queries=[(dense, np.zeros((3, 65), np.uint32))],
    )
    with pytest.raises(UserError, match="many: 65 embedding tables, tiny takes at most 64"):
        rpaccel.run(preset="tiny", workload=own)


def test_pipeline_and_workload_are_one_or_the_other() -> None:
    own = rpaccel.workload(models=[model()], keep=[1], queries=[inputs()])
    with pytest.raises(UserError, match="not both"):
        rpaccel.run(preset="tiny", pipeline="demo-2", workload=own)
    with pytest.raises(UserError, match="a pipeline or a workload"):
        rpaccel.run(preset="tiny")
    with pytest.raises(UserError, match="unknown backend 'fpga'"):
        rpaccel.run(preset="tiny", workload=own, backend="fpga")


def test_own_workload_runs_on_golden() -> None:
    """Good input of the same kind is taken: the refusals above have the reason they say."""
    own = rpaccel.workload(
        models=[model(), model()], keep=[2, 1], queries=[(*inputs(), [0, 1, 0])] * 2
    )
    result = rpaccel.run(preset="tiny", workload=own, backend="golden")
    assert (result["status"], result["queries"], result["items"]) == (0, 2, 3)
    assert result["quality"]["k"] == 1
    assert [stage["items_out"] for stage in result["stages"]] == [2, 1]


def test_image_says_what_does_not_fit() -> None:
    memory = image.MemoryImage(limit=1000)
    memory.reserve(900)
    with pytest.raises(UserError, match="records: 200 bytes do not fit .* of 1000 bytes, 900"):
        memory.reserve(200, what="records")
