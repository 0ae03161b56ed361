"""Another partition on a running device: new tables for the engines that change, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hdl.program import Target
from sim.job import JobResult

from .deployment import Deployment, Load
from .host import Host

__all__ = ["Contents", "Switch", "put_loads", "write_switch"]


class Contents:
    """What LOADs have left in the memories of a device.

    All deployments lie in one memory image, which keeps equal data once: words are the same as
    others exactly when they come from the same place.

    Parameters
    ----------
    deployment
        What was loaded after reset.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._held: dict[tuple[Target, int], list[tuple[int, int, int]]] = {}
        self.change(deployment)

    def change(self, deployment: Deployment) -> list[Load]:
        """The LOADs that ``deployment`` needs besides what is there; they count as done then."""
        missing = []
        for load in deployment.loads:
            units = tuple(u for u in load.units if _words(load) not in self._of(load.target, u))
            if units:
                missing.append(replace(load, units=units))
        for load in missing:
            for unit in load.units:
                self._lose(load.target, unit, load.start, load.start + load.words)
                self._of(load.target, unit).append(_words(load))
        self._lose_rings(deployment)
        return missing

    def _lose(self, target: Target, unit: int, first: int, end: int) -> None:
        """Words ``first .. end - 1`` are overwritten."""
        held = self._of(target, unit)
        held[:] = [old for old in held if old[0] >= end or old[0] + old[1] <= first]

    def _of(self, target: Target, unit: int) -> list[tuple[int, int, int]]:
        """What is in a memory, see ``_words``."""
        return self._held.setdefault((target, unit), [])

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


def _words(load: Load) -> tuple[int, int, int]:
    """Place in the unit's memory, number, place in device memory."""
    return load.start, load.words, load.address


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
        host.put(**load.fields())
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
