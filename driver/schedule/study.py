"""Study files: results of a search, a line each, kept as they come and taken up again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError

__all__ = ["Study", "conditions_hash"]

FORMAT = 1


def conditions_hash(conditions: Mapping[str, Any]) -> str:
    """What results depend on, as a few letters."""
    text = json.dumps(conditions, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Study:
    """Results by name; with a file they survive the process.

    Parameters
    ----------
    path
        JSON lines: a head, then ``{"key": .., "result": ..}``; None: in memory only.
    conditions
        What all results depend on.

    Raises
    ------
    UserError
        The file cannot be used, or belongs to other conditions.
    """

    def __init__(self, path: Path | None, conditions: Mapping[str, Any]) -> None:
        self._path = path
        self._head = {"format": FORMAT, "conditions": conditions_hash(conditions)}
        self.results: dict[str, Any] = {}
        self.resumed = 0
        if path is None:
            return
        try:
            if path.exists() and path.stat().st_size:
                self._read(path)
            else:
                path.write_text(json.dumps(self._head) + "\n")
        except OSError as error:
            raise UserError(f"study {path}: {error.strerror}") from None
        self.resumed = len(self.results)

    def _read(self, path: Path) -> None:
        text = path.read_text()
        lines = text.split("\n")
        try:
            head = json.loads(lines[0])
        except ValueError:
            head = None
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise UserError(f"study {path}: not a study file of format {FORMAT}")
        if head != self._head:
            raise UserError(
                f"study {path} is of another space, load, platform or version: give another file"
            )
        kept = [lines[0]]
        for number, line in enumerate(lines[1:], 2):
            if not line:
                continue
            try:
                entry = json.loads(line)
                self.results[entry["key"]] = entry["result"]
            except (ValueError, KeyError, TypeError):
                if number >= len(lines) - 1:
                    break  # the process was killed while it wrote this one
                raise UserError(f"study {path}: line {number} is damaged") from None
            kept.append(line)
        whole = "\n".join(kept) + "\n"
        if whole != text:
            path.write_text(whole)

    def add(self, key: str, result: Any) -> None:
        """Keep a result."""
        self.results[key] = result
        if self._path is not None:
            try:
                with self._path.open("a") as file:
                    file.write(json.dumps({"key": key, "result": result}) + "\n")
            except OSError as error:
                raise UserError(f"study {self._path}: {error.strerror}") from None
