"""A Mac as a device: sessions in turns over a stand-in for coremltools, and pmset's words."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from device_bench import measurement, queries
from device_bench.devices import base, macos
from device_bench.devices.base import Request
from device_bench.devices.macos import Mac
from device_bench.protocol import Plan
from device_bench.session import DeviceError, Session
from pipeline.types import Silent, UsageError
from tests.device_bench.apple.conftest import make_bundle, make_request

STAND_IN = Path(__file__).with_name("coremltools_stand_in")
ROOT = Path(__file__).parents[3]
CALM = """\
Note: No thermal warning level has been recorded
Note: No performance warning level has been recorded
2026-11-21 05:08:37 -0700 CPU Power notify
\tCPU_Scheduler_Limit \t= 100
\tCPU_Available_CPUs \t= 12
\tCPU_Speed_Limit \t= 100
"""
BATTERY = """\
Now drawing from 'AC Power'
 -InternalBattery-0 (id=4653155)\t83%; charging; 0:52 remaining present: true
"""


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pmset on PATH, coremltools' stand-in before any other."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "therm").write_text(CALM)
    (folder / "batt").write_text(BATTERY)
    (folder / "pmset").write_text(f'#!/bin/sh\ncat "{folder}/$2"\n')
    (folder / "pmset").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{STAND_IN}{os.pathsep}{ROOT}")


def short(folder: Path) -> Request:
    """Two contenders, a few rounds: what comes of it says that it is too little."""
    request = make_request(folder)
    return dataclasses.replace(request, plan=Plan(warmup=1, runs=4))


def test_contenders_take_turns_in_core_ml(mac: None, tmp_path: Path) -> None:
    found = Mac("cpu-and-ne").measure(short(tmp_path / "b"), Silent())
    measurement.write(found, tmp_path / "measurement.json")
    found = measurement.read(tmp_path / "measurement.json")
    assert (found.place.kind, found.protocol.interleaved) == ("macos", True)
    assert [program.role for program in found.programs] == ["candidate", "baseline"]
    for program in found.programs:
        assert program.runner == "python"
        assert program.runtime.startswith("Core ML of macOS")
        assert program.compute_unit == measurement.Wish(asked="cpu-and-ne", got="cpu-and-ne")
        assert len(program.samples_ns) == 4
        assert set(program.lengths) == {64}
        assert len(program.load_ns) == len(program.first_ns) == 5
    assert (found.before.thermal, found.before.battery_percent, found.before.charging) == (
        "nominal",
        83.0,
        True,
    )
    view = found.made["coremltools"][0]
    assert view["placement"] == {"cpu": 2, "neural engine": 3}
    assert (len(view["load_ms"]), len(view["predict_ms"])) == (5, 50)
    assert not found.validity.valid, "four runs are too few"


def test_the_runner_pads_to_the_bundles_lengths_and_cuts_what_it_padded(mac: None, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", "made-up")
    asked = queries.make("fixed:70", range(1000, 1100), 128)
    asked.write(tmp_path / "queries")
    command = [sys.executable, "-m", "device_bench.apple.coreml_runner", "--bundle", str(bundle.path)]
    files = ["--compiled", str(tmp_path / "x.mlmodelc"), "--queries", str(tmp_path / "queries")]
    with Session([*command, *files, "--outputs", str(tmp_path / "out")], "it") as session:
        ran = session.run(3)
        session.end()
    assert ran.length == 128
    ids = np.array(asked.windows[3], "<f4")
    assert np.array_equal(np.fromfile(tmp_path / "out", "<f4"), np.concatenate([ids, -ids]))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("compile", "does not compile .*: Unable to parse ML Program: unknown operator"),
        ("load", "does not load .*: Error compiling model"),
        ("dies", "ended before it was told to"),
    ],
)
def test_what_core_ml_refuses_is_one_sentence(
    mac: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, words: str
) -> None:
    monkeypatch.setenv("STAND_IN", fault)
    with pytest.raises(DeviceError, match=words) as raised:
        Mac("all").measure(short(tmp_path / "b"), Silent())
    assert "\n" not in str(raised.value)


def test_times_stand_without_coremltools_own_view(
    mac: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "view")
    bundle = make_bundle(tmp_path / "bundle", "made-up")
    queries.make("fixed:64", range(1000, 1100), 128).write(tmp_path / "queries")
    flags = ("--bundle", str(bundle.path), "--queries", str(tmp_path / "queries"))
    told = macos.view((*flags, "--compiled", str(tmp_path / "x.mlmodelc")))
    assert set(told) == {"why_not"}
    assert "Failed to retrieve model load duration" in told["why_not"]


def test_a_fallback_from_the_neural_engine_is_told() -> None:
    assert macos.units_got("cpu-and-ne", {"cpu": 140}) == "cpu-only"
    assert macos.units_got("cpu-and-ne", {"cpu": 9, "neural engine": 131}) == "cpu-and-ne"
    assert macos.units_got("cpu-only", {"cpu": 140}) == "cpu-only"
    assert macos.units_got("all", {"cpu": 140}) == "all"
    assert macos.units_got("all", None) is None


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (CALM, "nominal"),
        ("Note: No thermal warning level has been recorded\n", "nominal"),
        (" \tCPU_Scheduler_Limit \t= 80\n\tCPU_Speed_Limit \t= 62\n", "processor limited to 62 %"),
        ("Thermal Warning Level = 2\n", "warning level 2"),
        ("", None),
        ("pmset: unknown option", None),
    ],
)
def test_thermal_states_are_read(told: str, state: str | None) -> None:
    assert macos.thermal(told) == state


def test_power_is_read() -> None:
    assert macos.power(BATTERY) == (83.0, True)
    assert macos.power("Now drawing from 'Battery Power'\n -Battery-0 (id=1)\t7%; discharging\n") == (
        7.0,
        False,
    )
    assert macos.power("Now drawing from 'AC Power'\n") == (None, True)
    assert macos.power("") == (None, None)


def test_a_name_stands_for_each_choice_of_units(tmp_path: Path) -> None:
    assert [device.name for device in macos.find(None)] == ["macos:cpu-only", "macos:cpu-and-ne", "macos:all"]
    assert [device.name for device in macos.find("cpu-only")] == ["macos:cpu-only"]
    with pytest.raises(UsageError, match="no compute units; give cpu-only, cpu-and-ne, all"):
        base.find("macos:gpu", tmp_path)


def test_elsewhere_it_says_that_it_needs_a_mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    (device,) = base.find("macos", tmp_path)
    assert "runs on a Mac only" in str(device.why_unavailable())


def test_what_a_mac_cannot_do_is_refused_before_anything_runs(tmp_path: Path) -> None:
    request = make_request(tmp_path / "a", ("onnx", "onnx"))
    with pytest.raises(UsageError, match="macos runs bundles for coreml"):
        Mac("all").measure(request, Silent())
    request = make_request(tmp_path / "b")
    with pytest.raises(UsageError, match="give --runner python"):
        Mac("all").measure(dataclasses.replace(request, runner="native"), Silent())
    with pytest.raises(UsageError, match="instructions are counted"):
        Mac("all").measure(dataclasses.replace(request, metric="instructions"), Silent())
