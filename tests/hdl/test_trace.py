"""Events for simulation hold what the units hand over, on every preset."""

from __future__ import annotations

import pytest

from hdl.config import PRESETS
from hdl.interfaces import chunk_event_layout
from hdl.trace import trace_ports


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_chunk_of_the_interaction_is_recorded_whole(preset: str) -> None:
    config = PRESETS[preset]
    ports = {port.name: port for port in trace_ports(config)}
    most = {"interaction": config.row_outputs}
    if config.interaction_outputs_at(0, 0) > config.row_outputs:
        most["wide_interaction"] = config.interaction_outputs_at(0, 0)
    assert ("wide_interaction" in ports) == ("wide_interaction" in most)
    for kind, values in most.items():
        chunk = chunk_event_layout(config, values)["chunk"].shape
        for name, field in ports[kind].payload:
            assert field.width == chunk[name].width, name
