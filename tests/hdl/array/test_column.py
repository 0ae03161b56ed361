"""Column against plain Python, every input given in its own stage."""

from __future__ import annotations

import random
from typing import Any

from hdl.array import timing
from hdl.array.column import Column
from hdl.config import preset
from hdl.program import Function
from tests.hdl.array.test_requantiser import model
from tests.hdl.support import simulate

TINY = preset("tiny")


def test_rows_accumulate_and_leave_as_the_formula_says() -> None:
    """Ten rows in turn, at the closest distance a row may come back; K tiles of random number."""
    dut = Column(config=TINY)
    rng = random.Random(6)
    limit = 1 << (TINY.partial_sum_width - 1)
    parameters = [
        {
            "bias": rng.randint(-100000, 100000),
            "multiplier": rng.choice([0, rng.randint(32768, 65535), rng.randint(32768, 65535)]),
            "shift": rng.randint(18, 30),
        }
        for _ in range(16)
    ]
    tables = [[rng.randint(-128, 127) for _ in range(256)] for _ in range(4)]
    words: list[dict[str, int] | None] = []
    expected: list[tuple[int, int]] = []
    sums = [0] * TINY.rows
    for _ in range(12):  # output tiles
        inputs = rng.randint(1, 4)
        rows = rng.sample(range(TINY.rows), 10)
        common = {
            "parameter": rng.randrange(16),
            "wide": rng.randint(0, 1),
            "function": rng.choice(list(Function)),
            "table": rng.randrange(4),
        }
        if common["function"] == Function.TABLE:
            common["wide"] = 0
        for k in range(inputs):
            for row in rows:
                value = rng.choice([-limit, limit - 1, rng.randint(-limit, limit - 1)])
                sums[row] = value + (sums[row] if k else 0)
                word = {"row": row, "first": k == 0, "last": k == inputs - 1, "sum": value}
                if word["last"]:
                    parameter = parameters[common["parameter"]]
                    bias, multiplier, shift = parameter.values()
                    result = model(sums[row], bias, multiplier, shift, common["wide"])
                    if common["function"] == Function.RELU:
                        result = max(result, 0)
                    elif common["function"] == Function.TABLE:
                        result = tables[common["table"]][result + 128]
                    expected.append((len(words) + timing.RESULT_STAGE, result))
                words.append(word | common)
            words += [None] * (TINY.tile_interval - len(rows))

    def at(cycle: int, stage: int) -> dict[str, int]:
        word = words[cycle - stage] if 0 <= cycle - stage < len(words) else None
        return word or dict.fromkeys(
            ("row", "first", "last", "sum", "parameter", "wide", "function", "table"), 0
        )

    async def load(ctx: Any) -> None:
        for address, parameter in enumerate(parameters):
            ctx.set(dut.parameter_write, {"valid": 1, "address": address, "data": parameter})
            await ctx.tick()
        ctx.set(dut.parameter_write.valid, 0)
        for address in range(32 * len(tables)):
            entries = tables[address // 32][address % 32 * 8 :][:8]
            ctx.set(dut.table_write, {"valid": 1, "address": address, "data": entries})
            await ctx.tick()
        ctx.set(dut.table_write.valid, 0)

    async def bench(ctx: Any) -> None:
        await load(ctx)
        results = dict(expected)
        for cycle in range(len(words) + timing.RESULT_STAGE + 1):
            accumulate, function = (
                at(cycle, timing.ACCUMULATE_STAGE),
                at(cycle, timing.FUNCTION_STAGE),
            )
            writes = 0 <= cycle - timing.ACCUMULATE_STAGE < len(words)
            writes = writes and words[cycle - timing.ACCUMULATE_STAGE] is not None
            ctx.set(dut.read_row, at(cycle, timing.READ_STAGE)["row"])
            ctx.set(dut.first, at(cycle, timing.FIRST_STAGE)["first"])
            ctx.set(dut.partial_sum, at(cycle, timing.SUM_STAGE)["sum"])
            ctx.set(dut.parameter, at(cycle, timing.PARAMETER_STAGE)["parameter"])
            ctx.set(dut.write_row, accumulate["row"])
            ctx.set(dut.write, writes and not accumulate["last"])
            ctx.set(dut.wide, accumulate["wide"])
            ctx.set(dut.function, function["function"])
            ctx.set(dut.table, function["table"])
            if cycle in results:
                assert ctx.get(dut.result) == results[cycle], cycle
            await ctx.tick()

    simulate(dut, bench)
    assert len(expected) == 120
