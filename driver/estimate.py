"""``rpaccel estimate``: cycles, bytes and hardware of a device before any synthesis.

Cycles come from the timing model, hardware from a count of the elaborated device; both follow
every change of the generator. What each figure may be wrong by stands beside it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from hdl.census import Census, Memory, Multiplier, count_device
from hdl.config import Config, preset
from sim.build import cache_folder

from .bench.table import table_text
from .device import generator_key
from .options import RunOptions
from .run import run

__all__ = ["DSP_BITS", "block_rams", "dsp_blocks", "estimate", "flip_flops"]

DSP_BITS = 18
"""Operand width of a DSP block's multiplier (ECP5 MULT18X18, also a safe value elsewhere)."""
DSP_LEAST_BITS = 8
"""Narrower multiplications are addresses and become logic."""
BLOCK_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
"""Widths and depths of an 18 Kbit block RAM with a read and a write port."""
CELLS_OF_A_BLOCK = 32
"""Cells of logic RAM, 16 words of 4 bits each, that cost as much as a block RAM."""

ERRORS = {
    "cycles": "within 2 % of RTL",
    "dram_bytes": "exact in RTL",
    "macs": "exact",
    "on_chip_bytes": "exact: bits of all memories of the description",
    "flip_flops": "with those behind logic RAM: within 15 % on ECP5",
    "dsps": "multiplications of at least 8 x 8 bits in 18 x 18 blocks: within 5 % on ECP5",
    "block_rams": "18 Kbit blocks, for memories cheaper in them than in logic: within 20 % on ECP5",
}
"""What each figure may be wrong by; the tests hold ``tiny`` against RTL and synthesis."""

# Modules whose instances together are the device, with a name for people.
_PARTS = {
    "pe": "processing elements",
    "gated_pe": "processing elements below a cut",
    "column": "columns: accumulators, requantisers, activation tables",
    "activation_bank": "activation banks",
    "activation_bank_decoded": "activation banks that take decoded vectors",
    "weight_bank": "weight banks",
    "engine": "engines: control, vector buffers, interaction",
    "embedding": "embedding unit",
    "weight_streamer": "weight streamer",
    "dispatcher": "dispatcher and ranking",
    "read_crossbar": "read crossbar",
    "write_master": "write master",
    "registers": "registers",
}


