"""When other finished vectors are worth a LOAD, and which."""

from __future__ import annotations

import numpy as np
import pytest

from driver.errors import UserError
from driver.held_refresh import HeldRefresh
from driver.result_plan import table_number
from golden.shape import ModelShape
from hdl.config import preset

TINY = preset("tiny")
SHAPE = ModelShape(
    name="m",
    width=8,
    bottom=(4, 8),
    top=(1,),
    rows=(50, 20),
    interaction="cat",
    embeddings=(("dhe", 0), ("dhe", 1)),
    decoders=((32, 8), (16, 8)),
)


def refresh(**options: float) -> HeldRefresh:
    return HeldRefresh(TINY, [SHAPE], None, entries=4, **options)


def query(*ids: tuple[int, int]) -> np.ndarray:
    return np.array(ids, np.uint32)


def test_contents_follow_what_is_asked_for() -> None:
    """Counts times MACs: feature 0 costs twice as much. Then other ids are hot."""
    host = refresh()
    host.observe(query(*[(7, 3)] * 5, *[(8, 4)] * 3, (9, 5)))
    first = host.proposal()
    assert first is not None
    assert set(first.places) == {
        (table_number(0, 0), 7), (table_number(0, 0), 8),
        (table_number(0, 1), 3), (table_number(0, 1), 4),
    }  # fmt: skip
    host.loaded(first)
    assert host.saved(first) == pytest.approx(8 / 9)
    host.observe(query(*[(7, 3)] * 5))
    assert host.proposal() is None  # nothing to gain
    host.observe(query(*[(30, 11)] * 9))
    second = host.proposal()
    assert second is not None and (table_number(0, 0), 30) in second.places


def test_a_small_gain_is_not_worth_a_load() -> None:
    for gain, loads in ((0.3, False), (0.1, True)):
        host = refresh(gain=gain, decay=1.0)
        host.observe(query(*[(1, 1)] * 4, *[(2, 2)] * 4))
        first = host.proposal()
        assert first is not None
        host.loaded(first)
        host.observe(query((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)))
        assert (host.proposal() is not None) == loads


def test_without_decay_history_counts_for_nothing() -> None:
    host = refresh(decay=0.0)
    host.observe(query((1, 1)))
    host.proposal()
    assert not any(count.any() for count in host.counts)
    assert host.proposal() is None


def test_ids_beyond_the_rows() -> None:
    """They are decoded as any id, but not counted."""
    host = refresh()
    host.observe(query((60, 19), (60, 19)))
    plan = host.proposal()
    assert plan is not None and set(plan.places) == {(table_number(0, 1), 19)}


@pytest.mark.parametrize(("name", "value"), [("decay", 1.5), ("gain", -0.1)])
def test_bad_settings(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be in 0\.\.1, not {value}"):
        refresh(**{name: value})


def test_more_than_the_device_holds() -> None:
    host = HeldRefresh(TINY, [SHAPE], None, entries=100_000)
    host.observe(query((1, 1)))
    with pytest.raises(UserError, match="mp_cache must be at most 256 on tiny"):
        host.proposal()
