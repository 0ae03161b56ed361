"""MP-Rec's representations in RTL: tables, hashes and decoders, one of the two, or both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import rpaccel
from driver.inputs import make_workload
from driver.workload import Workload
from golden.encoders import random_stack
from golden.layer import Function
from golden.model import ModelShape, random_model
from golden.mprec import embeddings_of
from golden.shape import Interaction, Representation

ROWS = (90, 3, 60, 17, 40)
"""Five features; "select" decodes the first and the third."""
DECODER = (18, 10, 8)


def shape_of(
    representation: Representation, interaction: Interaction, decoder: tuple[int, ...] = DECODER
) -> ModelShape:
    embeddings = embeddings_of(representation, ROWS, (0, 2) if representation == "select" else None)
    return ModelShape(
        name=representation,
        width=decoder[-1],
        bottom=(13, 12, decoder[-1]),
        top=(9, 1),
        rows=ROWS,
        interaction=interaction,
        embeddings=embeddings,
        decoders=tuple(decoder if ("dhe", f) in embeddings else () for f in range(len(ROWS))),
    )


def workload(
    representation: Representation,
    interaction: Interaction,
    *,
    decoder: tuple[int, ...] = DECODER,
    hidden: Function = "relu",
    last: Function = "sigmoid",
    items: int = 21,
    queries: int = 2,
) -> Workload:
    """Two queries; primes shared in even features and one a hash in odd ones."""
    shape = shape_of(representation, interaction, decoder)
    stacks = tuple(
        random_stack(
            sizes,
            seed=[f],
            hidden=hidden,
            last=last,
            policy="per-hash" if f % 2 else "shared",
        )
        if sizes
        else None
        for f, sizes in enumerate(shape.decoders)
    )
    model = replace(random_model(shape, seed=4), stacks=stacks)
    return make_workload(
        models=[model],
        keep=[min(items, 6)],
        queries=[inputs(n, items) for n in range(queries)],
        calibration=inputs(99, 200),
    )


def inputs(seed: int, items: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Dense values and ids; squares of uniform numbers: low ids are frequent."""
    random = np.random.default_rng(seed)
    dense = random.normal(0, 1, (items, 13)).astype(np.float32)
    return dense, (random.random((items, len(ROWS))) ** 2 * ROWS).astype(np.uint32)


def run(made: Workload, **options: Any) -> dict[str, Any]:
    ran = rpaccel.run(preset="tiny", workload=made, **options)
    assert ran["bit_exact"] is True, ran["difference"]
    return ran


@pytest.mark.parametrize("interaction", ["cat", "dot"])
@pytest.mark.parametrize("representation", ["table", "dhe", "select", "hybrid"])
def test_bits(representation: Representation, interaction: Interaction) -> None:
    """Every layer, decoders among them, every lookup and survivor."""
    ran = run(workload(representation, interaction), seed=1)
    tables = {"table": 5, "dhe": 0, "select": 3, "hybrid": 5}[representation]
    assert ran["embedding"]["lookups"] == 2 * 21 * tables


def test_cycles() -> None:
    """The timing model knows hashes and decoders: weights streamed, two row blocks in turns."""
    made = workload("hybrid", "cat", decoder=(96, 64, 16), items=40, queries=1)
    ran = run(made)
    predicted = rpaccel.run(preset="tiny", workload=made, backend="timing")
    assert predicted["cycles"] == pytest.approx(ran["cycles"], rel=0.02)
    stalls = ran["stages"][0]["stall_cycles"]["hash"]
    assert predicted["stages"][0]["stall_cycles"]["hash"] == pytest.approx(stalls, rel=0.1)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("representation", ["table", "dhe", "select", "hybrid"])
def test_hostile_memory(representation: Representation, seed: int) -> None:
    """Bursts late by up to 2000 cycles, mixed, with back-pressure: the same bits."""
    run(workload(representation, "cat" if seed % 2 else "dot"), dram="hostile", seed=seed)


@pytest.mark.parametrize(
    ("decoder", "hidden", "last"),
    [
        ((40, 4), "relu", "none"),
        ((9, 30, 20, 16), "mish", "mish"),
        ((33, 8, 64), "relu", "sigmoid"),
    ],
)
def test_decoders(decoder: tuple[int, ...], hidden: Function, last: Function) -> None:
    """Narrow and wide vectors, one to three layers, weights in the banks and streamed."""
    run(workload("hybrid", "cat", decoder=decoder, hidden=hidden, last=last, items=37))


def test_one_item() -> None:
    run(workload("dhe", "dot", items=1, queries=1))


def test_funnel_with_decoders_behind() -> None:
    """Tables in front, both behind: the records of both stages carry the ids of the decoders."""
    shapes = (shape_of("table", "dot"), shape_of("hybrid", "dot"))
    models = [random_model(shape, seed=n) for n, shape in enumerate(shapes)]
    made = make_workload(
        models=models,
        keep=[9, 4],
        queries=[inputs(n, 30) for n in range(2)],
        calibration=inputs(99, 200),
    )
    run(made, sub_batches=2)


def test_a_prime_that_is_none() -> None:
    """It is computed as it stands, and said."""
    made = workload("dhe", "cat", items=5, queries=1)
    stacks = list(made.quantised[0].stacks)
    stack = stacks[2]
    assert stack is not None
    primes = np.full_like(stack.encoder.p, 1_000_005)
    stacks[2] = replace(stack, encoder=replace(stack.encoder, p=primes))
    made.quantised[0] = replace(made.quantised[0], stacks=tuple(stacks))
    ran = run(made)
    assert "dhe, feature 2: p = 1000005 is not a prime" in ran["notes"]
    assert ran["bit_exact"] is True
