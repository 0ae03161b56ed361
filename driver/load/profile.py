"""A platform as data: how long it takes for which model and how many items, and what it holds.

Profiles come from the timing model (RPAccel, baseline), from measurements (CPU, GPU) or from a
file. Everything that schedules or simulates load reads platforms only through them.
"""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .transfer import HostTransfer

__all__ = ["KINDS", "LatencyCurve", "PlatformProfile", "read_profile", "write_profile"]

KINDS = ("rpaccel", "baseline", "cpu", "gpu", "other")
FORMAT = 1
"""Version of the file; a reader refuses a newer one."""


@dataclass(frozen=True, kw_only=True)
class LatencyCurve:
    """Latency of one model in one representation, by items, on one platform.

    Between the points it is interpolated linearly in items (work is affine in items); outside it
    is refused, never guessed.

    Raises
    ------
    UserError
        No points, items that do not rise, lists of different lengths, times not above 0.
    """

    model: str
    """A stage's model (``RMsmall``) or a whole pipeline that stays on the platform
    (``kaggle-2``)."""
    representation: str = "table"
    items: tuple[int, ...]
    """Items ranked, rising."""
    latency_s: tuple[float, ...]
    """Mean seconds from start to result, transfers to and from the host apart."""
    interval_s: tuple[float, ...] = ()
    """Seconds until the platform can start the next query; (): until the result."""
    factors: tuple[float, ...] = ()
    """Measured latencies over the curve's value, as a sample; (): always the curve's value."""
    memory_bytes: int = 0
    """Bytes that the model needs on the platform."""

    def __post_init__(self) -> None:
        if not self.items:
            raise UserError(f"{self.label}: no points")
        if any(b <= a for a, b in zip(self.items, self.items[1:], strict=False)):
            raise UserError(f"{self.label}: items must rise, not {list(self.items)}")
        if self.items[0] < 1:
            raise UserError(f"{self.label}: items must be at least 1, not {self.items[0]}")
        if self.memory_bytes < 0:
            raise UserError(f"{self.label}: memory_bytes must be at least 0")
        for name in ("latency_s", "interval_s", "factors"):
            values = getattr(self, name)
            if name != "factors" and values and len(values) != len(self.items):
                raise UserError(
                    f"{self.label}: {len(values)} values of {name} for {len(self.items)} of items"
                )
            for value in values:
                if not math.isfinite(value) or value <= 0:
                    raise UserError(f"{self.label}: {name} must be above 0, not {value}")
        if not self.latency_s:
            raise UserError(f"{self.label}: latency_s is missing")

    @property
    def label(self) -> str:
        """Words for messages."""
        return f"latency of {self.model} ({self.representation})"

    @property
    def key(self) -> tuple[str, str]:
        """Model and representation."""
        return self.model, self.representation

    def check_items(self, items: float) -> None:
        """Refuse what lies outside the points; UserError names the range."""
        if not self.items[0] <= items <= self.items[-1]:
            raise UserError(
                f"{self.label}: known for {self.items[0]}..{self.items[-1]} items, not {items:g}"
            )

    def seconds(self, items: float) -> float:
        """Latency of a query of ``items``; UserError outside the points."""
        self.check_items(items)
        return _interpolate(self.items, self.latency_s, items)

    def interval(self, items: float) -> float:
        """Seconds until the next query can start; UserError outside the points."""
        self.check_items(items)
        return _interpolate(self.items, self.interval_s or self.latency_s, items)

    def seconds_of(self, items: NDArray[Any]) -> NDArray[np.float64]:
        """`seconds` of many queries at once."""
        return self._many(items, self.latency_s)

    def interval_of(self, items: NDArray[Any]) -> NDArray[np.float64]:
        """`interval` of many queries at once."""
        return self._many(items, self.interval_s or self.latency_s)

    def _many(self, items: NDArray[Any], values: tuple[float, ...]) -> NDArray[np.float64]:
        if len(items):
            self.check_items(float(items.min()))
            self.check_items(float(items.max()))
        return np.interp(items, self.items, values)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            f.name: list(value) if isinstance(value := getattr(self, f.name), tuple) else value
            for f in fields(self)
        }

    @classmethod
    def from_json(cls, data: Any) -> LatencyCurve:
        """Read plain data; UserError names what is wrong."""
        words = _object(cls, data, "latency")
        for name in ("latency_s", "interval_s", "factors"):
            words[name] = _numbers(words.get(name, []), f"latency: {name}")
        words["items"] = tuple(
            _integer(n, "latency: items") for n in _list(words.get("items", []), "latency: items")
        )
        words["memory_bytes"] = _integer(words.get("memory_bytes", 0), "latency: memory_bytes")
        for name in ("model", "representation"):
            if name in words and not isinstance(words[name], str):
                raise UserError(f"latency: {name} must be a string, not {words[name]!r}")
        if "model" not in words:
            raise UserError("latency: model is missing")
        return cls(**words)


