"""The host's half of a run: rings and item records in device memory, register accesses in a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.filter import POLICIES, FunnelRules
from golden.pipeline import WHOLE
from hdl import program as fmt
from hdl.config import Config
from hdl.control.register import Register
from hdl.control.registers import COUNTERS, register_table
from hdl.engine.cause import Cause
from hdl.words import pack_bytes, unpack
from sim.job import Job, JobResult

from .deployment import Deployment
from .errors import UserError
from .image import MemoryImage

__all__ = [
    "Host",
    "PlacedQuery",
    "Registers",
    "completions",
    "engine_cycles",
    "host_filter",
    "record_bytes",
    "register_value",
    "results",
]

_RING_LIMIT = 1 << 15
"""Most entries of a ring: its size is a 16-bit power of two."""
_RESULT_BYTES = 8
_NO_TIMEOUT = 1 << 30
"""Cycles; the time limit of the simulation ends what takes too long."""


@dataclass(frozen=True, kw_only=True)
class PlacedQuery:
    """Where a query of the submission ring lies in device memory."""

    entry: int
    """Slot of the ring."""
    records: int
    result: int
    results: int
    """Results the device writes: of the last stage, or all scores where the host filters."""


class Registers:
    """Register accesses by name, added to a job.

    Parameters
    ----------
    config
        Device.
    job
        Where the steps go.
    """

    def __init__(self, config: Config, job: Job) -> None:
        self.table: dict[str, Register] = {r.name: r for r in register_table(config)}
        self._job = job

    def address(self, name: str, index: int = 0) -> int:
        """Byte address of an element's first word."""
        register = self.table[name]
        return register.offset + 4 * register.words * index

    def write(self, name: str, value: int, index: int = 0) -> int:
        """Write all words of an element; returns the step of the last write."""
        step = 0
        for word in range(self.table[name].words):
            part = value >> 32 * word & 0xFFFFFFFF
            step = self._job.write(self.address(name, index) + 4 * word, part)
        return step

    def read(self, name: str, index: int = 0, key: str | None = None) -> None:
        """Read all words of an element into the job's values, see ``register_value``."""
        for word in range(self.table[name].words):
            self._job.read(self.address(name, index) + 4 * word, f"{key or name}.{index}.{word}")


def register_value(values: dict[str, int], name: str, index: int = 0) -> int:
    """What ``Registers.read`` brought back."""
    return values[f"{name}.{index}.0"] | values.get(f"{name}.{index}.1", 0) << 32


def record_bytes(deployment: Deployment, dense: NDArray[np.int8], ids: NDArray[np.uint32]) -> bytes:
    """Item records of a query."""
    out = np.zeros((len(dense), deployment.pitch), np.uint8)
    out[:, : dense.shape[1]] = dense.view(np.uint8)
    places = deployment.places
    words = np.full((len(ids), places.count), fmt.EMPTY_ID, "<u4")
    words[:, places.columns] = ids[:, list(deployment.looked_up)]
    decoded = np.ascontiguousarray(deployment.decoded.words(ids).astype("<u4"))
    for start, part in ((deployment.first_id, decoded), (deployment.ids_offset, words)):
        if part.shape[1]:
            out[:, start : start + 4 * part.shape[1]] = part.view(np.uint8)
    return out.tobytes()


