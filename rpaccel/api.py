"""The functions of ``import rpaccel``. Heavy modules are imported by the call that needs them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from driver.importers.neumf import Join
    from driver.workload import Workload
    from golden.model import Model
    from golden.neumf import NeuMf

__all__ = ["import_checkpoint", "load_model", "run", "workload"]


def run(
    *,
    preset: str,
    pipeline: str | None = None,
    workload: Workload | None = None,
    queries: int = 1,
    items: int | None = None,
    max_rows: int = 10_000,
    in_flight: int | None = None,
    seed: int = 1,
    cold: bool = False,
    backend: str = "rtl",
    simulator: str = "verilator",
    port: str | None = None,
    port_timeout: float | None = None,
    partition: str | None = None,
    policy: str = "exact",
    sub_batches: int | None = None,
    bins: int | None = None,
    dram: str = "reference",
    table_dram: int | None = None,
    cache_split: str | None = None,
    histogram: str | os.PathLike[str] | None = None,
    mp_cache: int = 0,
    waves: str | os.PathLike[str] | None = None,
    waves_depth: int | None = None,
    waves_window: str | None = None,
    report: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Run queries on a device and compare it with the golden model.

    Parameters
    ----------
    preset
        Device configuration, see ``PRESETS``.
    pipeline
        Named pipeline with its models and data.
    workload
        Instead of a pipeline: own models and queries, see ``workload``.
    queries, items, max_rows, seed
        Of a named pipeline: how many queries, items of its first stage, cap on table rows, seed.
    backend
        ``rtl`` (simulated Verilog), ``timing`` (cycle model), ``golden`` (the integer model
        alone) or ``board``.
    port
        Backend ``board``: serial port, or ``sim:BOARD`` for a simulated board, see docs/boards.md.
    port_timeout
        Seconds before an unanswered request is repeated; None: 1, of a simulated board 60.
    simulator
        ``verilator`` or ``icarus``.
    partition
        Engines, such as ``"8x8:1"``, ``"4x4:2@0,4x4:2@1"``, ``fused``, ``split``, or ``search``:
        the timing model chooses; ``partition_search`` of the result says what the others give.
    cold
        Count the loading of weights and cache in ``cycles``.
    dram
        Device memory: ``reference``, ``fast`` (no latency) or ``hostile`` (random latency up to
        2000 cycles, any order; not in the timing model).
    table_dram
        Timing model: bytes of device memory for tables; the larger ones lie on an SSD.
    cache_split
        Sets of each stage in every lane's static cache, such as ``"256+64"``; None: chosen.
    histogram
        File of ``rpaccel profile`` to choose the static cache's rows with.
    mp_cache
        Finished DHE vectors of hot ids that engines hold, at most.
    waves, waves_depth, waves_window
        File to record signals in, levels of hierarchy, cycles as FROM:TO.
    in_flight, policy, sub_batches, bins, report
        As on the command line.
    progress
        Takes a line of text now and then.

    Returns
    -------
    What ``rpaccel run --json`` writes, ``text`` for people, and ``status``: 0 when everything is
    equal, 1 for a difference.

    Raises
    ------
    UserError, ConfigError, SimulatorError
        Bad input; the message is one line.
    SimulationError
        The simulation failed.
    """
    # The emitter of a pinned package, never whatever yosys the machine happens to have.
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    from driver.options import RunOptions
    from driver.run import run as run_options

    from .port import SIMULATED_TIMEOUT, is_simulated, opened_port

    seconds = SIMULATED_TIMEOUT if is_simulated(port) else 1.0
    options = RunOptions(
        preset=preset,
        pipeline=pipeline,
        queries=queries,
        items=items,
        max_rows=max_rows,
        in_flight=in_flight,
        seed=seed,
        cold=cold,
        backend=backend,
        simulator=simulator,
        port=port,
        port_timeout=seconds if port_timeout is None else port_timeout,
        partition=partition,
        policy=policy,
        sub_batches=sub_batches,
        bins=bins,
        dram=dram,
        table_dram=table_dram,
        cache_split=cache_split,
        histogram=None if histogram is None else Path(histogram),
        mp_cache=mp_cache,
        waves=None if waves is None else Path(waves),
        waves_depth=waves_depth,
        waves_window=waves_window,
        report=None if report is None else Path(report),
    )
    with opened_port(options, progress or _silent) as ready:
        return run_options(ready, workload=workload, progress=progress or _silent)


def _silent(text: str) -> None:
    """Progress that nobody watches."""


def workload(
    *,
    models: Sequence[Model | NeuMf | str | os.PathLike[str]],
    keep: Sequence[int],
    queries: Sequence[Sequence[ArrayLike]],
    calibration: Sequence[ArrayLike] | None = None,
    name: str = "custom",
) -> Workload:
    """Own models and queries for ``run``: checked and quantised.

    Parameters
    ----------
    models
        One a stage: from ``load_model`` or ``import_checkpoint``, or paths; all DLRM or all NeuMF.
    keep
        Items each stage keeps.
    queries
        ``(dense, ids)`` or ``(dense, ids, labels)`` of each query; dense is float, log taken. Of
        NeuMF ``(pairs,)`` or ``(pairs, labels)``: numbers of user and item, [items, 2].
    calibration
        ``(dense, ids)``, or ``(pairs,)``, to choose number ranges and cached rows with; None: the
        queries.
    name
        For the output.

    Raises
    ------
    UserError
        Empty, NaN or infinite, an id outside its table, k larger than n, a bad model file.
    """
    from driver.inputs import make_workload

    return make_workload(
        models=models, keep=keep, queries=queries, calibration=calibration, name=name
    )


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model file.

    Raises
    ------
    UserError
        Missing, truncated or foreign file.
    """
    from driver.files import read_model

    return read_model(path)


def import_checkpoint(
    path: str | os.PathLike[str], *, name: str | None = None, join: Join | None = None
) -> Model | NeuMf:
    """Read a checkpoint of ``torch.save`` or a safetensors file: a DLRM or a NeuMF.

    Parameters
    ----------
    name
        Of the model; None: of the file.
    join
        NeuMF only: order of the branches before the last layer, ``mf-mlp`` or ``mlp-mf``.

    Raises
    ------
    UserError
        Missing, damaged or foreign file, anything in it but weights, shapes that do not fit, NaN.
    """
    from driver.importers.checkpoint import import_checkpoint as read

    return read(path, name=name, join=join)
