"""Shared by the engine tests: writing tables, describing phases."""

from __future__ import annotations

import random
from typing import Any

from hdl.config import Config
from hdl.interfaces import config_write_layout
from hdl.program import LAYER, LAYER_WORDS, STAGE, STAGE_WORDS, Target
from hdl.words import pack


def split_words(value: int, words: int) -> list[int]:
    """64-bit words of a packed descriptor, lowest first."""
    return [(value >> (64 * word)) & (2**64 - 1) for word in range(words)]


async def load(
    ctx: Any,
    dut: Any,
    config: Config,
    target: Target,
    start: int,
    words: list[int],
    *,
    unit: int = 0,
) -> None:
    """Broadcast ``words`` to ``target`` from address ``start`` on."""
    layout = config_write_layout(config)
    for offset, word in enumerate(words):
        ctx.set(
            dut.config_write,
            layout.const(
                {
                    "valid": 1,
                    "target": target,
                    "unit": unit,
                    "address": start + offset,
                    "data": word,
                }
            ),
        )
        await ctx.tick()
    ctx.set(dut.config_write, layout.const({}))
    await ctx.tick()


async def load_layer(
    ctx: Any, dut: Any, config: Config, index: int, layer: Any, *, unit: int = 0
) -> None:  # noqa: E501
    words = split_words(pack(LAYER, layer), LAYER_WORDS)
    await load(ctx, dut, config, Target.LAYERS, index * LAYER_WORDS, words, unit=unit)


async def load_stage(
    ctx: Any, dut: Any, config: Config, program: int, stage: Any, *, unit: int = 0
) -> None:  # noqa: E501
    words = split_words(pack(STAGE, stage), STAGE_WORDS)
    await load(ctx, dut, config, Target.STAGES, program * STAGE_WORDS, words, unit=unit)


def random_layer(rng: random.Random, inputs: int, outputs: int) -> dict[str, int]:
    return {
        "input_tiles": inputs,
        "output_tiles": outputs,
        "input_base": rng.randrange(1 << 16),
        "output_base": rng.randrange(1 << 16),
        "function": rng.randrange(3),
        "table": rng.randrange(4),
        "destination": rng.randrange(3),
        "parameter_base": rng.randrange(1 << 12),
    }
