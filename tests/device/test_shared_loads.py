"""What engines have in common is read once and written to all of them."""

from __future__ import annotations

import pytest

from driver.host import register_value
from hdl.program import SUBMISSION_BYTES, Status, Target

from .support import CONFIG, Case

ENGINES = {"4x4:4": ((0, 1, 2, 3),), "4x4:2@0,4x4:2@1": ((0, 1), (2, 3)), "8x8:1": ((0,),)}
"""Partitions, and the anchors of their engines by contents."""


@pytest.mark.parametrize("partition", ENGINES)
def test_each_word_is_read_once(partition: str) -> None:
    case = Case(partition=partition)
    query = case.query(0)
    loads = case.deployment.loads
    # Stage words and shifts may differ: engines at some places have more multipliers.
    engines = tuple(load.units for load in loads if load.target is Target.LAYERS)
    assert engines == ENGINES[partition]
    beats = sum(
        load.words if load.target is Target.WEIGHTS else -(-load.words * 8 // CONFIG.axi_bytes)
        for load in loads
    )
    case.start()
    case.host.registers.read("READ_BEATS")
    case.host.ring()
    case.host.wait(timeout=1_000_000)
    case.finish()
    played = case.play()
    entries = len(loads) * SUBMISSION_BYTES // CONFIG.axi_bytes
    assert register_value(played.values, "READ_BEATS") == beats + entries
    # Every engine works with what it got: all values of all layers are golden's.
    assert played.status(query.entry) == Status.OK
    assert case.difference(played, [(query, case.golden(0))]) is None


def test_words_for_some_sub_arrays_leave_the_others_alone() -> None:
    """Wrong weights everywhere spoil a query, the right ones behind them the next one not."""
    case = Case(partition="4x4:3@0,4x4:1@1")
    wrong = case.image.put(bytes(range(256)) * (CONFIG.weight_bytes // 256))
    for unit in range(CONFIG.sub_arrays):
        case.host.put(
            opcode=2, target=Target.WEIGHTS, unit=unit, items=CONFIG.weight_words, address=wrong
        )
    spoilt = case.query(0)
    right = [load for load in case.deployment.loads if load.target is Target.WEIGHTS]
    assert sorted(len(load.units) for load in right) == [1, 3]
    for load in right:
        case.host.put(**load.fields())
    query = case.query(1)
    played = case.run()
    golden = case.golden(1)
    assert played.results(query)[:, 1].tolist() == golden.scores.tolist()
    assert played.results(spoilt)[:, 1].tolist() != case.golden(0).scores.tolist()
