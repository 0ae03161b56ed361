"""Plain Python model of what drives and fills a Grid: layers, placement, reference sequencer.

The schedule is as tight as the grid's contract allows, so that a test of the grid with it is a
test of ``latency``, ``turnaround`` and ``tile_interval``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.array.grid import Grid
from hdl.config import Config
from hdl.program import Destination, Function

Matrix = NDArray[np.int64]


@dataclass(kw_only=True, eq=False)
class Layer:
    """One layer, quantised; ``source`` is the layer whose outputs it takes (-1: the job's)."""

    weights: Matrix  # inputs x outputs
    bias: Matrix
    multiplier: Matrix
    shift: Matrix
    function: Function = Function.NONE
    table: int = 0
    destination: Destination = Destination.BANK
    source: int = -1

    def outputs(self, inputs: Matrix, tables: Matrix) -> Matrix:
        """Exact outputs for rows of ``inputs``."""
        total = inputs @ self.weights + self.bias
        rounded = (total * self.multiplier + (1 << (self.shift - 1))) >> self.shift
        limit = 32768 if self.destination == Destination.SCORE else 128
        clamped = np.clip(rounded, -limit, limit - 1)
        if self.function == Function.RELU:
            return np.maximum(clamped, 0)
        return tables[self.table][clamped + 128] if self.function == Function.TABLE else clamped


def random_layer(
    rng: np.random.Generator,
    inputs: int,
    outputs: int,
    *,
    function: Function = Function.NONE,
    table: int = 0,
    destination: Destination = Destination.BANK,
    source: int = -1,
) -> Layer:
    """A layer whose outputs fill the range and clamp now and then."""
    spread = 12000 if destination == Destination.SCORE else 55
    scale = spread / (74 * 74 * np.sqrt(inputs)) * rng.uniform(0.7, 1.4, outputs)
    shift = 15 - np.ceil(np.log2(scale)).astype(np.int64)
    multiplier = np.minimum(65535, np.maximum(32768, np.round(scale * 2.0**shift))).astype(np.int64)
    return Layer(
        weights=rng.integers(-127, 128, (inputs, outputs)),
        bias=rng.integers(-5000, 5001, outputs),
        multiplier=multiplier,
        shift=shift + (multiplier > 65535),
        function=function,
        table=table,
        destination=destination,
        source=source,
    )


@dataclass(kw_only=True, eq=False)
class Job:
    """A row block with its layers, run in one slot of an engine."""

    inputs: Matrix
    layers: list[Layer]
    tables: Matrix
    slot: int = 0
    not_before: int = 0

    @cached_property
    def outputs(self) -> list[Matrix]:
        """Outputs of every layer."""
        done: list[Matrix] = []
        for layer in self.layers:
            source = self.inputs if layer.source < 0 else done[layer.source]
            done.append(layer.outputs(source, self.tables))
        return done

    @property
    def rows(self) -> int:
        return len(self.inputs)


def _tiles(count: int, edge: int) -> int:
    return -(-count // edge)


@dataclass(kw_only=True, eq=False)
class Engine:
    """Jobs placed on one engine: addresses, bank contents and the cycle-by-cycle control."""

    grid: Grid
    config: Config
    anchor: int
    level: int
    jobs: list[Job]
    start: int = 0
    words: dict[int, dict[str, int]] = field(default_factory=dict)
    """Control word by cycle, filled by ``schedule``."""
    page_begins: list[int] = field(default_factory=list)
    """Row 0 of each output tile's last K tile."""
    tile_ends: list[int] = field(default_factory=list)
    rows_issued: int = 0
    bubbles_inside_layers: int = 0

    @property
    def edge(self) -> int:
        return self.config.sub_array << self.level

    @property
    def unit_edge(self) -> int:
        return 1 << self.level

    def unit(self, row: int, column: int) -> int:
        """Number of the engine's sub-array at (row, column)."""
        return self.anchor + row * self.config.grid + column

    # -- placement -----------------------------------------------------------------------------
    def base(self, job: Job, layer: int) -> int:
        """Bank address of a layer's outputs (-1: of the job's inputs), slot included."""
        widths = [job.inputs.shape[1]] + [w.weights.shape[1] for w in job.layers]
        pages = sum(_tiles(width, self.edge) for width in widths[: layer + 1])
        return (job.slot << (self.config.activation_address_bits - 1)) + pages * job.rows

    def order(self) -> Iterator[tuple[int, int, int, int]]:
        """Job, layer, N tile and K tile in the order of execution."""
        for j, job in enumerate(self.jobs):
            for number, layer in enumerate(job.layers):
                inputs, outputs = layer.weights.shape
                for n in range(_tiles(outputs, self.edge)):
                    for k in range(_tiles(inputs, self.edge)):
                        yield j, number, n, k

    def parameter_base(self, job: int, layer: int) -> int:
        """First output tile of a layer in the parameter memory."""
        widths = [
            one.weights.shape[1]
            for j, other in enumerate(self.jobs)
            for number, one in enumerate(other.layers)
            if (j, number) < (job, layer)
        ]
        return sum(_tiles(width, self.edge) for width in widths)

    def weight_words(self) -> Iterator[tuple[int, int, int]]:
        """Sub-array, bank address and word of all weights."""
        size, edge = self.config.sub_array, self.edge
        for t, (j, number, n, k) in enumerate(self.order()):
            weights = self.jobs[j].layers[number].weights
            tile = np.zeros((edge, edge), dtype=np.int8)
            part = weights[k * edge : (k + 1) * edge, n * edge : (n + 1) * edge]
            tile[: part.shape[0], : part.shape[1]] = part
            for row in range(self.unit_edge):
                for column in range(self.unit_edge):
                    piece = tile[row * size : (row + 1) * size, column * size : (column + 1) * size]
                    packed = piece.tobytes()
                    for word in range(self.config.slice_words):
                        low = word * self.config.axi_bytes
                        value = int.from_bytes(packed[low : low + self.config.axi_bytes], "little")
                        yield self.unit(row, column), t * self.config.slice_words + word, value

    def parameter_words(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Sub-array, LOAD address and PARAMETER fields of every channel."""
        size = self.config.sub_array
        for j, job in enumerate(self.jobs):
            for number, layer in enumerate(job.layers):
                for channel in range(layer.weights.shape[1]):
                    tile, lane = divmod(channel, self.edge)
                    strip, column = divmod(lane, size)
                    address = (self.parameter_base(j, number) + tile) * size + column
                    yield self.unit(self.unit_edge - 1, strip), address, {
                        "bias": int(layer.bias[channel]),
                        "multiplier": int(layer.multiplier[channel]),
                        "shift": int(layer.shift[channel]),
                    }  # fmt: skip

    def bank_writes(self, job: Job, rng: np.random.Generator) -> Iterator[dict[str, object]]:
        """The job's inputs as BankWrites of up to E lanes, cut at random places."""
        width = job.inputs.shape[1]
        lanes = self.config.largest_edge_at(*divmod(self.anchor, self.config.grid))
        for row in range(job.rows):
            k = 0
            while k < width:
                count = min(int(rng.integers(1, self.edge + 1)), width - k)
                values = [0] * lanes
                enable = wrapped = 0
                for index in range(k, k + count):
                    lane = index % self.edge
                    values[lane] = int(job.inputs[row, index])
                    enable |= 1 << lane
                    wrapped |= (index // self.edge != k // self.edge) << lane
                address = self.base(job, -1) + k // self.edge * job.rows + row
                yield {
                    "enable": enable,
                    "wrapped": wrapped,
                    "address": address,
                    "wrapped_address": address + job.rows,
                    "data": values,
                }
                k += count

    # -- sequencer -----------------------------------------------------------------------------
    def schedule(self) -> int:
        """Fill ``words`` with the tightest legal schedule; give the cycle after the last word."""
        interval = self.config.tile_interval
        turnaround = self.grid.turnaround(self.level)
        complete: dict[tuple[int, int, int], int] = {}
        load, swap, first, end = self.start - interval, self.start, self.start - interval, -1
        previous = (-1, -1)
        for t, (j, number, n, k) in enumerate(self.order()):
            job = self.jobs[j]
            layer = job.layers[number]
            load = max(swap, load + interval)
            self._word(load, load=1, load_address=t * self.config.slice_words)
            swap = max(load + interval, end)
            self._word(swap, swap=1)
            source = layer.source
            ready = job.not_before if source < 0 else complete[j, source, k] + turnaround
            begin = max(swap + 1, ready, first + interval)
            if previous == (j, number) and job.rows >= interval:
                self.bubbles_inside_layers += begin - max(end + 1, ready)
            first, end, previous = begin, begin + job.rows - 1, (j, number)
            self._rows(begin, j, number, n, k)
            if k == _tiles(layer.weights.shape[0], self.edge) - 1:
                complete[j, number, n] = begin
                self.page_begins.append(begin)
                self.tile_ends.append(end)
        return end + 1

    def _word(self, cycle: int, **fields: int) -> None:
        self.words.setdefault(cycle, {}).update(fields)

    def _rows(self, begin: int, j: int, number: int, n: int, k: int) -> None:
        """The rows of one tile."""
        job = self.jobs[j]
        layer = job.layers[number]
        last = k == _tiles(layer.weights.shape[0], self.edge) - 1
        output = self.base(job, number)
        if layer.destination == Destination.DENSE:
            output = job.slot << (self.config.activation_address_bits - 1)
        for row in range(job.rows):
            self.rows_issued += 1
            self._word(
                begin + row,
                valid=1,
                row=row,
                input_address=self.base(job, layer.source) + k * job.rows + row,
                first=int(k == 0),
                last=int(last),
                tile_end=int(last and row == job.rows - 1),
                parameter=self.parameter_base(j, number) + n,
                output_address=output + n * job.rows + row,
                function=int(layer.function),
                table=layer.table,
                destination=int(layer.destination),
                slot=job.slot,
            )
