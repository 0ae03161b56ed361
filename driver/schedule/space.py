"""The space of an offline search: stages, models, items, sub-batches, platforms."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from .mapping import Mapping, Placed

__all__ = ["MOST_STAGES", "SPACES", "Space", "read_space"]

MOST_STAGES = 4
"""Of the device, and of the search."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """What is searched.

    Raises
    ------
    UserError
        Nothing in it, or numbers out of range; the message names the field.
    """

    models: tuple[str, ...]
    """From the smallest to the largest: a later stage has a larger model."""
    stages: tuple[int, ...] = (1, 2, 3)
    items: tuple[int, ...] = (4096,)
    """Of the first stage."""
    shrink: tuple[int, ...] = (4, 8, 16)
    """Items of a stage over those of the next one."""
    returned: int = 64
    sub_batches: tuple[int, ...] = (1,)
    platforms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("models", "stages", "items", "shrink", "sub_batches", "platforms"):
            values = getattr(self, name)
            if name != "platforms" and not values:
                raise UserError(f"space: {name} is empty, so there is nothing to search")
            if len(set(values)) != len(values):
                raise UserError(f"space: {name} has a value twice: {list(values)}")
        limits = {
            "stages": (1, MOST_STAGES), "items": (1, 1 << 20), "shrink": (1, 1 << 20),
            "sub_batches": (1, 16),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            for value in getattr(self, name):
                if not low <= value <= high:
                    raise UserError(f"space: {name} must be in {low}..{high}, not {value}")
        if not 1 <= self.returned <= max(self.items):
            raise UserError(f"space: returned must be in 1..{max(self.items)}, not {self.returned}")
        if min(self.stages) > len(self.models):
            raise UserError(
                f"space: {min(self.stages)} stages need as many models, there are "
                f"{len(self.models)}"
            )

    def funnels(self) -> Iterator[tuple[tuple[str, int], ...]]:
        """Models and items of the stages, platforms apart."""
        for count in self.stages:
            for models in itertools.combinations(self.models, count):
                for first in self.items:
                    for shrink in itertools.product(self.shrink, repeat=count - 1):
                        items = [first]
                        for factor in shrink:
                            items.append(items[-1] // factor)
                        if items[-1] >= self.returned:
                            yield tuple(zip(models, items, strict=True))

    def mappings(self) -> Iterator[Mapping]:
        """Everything, legal or not."""
        for funnel in self.funnels():
            for places in itertools.product(self.platforms, repeat=len(funnel)):
                for parts in self.sub_batches:
                    if parts > 1 and len(funnel) == 1:
                        continue
                    stages = zip(funnel, places, strict=True)
                    yield Mapping(
                        tuple(Placed(model, items, place) for (model, items), place in stages),
                        self.returned,
                        parts,
                    )

    def size(self) -> int:
        """Number of mappings, legal or not."""
        total = 0
        for funnel in self.funnels():
            parts = sum(1 for p in self.sub_batches if p == 1 or len(funnel) > 1)
            total += len(self.platforms) ** len(funnel) * parts
        return total

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


_LARGE = ("paper/32x32:16", "cpu")
SPACES: dict[str, Space] = {
    "kaggle": Space(
        models=("RMsmall", "RMmed", "RMlarge"), shrink=(4, 8, 16, 32), platforms=_LARGE
    ),
    "kaggle-items": Space(
        models=("RMsmall", "RMmed", "RMlarge"), items=(1024, 2048, 4096), shrink=(4, 8, 16),
        sub_batches=(1, 2, 4), platforms=(*_LARGE, "paper/16x16:16@0,32x32:12"),
    ),
    "demo": Space(
        models=("RMsmall", "RMmed", "RMlarge"), items=(512,), shrink=(2, 4, 8), returned=16,
        platforms=("small", "cpu"),
    ),
}  # fmt: skip
"""Spaces by name; other platforms may be given."""


def read_space(text: str, platforms: Sequence[str] = ()) -> Space:
    """A space by name or from a JSON file with the fields of `Space`.

    Parameters
    ----------
    platforms
        Instead of the file's, when there are any.

    Raises
    ------
    UserError
        No such name or file, bad JSON, unknown fields, or what `Space` refuses.
    """
    if text in SPACES:
        space = SPACES[text]
    else:
        space = _from_file(Path(text))
    if platforms:
        space = replace(space, platforms=tuple(platforms))
    if not space.platforms:
        raise UserError("space: platforms is empty, so there is nothing to search; see --platform")
    if not any(True for _ in space.funnels()):
        raise UserError(
            f"space: no funnel leaves {space.returned} items for its last stage, so there is "
            "nothing to search"
        )
    return space


def _from_file(path: Path) -> Space:
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise UserError(
            f"no space {str(path)!r}: give a file or one of {', '.join(SPACES)} ({error.strerror})"
        ) from None
    except ValueError as error:
        raise UserError(f"space {path} is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise UserError(f"space {path} must be an object, not {type(data).__name__}")
    known = {field.name for field in fields(Space)}
    words: dict[str, Any] = {}
    for name, value in data.items():
        if name not in known:
            raise UserError(f"space {path}: unknown field {name!r}; known: {', '.join(known)}")
        words[name] = _value(path, name, value)
    if "models" not in words:
        raise UserError(f"space {path}: models is missing")
    try:
        return Space(**words)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _value(path: Path, name: str, value: Any) -> Any:
    kind = str if name in ("models", "platforms") else int
    if name == "returned":
        if isinstance(value, bool) or not isinstance(value, int):
            raise UserError(f"space {path}: returned must be an integer, not {value!r}")
        return value
    if not isinstance(value, list):
        raise UserError(f"space {path}: {name} must be a list, not {value!r}")
    for entry in value:
        if isinstance(entry, bool) or not isinstance(entry, kind):
            raise UserError(f"space {path}: {name} must be {kind.__name__}s, not {entry!r}")
    return tuple(value)
