"""The one exception class that users see: bad input, said in one line."""

from __future__ import annotations

__all__ = ["UserError"]


class UserError(ValueError):
    """Input that cannot be served; the message names field, value and limit. Exit status 2."""
