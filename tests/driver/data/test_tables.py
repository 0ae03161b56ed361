"""CSV and Parquet with a schema: values, splits, everything that can be wrong with them."""

from __future__ import annotations

import csv
import json
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driver.data import tables
from driver.data.lines import BadLines
from driver.data.load import load_table
from driver.data.schema import Schema, load_schema
from driver.data.tables import TableRows, read_table, time_cut
from driver.data.vocabulary import HashedVocabulary
from driver.errors import UserError

SCHEMA = Schema(label="y", dense=("age", "price"), sparse=("user", "shop"), time="t", user="user")


def rows_of(count: int, seed: int = 1) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    return [
        {
            "y": int(random.integers(0, 2)),
            "age": float(random.integers(0, 90)),
            "unused": "x",
            "price": None if random.random() < 0.1 else float(random.integers(0, 100)) / 4,
            "user": int(random.integers(0, 40)),
            "shop": str(random.choice(["north", "south", "café"])),
            "t": int(random.integers(10_000, 20_000)),
        }
        for _ in range(count)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        names = {
            name: [str(row[name]) if name == "shop" else row[name] for row in rows]
            for name in rows[0]
        }
        parquet.write_table(pyarrow.table(names), path, row_group_size=50)
        return path
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def join(parts: list[TableRows]) -> dict[str, list[Any]]:
    names = ("labels", "dense", "values", "times", "users")
    return {name: np.concatenate([getattr(p, name) for p in parts]).tolist() for name in names}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_values(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BATCH", 70)
    rows = rows_of(200)
    bad = BadLines()
    got = join(list(read_table(write(tmp_path / f"d.{kind}", rows), SCHEMA, bad)))
    assert bad.count == 0
    assert got["labels"] == [row["y"] for row in rows]
    assert got["dense"] == [[row["age"], row["price"] or 0.0] for row in rows]
    shops = [zlib.crc32(row["shop"].encode()) for row in rows]
    assert got["values"] == [[row["user"], shop] for row, shop in zip(rows, shops, strict=True)]
    assert got["times"] == [row["t"] for row in rows]
    assert got["users"] == [row["user"] for row in rows]


def test_malformed_rows(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(
        "y,age,price,user,shop,t\n1,2,3,4,a,5\n2,2,3,4,a,5\n1,2\n1,-2,inf,4,a,5\n0,,,,,x\n"
    )
    bad = BadLines()
    got = join(list(read_table(path, SCHEMA, bad)))
    assert got["labels"] == [1] and bad.count == 4
    assert sorted(text.split("csv: ")[1] for text in bad.examples) == [
        "line 3, column 'y': '2' does not fit",
        "line 4: 2 columns, the header has 6",
        "line 5, column 'age': '-2' does not fit",
    ]


def test_times_in_words(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("y,age,price,user,shop,t\n1,2,3,4,a,2020-01-02T03:04:05\n")
    (rows,) = read_table(path, SCHEMA, BadLines())
    assert rows.times[0] == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("split", ["time", "user"])
def test_splits_do_not_overlap(kind: str, split: Any, tmp_path: Path) -> None:
    rows = rows_of(600)
    path = write(tmp_path / f"d.{kind}", rows)
    parts = [
        load_table(
            path, SCHEMA, HashedVocabulary((1 << 20, 1 << 20)), BadLines(),
            lines=1000, query_items=10, split=split, share=0.3, evaluation=evaluation,
        )
        for evaluation in (False, True)
    ]  # fmt: skip
    sizes = [len(part.labels) for part in parts]
    assert sum(sizes) == 600 and 0.1 < sizes[1] / 600 < 0.5
    if split == "user":
        users = [set(part.ids[:, 0].tolist()) for part in parts]
        assert not users[0] & users[1]
    else:
        cut = time_cut(path, SCHEMA, 0.3)
        late = [row for row in rows if row["t"] >= cut]
        assert [row["user"] for row in late] == parts[1].ids[:, 0].tolist()


def test_log_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("y,a,b\n1,-2.5,7\n0,3,8\n")
    schema = Schema(label="y", dense=("a",), sparse=("b",), log=False)
    data = load_table(path, schema, HashedVocabulary((5,)), BadLines(), lines=9, query_items=2)
    assert data.dense.tolist() == [[-2.5], [3.0]] and data.ids.tolist() == [[2], [3]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.csv", b"", "empty file"),
        ("d.csv", b"y,age\n1,2\n", r"line 1: no column 'price'; its columns: y, age$"),
        ("d.csv", b"y;age;price;user;shop;t\n", "no column 'y'; its columns: y;age"),
        ("d.csv", b"y,age,price,user,shop,t\n", "no rows to read"),
        ("d.csv", b"y,age,price,user,shop,t\na,b,c,d,e,f\n", "column 'y': 'a' .* no row fits"),
        ("d.csv", b"\xff\xfe\x00y", "no CSV file"),
        ("d.parquet", b"PAR1 nonsense PAR1", "damaged or no Parquet file"),
    ],
)
def test_files_that_do_not_fit(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_table(path, SCHEMA, BadLines()))
    with pytest.raises(UserError, match="no such file"):
        list(read_table(tmp_path / "none.csv", SCHEMA, BadLines()))


def test_splits_need_their_column(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", rows_of(20))
    schema = Schema(label="y", sparse=("shop",))
    for split in ("time", "user"):
        with pytest.raises(UserError, match=f"the schema must name a {split} column"):
            load_table(
                path, schema, HashedVocabulary((9,)), BadLines(),
                lines=9, query_items=2, split=split,
            )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "must be a JSON object"),
        ('{"label": "y"}', "sparse is missing"),
        ('{"label": "y", "sparse": []}', "at least one column"),
        ('{"label": "y", "sparse": ["y"]}', "column 'y' is there twice"),
        ('{"label": 3, "sparse": ["a"]}', "label cannot be 3"),
        ('{"label": "y", "sparse": "a"}', "sparse cannot be 'a'"),
        ('{"label": "y", "sparse": ["a"], "denes": []}', "unknown key 'denes'; known: label"),
        ('{"label": "y", "sparse": ["a"], "delimiter": "::"}', "delimiter must be one character"),
    ],
)
def test_bad_schemas(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_schema(path)


def test_schema_file(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"label": "y", "sparse": ["a"], "time": None, "log": False}))
    assert load_schema(path) == Schema(label="y", sparse=("a",), log=False)
    with pytest.raises(UserError, match="No such file"):
        load_schema(tmp_path / "none.json")


def fuzz(folder: Path, kind: str, examples: int) -> None:
    path = write(folder / f"d.{kind}", rows_of(8))
    source = path.read_bytes()
    edit = st.tuples(st.integers(0, len(source) - 1), st.integers(0, 255))

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(edit, max_size=6), st.none() | st.integers(0, len(source)))
    def run(edits: list[tuple[int, int]], cut: int | None) -> None:
        changed = bytearray(source)
        for place, value in edits:
            changed[place] = value
        path.write_bytes(changed[:cut])
        try:
            parts = list(read_table(path, SCHEMA, BadLines()))
        except UserError as error:
            assert len(str(error).splitlines()) == 1
            return
        for part in parts:
            assert part.labels.max(initial=0) <= 1 and np.isfinite(part.dense).all()

    run()


def test_fuzzed_tables(tmp_path: Path) -> None:
    fuzz(tmp_path, "csv", 60)


@pytest.mark.slow
def test_many_fuzzed_tables(tmp_path: Path) -> None:
    fuzz(tmp_path, "csv", 1000)
