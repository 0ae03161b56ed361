"""Another partition on a running device: new tables for the engines that change, nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from hdl.program import Opcode, Target
from sim.job import JobResult

from .deployment import Deployment, Load
from .host import Host

__all__ = ["Contents", "Switch", "put_loads", "write_switch"]


class Contents:
    """What LOADs have left in the memories of a device.

    All deployments lie in one memory image, which keeps equal data once: a LOAD is the same as
    another one exactly when it is equal to it.

    Parameters
    ----------
    deployment
        What was loaded after reset.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._held: dict[tuple[Target, int], list[Load]] = {}
        self.change(deployment)

    def change(self, deployment: Deployment) -> list[Load]:
        """The LOADs that ``deployment`` needs besides what is there; they count as done then."""
        missing = []
        for load in deployment.loads:
            held = self._held.setdefault((load.target, load.unit), [])
            if load not in held:
                missing.append(load)
        for load in missing:
            self._lose(load.target, load.unit, load.start, load.start + load.words)
            self._held[load.target, load.unit].append(load)
        self._lose_rings(deployment)
        return missing

    def _lose(self, target: Target, unit: int, first: int, end: int) -> None:
        """Words ``first .. end - 1`` are overwritten."""
        held = self._held.get((target, unit), [])
        held[:] = [old for old in held if old.start >= end or old.start + old.words <= first]

    def _lose_rings(self, deployment: Deployment) -> None:
        """Streamed weights overwrite their ring whenever the engine works."""
        for engine in deployment.partition.engines:
            mapped = deployment.maps.get(engine.unit)
            if mapped is None or not any(mapped.streamed_tiles(n) for n in mapped.stages):
                continue
            end = mapped.ring_base + (1 << mapped.ring_log2_words)
            for row in range(engine.row, engine.row + (1 << engine.level)):
                for column in range(engine.column, engine.column + (1 << engine.level)):
                    unit = row * deployment.config.grid + column
                    self._lose(Target.WEIGHTS, unit, mapped.ring_base, end)


@dataclass(frozen=True, kw_only=True)
class Switch:
    """Steps of a job around a change of partition."""

    begin: int
    """Last step before it."""
    registers: int
    """The partition registers are written."""
    applied: int
    """The partition is in force."""
    loaded: int
    """The tables of the new partition are loaded."""

    def cycles(self, result: JobResult) -> tuple[int, int, int]:
        """Cycles of the register writes, of the change itself, and of the LOADs."""
        at = result.cycles
        return (
            at[self.registers] - at[self.begin],
            at[self.applied] - at[self.registers],
            at[self.loaded] - at[self.applied],
        )


def put_loads(host: Host, loads: list[Load]) -> int:
    """Put LOADs into the ring, for which it has room; returns the tail behind them."""
    for load in loads:
        host.put(
            opcode=Opcode.LOAD, address=load.address, items=load.words,
            target=load.target, unit=load.unit, start=load.start,
        )  # fmt: skip
    return host.entries


def write_switch(host: Host, deployment: Deployment, tail: int) -> Switch:
    """Steps that change to ``deployment``; all entries before its LOADs must be done.

    Parameters
    ----------
    host
        The same models as its own, in another partition, are in its memory image.
    deployment
        Those.
    tail
        Behind the LOADs, see ``put_loads``.
    """
    begin = len(host.job.steps) - 1
    registers = host.set_partition(deployment)
    applied = host.job.wait_register(
        host.registers.address("PARTITION_STATUS"), 0, interval=1, timeout=100_000
    )
    host.ring(tail)
    return Switch(begin=begin, registers=registers, applied=applied, loaded=host.wait(tail))
