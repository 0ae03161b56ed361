"""Trace ports of the simulated device: events that the checks compare with the golden models.

Only a device made for simulation has them.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import Member, Out

from .config import Config
from .dhe.miss_list import placed_layout
from .embedding.lane_layouts import filled_layout, tag_step_layout
from .interfaces import QUERY_BITS, chunk_layout, lookup_event_layout
from .ranking.funnel_layouts import kept_layout

__all__ = ["TracePort", "trace_members", "trace_ports"]


@dataclass(frozen=True, kw_only=True)
class TracePort:
    """``count`` sources of one kind of event."""

    name: str
    count: int
    payload: data.StructLayout


def _event(layout: data.StructLayout) -> data.StructLayout:
    """What an event carries beside its ``valid``."""
    return data.StructLayout({name: field.shape for name, field in layout if name != "valid"})


def trace_ports(config: Config) -> tuple[TracePort, ...]:
    """All kinds of events, in the order of the ports.

    ``columns``: a value leaves a column (source: sub-array * S + column). ``interaction``: a chunk
    leaves an interaction unit (source: anchor), ``wide_interaction``: the wide one. ``jobs``: a row
    block is sent. ``causes``: what an engine does changes (source: anchor). ``lookups``: a lookup's
    outcome is decided, ``tag_steps``: the tags' decisions that make it up, ``fills``: a line has
    come (source: lane).
    ``placed``: an id of a decoded feature was looked up among held vectors (source: anchor).
    ``survivors``: a selection keeps an item (where the host filters: a result leaves, its position
    as item, context 0).
    """
    wide = config.interaction_outputs > config.row_outputs
    return (
        TracePort(
            name="columns",
            count=config.sub_arrays * config.sub_array,
            payload=data.StructLayout(
                {
                    "value": signed(16),
                    "parameter": unsigned(config.parameter_address_bits),
                    "row": unsigned(config.row_bits),
                    "slot": unsigned(1),
                }
            ),
        ),
        TracePort(
            name="interaction",
            count=config.sub_arrays,
            payload=chunk_layout(config, config.row_outputs),
        ),
        *(
            (
                TracePort(
                    name="wide_interaction",
                    count=1,
                    payload=chunk_layout(config, config.interaction_outputs),
                ),
            )
            if wide
            else ()
        ),
        TracePort(
            name="jobs",
            count=1,
            payload=data.StructLayout(
                {
                    "unit": unsigned(8),
                    "slot": unsigned(1),
                    "program": unsigned(4),
                    "rows": unsigned(config.row_bits + 1),
                    "position": unsigned(config.item_bits),
                    "stride": unsigned(5),
                    "first": unsigned(1),
                    "query": unsigned(QUERY_BITS),
                    "context": unsigned(4),
                    "sub_batch": unsigned(4),
                }
            ),
        ),
        TracePort(
            name="causes",
            count=config.sub_arrays,
            payload=data.StructLayout({"cause": unsigned(4)}),
        ),
        TracePort(
            name="lookups",
            count=config.gather_lanes,
            payload=_event(lookup_event_layout(config)),
        ),
        TracePort(
            name="tag_steps",
            count=config.gather_lanes,
            payload=_event(tag_step_layout(config)),
        ),
        TracePort(name="fills", count=config.gather_lanes, payload=_event(filled_layout(config))),
        TracePort(name="placed", count=config.sub_arrays, payload=_event(placed_layout(config))),
        TracePort(
            name="survivors",
            count=config.filter_survivors,
            payload=_event(kept_layout(config)),
        ),
    )


def trace_members(config: Config) -> dict[str, Member]:
    """Members that bring the ports out: a valid bit a source, payloads side by side."""
    members: dict[str, Member] = {}
    for port in trace_ports(config):
        members[f"trace_{port.name}_valid"] = Out(port.count)
        members[f"trace_{port.name}_payload"] = Out(port.count * port.payload.size)
    return members
