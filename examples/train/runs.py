"""Results of trainings in a JSON file, written after each: what was stopped goes on from there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Runs"]


class Runs:
    """Results of trainings by name, for one set of settings.

    Parameters
    ----------
    path
        The file; None keeps results in memory only.
    settings
        Everything that results depend on.

    Raises
    ------
    ValueError
        The file is not one of results, or holds those of other settings; names the file and the
        first setting that differs.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.settings = dict(settings)
        self.results: dict[str, Any] = {}
        if path is None or not path.exists():
            return
        try:
            held = json.loads(path.read_text())
            self.results = dict(held["runs"])
            theirs = dict(held["settings"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} holds no results of trainings: {error!r}") from error
        for name in sorted({*theirs, *self.settings}):
            if theirs.get(name) != self.settings.get(name):
                raise ValueError(
                    f"{path} holds results with {name} = {theirs.get(name)}, "
                    f"not {self.settings.get(name)}: name another file"
                )

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """The result of that name: from the file, else made and stored at once."""
        if name not in self.results:
            self.results[name] = make()
            self.write()
        return self.results[name]

    def write(self, **more: Any) -> None:
        """All results, and ``more`` beside them; the file is never half written."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(self.path.name + ".part")
        held = {"settings": self.settings, "runs": self.results, **more}
        part.write_text(json.dumps(held, indent=1) + "\n")
        part.replace(self.path)
