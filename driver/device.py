"""A simulated device: generated Verilog, compiled bench, pins."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from hdl.config import Config
from hdl.control.registers import ADDRESS_BITS
from hdl.trace import trace_ports
from sim.bench import BenchSpec, Master, Trace
from sim.build import Build, build_bench, cache_folder

__all__ = ["bench_spec", "blocks", "build_device", "device_verilog", "generator_key"]

TOP = "accelerator"
_LOG2_MEMORY = 24
"""A memory of 16 MB at least: runs of different pipelines share one compiled bench."""
_LARGE_PES = 64 * 64
_LOG2_LARGE_MEMORY = 26
"""64 MB for large devices, which take long to compile: enough for any tables they are run with."""
_BLOCKS = (
    "engine", "sub_array", "strip", "activation_bank", "activation_bank_decoded", "weight_bank",
    "gather_lane",
)  # fmt: skip
"""Units that a large device has many of; ``engine`` is ``engine_0``, ``engine_1`` and so on."""


def bench_spec(config: Config, *, memory_bytes: int) -> BenchSpec:
    """Pins and sizes of a traced device in a memory of at least ``memory_bytes``."""
    channels = config.axi_channels
    least = _LOG2_LARGE_MEMORY if config.pes >= _LARGE_PES else _LOG2_MEMORY
    names = ["m_axi_"] if channels == 1 else [f"m_axi{c}_" for c in range(channels)]
    return BenchSpec(
        device=TOP,
        axil_address_bits=ADDRESS_BITS,
        data_bits=config.axi_data_bits,
        id_bits=config.id_bits,
        address_bits=config.address_bits,
        masters=tuple(Master(prefix=name) for name in names),
        traces=tuple(
            Trace(
                name=port.name,
                valid=f"trace_{port.name}_valid",
                payload=f"trace_{port.name}_payload",
                count=port.count,
                width=port.payload.size,
            )
            for port in trace_ports(config)
        ),
        memory_log2_bytes=max(least, (memory_bytes - 1).bit_length()),
    )


def blocks(config: Config, source: Path) -> list[str]:
    """Modules of ``source`` to compile on their own; none where one program is quicker."""
    if config.pes < _LARGE_PES:
        return []
    return re.findall(rf"^module ((?:{'|'.join(_BLOCKS)})(?:_\d+)?)\(", source.read_text(), re.M)


def generator_key(config: Config) -> str:
    """Hash of the generator's sources and the configuration."""
    key = hashlib.sha256(f"{config.hash:08x}".encode())
    root = Path(__file__).resolve().parents[1] / "hdl"
    for path in sorted(root.rglob("*.py")):
        key.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return key.hexdigest()[:20]


def device_verilog(config: Config, progress: Callable[[str], None]) -> Path:
    """Verilog of the traced device, generated unless it is there already."""
    folder = cache_folder() / "verilog"
    path = folder / f"{config.name}-{generator_key(config)}.v"
    if not path.exists():
        from hdl.emit import verilog_text
        from hdl.top import Accelerator

        progress(f"generating Verilog of {config.name}")
        folder.mkdir(parents=True, exist_ok=True)
        text = verilog_text(config, Accelerator(config=config, trace=True), top=TOP)
        part = path.with_suffix(".part")
        part.write_text(text)
        part.replace(path)
    return path


def build_device(
    config: Config,
    *,
    simulator: str,
    memory_bytes: int,
    waves: str | None,
    waves_depth: int | None,
    progress: Callable[[str], None],
) -> Build:
    """Compile the device in its bench, or find it compiled."""
    source = device_verilog(config, progress)
    progress(f"compiling {config.name} for {simulator} (kept for the next run)")
    return build_bench(
        bench_spec(config, memory_bytes=memory_bytes),
        [source],
        simulator=simulator,
        waves=waves,
        waves_depth=waves_depth,
        blocks=blocks(config, source),
    )
