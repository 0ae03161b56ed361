"""MovieLens: `ratings.dat` (1M: two colons between) and `ratings.csv` (20M), as queries.

Leave-one-out: a user's latest rating is held out; the ones before are for training. A query of a
user is the held-out item among items that the user never rated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError
from golden.dataset import Query
from golden.neumf import table_ids

from .lines import BadLines, Block, Part, blocks
from .words import PAD, decimals, last_words

__all__ = ["Ratings", "leave_one_out", "read_movielens", "user_queries"]

_NEWLINE, _COLON, _COMMA, _DOT, _RETURN = 10, 58, 44, 46, 13
_HEADER = b"userId,movieId,rating,timestamp"


@dataclass(frozen=True, kw_only=True, eq=False)
class Ratings:
    """All ratings in file order; users and items numbered by their ids, from 0."""

    users: NDArray[np.uint32]
    items: NDArray[np.uint32]
    times: NDArray[np.int64]
    user_ids: NDArray[np.int64]
    """Id in the files of each user."""
    item_ids: NDArray[np.int64]
    """Id in the files of each item."""


def read_movielens(
    path: Path, bad: BadLines, *, progress: Callable[[int], None] | None = None
) -> Ratings:
    """Read ratings of either format.

    Raises
    ------
    UserError
        No such file, or no line of the first block is a rating.
    """
    columns: list[NDArray[np.int64]] = []
    for number, block in enumerate(blocks(Part(path))):
        start = bytes(block.bytes[PAD : PAD + len(_HEADER)])
        separator, gap = (_COLON, 2) if b"::" in bytes(block.bytes[PAD : PAD + 40]) else (_COMMA, 1)
        header = number == 0 and start == _HEADER
        ratings = _parse(block, bad, separator, gap, skip=int(header))
        if number == 0 and not len(ratings):
            first = bad.examples[0] if bad.examples else f"{path}: no ratings"
            raise UserError(
                f"{first}; no line is a rating: is it MovieLens' ratings.dat or ratings.csv?"
            )
        columns.append(ratings)
        if progress is not None:
            progress(len(block.bytes) - PAD)
    if not columns:
        raise UserError(f"{path}: no lines to read")
    users, items, times = np.concatenate(columns).T
    user_ids, user = np.unique(users, return_inverse=True)
    item_ids, item = np.unique(items, return_inverse=True)
    return Ratings(
        users=user.astype(np.uint32),
        items=item.astype(np.uint32),
        times=times,
        user_ids=user_ids,
        item_ids=item_ids,
    )


def _parse(
    block: Block, bad: BadLines, separator: int, gap: int, *, skip: int
) -> NDArray[np.int64]:
    """[n, 3]: user, item, time of each well-formed line."""
    buffer = block.bytes
    marks = np.flatnonzero((buffer == separator) | (buffer == _NEWLINE))
    marks = marks[np.searchsorted(marks, PAD) :]
    last = np.flatnonzero(buffer[marks] == _NEWLINE)
    counts = np.diff(last, prepend=-1)
    begins = np.concatenate([[PAD], marks[last][:-1] + 1])
    last, counts, begins = last[skip:], counts[skip:], begins[skip:]
    columns = 3 * gap + 1
    good = counts == columns
    for line in np.flatnonzero(~good):
        found = (counts[line] - 1) / gap + 1
        what = f"{found:g} columns, must be 4"
        bad.add(block, int(begins[line]) - PAD, None, what)
    last, begins = last[good], begins[good]
    ends = marks[last[:, None] - np.arange(columns - 1, -1, -1)]
    starts = np.concatenate([begins[:, None], ends[:, :-1] + 1], axis=1)
    # Nothing lies between the two colons of a separator.
    whole = (starts[:, 1::gap] == ends[:, 1::gap]).all(axis=1) if gap == 2 else np.True_
    ends, starts = ends[:, ::gap], starts[:, ::gap]
    ends[:, -1] -= buffer[ends[:, -1] - 1] == _RETURN
    values, right = _numbers(buffer, starts[:, [0, 1, 3]], ends[:, [0, 1, 3]])
    right = np.insert(right, 2, _is_rating(buffer, starts[:, 2], ends[:, 2]), axis=1)
    kept = right.all(axis=1) & whole
    for line in np.flatnonzero(~kept):
        if right[line].all():
            bad.add(block, int(begins[line]) - PAD, None, "a colon alone, columns have two between")
            continue
        column = int((~right[line]).argmax())
        text = bytes(buffer[starts[line, column] : ends[line, column]][:20])
        what = f"{text.decode('ascii', 'replace')!r} is no number of this column"
        bad.add(block, int(begins[line]) - PAD, column + 1, what)
    return values[kept]


def _numbers(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Whole numbers of 1 to 16 digits, and where they are."""
    lengths = ends - starts
    low, right = decimals(last_words(buffer, ends, lengths))
    rest = np.maximum(lengths - 8, 0)
    high, also = decimals(last_words(buffer, np.maximum(ends - 8, PAD), rest))
    return high * 10**8 + low, right & also & (lengths >= 1) & (lengths <= 16)


def _is_rating(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """A digit, alone or with a point and another digit."""

    def digit(place: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (buffer[place] >= 48) & (buffer[place] <= 57)

    lengths = ends - starts
    half = (lengths == 3) & (buffer[np.minimum(starts + 1, ends)] == _DOT) & digit(ends - 1)
    return np.asarray(digit(starts) & ((lengths == 1) | half))


def leave_one_out(ratings: Ratings) -> NDArray[np.bool_]:
    """[ratings]: held out, the latest of each user (of equal times the last one in the file)."""
    order = np.lexsort((np.arange(len(ratings.users)), ratings.times, ratings.users))
    final = np.append(np.diff(ratings.users[order].astype(np.int64)) != 0, True)
    held_out = np.zeros(len(order), bool)
    held_out[order[final]] = True
    return held_out


def user_queries(
    ratings: Ratings, *, items: int | None, users: Sequence[int] | None = None, seed: int = 1
) -> Iterator[Query]:
    """A query for each user: the held-out item among items the user never rated, in random places.

    Parameters
    ----------
    items
        Items of a query, 100 for the usual 99 negatives; None: all that the user never rated.
    users
        Numbers of the users to ask for; None: all.
    seed
        Of the choice and order of items, the same for a user whatever other users are asked for.

    Raises
    ------
    UserError
        A user has rated too many items for queries of this length.
    """
    held_out = leave_one_out(ratings)
    order = np.argsort(ratings.users, kind="stable")
    first = np.searchsorted(ratings.users[order], np.arange(len(ratings.user_ids) + 1))
    for user in range(len(ratings.user_ids)) if users is None else users:
        mine = order[first[user] : first[user + 1]]
        (positive,) = ratings.items[mine[held_out[mine]]]
        free = np.ones(len(ratings.item_ids), bool)
        free[ratings.items[mine]] = False
        candidates = np.flatnonzero(free)
        random = np.random.default_rng([seed, user])
        if items is not None:
            if items - 1 > len(candidates):
                raise UserError(
                    f"queries of {items} items: user {ratings.user_ids[user]} has "
                    f"{len(candidates)} items never rated; at most {len(candidates) + 1}"
                )
            candidates = random.choice(candidates, items - 1, replace=False)
        chosen = random.permutation(np.append(candidates, positive)).astype(np.uint32)
        pairs = np.stack([np.full(len(chosen), user, np.uint32), chosen], axis=1)
        yield Query(
            dense=np.zeros((len(chosen), 0), np.float32),
            ids=table_ids(pairs),
            labels=(chosen == positive).astype(np.uint8),
        )
