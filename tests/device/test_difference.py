"""One weight bit differs between golden model and device: the run says where, and fails."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import driver.run
from driver.deployment import Deployment
from driver.image import MemoryImage
from driver.pipelines import pipeline
from driver.rtl import Corrupt
from driver.workload import Workload, load_workload
from golden.compare import compare_queries
from golden.pipeline import QueryResult, run_integer
from golden.quantised_model import QuantisedModel
from hdl import program as fmt
from hdl.program import Target
from hdl.words import unpack
from rpaccel import cli

ITEMS = 16
BIT = 3
PLACES = [
    # stage, part, layer, output, input; the first one is resident, the others streamed
    (0, "bottom", 0, 37, 5),
    (1, "bottom", 2, 100, 77),
    (1, "top", 1, 0, 60),
]
Place = tuple[int, str, int, int, int]


def weight_address(deployment: Deployment, image: bytes, place: Place) -> int:
    """Byte address of a weight in device memory, on the one engine of a fused device."""
    stage, part, layer, output, input_ = place
    config = deployment.config
    mapped = deployment.maps[0]
    phase = getattr(mapped.stages[stage], part)
    edge, size = mapped.edge, config.sub_array
    before = sum(p.input_tiles * p.output_tiles for p in phase.layers[:layer])
    tile = before + output // edge * phase.layers[layer].input_tiles + input_ // edge
    row, column = input_ % edge, output % edge
    sub_array = row // size * (edge // size) + column // size
    byte = row % size * size + column % size
    if not phase.streamed:
        bank = next(
            load for load in deployment.loads
            if load.target is Target.WEIGHTS and sub_array in load.units
        )  # fmt: skip
        return bank.address + phase.weights * config.axi_bytes + tile * size**2 + byte
    start = _stream(deployment, image, stage, part)
    return start + (tile * (edge // size) ** 2 + sub_array) * size**2 + byte


def _stream(deployment: Deployment, image: bytes, stage: int, part: str) -> int:
    """Address of a weight stream, from the STAGES words that are loaded."""
    load = next(entry for entry in deployment.loads if entry.target is Target.STAGES)
    size = 8 * fmt.STAGE_WORDS
    start = load.address + stage * size
    word = unpack(fmt.STAGE, image[start : start + size])
    return int(word.bottom_stream if part == "bottom" else word.top_stream)


def flip(place: Place, workload: Workload) -> Corrupt:
    """Flip the bit in device memory; make sure that it was that weight's."""

    def corrupt(deployment: Deployment, image: MemoryImage) -> None:
        stage, part, layer, output, input_ = place
        memory = image.to_bytes()
        address = weight_address(deployment, memory, place)
        weight = getattr(workload.quantised[stage], part)[layer].weight[output, input_]
        assert memory[address] == int(weight) & 0xFF
        image.write(address, bytes([memory[address] ^ 1 << BIT]))

    return corrupt


def flipped_model(model: QuantisedModel, place: Place) -> QuantisedModel:
    _, part, layer, output, input_ = place
    layers = list(getattr(model, part))
    weight = layers[layer].weight.copy()
    weight[output, input_] ^= 1 << BIT
    layers[layer] = replace(layers[layer], weight=weight)
    changes: dict[str, Any] = {part: tuple(layers)}
    return replace(model, **changes)


def first_difference(workload: Workload, place: Place) -> str:
    """What the comparison must say, from two golden runs."""
    models = list(workload.quantised)
    models[place[0]] = flipped_model(models[place[0]], place)
    keep = [stage.keep for stage in workload.pipeline.stages]
    query = workload.queries[0]

    def run(of: list[QuantisedModel]) -> QueryResult:
        return run_integer(of, keep, query.dense, query.ids, keep_layers=True)

    other = run(models)
    difference = compare_queries(
        run(workload.quantised),
        items=other.items,
        scores=other.scores,
        layers=[stage.layers or {} for stage in other.stages],
        survivors=[stage.forwarded for stage in other.stages],
    )
    assert difference is not None
    return str(difference)


@pytest.mark.parametrize("place", PLACES, ids=lambda p: f"stage{p[0]}-{p[1]}.{p[2]}")
def test_flipped_weight_is_found(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = pipeline("demo-2").scaled(ITEMS)
    workload = load_workload(spec, queries=1, max_rows=10_000, seed=1)
    expected = first_difference(workload, place)
    assert (
        f"stage {place[0]}, layer {place[1]}.{place[2]}, item " in expected or "score" in expected
    )
    corrupted = functools.partial(driver.run.run, corrupt=flip(place, workload))
    monkeypatch.setattr(driver.run, "run", corrupted)
    target = tmp_path / "result.json"
    words = ["run", "--preset", "tiny", "--pipeline", "demo-2", "--items", str(ITEMS)]
    assert cli.main([*words, "--json", str(target)]) == 1
    result = json.loads(target.read_text())
    assert result["bit_exact"] is False
    assert result["difference"] == f"query 0, {expected}"
    if "score" not in expected:
        assert f", channel {place[3]}:" in expected
    text = capsys.readouterr().out
    assert "bit-exact: NO" in text
    assert expected in text