class Host:
    """Fills the rings in the image and writes the job that works them.

    Place everything first (``put_*``), then add steps: ``open``, ``ring``, ``wait``, reads.

    Parameters
    ----------
    deployment
        What is loaded; its LOADs become the first entries of the ring.
    image
        Device memory, holds the deployment already.
    entries
        Entries that will be put behind the LOADs.

    Raises
    ------
    UserError
        The rings do not fit the device or its memory.
    """

    def __init__(self, deployment: Deployment, image: MemoryImage, *, entries: int) -> None:
        count = len(deployment.loads) + entries
        self.size = 1 << count.bit_length()  # more than the entries: one slot always stays free
        if self.size > _RING_LIMIT:
            raise UserError(f"{count} submission entries do not fit a ring of {_RING_LIMIT}")
        self._deployment = deployment
        self._image = image
        self.job = Job()
        self.registers = Registers(deployment.config, self.job)
        self.submissions = image.reserve(
            self.size * fmt.SUBMISSION_BYTES, align=4096, what="submission ring"
        )
        self.completions = image.reserve(
            self.size * fmt.COMPLETION_BYTES, align=4096, what="completion ring"
        )
        self.entries = 0
        for load in deployment.loads:
            self.put(**load.fields())
        self.loads = self.entries

    # -- memory --------------------------------------------------------------------------------
    def put(self, **fields: Any) -> int:
        """Write fields of ``SUBMISSION`` into the next slot of the ring; returns the slot."""
        slot = self.entries
        if slot + 1 >= self.size:
            raise ValueError(f"the ring of {self.size} entries is full")
        blob = pack_bytes(fmt.SUBMISSION, {"tag": slot, **fields})
        self._image.write(self.submissions + slot * fmt.SUBMISSION_BYTES, blob)
        self.entries += 1
        return slot

    def put_query(
        self,
        dense: NDArray[np.int8],
        ids: NDArray[np.uint32],
        keep: Sequence[int],
        rules: FunnelRules = WHOLE,
        **changes: Any,
    ) -> PlacedQuery:
        """Place records, room for results and the entry.

        Parameters
        ----------
        dense, ids
            Inputs of all items.
        keep
            Items that each stage keeps.
        rules
            Sub-batches and policy.
        changes
            Fields of the entry to set otherwise.
        """
        # Not shared with an equal query: each has its own records.
        blob = record_bytes(self._deployment, dense, ids)
        records = self._image.reserve(
            len(blob), align=self._deployment.config.record_alignment, what="item records"
        )
        self._image.write(records, blob)
        on_chip = self._deployment.config.features.on_chip_filter
        count = keep[-1] if on_chip else len(dense)
        result = self._image.reserve(_RESULT_BYTES * count, what="results")
        values: dict[str, Any] = {
            "opcode": fmt.Opcode.QUERY,
            "pipeline": 0,
            "address": records,
            "result": result,
            "items": len(dense),
            "keep": [*keep] + [0] * (4 - len(keep)),
            "flags": {
                "policy": POLICIES.index(rules.policy),
                "bins": rules.bins,
                "sub_batches_less_one": rules.sub_batches - 1,
            },
        }
        slot = self.put(**values | changes)
        return PlacedQuery(entry=slot, records=records, result=result, results=count)

    # -- steps ---------------------------------------------------------------------------------
    def open(self) -> None:
        """Check the device's identity, set rings, window and partition, enable the interrupt."""
        self.registers.read("CONFIG_HASH")
        for name, value in (
            ("SUBMISSION_BASE", self.submissions),
            ("SUBMISSION_SIZE", self.size),
            ("COMPLETION_BASE", self.completions),
            ("COMPLETION_SIZE", self.size),
            ("WINDOW_BASE", 0),
            ("WINDOW_LIMIT", self._image.size),
        ):
            self.registers.write(name, value)
        self.set_partition(self._deployment)
        self.registers.write("CONTROL", 0b10)  # irq_enable

    def set_partition(self, deployment: Deployment) -> int:
        """Ask for the partition, with any queries in flight; returns the last step.

        Entries rung for after this step run in the new partition.
        """
        partition = deployment.partition
        stages = max(len(programs) for programs in deployment.pipelines)
        masks = [partition.stage_mask(u, stages) for u in range(deployment.config.sub_arrays)]
        for name, bits, values in (
            ("PARTITION", 2, partition.levels),
            ("ENGINE_STAGES", 4, masks),
        ):
            per_word = 32 // bits
            for word in range(-(-len(values) // per_word)):
                part = values[word * per_word : (word + 1) * per_word]
                value = sum(v << bits * i for i, v in enumerate(part))
                self.registers.write(name, value, word)
        return self.registers.write("PARTITION_APPLY", 1)

    def ring(self, tail: int | None = None) -> int:
        """Ring the doorbell for all entries before ``tail`` (default: all); returns the step."""
        return self.registers.write("SUBMISSION_TAIL", self.entries if tail is None else tail)

    def wait(
        self, tail: int | None = None, *, at_least: bool = False, timeout: int = _NO_TIMEOUT
    ) -> int:
        """Sleep until the entries before ``tail`` (default: all) are done; returns the step.

        ``at_least``: entries behind it were rung for already.
        """
        clear = (self.registers.address("IRQ_STATUS"), 0b11)
        step = self.job.wait_register(
            self.registers.address("COMPLETION_TAIL"),
            self.entries if tail is None else tail,
            at_least=at_least,
            clear=clear,
            timeout=timeout,
        )
        self.job.write(*clear)
        return step

    def read_counters(self) -> None:
        """Read all event and engine counters."""
        for name, _ in COUNTERS:
            self.registers.read(name)
        for engine in self._deployment.partition.engines:
            self.registers.write("COUNTER_SELECT", engine.unit)
            for index in range(len(Cause)):
                self.registers.read("ENGINE_CYCLES", index, key=f"engine_{engine.unit}")

    def dump_completions(self, key: str = "completions") -> None:
        """Bring the whole completion ring back."""
        self.job.dump(self.completions, self.size * fmt.COMPLETION_BYTES, key)

    def dump_results(self, query: PlacedQuery, key: str) -> None:
        """Bring the results of a query back, rounded up to whole memory words."""
        word = self._deployment.config.axi_bytes
        size = -(-_RESULT_BYTES * query.results // word) * word
        self.job.dump(query.result, size, key)


def completions(result: JobResult, count: int, key: str = "completions") -> list[Any]:
    """The first ``count`` entries of a dumped completion ring, as ``COMPLETION`` constants."""
    size = fmt.COMPLETION_BYTES
    blob = result.memory[key]
    return [unpack(fmt.COMPLETION, blob[i * size : (i + 1) * size]) for i in range(count)]


def host_filter(found: NDArray[np.int32], keep: int) -> NDArray[np.int32]:
    """Top-k on the host, for a device without the filter: best first, ties by item index.

    Parameters
    ----------
    found
        All scores of the stage, [n, (item, score)].
    keep
        Items to return.
    """
    return found[np.lexsort((found[:, 0], -found[:, 1]))[:keep]]


def results(result: JobResult, query: PlacedQuery, key: str) -> NDArray[np.int32]:
    """Dumped results of a query: [k, (item, score)], best first, or all where the host filters."""
    return np.frombuffer(result.memory[key], "<i4").reshape(-1, 2)[: query.results]


def engine_cycles(values: dict[str, int], unit: int) -> dict[str, int]:
    """Cycles of an engine by cause, as ``Host.read_counters`` read them."""
    return {c.name.lower(): register_value(values, f"engine_{unit}", c.value) for c in Cause}
