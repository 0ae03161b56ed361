"""Contents of one engine's memories: weights, parameters, layers, stages, shifts, activations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from golden.quantised_model import QuantisedLayer, QuantisedModel
from hdl import program as fmt
from hdl.config import Config

from .engine_words import layer_word, parameter_words, shift_words
from .errors import UserError
from .maps import EngineMap, PhaseMap, StageMap
from .partition import Engine
from .tiles import resident_words

__all__ = ["EngineTables"]


class EngineTables:
    """Filled phase by phase.

    Attributes
    ----------
    banks
        Resident weights, by sub-array in row order.
    layers, shifts
        Entries of the layer table and of the interaction's shifts.
    stages
        The stage table, an entry for every program of the device.
    activations
        Number of each activation table, by its values.
    """

    def __init__(self, config: Config, mapped: EngineMap) -> None:
        self._config, self._mapped = config, mapped
        self.edge = mapped.edge
        self._columns = mapped.edge // config.sub_array
        size = mapped.resident_words * config.axi_bytes
        self.banks = [bytearray(size) for _ in range(self._columns**2)]
        self.layers: list[bytes] = []
        self.stages = bytearray(8 * fmt.STAGE_WORDS * config.max_programs)
        self.shifts: list[bytes] = []
        self.activations: dict[bytes, int] = {}
        self._parameters = np.zeros((mapped.parameter_tiles * mapped.edge, 8), np.uint8)

    def add(self, layers: Sequence[QuantisedLayer], phase: PhaseMap, last: fmt.Destination) -> int:
        """Layers of a phase, the last one's results going to ``last``; returns the first entry."""
        first = len(self.layers)
        for index, (layer, place) in enumerate(zip(layers, phase.layers, strict=True)):
            destination = last if index == len(layers) - 1 else fmt.Destination.BANK
            table = 0
            if layer.table is not None:
                table = self.activations.setdefault(layer.table.tobytes(), len(self.activations))
            self.layers.append(layer_word(layer.function, place, destination, table))
            start = place.parameter_base * self.edge
            self._parameters[start : start + len(layer.bias)] = parameter_words(layer)
        return first

    def add_shifts(self, model: QuantisedModel, stage: StageMap) -> int:
        """Shifts of a model's interaction; returns the first entry."""
        first = len(self.shifts)
        self.shifts += shift_words(model, stage)
        return first

    def put_stage(self, program: int, word: bytes) -> None:
        """Entry of a program."""
        size = 8 * fmt.STAGE_WORDS
        self.stages[program * size : (program + 1) * size] = word

    def put_weights(self, tiles: NDArray[np.int8], phase: PhaseMap) -> None:
        """Weights that stay on chip."""
        start = phase.weights * self._config.axi_bytes
        for bank, words in zip(self.banks, resident_words(self._config, tiles), strict=True):
            bank[start : start + len(words)] = words

    def column_parameters(self) -> Iterator[bytes]:
        """Parameters by column of sub-arrays."""
        size = self._config.sub_array
        strips = self._parameters.reshape(self._mapped.parameter_tiles, self._columns, size, 8)
        for j in range(self._columns):
            yield np.ascontiguousarray(strips[:, j]).tobytes()

    def check(self, engine: Engine) -> None:
        """Refuse what the engine does not hold.

        Raises
        ------
        UserError
            Too many activation tables or interaction steps.
        """
        names = ", ".join(stage.shape.name for stage in self._mapped.stages.values())
        most = self._config.activation_tables
        if len(self.activations) > most:
            raise UserError(
                f"{names}: {len(self.activations)} different activation tables, an engine of "
                f"{self._config.name} holds {most}"
            )
        steps = fmt.DOT_SHIFT_WORDS * 8 // max(map(len, self.shifts), default=8)
        if len(self.shifts) > steps:
            raise UserError(
                f"{names}: {len(self.shifts)} interaction steps on the engine of edge {self.edge} "
                f"at sub-array {engine.unit}, it holds the shifts of {steps}"
            )
