"""Events for simulation hold what the units hand over, on every preset."""

from __future__ import annotations

import pytest

from hdl.config import PRESETS
from hdl.interfaces import chunk_event_layout
from hdl.trace import trace_ports


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_chunk_of_the_interaction_is_recorded_whole(preset: str) -> None:
    config = PRESETS[preset]
    (port,) = (port for port in trace_ports(config) if port.name == "interaction")
    chunk = chunk_event_layout(config)["chunk"].shape
    for name, field in port.payload:
        assert field.width == chunk[name].width, name
