"""The integer form of a model: everything the device needs, and the scales that explain it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from golden.dhe import HashEncoder
from golden.model import ModelShape, check_features

__all__ = ["IDENTITY", "IntegerFunction", "QuantisedLayer", "QuantisedModel", "QuantisedStack"]

IntegerFunction = Literal["none", "relu", "table"]

IDENTITY = (32768, 15)
"""(multiplier, shift) that leaves every value as it is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantisedLayer:
    """One layer in integers.

    `clamp(((x @ weight.T + bias) * multiplier + (1 << (shift - 1))) >> shift)`, then `function`.
    """

    weight: NDArray[np.int8]
    """[outputs, inputs], -127..127. Scales of the inputs are absorbed, per input channel."""
    bias: NDArray[np.int32]
    """[outputs]; accumulator + bias always fits int32."""
    multiplier: NDArray[np.uint16]
    """[outputs], 0 or 32768..65535."""
    shift: NDArray[np.uint8]
    """[outputs], 1..47 (1 where the multiplier is 0)."""
    function: IntegerFunction
    table: NDArray[np.int8] | None = None
    """[256], index q + 128, when `function` is "table"."""
    score: bool = False
    """The clamp is to int16 instead of int8: the last layer of the top MLP."""
    weight_scale: NDArray[np.float64]
    """[outputs]: real value of one unit of accumulator + bias."""
    output_scale: float
    """Real value of one unit of the output (after `function`)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantisedStack:
    """Encoder and decoder of one feature in integers; codes are -127..127 for [-1, 1]."""

    encoder: HashEncoder
    decoder: tuple[QuantisedLayer, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantisedModel:
    """A model in integers. All arrays are what the device stores, in the order of the layers."""

    shape: ModelShape
    dense_scale: float
    """Real value of one unit of a dense input; one for all models of a pipeline."""
    bottom: tuple[QuantisedLayer, ...]
    tables: tuple[NDArray[np.int8], ...]
    """One [rows, width] array per sparse feature, -127..127; [0, width] where it has none."""
    table_scale: NDArray[np.float64]
    """[embeddings]: real value of one unit of a row or of a decoder's output."""
    pool_multiplier: NDArray[np.uint16]
    """[embeddings]: requantise of the sum of a bag; (32768, 15) is the identity (one id a bag)."""
    pool_shift: NDArray[np.uint8]
    """[embeddings]"""
    dot_shift: NDArray[np.uint8]
    """[pairs], 0..15, strict lower triangle row-major: (1,0), (2,0), (2,1), ... where vector 0 is
    the dense vector. Empty for `cat`; one value, of all products, for `product`."""
    interaction_scale: NDArray[np.float64]
    """[interaction_width]: real value of one unit of each input of the top MLP."""
    top: tuple[QuantisedLayer, ...]
    stacks: tuple[QuantisedStack | None, ...] = ()
    """One per sparse feature, None where it has no DHE vector. Default: none."""
    features: tuple[str, ...] = ()
    """Names of the sparse features, in their order. Default: C1, C2, ..., as Criteo's columns."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", check_features(self.shape, self.features))
        none = (None,) * self.shape.sparse_features
        object.__setattr__(self, "stacks", self.stacks or none)

    @property
    def score_scale(self) -> float:
        """Real value (logit) of one unit of the score."""
        return self.top[-1].output_scale
