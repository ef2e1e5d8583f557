"""The verb run on iPhones, as a person calls it."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from device_bench import measurement
from device_bench.verbs import run
from pipeline.types import MissingTool, PipelineError
from tests.device_bench.apple.conftest import SECOND, UDID, Xcode, make_bundle, phone


def call(tmp_path: Path, *flags: str) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, default=tmp_path / "cache")
    run.add(parser)
    bundle = tmp_path / "runs" / "coreml"
    if not bundle.exists():
        make_bundle(bundle, "made-up")
    given = ["--bundle", str(bundle), "--baseline", "none", "--out", str(tmp_path / "out"), *flags]
    run.main(parser.parse_args(given))


def test_a_phones_measurement_is_a_file(xcode: Xcode, tmp_path: Path) -> None:
    xcode.plays(devices={"devices": [phone()]})
    call(tmp_path, "--device", "ios")
    (path,) = (tmp_path / "out").iterdir()
    assert UDID in path.name
    assert measurement.read(path).place.kind == "ios"


def test_a_phone_that_vanishes_costs_only_its_own_figures(
    xcode: Xcode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = {"device copy from": "The specified device was not found."}
    xcode.plays(devices={"devices": [phone(), phone(SECOND, "Test phone")]}, fails=gone, fails_on=UDID)
    with pytest.raises(PipelineError, match="1 of 2 devices"):
        call(tmp_path, "--device", "ios")
    (path,) = (tmp_path / "out").iterdir()
    assert SECOND in path.name
    assert "Ada's iPhone (iPhone 16 Pro): it is gone" in capsys.readouterr().err


def test_a_phone_that_is_not_there_is_a_missing_tool(xcode: Xcode, tmp_path: Path) -> None:
    xcode.plays(devices={"devices": []})
    with pytest.raises(MissingTool, match="ios: no iPhone or iPad: connect one"):
        call(tmp_path, "--device", "ios")
    assert not (tmp_path / "out").exists()
