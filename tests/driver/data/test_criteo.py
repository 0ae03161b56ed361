"""Criteo's text format against a plain reader in Python; malformed lines; speed."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driver.data import lines as lines_module
from driver.data.criteo import CriteoRows, read_criteo
from driver.data.lines import BadLines, Part, time_split
from driver.data.load import load_criteo
from driver.data.vocabulary import HashedVocabulary
from driver.errors import UserError
from tests.driver.data.support import criteo_lines


def write(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.write_bytes("".join(line + end for line in lines).encode("latin-1"))
    return path


def plain(lines: list[str]) -> tuple[list[int], list[list[int]], list[list[int]]]:
    """The same by Python's own means."""
    fields = [line.split("\t") for line in lines]
    return (
        [int(f[0]) for f in fields],
        [[max(0, int(text or 0)) for text in f[1:14]] for f in fields],
        [[int(text or "0", 16) for text in f[14:]] for f in fields],
    )


def join(parts: list[CriteoRows]) -> tuple[list[int], list[list[int]], list[list[int]]]:
    return (
        [int(v) for part in parts for v in part.labels],
        [row.tolist() for part in parts for row in part.counts],
        [row.tolist() for part in parts for row in part.values],
    )


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("block", [1 << 12, 1 << 19])
def test_equals_a_plain_reader(
    end: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", block)
    lines = criteo_lines(300)
    path = write(tmp_path / "c.txt", lines, end)
    bad = BadLines()
    assert join(list(read_criteo([Part(path)], bad))) == plain(lines)
    assert bad.count == 0 and bad.text == ""


def test_gzip_last_line_without_newline_and_limit(tmp_path: Path) -> None:
    lines = criteo_lines(50)
    path = tmp_path / "c.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert join(list(read_criteo([Part(path)], BadLines()))) == plain(lines)
    several = list(read_criteo([Part(path), Part(path)], BadLines(), lines=70))
    assert join(several) == plain([*lines, *lines[:20]])


@pytest.mark.parametrize(
    ("column", "text", "what"),
    [
        (0, "2", "column 1: '2' is no label"),
        (0, "", "column 1: '' is no label"),
        (0, "01", "column 1: '01' is no label"),
        (3, "1.5", "column 4: '1.5' is no whole number"),
        (3, "-", "column 4: '-' is no whole number"),
        (13, "4294967296", "column 14: '4294967296' is no whole number below 4294967296"),
        (13, "12345678x", "column 14: '12345678x' is no whole number"),
        (14, "0000000g", "column 15: '0000000g' is no hexadecimal"),
        (39, "123456789", "column 40: '123456789' is no hexadecimal number of at most 8"),
        (39, "\x11", "column 40"),
        (20, "\xb1", "column 21"),
    ],
)
def test_malformed_fields(column: int, text: str, what: str, tmp_path: Path) -> None:
    lines = criteo_lines(20)
    fields = lines[7].split("\t")
    fields[column] = text
    path = write(tmp_path / "c.txt", [*lines[:7], "\t".join(fields), *lines[8:]])
    bad = BadLines()
    assert join(list(read_criteo([Part(path)], bad))) == plain(lines[:7] + lines[8:])
    assert bad.count == 1 and f"c.txt: line 8, {what}" in bad.examples[0]


def test_lines_with_wrong_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 1 << 12)
    lines = criteo_lines(100)
    broken = list(lines)
    broken[0] = "no"
    broken[60] += "\t1"
    broken.insert(80, "")
    bad = BadLines()
    rows = join(list(read_criteo([Part(write(tmp_path / "c.txt", broken))], bad)))
    assert rows == plain(lines[1:60] + lines[61:])
    assert bad.count == 3
    assert [text.split("c.txt: ")[1] for text in bad.examples] == [
        "line 1: 1 columns, must be 40",
        "line 61: 41 columns, must be 40",
        "line 81: 1 columns, must be 40",
    ]
    assert bad.text.startswith("3 malformed lines left out: ")


def test_line_numbers_in_a_later_part(tmp_path: Path) -> None:
    lines = criteo_lines(100)
    lines[90] = "oops"
    path = write(tmp_path / "c.txt", lines)
    _, evaluation = time_split([path], 0.3)
    bad = BadLines()
    list(read_criteo(evaluation, bad))
    assert "line 91: " in bad.examples[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no lines to read"),
        (b"1,2,3\n4,5,6\n", "line 1: 1 columns, must be 40; no line has 40 columns with tabs"),
        (b"\x00" * 3_000_000, "a line at byte 0 has more than 1048576 bytes; is it text"),
        (b"\x1f\x8b garbage", "damaged gzip file"),
    ],
)
def test_files_that_are_no_logs(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_criteo([Part(path)], BadLines()))
    with pytest.raises(UserError, match="no such file"):
        list(read_criteo([Part(tmp_path / "none")], BadLines()))


