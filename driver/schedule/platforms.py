"""Platforms by name: devices, this machine, profile files; with the host's costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hdl.config import ConfigError
from sim.build import cache_folder

from ..errors import UserError
from ..load.profile import LatencyCurve, PlatformProfile, read_profile, write_profile
from ..load.transfer import HostTransfer
from .devices import DEFAULT_ITEMS, Device, device_profile
from .host_models import TOP_K
from .measure import measured_profile

__all__ = ["TRANSFERS", "host_transfer", "machine_profile", "platform", "with_selection"]

TRANSFERS = ("pcie", "dma", "none")
DMA_LATENCY_S = 1e-6
"""Doorbell and descriptors of a transfer."""
DMA_BYTES_PER_S = 12e9
"""PCIe 3.0 x16, protocol taken off."""
ITEM_BYTES = 128
"""An item record of Criteo."""
RESULT_BYTES = 8
"""Id and score."""
PUBLISHED_SELECTION_S = 0.35e-3 / 4096
"""Of an item: the host's sort in RecPipe's published model of its baseline."""
_MOST_ITEMS = 1 << 16


def host_transfer(name: str) -> HostTransfer:
    """A model of transfers by name; UserError lists the names."""
    if name == "pcie":
        return HostTransfer.pcie()
    if name == "dma":
        return HostTransfer.dma(
            latency_s=DMA_LATENCY_S, bytes_per_s=DMA_BYTES_PER_S, item_bytes=ITEM_BYTES,
            result_bytes=RESULT_BYTES,
        )  # fmt: skip
    if name == "none":
        return HostTransfer()
    raise UserError(f"unknown transfer {name!r}; known: {', '.join(TRANSFERS)}")


def machine_profile(
    device: str,
    models: Sequence[str],
    *,
    items: Sequence[int],
    max_rows: int = 10_000,
    clock: str = "wall",
    progress: Callable[[str], None] = lambda text: None,
) -> PlatformProfile:
    """This machine, measured once and kept: the same search later finds the same figures."""
    words = {"device": device, "models": list(models), "items": list(items), "rows": max_rows,
             "clock": clock}  # fmt: skip
    key = hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder() / "profiles" / f"{device}-{key}.json"
    if path.exists():
        return read_profile(path)
    found = measured_profile(
        models, items=items, device=device, clock=clock, max_rows=max_rows, progress=progress
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_profile(path, found)
    return found


def with_selection(profile: PlatformProfile, transfer: str, clock: str) -> PlatformProfile:
    """A device without filter, with what its host takes to select from all scores.

    With ``pcie`` as published; else measured on this machine.
    """
    if transfer == "pcie":
        curve = LatencyCurve(
            model=TOP_K,
            items=(1, _MOST_ITEMS),
            latency_s=(PUBLISHED_SELECTION_S, PUBLISHED_SELECTION_S * _MOST_ITEMS),
        )
        source = "as published"
    else:
        host = machine_profile("cpu", [TOP_K], items=(1, 64, 512, 4096, 16384), clock=clock)
        curve, source = host.curve(TOP_K), "measured on this machine"
    return replace(
        profile,
        curves=(*profile.curves, curve),
        conditions={**profile.conditions, "selection on the host": source},
    )


def platform(
    text: str,
    models: Sequence[str],
    *,
    transfer: str,
    items: Sequence[int] = DEFAULT_ITEMS,
    max_rows: int = 10_000,
    clock: str = "wall",
    seed: int = 1,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> PlatformProfile:
    """A platform by name, called by that name.

    Parameters
    ----------
    text
        ``PRESET`` or ``PRESET/PARTITION``; ``cpu`` or ``cuda``, measured on this machine; or a
        profile's file, ``NAME.json``.
    models
        That it must know; of files nothing is asked.
    transfer
        Host costs of devices, see ``TRANSFERS``.
    clock
        Of measurements, see `measure`.
    workers, cluster
        Where runs of the timing model go, see `sweep`.

    Raises
    ------
    UserError
        No such platform, or none that takes the models.
    """
    if text.endswith(".json"):
        return replace(read_profile(Path(text)), name=text)
    if text in ("cpu", "cuda"):
        found = machine_profile(
            text, models, items=items, max_rows=max_rows, clock=clock, progress=progress
        )
        return replace(found, name=text)
    try:
        device = Device.parse(text)
    except ConfigError as error:
        raise UserError(
            f"unknown platform {text!r}: give cpu, cuda, a profile's file, or a preset; {error}"
        ) from None
    found = device_profile(
        device, models, items=items, host=host_transfer(transfer), max_rows=max_rows, seed=seed,
        workers=workers, cluster=cluster, progress=progress,
    )  # fmt: skip
    if found.kind == "baseline":
        found = with_selection(found, transfer, clock)
    return found
