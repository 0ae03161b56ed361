"""Counters against the sums of events."""

from __future__ import annotations

from driver.event_sums import compare_sums


def test_the_first_counter_that_differs_is_told() -> None:
    counters = {"HITS": 3, "MISSES": 5, "OTHERS": 9}
    assert compare_sums("lookup counters", {"HITS": 3, "MISSES": 5}, counters) is None
    told = compare_sums("held vectors", {"HITS": 3, "MISSES": 4, "OTHERS": 1}, counters)
    assert told == "held vectors: MISSES is 5, the events' sum is 4"
