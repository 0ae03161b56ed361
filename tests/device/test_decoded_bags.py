"""Bags of decoded features: every id decoded, their sum as one layer more, no bit different."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import rpaccel
from driver.deployment import Deployment
from driver.image import MemoryImage
from driver.inputs import make_workload
from driver.options import RunOptions
from driver.run import run as run_options
from driver.workload import Workload
from golden.embedding import EMPTY_ID
from golden.encoders import random_stack
from golden.layer import Function
from golden.model import random_model
from golden.shape import Interaction, Representation
from hdl.program import Target
from tests.device.support import CONFIG
from tests.device.test_representations import DECODER, ROWS, run, shape_of

BAGS = (3, 1, 4, 2, 1)
"""Features 0 and 2 are those that "select" decodes."""


def inputs(seed: int, items: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Ids with empty places anywhere in a bag, one item with none and one with all used."""
    random = np.random.default_rng(seed)
    features = np.repeat(np.arange(len(ROWS)), BAGS)
    ids = (random.random((items, len(features))) ** 2 * np.array(ROWS)[features]).astype(np.uint32)
    many = np.array(BAGS)[features] > 1
    empty = (random.random(ids.shape) < 0.4) & many
    empty[0], empty[1:2] = many, False
    ids[empty] = EMPTY_ID
    return random.normal(0, 1, (items, 13)).astype(np.float32), ids


def workload(
    representation: Representation,
    interaction: Interaction,
    *,
    decoder: tuple[int, ...] = DECODER,
    hidden: Function = "relu",
    last: Function = "sigmoid",
    items: int = 21,
) -> Workload:
    shape = replace(shape_of(representation, interaction, decoder), bags=BAGS)
    stacks = tuple(
        random_stack(sizes, seed=[f], hidden=hidden, last=last) if sizes else None
        for f, sizes in enumerate(shape.decoders)
    )
    return make_workload(
        models=[replace(random_model(shape, seed=4), stacks=stacks)],
        keep=[min(items, 6)],
        queries=[inputs(n, items) for n in range(2)],
        calibration=inputs(99, 200),
    )


@pytest.mark.parametrize(
    ("representation", "interaction"), [("dhe", "cat"), ("select", "dot"), ("hybrid", "dot")]
)
def test_bits(representation: Representation, interaction: Interaction) -> None:
    """Every layer of every place, every sum, every lookup and survivor."""
    ran = run(workload(representation, interaction), seed=1)
    assert ran["stages"][0]["stall_cycles"]["hash"] > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_memory(seed: int) -> None:
    made = workload("hybrid" if seed % 2 else "select", "dot" if seed % 2 else "cat")
    run(made, dram="hostile", seed=seed)


@pytest.mark.parametrize(
    ("decoder", "hidden", "last"),
    [((40, 4), "relu", "none"), ((33, 8, 64), "mish", "mish"), ((96, 64, 16), "relu", "none")],
)
def test_decoders(decoder: tuple[int, ...], hidden: Function, last: Function) -> None:
    """Vectors narrower than the engine and of many pages; weights in the banks and streamed."""
    run(workload("dhe", "cat", decoder=decoder, hidden=hidden, last=last))


def test_small_engine() -> None:
    """Pages and sums of an engine of 4 x 4."""
    run(workload("select", "cat", items=9), partition="4x4:1@0")


def test_held_vectors_beside_bags() -> None:
    """Tier 1 holds vectors of the features with one id, and none of the bags."""
    made = workload("hybrid", "cat")
    ran = run(made, mp_cache=24)
    cache = ran["embedding"]["mp_cache"]
    words = 5 + sum(size for size in BAGS if size > 1)
    assert cache["lookups"] == 2 * 21 * words
    assert 0 < cache["hits"] <= 2 * 21 * BAGS.count(1)


@pytest.mark.parametrize("decoder", [DECODER, (96, 64, 16)])
def test_cycles(decoder: tuple[int, ...]) -> None:
    made = workload("hybrid", "cat", decoder=decoder, items=40)
    ran = run(made)
    predicted = rpaccel.run(preset="tiny", workload=made, backend="timing")
    assert predicted["cycles"] == pytest.approx(ran["cycles"], rel=0.02)
    assert predicted["mac_utilization"] == pytest.approx(ran["mac_utilization"], rel=0.02)
    assert ran["mac_utilization"] < ran["mac_utilization_bound"] < 1


def _broken(deployment: Deployment, image: MemoryImage) -> None:
    """The bias of the first sum's first value."""
    load, *_ = (load for load in deployment.loads if load.target is Target.PARAMETERS)
    blob = image.to_bytes()[load.address : load.address + 8 * load.words]
    place = next(p for p in deployment.maps[0].stages[0].decoders if p.sums)
    start = 8 * CONFIG.sub_array * place.layers[0].parameter_base
    image.write(load.address + start, bytes([blob[start] ^ 64]))


def test_a_wrong_sum_is_found() -> None:
    ran = run_options(
        RunOptions(preset="tiny"), workload=workload("select", "cat"), corrupt=_broken
    )
    assert ran["bit_exact"] is False
    assert "layer sum." in ran["difference"]
