"""The integer model is quick enough to be the reference for everything."""

from __future__ import annotations

import time

from driver.pipelines import pipeline
from driver.run import golden_results
from driver.workload import load_workload


def test_kaggle_2_at_4096_items() -> None:
    """At least 5 queries a second of one core (processor time: other work may run)."""
    workload = load_workload(pipeline("kaggle-2"), queries=2, max_rows=1000, seed=1)
    golden_results(workload, keep_layers=False)
    start = time.process_time()
    results = golden_results(workload, keep_layers=False)
    seconds = time.process_time() - start
    assert len(results) / seconds > 5
