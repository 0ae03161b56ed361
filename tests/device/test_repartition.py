"""A change of partition while a query runs, and partitions that are none."""

from __future__ import annotations

from driver.deploy import deploy
from driver.deployment import Deployment
from driver.partition import parse_partition
from hdl.program import Status

from .support import CONFIG, Case

PENDING, ILLEGAL = 1, 2


def other(case: Case, text: str) -> Deployment:
    """The case's models in another partition, in the same memory."""
    models = case.workload.quantised
    cache = case.deployment.cache
    assert cache is not None
    return deploy(
        CONFIG,
        partition=parse_partition(CONFIG, text, stages=len(models)),
        models=models,
        cache=cache,
        image=case.image,
    )


def test_engines_change_while_others_drain() -> None:
    """Those of stage 0 get another mask as soon as the query has no work for them.

    The query is in its last stage then, and does not notice.
    """
    case = Case(partition="4x4:2@0,4x4:2@1")
    after = other(case, "4x4:2,4x4:2@1")
    query = case.query(0)
    case.start()
    registers = case.host.registers
    begin = case.host.ring()
    # Before the query is begun nothing needs an engine, and the change would not wait.
    case.host.job.wait_register(
        registers.address("LOOKUPS"), 1, at_least=True, interval=1, timeout=10_000
    )
    asked = case.host.set_partition(after)
    status = registers.address("PARTITION_STATUS")
    case.host.job.wait_register(status, PENDING, interval=1, timeout=10)
    applied = case.host.job.wait_register(status, 0, interval=1, timeout=100_000)
    registers.read("STATUS", key="after")
    end = case.host.wait(timeout=1_000_000)
    case.finish()
    played = case.play()
    assert played.status(query.entry) == Status.OK
    assert case.difference(played, [(query, case.golden(0))]) is None
    cycles = played.outcome.result.cycles
    first, second = played.completions[query.entry].stage_cycles[:2]
    assert cycles[begin] < cycles[asked] < cycles[applied] < cycles[end]
    assert played.register("after") & 1, "the query was still running"
    # As soon as stage 0 has ended and its scores are taken, long before stage 1 has.
    assert first // 2 < cycles[applied] - cycles[begin] < first + second // 4


def test_a_partition_that_is_none_is_refused_and_the_next_one_works() -> None:
    case = Case(partition="fused")
    queries = [case.query(0), case.query(1), case.query(2)]
    case.start()
    host, registers = case.host, case.host.registers
    host.ring(queries[0].entry + 1)
    host.wait(queries[0].entry + 1, timeout=1_000_000)
    registers.write("PARTITION", 0b01_01_01_00)  # three quarters of an engine and a single one
    registers.write("PARTITION_APPLY", 1)
    host.job.wait_register(registers.address("PARTITION_STATUS"), ILLEGAL, interval=1, timeout=100)
    host.ring(queries[1].entry + 1)
    host.wait(queries[1].entry + 1, timeout=1_000_000)
    host.set_partition(case.deployment)
    host.job.wait_register(registers.address("PARTITION_STATUS"), 0, interval=1, timeout=100)
    host.ring()
    host.wait(timeout=1_000_000)
    case.finish()
    played = case.play()
    statuses = [played.status(query.entry) for query in queries]
    assert statuses == [Status.OK, Status.BAD_PARTITION, Status.OK]
    good = [(queries[0], case.golden(0)), (queries[2], case.golden(2))]
    assert case.difference(played, good) is None


def test_soft_reset_keeps_the_partition() -> None:
    case = Case(partition="4x4:1@0,4x4:3@1")
    query = case.query(0)
    case.start()
    registers = case.host.registers
    registers.write("CONTROL", 0b11)
    case.host.job.wait_register(registers.address("STATUS"), 0b010, mask=0b111, interval=8)
    registers.read("PARTITION_STATUS")
    case.host.ring()
    case.host.wait(timeout=1_000_000)
    case.finish()
    played = case.play()
    assert played.register("PARTITION_STATUS") == 0
    begin = played.outcome.result.cycles[0]
    assert played.status(query.entry) == Status.OK
    assert case.difference(played, [(query, case.golden(0))], since=begin) is None
