"""The benches on the tiny device, and their arithmetic on made-up data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driver.bench.fission_cost import CUTS, OUTPUTS, cells_by_group
from driver.bench.layers import LayerShape, draw_shapes, measure_layer
from driver.bench.models import draw_models, draw_partition, measure_model, reference_models
from driver.bench.schedule import busy_cycles, cause_counts, layer_spans, tile_runs
from driver.bench.table import table_text
from driver.partition import parse_partition
from driver.traces import Records
from hdl.config import preset
from hdl.engine.cause import Cause
from rpaccel import cli
from sim.errors import SimulationError

TINY = preset("tiny")


def test_table_has_units_percent_and_alignment() -> None:
    rows = [{"a": "x", "n": 5, "utilization": 0.5}, {"a": "long", "n": 1.26, "utilization": None}]
    text = table_text({"a": "name", "n": "n [cycles]", "utilization": "share [%]"}, rows)
    assert text.splitlines() == [
        "name  n [cycles]  share [%]",
        "x              5      50.00",
        "long         1.3          -",
    ]


def test_busy_cycles_come_from_the_changes() -> None:
    kinds = [Cause.BUSY, Cause.WEIGHTS, Cause.BUSY, Cause.BUSY, Cause.IDLE]
    causes = Records(
        cycle=np.array([10, 12, 15, 15, 18]),
        source=np.array([0, 0, 4, 0, 0]),
        fields={"cause": np.array([kind.value for kind in kinds])},
    )
    assert busy_cycles(causes, 0).tolist() == [10, 11, 15, 16, 17]
    counts = cause_counts(causes, 0, 11, 19)
    assert counts[Cause.BUSY] == 4 and counts[Cause.WEIGHTS] == 3 and counts[Cause.IDLE] == 2
    assert sum(counts.values()) == 9


def test_spans_hold_the_gaps_before_and_inside_a_layer() -> None:
    """Blocks of 2 rows and 1 row: output tiles 0 (2 input tiles) and 1 are the layer, 2 is not."""
    busy = np.array([5, 6, 7, 8, 10, 11, 12, 13, 20, 21, 30, 31, 32, 33, 34])
    parameters = np.array([0, 1, 2, 0, 1, 2])
    rows = np.array([2, 2, 2, 1, 1, 1])
    input_tiles = np.array([2, 2, 1])
    run = tile_runs(busy, parameters, rows, input_tiles)
    assert run.window == (5, 34)
    assert layer_spans(run, range(0, 2)) == [(5, 13), (22, 33)]
    with pytest.raises(SimulationError, match="14 rows"):
        tile_runs(busy[1:], parameters, rows, input_tiles)


def test_drawn_shapes_are_at_least_four_edges_and_fit() -> None:
    for name in ("tiny", "small", "medium"):
        config = preset(name)
        for level in range(config.levels):
            edge = config.sub_array << level
            shapes = draw_shapes(config, edge, 20, 3)
            assert shapes[0] == LayerShape(edge=edge, inputs=4 * edge, outputs=4 * edge)
            assert all(s.inputs >= 4 * edge and s.outputs >= 4 * edge for s in shapes)
            assert len(set(shapes)) > 15


@pytest.mark.parametrize("edge", [4, 8])
def test_layer_on_the_tiny_device_reaches_its_budget(edge: int) -> None:
    row = measure_layer(TINY, LayerShape(edge=edge, inputs=4 * edge, outputs=5 * edge), items=64)
    assert row["padded_cycles"] == 4 * 5 * 64
    assert row["padded_cycles"] <= row["cycles"] < row["plain_cycles"]
    assert 0.97 <= row["utilization"] <= 1


def test_model_on_the_tiny_device() -> None:
    """The interaction hides behind the array; every cycle of the engines has a cause."""
    (shape,) = (s for s in reference_models() if s.name == "RMsmall" and s.interaction == "cat")
    row = measure_model(TINY, parse_partition(TINY, "4x4:4", stages=1), shape, items=90)
    assert row["engines"] == 4
    macs = 13 * 64 + 64 * 4 + 108 * 64 + 64
    tiles = 4 * 16 + 16 * 1 + 27 * 16 + 16 * 1
    assert row["limit_cycles"] == 90 * macs / TINY.pes
    assert row["padded_cycles"] == 90 * tiles / 4
    assert row["padded_cycles"] < row["cycles"] < row["plain_cycles"]
    assert row["utilization_of_bound"] == row["busy_utilization"]
    assert row["steady_utilization_of_bound"] >= row["utilization_of_bound"] > 0.6
    causes = [row[f"{cause.name.lower()}_utilization"] for cause in Cause]
    assert abs(sum(causes) - 1) < 1e-9


def test_drawn_models_differ_and_fit() -> None:
    models = draw_models(20, 3)
    assert {m.interaction for m in models} == {"dot", "cat"}
    assert len({m.macs for m in models}) > 15
    small = preset("small")
    assert len({draw_partition(small, n, 3).text for n in range(20)}) > 3


def test_array_bench_refuses_unknown_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "array", "--model", "RMhuge"]) == 2
    assert "unknown model 'RMhuge'; known models: RMsmall, RMsmall-cat" in capsys.readouterr().err


def test_changes_of_partition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Queries are bit-exact; LOADs overlap and take little more than their words."""
    words = ["bench", "array", "--preset", "tiny", "--only", "changes", "--max-rows", "40"]
    target = tmp_path / "array.json"
    cuts = ["--partition", "fused", "--partition", "split"]
    assert cli.main([*words, *cuts, "--json", str(target)]) == 0
    (row,) = json.loads(target.read_text())["changes"]
    assert (row["before"], row["partition"]) == ("fused", "split")
    assert 0 < row["register_cycles"] < 100 and 0 < row["applied_cycles"] < 20
    assert 0 < row["words"] < row["load_cycles"] < row["words"] + 16 * row["loads"] + 500
    assert "fused" in capsys.readouterr().out


