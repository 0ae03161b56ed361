"""What mapping takes and gives: sizes of models, addresses on engines."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DecoderMap", "EngineMap", "LayerMap", "PhaseMap", "StageMap", "StageShape"]


@dataclass(frozen=True, kw_only=True)
class StageShape:
    """What mapping needs of one stage's model."""

    name: str
    bottom: tuple[tuple[int, int], ...]
    """(inputs, outputs) of each bottom layer."""
    top: tuple[tuple[int, int], ...]
    width: int
    """Embedding vector width d."""
    vectors: int
    """The dense vector, those from tables, then those that are decoded."""
    dot: bool
    decoders: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """Feature and sizes (hashes, then outputs of the layers) of the decoder of each DHE vector,
    the last ones of the vectors."""
    bags: tuple[int, ...] = ()
    """Of each DHE vector: ids whose vectors are summed. Default: one each."""
    inputs: int = 0
    """Values of a row that are written to the banks as dense inputs, when more than the bottom MLP
    takes: up to the first id behind them, or those ids, too, on an engine without hash lanes."""
    products: int = 0
    """Pairs of vectors whose products go to the last layer (NeuMF); then there is neither bottom
    MLP nor dense vector."""
    copied: int = 0
    """With products: values of the other vectors that are copied to the top MLP's input."""
    tail: int = 0
    """With products: values of each of the last two vectors among them."""

    def bag(self, vector: int) -> int:
        """Ids of a DHE vector."""
        return self.bags[vector] if self.bags else 1

    @property
    def tables(self) -> int:
        """Vectors that are looked up."""
        return self.vectors - 1 - len(self.decoders)

    @property
    def product(self) -> int:
        """Inputs of the last layer that are products."""
        return self.products * self.width

    def top_on(self, edge: int) -> tuple[tuple[int, int], ...]:
        """Layers of the top MLP on an engine of ``edge`` PEs: products have pages of their own, so
        the last layer reads as many inputs more as fill their last page."""
        if not self.products:
            return self.top
        hidden = self.top[-2][1]
        return (*self.top[:-1], (-(-self.product // edge) * edge + hidden, self.top[-1][1]))


@dataclass(frozen=True, kw_only=True)
class LayerMap:
    """Addresses of one layer in the engine's banks."""

    input_tiles: int
    output_tiles: int
    input_base: int
    output_base: int
    parameter_base: int


@dataclass(frozen=True, kw_only=True)
class PhaseMap:
    """One MLP on one engine."""

    layers: tuple[LayerMap, ...]
    tiles: int
    streamed: bool
    weights: int
    """First word in the weight banks, when resident."""


@dataclass(frozen=True, kw_only=True)
class DecoderMap(PhaseMap):
    """One decoder on one engine, or the sum of what it made of a bag."""

    feature: int
    vector: int
    """Number among the DHE vectors."""
    pages: int
    """Of codes."""
    number: int
    """Of its id among the id words behind the dense values."""
    member: int | None = None
    """Place in a bag, whose vector stays in the banks."""
    sums: bool = False
    """Adds the vectors of a bag."""

    @property
    def name(self) -> str:
        """Of its layers, as golden names them."""
        if self.member is not None:
            return f"decoder.{self.feature}[{self.member}]"
        return f"{'sum' if self.sums else 'decoder'}.{self.feature}"

    @property
    def part(self) -> str:
        """Of its weights: the same for all places of a bag."""
        return f"{'sum' if self.sums else 'decoder'} {self.vector}"


@dataclass(frozen=True, kw_only=True)
class StageMap:
    """One program on one engine."""

    shape: StageShape
    rows: int
    """Largest row block of this engine; pages lie so many bytes apart."""
    bottom: PhaseMap
    top: PhaseMap
    input_base: int
    output_base: int
    slot_bytes: int
    slots: int
    log2_outputs: int
    shift_words: int
    """Words of DOT_SHIFTS that an interaction step takes."""
    decoders: tuple[DecoderMap, ...] = ()
    """In the order in which they run."""
    code_base: int = 0
    """Bank address of codes: behind the vectors of bags."""
    product_base: int = 0
    """k of the first product among the interaction's outputs."""
    step_rows: int = 1
    """Vectors i of a dot step."""
    product_lanes: int = 1
    """Products of a step."""

    @property
    def phases(self) -> tuple[PhaseMap, ...]:
        """All that the array runs for a row block."""
        return (self.bottom, self.top, *self.decoders)


@dataclass(frozen=True, kw_only=True)
class EngineMap:
    """All programs of one engine shape."""

    edge: int
    stages: dict[int, StageMap]
    """By program number."""
    ring_base: int
    ring_log2_words: int
    resident_words: int
    """Weight words of a bank that hold resident phases."""
    parameter_tiles: int

    def streamed_tiles(self, number: int) -> int:
        """Weight tiles of a program that come from device memory for every row block."""
        stage = self.stages[number]
        return sum(phase.tiles for phase in stage.phases if phase.streamed)
