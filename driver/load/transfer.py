"""What moving a query to a platform and its results back costs the host."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..errors import UserError

__all__ = ["TRANSFER_MODELS", "HostTransfer"]

TRANSFER_MODELS = ("none", "pcie", "dma")
"""``none``: the platform is the host. ``pcie``: RecPipe's constants. ``dma``: latency and rate."""

_PCIE = {"in_s": 40e-6, "in_item_s": 12e-3 * 8e-3 / 4096, "out_s": 40e-6}
_PCIE["out_item_s"] = 5e-3 * 8e-3 / 4096
_FIELDS = ("in_s", "in_item_s", "out_s", "out_item_s")
_DMA_FIELDS = ("latency_s", "bytes_per_s", "item_bytes", "result_bytes")


@dataclass(frozen=True, kw_only=True)
class HostTransfer:
    """Seconds of a transfer: a constant and a share an item, in each direction.

    The ``pcie`` constants are those that RecPipe's published model charges: ``5 + 12 n / 4096``
    in and ``5 + 5 k / 4096`` out, in thousands of cycles of 8 ns, so 40 us and 23 ns an item in,
    40 us and 10 ns an item out.

    Raises
    ------
    UserError
        An unknown model, or a cost that is negative or no finite number.
    """

    model: str = "none"
    in_s: float = 0.0
    in_item_s: float = 0.0
    out_s: float = 0.0
    out_item_s: float = 0.0

    def __post_init__(self) -> None:
        if self.model not in TRANSFER_MODELS:
            known = ", ".join(TRANSFER_MODELS)
            raise UserError(f"host transfer: unknown model {self.model!r}; known: {known}")
        for name in _FIELDS:
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise UserError(f"host transfer: {name} must be at least 0 s, not {value}")

    @classmethod
    def pcie(cls) -> HostTransfer:
        """RecPipe's published constants."""
        return cls(model="pcie", **_PCIE)

    @classmethod
    def dma(
        cls, *, latency_s: float, bytes_per_s: float, item_bytes: int, result_bytes: int
    ) -> HostTransfer:
        """A DMA engine: a latency each way, then ``item_bytes`` in and ``result_bytes`` out.

        Raises
        ------
        UserError
            ``bytes_per_s`` not above 0, or a negative size.
        """
        if not bytes_per_s > 0:
            raise UserError(f"host transfer: bytes_per_s must be above 0, not {bytes_per_s}")
        return cls(
            model="dma",
            in_s=latency_s,
            in_item_s=item_bytes / bytes_per_s,
            out_s=latency_s,
            out_item_s=result_bytes / bytes_per_s,
        )

    def seconds(self, items: float, returned: float) -> float:
        """Both directions of a query of ``items`` items that returns ``returned``."""
        return self.in_s + self.in_item_s * items + self.out_s + self.out_item_s * returned

    def as_json(self) -> dict[str, Any]:
        """Plain data; ``from_json`` takes it back."""
        return {"model": self.model} | {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def from_json(cls, data: Any) -> HostTransfer:
        """Read plain data.

        ``{"model": "pcie"}`` alone means RecPipe's constants; ``dma`` may give its latency, rate
        and sizes in place of seconds.

        Raises
        ------
        UserError
            Not an object, unknown fields, or values that ``HostTransfer`` refuses.
        """
        if not isinstance(data, dict):
            raise UserError(f"host transfer must be an object, not {data!r}")
        given = {name: value for name, value in data.items() if name != "model"}
        model = data.get("model", "none")
        unknown = set(given) - set(_FIELDS) - set(_DMA_FIELDS)
        if unknown:
            raise UserError(f"host transfer: unknown field {min(unknown)!r}")
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UserError(f"host transfer: {name} must be a number, not {value!r}")
        if model == "pcie" and not given:
            return cls.pcie()
        if set(given) & set(_DMA_FIELDS):
            missing = set(_DMA_FIELDS) - set(given)
            if model != "dma" or missing or len(given) > len(_DMA_FIELDS):
                raise UserError(
                    f"host transfer: model dma takes {', '.join(_DMA_FIELDS)}, not {sorted(given)}"
                )
            return cls.dma(**given)
        return cls(model=model, **given)
