"""A profile of MP-Rec's models on a preset, from bounds: what the online bench starts from."""

from __future__ import annotations

from typing import Any

from golden.mprec import account, mprec_shape
from golden.shape import REPRESENTATIONS
from hdl.config import preset

from ..load.profile import LatencyCurve, PlatformProfile
from .representations import item_cycles

__all__ = ["QUALITY", "bound_profile"]

_DATA = "kaggle"
_MODEL = "mprec-kaggle"
_ITEMS = (1, 4096)
QUALITY = {"table": 0.7900, "hybrid": 0.7919}
"""Share of correct predictions. The difference is MP-Rec's abstract (+0.19 % on Kaggle); the level
of tables is set, the paper's was not readable. What other representations reach was not either."""


def bound_profile(name: str) -> PlatformProfile:
    """Table and hybrid of MP-Rec's Kaggle model resident on one device.

    Cycles are the bounds of ``bench representations`` (array, hash lanes and memory at work at
    once, nothing lost), one query after the other.

    Raises
    ------
    ConfigError, UserError
        An unknown preset, or one that cannot hold an item's codes.
    """
    config = preset(name)
    curves = []
    for representation in REPRESENTATIONS:
        if representation not in QUALITY:
            continue
        shape = mprec_shape(_DATA, representation, interaction="cat")
        seconds = item_cycles(config, shape).cycles / (1e6 * config.clock_mhz)
        curves.append(
            LatencyCurve(
                model=_MODEL,
                representation=representation,
                items=_ITEMS,
                latency_s=tuple(seconds * items for items in _ITEMS),
                memory_bytes=account(shape, value_bytes=1)["bytes"],
            )
        )
    words: dict[str, Any] = {
        "quality": {f"{_MODEL}/{r}": value for r, value in QUALITY.items()},
        "conditions": {"latency": "bounds of rpaccel bench representations"},
    }
    return PlatformProfile(
        name=f"rpaccel-{name}",
        kind="rpaccel",
        clock_mhz=config.clock_mhz,
        memory_bytes=16 << 30,
        bytes_per_s=1e6 * config.clock_mhz * config.axi_bytes * config.axi_channels,
        curves=tuple(curves),
        **words,
    )
