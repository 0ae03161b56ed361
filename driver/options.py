"""Options of a run, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from golden.filter import MOST_SUB_BATCHES, POLICIES

from .errors import UserError

__all__ = ["BACKENDS", "BIN_WIDTHS", "DRAM_MODES", "RunOptions"]

DRAM_MODES = ("reference", "fast", "hostile")
"""``reference``: latency 100, banks, open rows, refresh. ``fast``: a beat in the cycle after its
address. ``hostile``: random latency up to 2000 cycles, bursts of different ids in any order and
mixed, back-pressure; in simulation only."""
BACKENDS = ("rtl", "timing", "golden", "board")
BIN_WIDTHS = (4096, 1024, 256, 64)
"""Of the bins of policy binned, by the device's code."""
DEFAULT_BINS = 256
_SEED_LIMIT = 1 << 31


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run; what to run is the preset, the pipeline and the queries.

    Raises
    ------
    UserError
        A value is unknown, out of range, or not available in this version.
    """

    preset: str
    pipeline: str | None = None
    """Name; None when the caller brings a workload."""
    queries: int = 1
    items: int | None = None
    """Items of the first stage; scales all stages."""
    max_rows: int = 10_000
    """Cap on the rows of an embedding table."""
    in_flight: int | None = None
    """Queries that the host has submitted at any time; None: all."""
    seed: int = 1
    cold: bool = False
    """Count the loading of weights and cache in ``cycles``."""
    backend: str = "rtl"
    simulator: str = "verilator"
    port: str | None = None
    """Serial port of backend board."""
    port_timeout: float = 1.0
    """Seconds after which an unanswered request to the board is repeated."""
    partition: str | None = None
    policy: str = "exact"
    sub_batches: int | None = None
    """Parts of a query that stages work on one after the other; None: see `funnel_rules`."""
    bins: int | None = None
    """Width of the bins of policy binned; None: ``DEFAULT_BINS``."""
    dram: str = "reference"
    """Behaviour of device memory, see ``driver/dram.py``."""
    table_dram: int | None = None
    """Bytes of device memory for tables; others lie on an SSD. Timing model only."""
    cache_split: str | None = None
    """Sets of each stage in every lane's static cache, such as ``256+64``; None: the driver's."""
    histogram: Path | None = None
    """File of ``rpaccel profile`` that chooses the static cache's rows."""
    mp_cache: int = 0
    """Finished DHE vectors of hot ids that engines hold, at most: they need no hash and no decoder.
    0: all are decoded."""
    waves: Path | None = None
    waves_depth: int | None = None
    waves_window: str | None = None
    """FROM:TO in cycles."""
    report: Path | None = None
    """HTML page to write."""

    def __post_init__(self) -> None:
        known_values = {"backend": BACKENDS, "policy": POLICIES, "dram": DRAM_MODES}
        for field, known in known_values.items():
            value = getattr(self, field)
            if value not in known:
                raise UserError(f"unknown {field} {value!r}; known: {', '.join(known)}")
        counts = ("queries", "items", "max_rows", "in_flight", "sub_batches", "waves_depth")
        for field in counts:
            value = getattr(self, field)
            if value is not None and value < 1:
                raise UserError(f"{field} must be at least 1, not {value}")
        if self.mp_cache < 0:
            raise UserError(f"mp_cache must be at least 0 vectors, not {self.mp_cache}")
        if not 0 <= self.seed < _SEED_LIMIT:
            raise UserError(f"seed must be in 0..{_SEED_LIMIT - 1}, not {self.seed}")
        if self.waves is not None and not self.waves.parent.is_dir():
            raise UserError(f"waves: no folder {self.waves.parent}")
        if self.report is not None and not self.report.absolute().parent.is_dir():
            raise UserError(f"report: no folder {self.report.parent}")
        if self.report is not None and self.report.is_dir():
            raise UserError(f"report: {self.report} is a folder")
        if self.waves_window is not None and self.waves_cycles is None:
            raise UserError(f"waves_window must be FROM:TO, not {self.waves_window!r}")
        if self.sub_batches is not None and self.sub_batches > MOST_SUB_BATCHES:
            raise UserError(
                f"sub_batches must be at most {MOST_SUB_BATCHES}, not {self.sub_batches}"
            )
        if self.bins is not None:
            if self.policy != "binned":
                raise UserError(f"bins go with policy binned, not {self.policy}")
            if self.bins not in BIN_WIDTHS:
                raise UserError(
                    f"bins must be {', '.join(map(str, BIN_WIDTHS))} wide, not {self.bins}"
                )
        if self.dram == "hostile" and self.backend == "timing":
            raise UserError(
                "dram hostile is random: it runs on backend rtl, not in the timing model"
            )
        if self.table_dram is not None and self.table_dram < 0:
            raise UserError(f"table_dram must be at least 0 bytes, not {self.table_dram}")
        if self.table_dram is not None and self.backend != "timing":
            raise UserError("table_dram goes with backend timing: only it has an SSD")
        self._check_board()

    @property
    def bins_code(self) -> int:
        """Width of the bins as the device takes it."""
        if self.policy != "binned":
            return 0
        return BIN_WIDTHS.index(self.bins or DEFAULT_BINS)

    def _check_board(self) -> None:
        """A board has a serial port, and nothing that looks inside it."""
        if self.backend != "board":
            if self.port is not None:
                raise UserError(f"port goes with backend board, not {self.backend}")
            return
        if self.port is None:
            raise UserError("backend board needs port, such as /dev/ttyUSB0")
        if not self.port_timeout > 0:
            raise UserError(f"port_timeout must be above 0 s, not {self.port_timeout:g}")
        for field in ("waves", "report"):
            if getattr(self, field) is not None:
                raise UserError(f"{field} needs what happens inside: use backend rtl")
        if self.dram != "reference":
            raise UserError("dram is the behaviour of a simulated memory: a board has its own")

    @property
    def waves_cycles(self) -> tuple[int, int] | None:
        """The window as numbers; None without one (or with one that is none)."""
        if self.waves_window is None:
            return None
        try:
            first, last = (int(part) for part in self.waves_window.split(":"))
        except ValueError:
            return None
        return first, last
