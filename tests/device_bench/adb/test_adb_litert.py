"""A small real program on the phone: LiteRT's arm64 libraries, pushed with glibc, give the host's logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import exporters.base as exporters
from device_bench.__main__ import CACHE
from device_bench.devices.adb import Android
from device_bench.session import DeviceError
from device_bench.toolchain import tools, wheels
from device_bench.toolchain.phone import Phone
from pipeline.types import Silent
from tests.device_bench.adb.conftest import write_bundle
from tests.device_bench.adb.runners import LENGTH, OBEDIENT, on, request
from tests.exporters.conftest import make_student


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two int8 layers for LiteRT, at one length."""
    folder = tmp_path_factory.mktemp("litert")
    student = replace(make_student(), max_length=LENGTH, lengths=(LENGTH,))
    program = exporters.get("tflite").lower(student, folder).path
    return write_bundle(folder / "small", program.read_bytes(), "tflite")


def test_litert_on_the_phone_computes_what_it_computes_here(pixel: Phone, small: Path) -> None:
    tools.unpack(CACHE, Silent())
    wheels.fetch(wheels.runtime("tflite"), CACHE, Silent())
    there = Android(name=f"adb:{pixel.serial}", cache=CACHE, client=pixel.connection.adb)
    made = there.measure(replace(request(small), cache=CACHE), Silent())
    assert made.candidate.runtime.startswith("LiteRT ")
    assert made.candidate.lengths == (LENGTH, LENGTH)
    assert made.candidate.footprint.runtime_bytes
    assert (made.candidate.peak_resident_bytes or 0) > 1_000_000
    likeness = made.candidate.likeness
    assert likeness is not None
    assert likeness.sqnr_db is None or likeness.sqnr_db > 30
    assert pixel.connection.check("ls /data/local/tmp") == ""


def test_other_logits_than_the_hosts_are_a_reason(pixel: Phone, small: Path, tmp_path: Path) -> None:
    made = on(pixel, OBEDIENT, tmp_path).measure(request(small), Silent())
    assert made.candidate.likeness is not None
    assert made.candidate.likeness.sqnr_db == pytest.approx(
        0
    )  # the fake's are zeros: all of the signal is missing
    assert any("0.0 dB from the host's, and 15 dB are the least" in reason for reason in made.validity.reasons)


def test_outputs_that_are_cut_short_are_no_result(pixel: Phone, small: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="gave 20 logits, 20 of them finite, where 64 were due"):
        on(pixel, OBEDIENT.replace("128", "40"), tmp_path).measure(request(small), Silent())
    assert pixel.connection.check("ls /data/local/tmp") == ""
