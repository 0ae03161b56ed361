"""MP-Rec's pipelines: names, decoders, golden runs, and what the device refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from driver.errors import UserError
from driver.options import RunOptions
from driver.pipelines import PIPELINES, fitted, pipeline
from driver.run import run

DECODER = "24-16-16"


def options(name: str, backend: Any) -> RunOptions:
    return RunOptions(preset="tiny", pipeline=name, items=12, max_rows=50, backend=backend)


def test_names() -> None:
    names = {name for name, found in PIPELINES.items() if found.data == "mprec"}
    assert len(names) == 20 and {"mprec-kaggle-hybrid", "mprec-terabyte-select-dot"} <= names
    found = pipeline("mprec-kaggle-dhe-dot:2048-512-256-16")
    assert found.interaction == "dot" and found.decoder == (2048, 512, 256, 16)
    assert pipeline("mprec-kaggle-dhe").decoder == ()


@pytest.mark.parametrize("representation", ["table", "dhe", "select", "hybrid"])
@pytest.mark.parametrize("suffix", ["", "-dot"])
def test_golden_runs(representation: str, suffix: str) -> None:
    decoder = "" if representation == "table" else f":{DECODER}"
    result = run(options(f"mprec-kaggle-{representation}{suffix}{decoder}", "golden"))
    assert result["status"] == 0 and len(result["top"]) == 3
    assert len({entry["score"] for entry in result["top"]}) > 1
    said = any("decoders 24-16-16 of" in note for note in result["notes"])
    assert said == (representation != "table")


@pytest.mark.parametrize("representation", ["table", "dhe", "select", "hybrid"])
def test_they_run_on_the_device(representation: str) -> None:
    decoder = "" if representation == "table" else f":{DECODER}"
    ran = run(options(f"mprec-kaggle-{representation}{decoder}", "timing"))
    lookups = {"table": 26, "dhe": 0, "select": 21, "hybrid": 26}[representation]
    assert ran["cycles"] > 0 and ran["embedding"]["lookups"] == 12 * lookups
    assert (ran["stages"][0]["stall_cycles"]["hash"] > 0) == (representation != "table")


def test_decoders_are_scaled_to_small_arrays() -> None:
    spec = pipeline("mprec-kaggle-dhe")
    assert fitted(spec, 16) == (spec, None)
    small, said = fitted(spec, 8)
    assert small.decoder == (256, 32, 16) and said is not None and "instead of 1024-128-16" in said
    named = pipeline("mprec-kaggle-dhe:512-16-16")
    assert fitted(named, 8) == (named, None)
    assert fitted(pipeline("mprec-kaggle-table"), 8)[1] is None


@pytest.mark.parametrize(
    ("name", "partition", "message"),
    [
        ("ecp5", None, "mprec-kaggle-select: feature 2 is decoded, ecp5 has no hash lanes"),
        ("tiny", "4x4:4", "feature 2 is decoded, the engine at sub-array 1 has no hash lanes"),
    ],
)
def test_devices_and_engines_without_hash_lanes(
    name: str, partition: str | None, message: str
) -> None:
    asked = replace(
        options(f"mprec-kaggle-select:{DECODER}", "timing"), preset=name, partition=partition
    )
    with pytest.raises(UserError, match=message):
        run(asked)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mprec-kaggle-both", "unknown pipeline"),
        ("kaggle-2:1024-16", "unknown pipeline"),
        ("mprec-kaggle-dhe:1024", "must be sizes such as 1024-128-16 .* not '1024'"),
        ("mprec-kaggle-dhe:1024-x-16", "not '1024-x-16'"),
        ("mprec-kaggle-dhe:0-16", "not '0-16'"),
    ],
)
def test_bad_names(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pipeline(name)


def test_decoder_must_end_in_the_width() -> None:
    with pytest.raises(UserError, match="decoder of feature 0 .* end in 64, not"):
        run(options("mprec-terabyte-dhe:24-16-16", "golden"))