def dsp_blocks(census: Census) -> int:
    """DSP multipliers: operands in pieces of ``DSP_BITS``."""
    return sum(
        -(-m.wide // DSP_BITS) * -(-m.narrow // DSP_BITS) * count
        for m, count in census.multipliers.items()
        if m.narrow >= DSP_LEAST_BITS
    )


def _blocks(memory: Memory) -> int:
    """Fewest blocks of a copy of the memory; 0 when it is cheaper in logic RAM."""
    cells = -(-memory.width // 4) * -(-memory.depth // 16)
    blocks = min(-(-memory.width // w) * -(-memory.depth // d) for w, d in BLOCK_SHAPES)
    return blocks if memory.clocked and blocks * CELLS_OF_A_BLOCK <= cells else 0


def block_rams(census: Census) -> int:
    """Block RAMs: one copy a read port."""
    return sum(count * max(1, m.reads) * _blocks(m) for m, count in census.memories.items())


def flip_flops(census: Census) -> int:
    """Registers of the description, and those behind the read ports of logic RAM.

    What synthesis adds beside block RAM (a word that is written while it is read is read as it was)
    and what it removes (constant or unread bits) are not counted.
    """
    return census.flip_flops + sum(
        count * max(1, m.reads) * m.width
        for m, count in census.memories.items()
        if m.clocked and not _blocks(m)
    )


def _counted(config: Config, progress: Callable[[str], None]) -> dict[str, Census]:
    """Counts by part; kept on disk, because a large device takes a minute."""
    path = cache_folder() / "census" / f"{config.name}-{generator_key(config)}.json"
    if not path.exists():
        progress(f"elaborating {config.name} to count it (kept for the next time)")
        modules = count_device(config, list(_PARTS))
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps({name: _plain(c) for name, c in modules.items()}))
        part.replace(path)
    return {name: _census(plain) for name, plain in json.loads(path.read_text()).items()}


def _plain(census: Census) -> dict[str, Any]:
    return {
        "flip_flops": census.flip_flops,
        "multipliers": [[asdict(m), n] for m, n in sorted(census.multipliers.items())],
        "memories": [[asdict(m), n] for m, n in sorted(census.memories.items())],
        "instances": census.instances,
    }


def _census(plain: dict[str, Any]) -> Census:
    return Census(
        flip_flops=plain["flip_flops"],
        multipliers={Multiplier(**m): n for m, n in plain["multipliers"]},
        memories={Memory(**m): n for m, n in plain["memories"]},
        instances=plain["instances"],
    )


def _hardware(census: Census) -> dict[str, int]:
    return {
        "flip_flops": flip_flops(census),
        "dsps": dsp_blocks(census),
        "block_rams": block_rams(census),
        "on_chip_bytes": census.memory_bits // 8,
    }


def estimate(
    *,
    preset_name: str,
    pipeline: str,
    partition: str | None = None,
    items: int | None = None,
    max_rows: int = 10_000,
    seed: int = 1,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Estimate a query and the device it runs on.

    Raises
    ------
    UserError, ConfigError
        Bad input.
    """
    started = time.perf_counter()
    config = preset(preset_name)
    options = RunOptions(
        preset=preset_name,
        pipeline=pipeline,
        partition=partition,
        items=items,
        max_rows=max_rows,
        seed=seed,
        backend="timing",
    )
    ran = run(options, progress=progress)
    counts = _counted(config, progress)
    whole = counts.pop("device")
    parts: list[dict[str, Any]] = [
        {"part": _PARTS[name], "instances": census.instances[name]} | _hardware(census)
        for name, census in counts.items()
    ]
    hardware = _hardware(whole)
    rest = {key: value - sum(part[key] for part in parts) for key, value in hardware.items()}
    parts.append({"part": "rest: grid, front end, counters", "instances": 1} | rest)
    embedding = ran["embedding"]
    result = {
        key: ran[key]
        for key in (
            "preset", "pipeline", "partition", "config_hash", "items", "cycles", "clock_mhz",
            "microseconds_per_query", "load_cycles", "mac_utilization", "mac_utilization_bound",
            "stages",
        )
    }  # fmt: skip
    result |= {
        "macs": round(ran["mac_utilization"] * config.pes * ran["cycles"]),
        "pes": config.pes,
        "dram_bytes": embedding["dram_bytes"],
        "dram_utilization": embedding["dram_bytes"]
        / (ran["cycles"] * config.axi_bytes * config.axi_channels),
        "hardware": hardware,
        "parts": parts,
        "errors": ERRORS,
        "seconds": time.perf_counter() - started,
    }
    result["text"] = _text(result)
    return result


def _text(result: dict[str, Any]) -> str:
    hardware = result["hardware"]
    stages = [
        {key: stage[key] for key in ("name", "items_in", "items_out", "cycles")}
        for stage in result["stages"]
    ]
    lines = [
        f"preset {result['preset']}, partition {result['partition']}, pipeline "
        f"{result['pipeline']}, {result['items']} items",
        "",
        table_text(
            {"name": "stage", "items_in": "items in", "items_out": "items out", "cycles": "cycles"},
            stages,
        ),
        "",
        f"cycles a query: {result['cycles']} ({result['microseconds_per_query']:.1f} us at "
        f"{result['clock_mhz']:g} MHz), loading {result['load_cycles']}",
        f"MACs: {result['macs']}, {100 * result['mac_utilization']:.1f} % of {result['pes']} PEs "
        f"(tile padding allows {100 * result['mac_utilization_bound']:.1f} %)",
        f"DRAM: {result['dram_bytes']} bytes read, {100 * result['dram_utilization']:.1f} % of "
        "the bandwidth",
        "",
        table_text(
            {
                "part": "part",
                "instances": "instances",
                "flip_flops": "flip-flops",
                "dsps": "DSPs",
                "block_rams": "block RAMs",
                "on_chip_bytes": "bytes",
            },
            [*result["parts"], {"part": "device", "instances": 1} | hardware],
        ),
        "",
        *(f"{name}: {error}" for name, error in result["errors"].items()),
    ]
    return "\n".join(lines)
