"""MovieLens files against a plain reader; leave-one-out; queries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driver.data import lines as lines_module
from driver.data.lines import BadLines
from driver.data.movielens import Ratings, leave_one_out, read_movielens, user_queries
from driver.errors import UserError


def drawn(count: int = 400) -> list[tuple[int, int, str, int]]:
    random = np.random.default_rng(2)
    found: dict[tuple[int, int], tuple[int, int, str, int]] = {}
    for _ in range(count):
        user, item = int(random.integers(1, 20)) * 7, int(random.integers(1, 60)) * 100_000_000
        rating = random.choice(["0.5", "3", "4.5", "5"])
        found[user, item] = (
            user,
            item,
            str(rating),
            int(random.integers(800_000_000, 900_000_000)),
        )
    return list(found.values())


def old(rows: list[tuple[int, int, str, int]]) -> str:
    return "".join("::".join(map(str, row)) + "\n" for row in rows)


def new(rows: list[tuple[int, int, str, int]]) -> str:
    header = "userId,movieId,rating,timestamp\n"
    return header + "".join(",".join(map(str, row)) + "\n" for row in rows)


@pytest.mark.parametrize("text", [old, new])
@pytest.mark.parametrize("block", [1 << 10, 1 << 19])
def test_equals_a_plain_reader(
    text: object, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", block)
    rows = drawn()
    path = tmp_path / "ratings"
    path.write_text(text(rows))  # type: ignore[operator]
    bad = BadLines()
    ratings = read_movielens(path, bad)
    assert bad.text == ""
    assert ratings.user_ids[ratings.users].tolist() == [row[0] for row in rows]
    assert ratings.item_ids[ratings.items].tolist() == [row[1] for row in rows]
    assert ratings.times.tolist() == [row[3] for row in rows]


def test_malformed_lines(tmp_path: Path) -> None:
    path = tmp_path / "ratings.dat"
    path.write_text("1::2::3::4\n1::2::3\n1:2::3::4\n1::x::3::4\n1::2::six::4\n9::9::5::9\n")
    bad = BadLines()
    ratings = read_movielens(path, bad)
    assert ratings.user_ids.tolist() == [1, 9] and bad.count == 4
    assert [text.split("dat: ")[1] for text in bad.examples] == [
        "line 2: 3 columns, must be 4",
        "line 3: 3.5 columns, must be 4",
        "line 4, column 2: 'x' is no number of this column",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no lines to read"),
        ("1\t2\t3\t4\n", "line 1: 1 columns, must be 4; no line is a rating"),
        ("userId,movieId,rating,timestamp\n", "no ratings; no line is a rating"),
    ],
)
def test_files_that_hold_no_ratings(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_movielens(path, BadLines())


def sample() -> Ratings:
    rows = drawn()
    users, user = np.unique([row[0] for row in rows], return_inverse=True)
    items, item = np.unique([row[1] for row in rows], return_inverse=True)
    return Ratings(
        users=user.astype(np.uint32),
        items=item.astype(np.uint32),
        times=np.array([row[3] for row in rows]),
        user_ids=users,
        item_ids=items,
    )


def test_the_latest_rating_of_each_user_is_held_out() -> None:
    ratings = sample()
    held_out = leave_one_out(ratings)
    assert held_out.sum() == len(ratings.user_ids)
    for user in range(len(ratings.user_ids)):
        mine = ratings.users == user
        assert ratings.times[mine & held_out] == ratings.times[mine].max()


def test_equal_times_hold_out_the_last_line() -> None:
    zero = np.zeros(3, np.uint32)
    ratings = Ratings(
        users=zero, items=np.arange(3, dtype=np.uint32), times=np.zeros(3, np.int64),
        user_ids=np.array([1]), item_ids=np.arange(3),
    )  # fmt: skip
    assert leave_one_out(ratings).tolist() == [False, False, True]


@pytest.mark.parametrize("items", [10, None])
def test_queries(items: int | None) -> None:
    ratings = sample()
    held_out = leave_one_out(ratings)
    queries = list(user_queries(ratings, items=items))
    assert len(queries) == len(ratings.user_ids)
    places = []
    for user, query in enumerate(queries):
        assert (query.ids[:, 0] == user).all() and (query.ids[:, :2] == query.ids[:, 2:]).all()
        (place,) = np.flatnonzero(query.labels)
        places.append(int(place))
        mine = ratings.users == user
        assert query.ids[place, 1] == ratings.items[mine & held_out]
        others = np.delete(query.ids[:, 1], place)
        assert not np.isin(others, ratings.items[mine]).any()
        assert len(set(query.ids[:, 1])) == len(query.ids)
        expected = items or len(ratings.item_ids) - int(mine.sum()) + 1
        assert len(query.ids) == expected and query.dense.shape == (expected, 0)
    assert len(set(places)) > 4  # ties must not favour the held-out item
    (again,) = user_queries(ratings, items=items, users=[3])
    assert np.array_equal(again.ids, queries[3].ids)


def test_too_many_items() -> None:
    with pytest.raises(UserError, match="queries of 1000 items: user 7 has"):
        next(user_queries(sample(), items=1000))


def test_colons_of_a_separator_are_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "ratings.dat"
    path.write_text("1::2::3::4\n1:9:2::3::4\n")
    bad = BadLines()
    assert read_movielens(path, bad).times.tolist() == [4]
    assert "ratings.dat: line 2: a colon alone" in bad.text


def fuzz(path: Path, text: str, examples: int) -> None:
    """Edited files: what a plain reader takes, every other line counted, or one clear error."""
    source = text.encode()
    edit = st.tuples(
        st.integers(0, len(source) - 1), st.integers(0, 255) | st.sampled_from(b":,.\n\r0")
    )

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
        lines = bytes(changed).removesuffix(b"\n").split(b"\n")
        separator = b"::" if b"::" in changed[:40] else b","
        if lines[0].startswith(b"userId,movieId,rating,timestamp"):
            lines = lines[1:]
        found = [row for line in lines if (row := _row(line, separator)) is not None]
        bad = BadLines()
        try:
            got = read_movielens(path, bad)
        except UserError:
            assert not found
            return
        assert got.user_ids[got.users].tolist() == [row[0] for row in found]
        assert got.item_ids[got.items].tolist() == [row[1] for row in found]
        assert got.times.tolist() == [row[2] for row in found]
        assert bad.count == len(lines) - len(found)

    run()


def _row(line: bytes, separator: bytes) -> tuple[int, int, int] | None:
    """User, item and time of a line that is a rating."""
    fields = line.removesuffix(b"\r").split(separator)
    if len(fields) != 4 or (separator == b"::" and line.count(b":") != 6):
        return None
    numbers = [fields[n] for n in (0, 1, 3)]
    if not all(1 <= len(text) <= 16 and not text.strip(b"0123456789") for text in numbers):
        return None
    rating = fields[2]
    half = len(rating) == 3 and rating[1:2] == b"."
    if (len(rating) != 1 and not half) or rating.replace(b".", b"", half).strip(b"0123456789"):
        return None
    return int(numbers[0]), int(numbers[1]), int(numbers[2])


@pytest.mark.parametrize("text", [old, new])
def test_fuzzed_ratings(text: object, tmp_path: Path) -> None:
    fuzz(tmp_path / "ratings", text(drawn(12)), 60)  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("text", [old, new])
def test_many_fuzzed_ratings(text: object, tmp_path: Path) -> None:
    fuzz(tmp_path / "ratings", text(drawn(12)), 1000)  # type: ignore[operator]
