"""Ranges of the submission check that depend on the device's features."""

from __future__ import annotations

from typing import Any

import pytest

from hdl.config import PRESETS
from hdl.control.submission_check import SubmissionCheck
from hdl.program import PIPELINE, Opcode, Status, Target
from hdl.words import pack

from ..support import simulate

WINDOW = (0x1000, 0x3000)


@pytest.mark.parametrize(
    ("name", "records", "result", "status"),
    [
        # 2 results: 16 bytes with the filter on the device, 63 * 8 bytes without.
        ("tiny", 0x1040, WINDOW[1] - 64, Status.OK),
        ("tiny-baseline", 0x1040, WINDOW[1] - 64, Status.BAD_ADDRESS),
        ("tiny-baseline", 0x1040, WINDOW[1] - 512, Status.OK),
        # Records of 32 gather lanes lie at multiples of 128.
        ("paper", 0x1080, WINDOW[1] - 64, Status.OK),
        ("paper", 0x1040, WINDOW[1] - 64, Status.BAD_ADDRESS),
    ],
)
def test_ranges(name: str, records: int, result: int, status: Status) -> None:
    dut = SubmissionCheck(config=PRESETS[name])

    async def bench(ctx: Any) -> None:
        ctx.set(dut.window_base, WINDOW[0])
        ctx.set(dut.window_limit, WINDOW[1])
        word = pack(PIPELINE, {"stages": 1, "pitch": 64})
        write = {
            "valid": 1, "target": Target.PIPELINES, "unit": 0, "address": 6,
            "data": word & (1 << 64) - 1,
        }  # fmt: skip
        ctx.set(dut.config_write, {**write, "valid": 0})
        await ctx.tick()
        ctx.set(dut.config_write, write)
        await ctx.tick()
        ctx.set(dut.config_write, {"valid": 0})
        entry = {
            "opcode": Opcode.QUERY, "pipeline": 2, "address": records, "result": result,
            "items": 63, "keep": [2, 0, 0, 0],
        }  # fmt: skip
        ctx.set(dut.entry, entry)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        for _ in range(3):
            assert not ctx.get(dut.done)
            await ctx.tick()
        assert ctx.get(dut.done)
        assert ctx.get(dut.status) == status

    simulate(dut, bench)
