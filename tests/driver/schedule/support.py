"""Profiles made by hand: what is searched does not matter, how does."""

from __future__ import annotations

from typing import Any

from driver.load.profile import LatencyCurve, PlatformProfile
from driver.load.transfer import HostTransfer
from driver.schedule.space import Space

MODELS = ("RMsmall", "RMmed", "RMlarge")
ITEMS = (16, 4096)
COST = {"RMsmall": 1.0, "RMmed": 1.2, "RMlarge": 9.0}
"""Relative work of an item."""


def curves(
    item_s: float, interval: float | None = None, suffix: str = ""
) -> tuple[LatencyCurve, ...]:
    """Latencies proportional to items."""
    return tuple(
        LatencyCurve(
            model=model + suffix,
            items=ITEMS,
            latency_s=tuple(item_s * cost * n for n in ITEMS),
            interval_s=()
            if interval is None
            else tuple(interval * item_s * cost * n for n in ITEMS),
        )
        for model, cost in COST.items()
    )


def device(name: str = "paper/32x32:16", **words: Any) -> PlatformProfile:
    """A pipelined accelerator, every stage on all its engines."""
    preset, _, partition = name.partition("/")
    given: dict[str, Any] = {
        "name": name, "kind": "rpaccel", "memory_bytes": 1 << 30, "bytes_per_s": 64e9,
        "in_flight": 8, "curves": curves(1e-8, 0.5),
        "conditions": {"preset": preset, "partition": partition or "fused"},
    }  # fmt: skip
    return PlatformProfile(**(given | words))


def baseline(**words: Any) -> PlatformProfile:
    """An accelerator without filter."""
    top = LatencyCurve(model="top-k", items=(1, 1 << 16), latency_s=(1e-9, 6.5536e-5))
    given: dict[str, Any] = {
        "kind": "baseline", "curves": (*curves(3e-8, 1.0), top),
        "conditions": {"preset": "baseline", "partition": "fused"},
        "host": HostTransfer(model="pcie", in_s=1e-5, in_item_s=1e-9, out_s=2e-5, out_item_s=2e-9),
    }  # fmt: skip
    return device("baseline", **(given | words))


def host(servers: int = 4, item_s: float = 1e-6) -> PlatformProfile:
    """A CPU."""
    return PlatformProfile(
        name="cpu", kind="cpu", memory_bytes=1 << 34, bytes_per_s=1e10, servers=servers,
        curves=curves(item_s),
    )  # fmt: skip


def space(*platforms: str, **words: Any) -> Space:
    """Funnels of 1024 items."""
    given: dict[str, Any] = {
        "models": MODELS,
        "items": (1024,),
        "shrink": (4, 8),
        "returned": 16,
        "platforms": platforms,
    }
    return Space(**(given | words))


def quality(space: Space) -> dict[str, float]:
    """More items behind the first stage and a larger last model are better."""
    found = {}
    for funnel in space.funnels():
        value = 0.5 + 0.1 * MODELS.index(funnel[-1][0]) + 0.1 * funnel[-1][1] / funnel[0][1]
        found[f"{'>'.join(f'{m}:{n}' for m, n in funnel)}>{space.returned}"] = value
    return found
