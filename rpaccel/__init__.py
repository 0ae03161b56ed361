"""RPAccel: hardware generator for recommendation inference.

result = rpaccel.run(preset="tiny", pipeline="demo-2", items=64)
"""

from __future__ import annotations

from driver.errors import UserError
from hdl.config import PRESETS, Config, ConfigError, Features, preset
from sim.errors import SimulationError, SimulatorError

from .api import import_checkpoint, load_model, run, workload
from .data_api import evaluate, profile, quantize

__all__ = [
    "PRESETS",
    "Config",
    "ConfigError",
    "Features",
    "SimulationError",
    "SimulatorError",
    "UserError",
    "evaluate",
    "import_checkpoint",
    "load_model",
    "preset",
    "profile",
    "quantize",
    "run",
    "workload",
]
