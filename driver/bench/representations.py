"""``rpaccel bench representations``: what table, DHE, select and hybrid cost on a device.

Bounds: bytes and MACs of the shapes, array cycles with tile padding, hash cycles of the preset's
lanes, device memory cycles of weights, hash constants and table rows. Then whole queries of
Kaggle's models, simulated on the preset and by the timing model on ``paper``, see
`run_representations`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from golden.mprec import account, mprec_shape
from golden.shape import REPRESENTATIONS, ModelShape
from hdl.config import Config, preset
from hdl.dhe.layouts import HASH_BYTES

from ..errors import UserError
from ..tiles import tile_count
from .representation_runs import RUN_COLUMNS, run_representations
from .table import table_text

__all__ = ["ItemCycles", "bench_representations", "item_cycles", "rows_of_decoder"]

DECODERS = ((1024, 128), (2048, 512, 256))
"""Hashes and hidden layers; the vector width is appended."""
LINE_BYTES = 64
"""Device memory is read in bursts of this size."""

COLUMNS = {
    "data": "data",
    "representation": "repr.",
    "decoder": "decoder",
    "megabytes_float": "fp32 [MB]",
    "megabytes": "int8 [MB]",
    "macs": "MACs/item",
    "dram_bytes": "DRAM bytes/item",
    "array_cycles": "array [cycles/item]",
    "hash_cycles": "hash [cycles/item]",
    "dram_cycles": "DRAM [cycles/item]",
    "bound": "bound",
    "array_utilization": "MAC util. [%]",
    "crossover": "crossover [bytes/cycle]",
}


@dataclass(frozen=True, kw_only=True)
class ItemCycles:
    """Cycles an item of one model on one device, each resource by itself."""

    array: float
    """A row a cycle through every weight tile of MLPs and decoders, one fused engine."""
    hash: float
    dram: float
    dram_bytes: float
    rows: int
    """Items that share streamed weights and hash constants."""

    @property
    def bound(self) -> str:
        """The resource that the others wait for."""
        costs = {"array": self.array, "hash": self.hash, "dram": self.dram}
        return max(costs, key=lambda name: costs[name])

    @property
    def cycles(self) -> float:
        """All resources at work at once."""
        return max(self.array, self.hash, self.dram)


def rows_of_decoder(config: Config, edge: int, sizes: tuple[int, ...]) -> int:
    """Items of a row block whose codes and hidden values fit a slot of the activation banks."""
    pages = [-(-size // edge) for size in sizes[:-1]]
    # Codes and the outputs of the first layer live at once, then each two layers that follow.
    needed = max(a + b for a, b in zip(pages, [*pages[1:], 0], strict=True))
    return min(config.rows, config.activation_bytes // 2 // needed)


def item_cycles(config: Config, shape: ModelShape, *, hit_rate: float = 0.0) -> ItemCycles:
    """Cycles an item, on the whole grid as one engine.

    MLP weights stay on the chip; weights of decoders and hash constants are streamed once a row
    block. Tables are read in bursts of LINE_BYTES at least.

    Parameters
    ----------
    hit_rate
        Share of table lookups that need no device memory.

    Raises
    ------
    UserError
        Not one item's codes fit the activation banks.
    """
    edge = config.grid * config.sub_array

    def tiles(sizes: tuple[int, ...]) -> int:
        pairs = zip(sizes, sizes[1:], strict=False)
        counts = (tile_count(inputs, outputs, edge) for inputs, outputs in pairs)
        return sum(k * n for k, n in counts)

    decoders = [sizes for sizes in shape.decoders if sizes]
    if decoders and not config.hash_lanes:
        raise UserError(f"{shape.name}: {config.name} has no hash lanes")
    rows = min([config.rows, *(rows_of_decoder(config, edge, sizes) for sizes in decoders)])
    if rows < 1:
        raise UserError(f"{shape.name}: codes of one item do not fit {config.name}")
    streamed = sum(tiles(sizes) * edge**2 + HASH_BYTES * sizes[0] for sizes in decoders)
    tables = sum(source == "table" for source, _ in shape.embeddings)
    gathered = tables * -(-shape.width // LINE_BYTES) * LINE_BYTES * (1 - hit_rate)
    dram_bytes = streamed / rows + gathered
    return ItemCycles(
        array=sum(map(tiles, [shape.bottom, shape.top_sizes, *decoders])),
        hash=sum(sizes[0] for sizes in decoders) / max(1, config.hash_lanes),
        dram=dram_bytes / (config.axi_bytes * config.axi_channels),
        dram_bytes=dram_bytes,
        rows=rows,
    )


def _row(config: Config, shape: ModelShape, decoder: tuple[int, ...]) -> dict[str, Any]:
    _, data, representation = shape.name.split("-")
    cycles = item_cycles(config, shape)
    tables = mprec_shape(data, "table")
    lines = tables.sparse_features * -(-tables.width // LINE_BYTES) * LINE_BYTES
    return {
        "data": data,
        "representation": representation,
        "decoder": "-".join(map(str, decoder)) if shape.decoder_macs else "-",
        "megabytes_float": account(shape)["bytes"] / 1e6,
        "megabytes": account(shape, value_bytes=1)["bytes"] / 1e6,
        "macs": shape.macs,
        "hashes": account(shape)["hashes"],
        "rows": cycles.rows,
        "dram_bytes": round(cycles.dram_bytes),
        "array_cycles": cycles.array,
        "hash_cycles": cycles.hash,
        "dram_cycles": cycles.dram,
        "cycles": cycles.cycles,
        "bound": cycles.bound,
        "array_utilization": shape.macs / (config.pes * cycles.cycles),
        # Tables alone take this bandwidth to be as fast; below it DHE is the faster one.
        "crossover": f"{lines / cycles.cycles:.3f}" if shape.decoder_macs else None,
    }


def bench_representations(
    args: argparse.Namespace, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Every representation of Kaggle's and Terabyte's models on one preset.

    Raises
    ------
    ConfigError
        Unknown preset.
    """
    config = preset(args.preset)
    rows: list[dict[str, Any]] = []
    for data, width in (("kaggle", 16), ("terabyte", 64)):
        for representation in REPRESENTATIONS:
            for hidden in DECODERS[: 1 if representation == "table" else None]:
                decoder = (*hidden, width)
                progress(f"{data} {representation}")
                shape = mprec_shape(data, representation, decoder=decoder)
                rows.append(_row(config, shape, decoder))
    text = [
        f"preset {config.name}, one engine of {config.grid * config.sub_array} x "
        f"{config.grid * config.sub_array}, {config.hash_lanes} hash lanes, "
        f"{config.axi_bytes * config.axi_channels} bytes/cycle; bounds, no table lookup hits",
        table_text(COLUMNS, rows),
    ]
    runs = []
    if args.only != "bounds":
        names = [(config.name, args.backend)]
        names += [("paper", "timing")] if config.name != "paper" else []
        runs = run_representations(
            names,
            items=args.items,
            max_rows=args.max_rows,
            held=args.mp_cache,
            seed=args.seed,
            progress=progress,
        )
        text += [
            "",
            f"whole queries of {args.items} items an engine with hash lanes, tables of at most "
            f"{args.max_rows} rows",
            table_text(RUN_COLUMNS, runs),
        ]
    exact = all(row["bit_exact"] is not False for row in runs)
    return {
        "bench": "representations",
        "preset": config.name,
        "rows": rows,
        "runs": runs,
        "text": "\n".join(text),
        "status": 0 if exact else 1,
    }
