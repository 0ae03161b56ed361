"""Waves on request: what to record, and a viewer's save file of the useful signals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import toolchain
from .bench import BenchSpec
from .errors import SimulatorError

__all__ = ["Waves", "save_file"]


@dataclass(frozen=True, kw_only=True)
class Waves:
    """Request for waves.

    Raises
    ------
    SimulatorError
        The file's suffix is neither .fst nor .vcd, depth below 1, or an empty window.
    """

    file: Path
    depth: int | None = None
    """Levels of hierarchy below the bench; None: all."""
    window: tuple[int, int] | None = None
    """First cycle and the cycle to stop at."""

    def __post_init__(self) -> None:
        if self.file.suffix not in (".fst", ".vcd"):
            raise SimulatorError(f"waves file must end in .fst or .vcd, not {self.file.name!r}")
        if self.depth is not None and self.depth < 1:
            raise SimulatorError(f"waves depth must be at least 1, not {self.depth}")
        if self.window is not None and not 0 <= self.window[0] < self.window[1]:
            first, last = self.window
            raise SimulatorError(f"waves window must be FROM:TO with FROM < TO, not {first}:{last}")

    def for_machine(self, simulator: str) -> Waves:
        """The same request, as VCD where Verilator cannot write FST."""
        if simulator == "verilator" and self.file.suffix == ".fst" and not toolchain.fst_headers():
            return Waves(file=self.file.with_suffix(".vcd"), depth=self.depth, window=self.window)
        return self


def save_file(spec: BenchSpec, waves: Path, simulator: str) -> Path:
    """Write a save file (GTKWave, also read by Surfer) beside the waves; returns its path."""
    top = "TOP.bench." if simulator == "verilator" else "bench."
    channels = len(spec.masters)

    def signal(name: str, width: int = 1) -> str:
        return f"{top}{name}[{width - 1}:0]" if width > 1 else top + name

    groups = {
        "bench": [("clock", 1), ("host_cycle", 32), ("host_reset", 1), ("host_irq", 1)],
        "registers": [
            ("axil_awvalid", 1), ("axil_awready", 1), ("axil_awaddr", spec.axil_address_bits),
            ("axil_wdata", 32), ("axil_arvalid", 1), ("axil_arready", 1),
            ("axil_araddr", spec.axil_address_bits), ("axil_rvalid", 1), ("axil_rdata", 32),
        ],
        "memory reads": [
            ("arvalid", channels), ("arready", channels), ("arid", channels * spec.id_bits),
            ("araddr", channels * spec.address_bits), ("arlen", channels * 8),
            ("rvalid", channels), ("rready", channels), ("rid", channels * spec.id_bits),
            ("rdata", channels * spec.data_bits), ("rlast", channels), ("rresp", channels * 2),
        ],
        "memory writes": [
            ("awvalid", channels), ("awready", channels),
            ("awaddr", channels * spec.address_bits), ("wvalid", channels), ("wready", channels),
            ("wdata", channels * spec.data_bits), ("wlast", channels), ("bvalid", channels),
            ("bready", channels), ("bresp", channels * 2),
        ],
        "traces": [
            (f"{trace.name}_valid", trace.count) for trace in spec.traces
        ] + [("host_failed", 1), ("host_outstanding", 32)],
    }  # fmt: skip
    lines = [f'[dumpfile] "{waves.resolve()}"', "@22"]
    for title, signals in groups.items():
        lines.append(f"-{title}")
        lines += [signal(name, width) for name, width in signals]
    path = waves.with_suffix(".gtkw")
    path.write_text("\n".join(lines) + "\n")
    return path