@pytest.mark.parametrize("share", [0.01, 1 / 7, 0.5, 0.99])
def test_split_by_time_has_every_line_once(share: float, tmp_path: Path) -> None:
    lines = criteo_lines(200)
    path = write(tmp_path / "c.txt", lines)
    training, evaluation = time_split([path], share)
    first, second = (
        join(list(read_criteo(p, BadLines()))) if p else ([], [], [])
        for p in (training, evaluation)
    )
    labels, counts, values = plain(lines)
    assert first[2] + second[2] == values and first[1] + second[1] == counts
    assert abs(len(second[0]) / 200 - share) < 0.02 and first[0] + second[0] == labels


def test_split_of_days_and_gzip(tmp_path: Path) -> None:
    days = [write(tmp_path / f"day_{d}", criteo_lines(5, d)) for d in range(3)]
    training, evaluation = time_split(days, 0.1)
    assert [p.path for p in training] == days[:2] and [p.path for p in evaluation] == days[2:]
    packed = tmp_path / "c.gz"
    packed.write_bytes(gzip.compress(b"x\n"))
    with pytest.raises(UserError, match="one file a day: a gzip file is not cut"):
        time_split([packed], 0.1)
    with pytest.raises(UserError, match="between 0 and 1, not 1.5"):
        time_split(days[:1], 1.5)


def test_data_set(tmp_path: Path) -> None:
    lines = criteo_lines(100)
    path = write(tmp_path / "c.txt", lines)
    rows = tuple(range(2, 28))
    data = load_criteo([Part(path)], HashedVocabulary(rows), BadLines(), lines=90, query_items=40)
    assert len(data) == 2 and len(data.labels) == 90
    _, counts, values = plain(lines[:90])
    assert data.ids.tolist() == [[v % n for v, n in zip(row, rows, strict=True)] for row in values]
    np.testing.assert_allclose(data.dense, np.log1p(np.array(counts, np.float32)), rtol=1e-6)
    with pytest.raises(UserError, match="100 lines do not fill one query of 101 items"):
        load_criteo([Part(path)], HashedVocabulary(rows), BadLines(), lines=900, query_items=101)


def test_speed(tmp_path: Path) -> None:
    """At least 200 000 lines a second of one core, ids hashed (processor time: others may run)."""
    path = write(tmp_path / "c.txt", criteo_lines(2000) * 20)
    vocabulary = HashedVocabulary(tuple(range(100, 126)))
    speeds = []
    for _ in range(3):
        start = time.process_time()
        count = 0
        for rows in read_criteo([Part(path)], BadLines()):
            vocabulary.ids(rows.values)
            count += len(rows.labels)
        speeds.append(count / (time.process_time() - start))
    assert count == 40_000 and max(speeds) > 200_000


def fuzz(path: Path, examples: int) -> None:
    source = "".join(line + "\n" for line in criteo_lines(8)).encode()
    edit = st.tuples(st.integers(0, len(source) - 1), st.integers(0, 255))

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(edit, max_size=6))
    def run(edits: list[tuple[int, int]]) -> None:
        changed = bytearray(source)
        for place, value in edits:
            changed[place] = value
        path.write_bytes(changed)
        bad = BadLines()
        try:
            got = join(list(read_criteo([Part(path)], bad)))
        except UserError:
            return
        kept = [line for line in bytes(changed).decode("latin-1").split("\n") if _fits(line)]
        assert got == plain([line.removesuffix("\r") for line in kept])
        all_lines = bytes(changed).removesuffix(b"\n").split(b"\n")
        assert bad.count == len(all_lines) - len(kept)

    run()


def _fits(line: str) -> bool:
    fields = line.removesuffix("\r").split("\t")
    digits = "0123456789abcdefABCDEF"
    return (
        len(fields) == 40
        and fields[0] in ("0", "1")
        and all(_whole(text) for text in fields[1:14])
        and all(len(text) <= 8 and not text.strip(digits) for text in fields[14:])
    )


def _whole(text: str) -> bool:
    number = text[1:] if text.startswith("-") and len(text) > 1 else text
    right = not number.strip("0123456789") and len(number) <= 10
    return right and int(number or 0) < 1 << 32


def test_fuzzed_logs(tmp_path: Path) -> None:
    fuzz(tmp_path / "c.txt", 60)


@pytest.mark.slow
def test_many_fuzzed_logs(tmp_path: Path) -> None:
    fuzz(tmp_path / "c.txt", 2000)
