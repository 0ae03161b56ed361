"""Shapes of the streams inside the ranking unit."""

from __future__ import annotations

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Member, Out

from ..config import Config
from ..interfaces import position_score_layout

__all__ = [
    "ranked_item_layout",
    "return_members",
    "return_start_layout",
    "survivor_event_layout",
    "survivor_layout",
]


def return_start_layout(config: Config) -> data.StructLayout:
    """Return the next ``n`` scores; 1 <= n <= max_items."""
    return data.StructLayout({"n": unsigned(config.item_bits + 1)})


def survivor_layout(config: Config) -> data.StructLayout:
    """A position with its score; ``last`` closes the query."""
    return data.StructLayout(
        {"position": unsigned(config.item_bits), "score": signed(16), "last": unsigned(1)}
    )


def return_members(config: Config) -> dict[str, Member]:
    """Ports of the units that return all scores of a query."""
    return {
        "i_start": In(stream.Signature(return_start_layout(config))),
        "i_score": In(stream.Signature(position_score_layout(config))),
        "o": Out(stream.Signature(survivor_layout(config))),
    }


def survivor_event_layout(config: Config) -> data.StructLayout:
    """Event for traces: the score of a position becomes a result."""
    return data.StructLayout({"valid": unsigned(1), "position": unsigned(config.item_bits)})


def ranked_item_layout(config: Config) -> data.StructLayout:
    """A survivor as item of the query instead of position in the stage's list."""
    return data.StructLayout(
        {"item": unsigned(config.item_bits), "score": signed(16), "last": unsigned(1)}
    )
