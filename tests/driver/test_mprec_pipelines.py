"""MP-Rec's pipelines: names, decoders, golden runs, and what the device refuses."""

from __future__ import annotations

from typing import Any

import pytest

from driver.errors import UserError
from driver.options import RunOptions
from driver.pipelines import PIPELINES, pipeline
from driver.run import run

DECODER = "24-16-16"


def options(name: str, backend: Any) -> RunOptions:
    return RunOptions(preset="tiny", pipeline=name, items=12, max_rows=50, backend=backend)


def test_names() -> None:
    names = {name for name, found in PIPELINES.items() if found.data == "mprec"}
    assert len(names) == 16 and {"mprec-kaggle-hybrid", "mprec-terabyte-select-dot"} <= names
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


def test_the_device_refuses_decoders_for_now() -> None:
    with pytest.raises(UserError, match="mprec-kaggle-dhe: DHE vectors are computed by .* golden"):
        run(options(f"mprec-kaggle-dhe:{DECODER}", "timing"))


def test_tables_run_on_the_device() -> None:
    assert run(options("mprec-kaggle-table", "timing"))["cycles"] > 0


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
