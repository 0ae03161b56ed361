"""Shapes of the streams inside the ranking unit."""

from __future__ import annotations

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Member, Out

from ..config import Config
from ..interfaces import position_score_layout

__all__ = [
    "filter_members",
    "filter_start_layout",
    "ranked_item_layout",
    "ranking_stage_layout",
    "survivor_event_layout",
    "survivor_layout",
]


def filter_start_layout(config: Config) -> data.StructLayout:
    """Keep ``k`` of the next ``n`` scores; 1 <= k <= n <= max_items."""
    return data.StructLayout(
        {"n": unsigned(config.item_bits + 1), "k": unsigned(config.item_bits + 1)}
    )


def survivor_layout(config: Config) -> data.StructLayout:
    """A position that the filter keeps; ``last`` closes the stage."""
    return data.StructLayout(
        {"position": unsigned(config.item_bits), "score": signed(16), "last": unsigned(1)}
    )


def filter_members(config: Config) -> dict[str, Member]:
    """Ports of the filter and of its stand-in."""
    return {
        "i_start": In(stream.Signature(filter_start_layout(config))),
        "i_score": In(stream.Signature(position_score_layout(config))),
        "o": Out(stream.Signature(survivor_layout(config))),
    }


def survivor_event_layout(config: Config) -> data.StructLayout:
    """Event for traces: a position is kept."""
    return data.StructLayout({"valid": unsigned(1), "position": unsigned(config.item_bits)})


def ranked_item_layout(config: Config) -> data.StructLayout:
    """A survivor as item of the query instead of position in the stage's list."""
    return data.StructLayout(
        {"item": unsigned(config.item_bits), "score": signed(16), "last": unsigned(1)}
    )


def ranking_stage_layout(config: Config) -> data.StructLayout:
    """One stage of a query: keep ``k`` of ``n``."""
    return data.StructLayout(
        {
            "n": unsigned(config.item_bits + 1),
            "k": unsigned(config.item_bits + 1),
            "first": unsigned(1),  # positions are item indices
            "final": unsigned(1),  # survivors are the query's result
        }
    )
