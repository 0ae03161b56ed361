"""Exact top-k against Python's sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.filter import survivors, top_k

# Few distinct values: ties are the rule.
scores = st.lists(st.sampled_from([-32768, -32767, -1, 0, 1, 32767]), min_size=1, max_size=60)


@given(scores, st.data())
def test_equals_sorting_by_score_and_index(values: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(values)))
    got = top_k(np.array(values, np.int16), k).tolist()
    assert got == sorted(range(len(values)), key=lambda i: (-values[i], i))[:k]
    assert survivors(np.array(values, np.int16), k).tolist() == sorted(got)


@pytest.mark.parametrize("k", [0, 4, -1])
def test_k_out_of_range(k: int) -> None:
    with pytest.raises(ValueError, match=f"k must be in 1..3, not {k}"):
        top_k(np.zeros(3), k)
