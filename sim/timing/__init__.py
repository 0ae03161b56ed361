"""Timing model of the device: cycles, stalls and memory traffic of a query without any RTL.

Every term comes from the configuration, from the placed programs or from a latency that the
hardware's own unit names. See `device.DeviceModel`.
"""

from __future__ import annotations

from .core import JobRecord, StageTimes
from .device import DeviceModel, Prediction
from .dram import Dram, Ssd
from .loads import LoadEntry, LoadsModel
from .plan import (
    DecoderPlan,
    EnginePlan,
    PhasePlan,
    Plan,
    ProgramPlan,
    QueryPlan,
    StagePlan,
    StageQuery,
)

__all__ = [
    "DecoderPlan",
    "DeviceModel",
    "Dram",
    "Ssd",
    "EnginePlan",
    "JobRecord",
    "LoadEntry",
    "LoadsModel",
    "PhasePlan",
    "Plan",
    "Prediction",
    "ProgramPlan",
    "QueryPlan",
    "StagePlan",
    "StageQuery",
    "StageTimes",
]
