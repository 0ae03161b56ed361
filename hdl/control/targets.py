"""Sizes of the memories that LOAD writes: which units and how many words a target has."""

from __future__ import annotations

from ..config import Config
from ..dhe.layouts import DECODER_WORDS
from ..program import (
    DOT_SHIFT_WORDS,
    FEATURE_WORDS,
    LAYER_WORDS,
    PIPELINE_WORDS,
    STAGE_WORDS,
    Target,
)

__all__ = ["SUB_ARRAY_TARGETS", "target_units", "target_words"]

SUB_ARRAY_TARGETS = (
    Target.WEIGHTS,
    Target.PARAMETERS,
    Target.ACTIVATION_TABLE,
    Target.LAYERS,
    Target.STAGES,
    Target.DOT_SHIFTS,
    Target.DECODERS,
    Target.HELD_TAGS,
    Target.HELD_VECTORS,
)
"""Their units are sub-arrays: one LOAD may go to several of them."""


def target_units(config: Config, target: Target) -> int:
    """Number of units, 0 where the device has none; ``ALL_UNITS`` is allowed besides,
    ``MANY_UNITS`` for sub-arrays."""
    if target is Target.DECODERS and not config.hash_lanes:
        return 0
    if target in (Target.HELD_TAGS, Target.HELD_VECTORS) and not config.held_bytes:
        return 0
    if target in SUB_ARRAY_TARGETS:
        return config.sub_arrays
    if target in (Target.PIPELINES, Target.QUOTAS):
        return 1
    return config.gather_lanes


def target_words(config: Config, target: Target) -> int:
    """Words of one unit. Where the depth depends on the unit it is the largest one's."""
    words = {
        Target.WEIGHTS: config.weight_words,
        Target.PARAMETERS: config.parameter_tiles * config.sub_array,
        Target.ACTIVATION_TABLE: config.activation_tables * 32,
        Target.LAYERS: config.max_layers * LAYER_WORDS,
        Target.STAGES: config.max_programs * STAGE_WORDS,
        Target.DOT_SHIFTS: DOT_SHIFT_WORDS,
        Target.FEATURES: config.max_programs * config.lane_words * FEATURE_WORDS,
        Target.CACHE_TAGS: config.lane_cache_bytes // 8,
        Target.CACHE_DATA: config.lane_cache_bytes // 8,
        Target.CACHE_REGIONS: 4,
        Target.PIPELINES: config.max_pipelines * PIPELINE_WORDS,
        Target.DECODERS: config.max_decoders * DECODER_WORDS,
        Target.HELD_TAGS: config.held_sets * config.held_ways,
        Target.HELD_VECTORS: config.held_bytes // 8,
        Target.QUOTAS: config.max_pipelines * config.max_stages * config.max_sub_batches,
    }
    return words[target]