@dataclass(frozen=True, kw_only=True)
class PlatformProfile:
    """A platform.

    Raises
    ------
    UserError
        Empty or unknown names, numbers out of range, two curves of one model and representation.
    """

    name: str
    kind: str
    """One of ``KINDS``."""
    memory_bytes: int
    """Capacity for tables, constants and weights."""
    bytes_per_s: float
    """Memory bandwidth."""
    clock_mhz: float | None = None
    """None where it is not one clock (a CPU's)."""
    servers: int = 1
    """Queries that it works on side by side, each at the latency of the curves."""
    in_flight: int = 1
    """Queries that one server admits before the first has its result (pipelined devices)."""
    host: HostTransfer = HostTransfer()
    curves: tuple[LatencyCurve, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
    """Quality (0 to 1) by path, ``model/representation``, where known."""
    conditions: Mapping[str, str] = field(default_factory=dict)
    """How the figures were obtained: command, threads, machine."""

    def __post_init__(self) -> None:
        if not self.name:
            raise UserError("profile: name is empty")
        label = f"profile {self.name}"
        if self.kind not in KINDS:
            raise UserError(f"{label}: unknown kind {self.kind!r}; known: {', '.join(KINDS)}")
        for name in ("memory_bytes", "servers", "in_flight"):
            if getattr(self, name) < 1:
                raise UserError(f"{label}: {name} must be at least 1, not {getattr(self, name)}")
        for name in ("bytes_per_s", "clock_mhz"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"{label}: {name} must be above 0, not {value}")
        keys = [curve.key for curve in self.curves]
        for model, representation in keys:
            if keys.count((model, representation)) > 1:
                raise UserError(f"{label}: two latencies of {model} ({representation})")
        for path, value in self.quality.items():
            if not 0 <= value <= 1:
                raise UserError(f"{label}: quality of {path} must be in 0..1, not {value}")

    def curve(self, model: str, representation: str = "table") -> LatencyCurve:
        """The latency of a model; UserError lists what there is."""
        for curve in self.curves:
            if curve.key == (model, representation):
                return curve
        known = ", ".join(f"{m} ({r})" for m, r in (c.key for c in self.curves)) or "nothing"
        raise UserError(
            f"profile {self.name} has no latency of {model} ({representation}); it has: {known}"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain data; ``from_json`` takes it back."""
        return {
            "format": FORMAT,
            "name": self.name,
            "kind": self.kind,
            "clock_mhz": self.clock_mhz,
            "memory_bytes": self.memory_bytes,
            "bytes_per_s": self.bytes_per_s,
            "servers": self.servers,
            "in_flight": self.in_flight,
            "host": self.host.as_json(),
            "curves": [curve.as_json() for curve in self.curves],
            "quality": dict(self.quality),
            "conditions": dict(self.conditions),
        }

    @classmethod
    def from_json(cls, data: Any) -> PlatformProfile:
        """Read plain data; UserError names what is missing, unknown or out of range."""
        if isinstance(data, dict):
            data = dict(data)
            version = data.pop("format", None)
            if version != FORMAT:
                raise UserError(f"profile: format must be {FORMAT}, not {version!r}")
        words = _object(cls, data, "profile")
        for name in ("name", "kind", "memory_bytes", "bytes_per_s"):
            if name not in words:
                raise UserError(f"profile: {name} is missing")
        for name in ("name", "kind"):
            if not isinstance(words[name], str):
                raise UserError(f"profile: {name} must be a string, not {words[name]!r}")
        for name in ("memory_bytes", "servers", "in_flight"):
            if name in words:
                words[name] = _integer(words[name], f"profile: {name}")
        for name in ("bytes_per_s", "clock_mhz"):
            if words.get(name) is not None:
                (words[name],) = _numbers([words[name]], f"profile: {name}")
        if "host" in words:
            words["host"] = HostTransfer.from_json(words["host"])
        words["curves"] = tuple(
            LatencyCurve.from_json(c) for c in _list(words.get("curves", []), "profile: curves")
        )
        quality = words.get("quality", {})
        if not isinstance(quality, dict):
            raise UserError(f"profile: quality must be an object, not {quality!r}")
        words["quality"] = {
            path: _numbers([value], f"profile: quality of {path}")[0]
            for path, value in quality.items()
        }
        conditions = words.get("conditions", {})
        if not isinstance(conditions, dict):
            raise UserError(f"profile: conditions must be an object, not {conditions!r}")
        words["conditions"] = {str(key): str(value) for key, value in conditions.items()}
        return cls(**words)


def read_profile(path: Path) -> PlatformProfile:
    """Read a profile; UserError names the file and what is wrong with it."""
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read profile {path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"profile {path} is not JSON: {error}") from None
    try:
        return PlatformProfile.from_json(data)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def write_profile(path: Path, profile: PlatformProfile) -> None:
    """Write a profile as JSON; UserError when the file cannot be written."""
    try:
        path.write_text(json.dumps(profile.as_json(), indent=2) + "\n")
    except OSError as error:
        raise UserError(f"cannot write profile {path}: {error.strerror}") from None


def _interpolate(items: tuple[int, ...], values: tuple[float, ...], at: float) -> float:
    # A few comparisons: NumPy's call alone would take most of a scheduling decision.
    right = bisect.bisect_left(items, at)
    if items[right] == at:
        return values[right]
    left = right - 1
    share = (at - items[left]) / (items[right] - items[left])
    return values[left] + share * (values[right] - values[left])


def _object(cls: Any, data: Any, label: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise UserError(f"{label} must be an object, not {data!r}")
    known = {f.name for f in fields(cls)}
    for name in data:
        if name not in known:
            raise UserError(f"{label}: unknown field {name!r}; known: {', '.join(sorted(known))}")
    return dict(data)


def _list(value: Any, label: str) -> list[Any]:
    if not isinstance(value, list):
        raise UserError(f"{label} must be a list, not {value!r}")
    return value


def _numbers(value: Any, label: str) -> tuple[float, ...]:
    for number in _list(value, label):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise UserError(f"{label} must be numbers, not {number!r}")
    return tuple(map(float, value))


def _integer(value: Any, label: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{label} must be an integer, not {value!r}")
    return value
