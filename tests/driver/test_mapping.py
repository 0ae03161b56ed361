from __future__ import annotations

import pytest

from driver.errors import UserError
from driver.mapping import map_engine, row_blocks, rows_of
from driver.maps import EngineMap, StageShape
from hdl.config import Config, preset

SMALL_MODEL = StageShape(
    name="RMsmall",
    bottom=((13, 64), (64, 4)),
    top=((355, 64), (64, 1)),
    width=4,
    vectors=27,
    dot=True,
)
LARGE_MODEL = StageShape(
    name="RMlarge",
    bottom=((13, 512), (512, 256), (256, 128), (128, 64), (64, 32)),
    top=((383, 96), (96, 1)),
    width=32,
    vectors=27,
    dot=True,
)
PROGRAMS = {0: SMALL_MODEL, 1: LARGE_MODEL}


def _map(name: str, level: int) -> tuple[Config, EngineMap]:
    config = preset(name)
    rows = row_blocks(config, PROGRAMS, config.sub_array << level)
    return config, map_engine(config, row=0, column=0, level=level, programs=PROGRAMS, rows=rows)


@pytest.mark.parametrize("name", ["tiny", "small", "ecp5", "medium", "paper"])
def test_tensors_that_live_together_do_not_overlap(name: str) -> None:
    config = preset(name)
    for level in range(config.levels):
        _, mapped = _map(name, level)
        for stage in mapped.stages.values():
            for phase, first in ((stage.bottom, stage.input_base), (stage.top, stage.output_base)):
                base = first
                for layer in phase.layers[:-1]:
                    read = range(base, base + layer.input_tiles * stage.rows)
                    write = range(
                        layer.output_base, layer.output_base + layer.output_tiles * stage.rows
                    )
                    assert read.stop <= write.start or write.stop <= read.start
                    assert max(read.stop, write.stop) <= config.activation_bytes // 2
                    base = layer.output_base


@pytest.mark.parametrize("name", ["tiny", "small", "ecp5", "medium", "paper"])
def test_inputs_of_any_program_land_beside_a_running_top_mlp(name: str) -> None:
    """Row blocks of different stages follow each other in a slot."""
    config = preset(name)
    for level in range(config.levels):
        _, mapped = _map(name, level)
        for waiting in mapped.stages.values():
            pages = waiting.bottom.layers[0].input_tiles
            end = waiting.input_base + pages * waiting.rows
            assert end <= config.activation_bytes // 2
            for running in mapped.stages.values():
                base = running.output_base
                for layer in running.top.layers:
                    reads = base + layer.input_tiles * running.rows
                    assert reads <= waiting.input_base
                    base = layer.output_base


@pytest.mark.parametrize("name", ["tiny", "small", "ecp5", "medium", "paper"])
def test_resident_phases_and_ring_fit_the_bank_without_overlap(name: str) -> None:
    config = preset(name)
    for level in range(config.levels):
        _, mapped = _map(name, level)
        spans = []
        streamed = False
        for stage in mapped.stages.values():
            for phase in (stage.bottom, stage.top):
                streamed |= phase.streamed
                if not phase.streamed:
                    spans.append((phase.weights, phase.weights + phase.tiles * config.slice_words))
        if streamed:
            spans.append((mapped.ring_base, mapped.ring_base + (1 << mapped.ring_log2_words)))
        spans.sort()
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
        assert spans[-1][1] <= config.weight_words


def test_both_models_stay_resident_on_the_fused_small_array() -> None:
    config, mapped = _map("small", 2)
    assert mapped.resident_words == 966 <= config.weight_words
    assert not any(p.streamed for s in mapped.stages.values() for p in (s.bottom, s.top))


def test_too_large_layers_are_named() -> None:
    wide = StageShape(
        name="wide", bottom=((13, 5000), (5000, 4)), top=((8, 1),), width=4, vectors=1, dot=False
    )
    config = preset("paper")
    with pytest.raises(
        UserError, match=r"wide: bottom layer 0 has 5000 outputs, paper takes at most 4096"
    ):
        map_engine(config, row=0, column=0, level=3, programs={0: wide}, rows={0: 4})
    with pytest.raises(UserError, match=r"activations need \d+ pages"):
        rows_of(preset("tiny"), wide, 4)


def test_width_must_be_a_power_of_two() -> None:
    odd = StageShape(name="odd", bottom=((13, 12),), top=((24, 1),), width=12, vectors=2, dot=False)
    with pytest.raises(UserError, match="vector width must be"):
        map_engine(preset("tiny"), row=0, column=0, level=0, programs={0: odd}, rows={0: 4})
