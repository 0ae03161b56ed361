"""What ``rpaccel synth --unit`` can synthesise alone: the device and its parts, by name."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from amaranth.back import rtlil  # type: ignore[attr-defined]  # not in the stubs
from amaranth.hdl import UnusedElaboratable
from amaranth.lib import wiring

from hdl.array.column import Column
from hdl.array.grid import Grid
from hdl.array.pe import ProcessingElement
from hdl.array.requantiser import Requantiser
from hdl.array.strip import Strip
from hdl.array.sub_array import SubArray
from hdl.bus.read_crossbar import ReadCrossbar
from hdl.bus.write_master import WriteMaster
from hdl.config import Config
from hdl.control.front_end import FrontEnd
from hdl.control.query_control import QueryControl
from hdl.core import Core
from hdl.embedding.embedding_unit import EmbeddingUnit
from hdl.emit import TOP, rtlil_text
from hdl.engine.engine import Engine
from hdl.engine.weight_streamer import WeightStreamer
from hdl.generation import quick_conversion
from hdl.ranking.funnel import Funnel
from hdl.share import ModuleLibrary
from hdl.top import Accelerator

from .errors import SynthesisError

__all__ = ["DEVICE_UNIT", "UNITS", "Unit", "unit"]

DEVICE_UNIT = "device"


@dataclass(frozen=True)
class Unit:
    """A part of the device."""

    name: str
    top: str
    """Name of its module."""
    make: Callable[[Config], wiring.Component]

    def rtlil(self, config: Config) -> str:
        """Its text, equal modules once."""
        if self.name == DEVICE_UNIT:
            return rtlil_text(config, self.make(config))
        library = ModuleLibrary()
        with quick_conversion(), warnings.catch_warnings():
            # Components behind shared modules are never elaborated themselves.
            warnings.simplefilter("ignore", UnusedElaboratable)
            component = self.make(config)
            text: str = rtlil.convert(component, name=self.top, platform=library, emit_src=False)
            del component
            gc.collect()  # the components' own warnings come now, while they are silenced
        return f"{text}\n{library.text}"


_MAKERS: dict[str, Callable[[Config], wiring.Component]] = {
    DEVICE_UNIT: lambda config: Accelerator(config=config),
    "core": lambda config: Core(config=config),
    "array": lambda config: Grid(config=config),
    "sub-array": lambda config: SubArray(config=config, gated=config.features.fission),
    "pe": lambda config: ProcessingElement(sum_width=config.partial_sum_width),
    "strip": lambda config: Strip(config=config),
    "column": lambda config: Column(config=config),
    "requantiser": lambda config: Requantiser(width=config.accumulator_width),
    "engine": lambda config: Engine(config=config, unit=0, row=0, column=0),
    "weight-streamer": lambda config: WeightStreamer(config=config),
    "embedding": lambda config: EmbeddingUnit(config=config),
    "query-control": lambda config: QueryControl(config=config),
    "funnel": lambda config: Funnel(config=config),
    "front-end": lambda config: FrontEnd(config=config),
    "read-crossbar": lambda config: ReadCrossbar(config=config),
    "write-master": lambda config: WriteMaster(config=config),
}
UNITS: dict[str, Unit] = {
    name: Unit(name, TOP if name == DEVICE_UNIT else name.replace("-", "_"), make)
    for name, make in _MAKERS.items()
}


def unit(name: str) -> Unit:
    """Look up a unit.

    Raises
    ------
    SynthesisError
        Unknown; the message lists the known ones.
    """
    try:
        return UNITS[name]
    except KeyError:
        raise SynthesisError(f"unknown unit {name!r}; known units: {', '.join(UNITS)}") from None
