"""The one exception class that users see: bad input, said in one line."""

from __future__ import annotations

__all__ = ["UserError"]


def _printable(text: str) -> str:
    """``text`` with escapes for line ends and control characters: names may come out of files."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class UserError(ValueError):
    """Input that cannot be served; the message names field, value and limit. Exit status 2.

    The message is one printable line, whatever the names in it hold.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(_printable(str(message)))
