"""RPAccel: hardware generator for recommendation inference."""

from __future__ import annotations

from hdl.config import PRESETS, Config, ConfigError, Features, preset

__all__ = ["PRESETS", "Config", "ConfigError", "Features", "preset"]
