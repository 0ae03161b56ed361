"""Another partition on a running device: register writes while it is idle, then new tables."""

from __future__ import annotations

from dataclasses import dataclass

from hdl.program import Opcode, Target
from sim.job import JobResult

from .deployment import Deployment, Load
from .host import Host

__all__ = ["Switch", "put_switch", "switch_loads", "write_switch"]

_EMBEDDING = (Target.FEATURES, Target.CACHE_TAGS, Target.CACHE_DATA, Target.CACHE_REGIONS)
"""What no partition changes: tables of the gather lanes."""


@dataclass(frozen=True, kw_only=True)
class Switch:
    """Steps of a job around a change of partition."""

    begin: int
    """Last step before it."""
    registers: int
    """The partition registers are written."""
    loaded: int
    """The tables of the new partition are loaded."""

    def cycles(self, result: JobResult) -> tuple[int, int]:
        """Cycles of the register writes and of the LOADs."""
        at = result.cycles
        return (
            at[self.registers] - at[self.begin],
            at[self.loaded] - at[self.registers],
        )


def switch_loads(deployment: Deployment) -> list[Load]:
    """What a device must load for this partition when it holds the same models already."""
    return [load for load in deployment.loads if load.target not in _EMBEDDING]


def put_switch(host: Host, deployment: Deployment) -> int:
    """Put the LOADs of ``deployment`` into the ring; returns the tail behind them.

    Parameters
    ----------
    host
        Its ring has room for ``switch_loads(deployment)``.
    deployment
        The same models as the host's own in another partition, placed in the same memory image.
    """
    for load in switch_loads(deployment):
        host.put(
            opcode=Opcode.LOAD, address=load.address, items=load.words,
            target=load.target, unit=load.unit, start=load.start,
        )  # fmt: skip
    return host.entries


def write_switch(host: Host, deployment: Deployment, tail: int) -> Switch:
    """Steps that change to ``deployment``: all entries before its LOADs must be done.

    Parameters
    ----------
    host, deployment
        As in ``put_switch``.
    tail
        What that returned.
    """
    begin = len(host.job.steps) - 1
    registers = host.set_partition(deployment)
    host.ring(tail)
    return Switch(begin=begin, registers=registers, loaded=host.wait(tail))