def test_query_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "query", "--preset", "tiny", "--pipeline", "kaggle-2", "--items", "16"]
    target = tmp_path / "query.json"
    assert cli.main([*words, "--max-rows", "40", "--json", str(target)]) == 0
    rows = json.loads(target.read_text())["rows"]
    assert [row["partition"] for row in rows] == ["8x8:1", "4x4:4"]
    for row in rows:
        assert row["bit_exact"]
        assert row["mac_limit_cycles"] < row["cycles"]
        assert row["byte_limit_cycles"] < row["cycles"]
        assert abs(sum(row["causes"].values()) - 1) < 1e-9
    assert "MACs/PEs [cycles]" in capsys.readouterr().out


def test_generate_bench(tmp_path: Path) -> None:
    target = tmp_path / "generate.json"
    words = ["bench", "generate", "--preset", "tiny", "--json", str(target)]
    assert cli.main(words) == 0
    (row,) = json.loads(target.read_text())["rows"]
    assert row["preset"] == "tiny" and row["modules"] > 20
    assert 0 < row["verilog_bytes"] < row["bytes"]


def _cell(kind: str, **ports: tuple[str, list[int]]) -> dict[str, Any]:
    return {
        "type": kind,
        "port_directions": {name: way for name, (way, _) in ports.items()},
        "connections": {name: bits for name, (_, bits) in ports.items()},
    }


def test_cells_of_the_grid_belong_to_what_they_feed() -> None:
    cells = {
        "a": _cell("sub_array", activations=("input", [1]), sums_out=("output", [9])),
        "b": _cell("sub_array", activations=("input", [2]), sums_out=("output", [8])),
        "w": _cell("weight_bank", load=("input", [3]), write=("input", [4])),
        "s": _cell("strip", word=("input", [5]), partial_sums=("input", [9])),
        "cut": _cell("LUT4", A=("input", [6]), Z=("output", [2])),
        "decode": _cell("LUT4", A=("input", [7]), Z=("output", [6])),
        "load": _cell("TRELLIS_FF", D=("input", [8]), Q=("output", [3])),
        "write": _cell("TRELLIS_FF", D=("input", [6]), Q=("output", [4])),
        "tap": _cell("LUT4", A=("input", [6]), Z=("output", [5])),
    }
    netlist = {
        "grid": {"cells": cells},
        "sub_array": {"cells": {str(n): {"type": "pe"} for n in range(4)}},
        "pe": {"cells": {"f": {"type": "TRELLIS_FF"}, "c": {"type": "CCU2C"}}},
        "weight_bank": {"cells": {"f": {"type": "TRELLIS_FF"}}},
        "strip": {"cells": {"k": {"type": "column"}}},
        "column": {"cells": {"l": {"type": "LUT4"}}},
    }
    groups = cells_by_group(netlist)
    assert groups["processing elements"] == {"TRELLIS_FF": 8, "CCU2C": 8}
    assert groups[CUTS] == {"LUT4": 2, "TRELLIS_FF": 1}
    assert groups[OUTPUTS] == {"LUT4": 1, "TRELLIS_FF": 1}
    assert groups["weight banks"] == {"TRELLIS_FF": 1}
    assert groups["strips"] == {"LUT4": 1}


@pytest.mark.parametrize("name", ["tiny", pytest.param("small", marks=pytest.mark.slow)])
def test_fission_cost_bench(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both budgets, whatever the machine: cells are counted."""
    target = tmp_path / "cost.json"
    words = ["bench", "fission-cost", "--preset", name, "--json", str(target)]
    assert cli.main(words) == 0
    result = json.loads(target.read_text())
    cells = {(row["group"], row["fission"]): row for row in result["rows"]}
    elements = "processing elements"
    assert cells[elements, "on"]["total"] == cells[elements, "off"]["total"]
    assert cells[elements, "on"]["dsp"] == preset(name).pes
    assert 40 <= result["flip_flops_per_pe"] <= result["flip_flops_per_pe_limit"] == 64
    assert cells[CUTS, "on"]["lut4"] > cells[CUTS, "off"]["lut4"]
    assert 0 < result["fission_cost"] <= result["fission_cost_limit"] == 0.04
    text = capsys.readouterr().out
    assert f"fission adds {100 * result['fission_cost']:.2f} % to the fabric" in text
    assert f"limit 4 %; {result['flip_flops_per_pe']:.0f} flip-flops a PE, limit 64" in text


def test_unknown_preset_is_refused_before_any_work(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("array", "query", "fission-cost", "generate"):
        assert cli.main(["bench", name, "--preset", "huge"]) == 2
        assert "huge" in capsys.readouterr().err
    assert cli.main(["bench", "fission-cost", "--preset", "tiny-baseline"]) == 2
