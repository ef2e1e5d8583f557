"""The app's benchmark mode, against a fake `am` on the phone that behaves as apps/README.md specifies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from device_bench import measurement
from device_bench.android import app as android_app
from device_bench.devices.adb import Android
from device_bench.devices.base import Request
from device_bench.measurement import Footprint, Measured, Measurement, Place, Protocol, State, Validity, Wish
from device_bench.session import DeviceError
from device_bench.toolchain.phone import Phone
from pipeline.types import Silent, UsageError
from tests.device_bench.adb.conftest import APP, PIXEL
from tests.device_bench.adb.runners import LENGTH, request


def told_by_app(asked: Request) -> Measurement:
    """What an app would write of it: times of a real phone, and that it was warm."""
    programs = tuple(
        Measured(
            role=contender.role,
            name=contender.bundle.name,
            target=contender.bundle.target,
            precision="int8",
            bundle_seal=contender.bundle.seal,
            program_sha256="0" * 64,
            runner="app",
            runtime="LiteRT 2.3.0",
            threads=Wish(asked="1", got="1"),
            delegate=Wish(asked="xnnpack", got="xnnpack"),
            footprint=Footprint(program_bytes=1, bundle_bytes=2),
            load_ns=(5,),
            first_ns=(9,),
            samples_ns=(4, 4, 4),
            lengths=(LENGTH,) * 3,
        )
        for contender in asked.contenders
    )
    return Measurement(
        place=Place(
            kind="adb", name="shiba", emulated=False, processor="Tensor G3", cores=9, system="Android 15"
        ),
        before=State(thermal="none", load_average=1.5),
        protocol=Protocol(
            metric="latency",
            warmup=1,
            runs=2,
            seconds=0,
            queries=asked.queries.source,
            threads=1,
            interleaved=True,
            processes="app",
        ),
        programs=programs,
        validity=Validity(valid=True),
        made={"app": "1.0"},
    )


@pytest.fixture
def with_app(start: Callable[..., Phone], tmp_path: Path) -> Callable[..., Phone]:
    """with_app("measures", text) → a phone with the fake app, which does so and writes that text."""

    def made(does: str, text: str = "") -> Phone:
        etc = tmp_path / "tree" / "system" / "etc"
        etc.mkdir(parents=True)
        (etc / "app").write_text(f"{does}\n", encoding="ascii")
        (etc / "measurement.json").write_text(text, encoding="utf-8")
        return start(files=[PIXEL, APP, tmp_path / "tree"])

    return made


def measured(phone: Phone, asked: Request) -> Measurement:
    there = Android(name=f"adb:{phone.serial}", cache=Path(), client=phone.connection.adb)
    return there.measure(asked, Silent())


def left_behind(phone: Phone) -> list[str]:
    return phone.connection.check(f"ls {android_app.FILES}; ls /tmp").split()


@pytest.fixture
def asked(bundle: Path, baseline: Path) -> Request:
    return replace(request(bundle, baseline), runner="app")


def test_the_apps_file_comes_back_with_what_only_adb_sees(
    with_app: Callable[..., Phone], asked: Request
) -> None:
    phone = with_app("measures", told_by_app(asked).model_dump_json())
    made = measured(phone, asked)
    assert [program.samples_ns for program in made.programs] == [(4, 4, 4)] * 2
    assert (made.place.name, made.place.emulated) == ("qemu-arm64 (emulated)", True)
    assert (made.before.thermal, made.before.battery_percent) == ("light", 81)
    assert made.made["app"] == "1.0"
    assert not made.validity.valid  # 3 samples, 50 are the least
    assert left_behind(phone) == ["started"]


def test_the_activity_is_started_as_specified(with_app: Callable[..., Phone], asked: Request) -> None:
    phone = with_app("measures", told_by_app(asked).model_dump_json())
    measured(phone, asked)
    started = phone.connection.check("cat /tmp/started").split()
    assert started[:5] == ["start", "-W", "-S", "-n", "org.pocketdistil.app/.BenchmarkActivity"]
    extras = {started[i + 1]: (started[i], started[i + 2]) for i in range(5, len(started), 3)}
    run = extras["bundle"][1].partition("/")[0]
    assert extras == {
        "bundle": ("--es", f"{run}/candidate-0"),
        "queries": ("--es", f"{run}/queries"),
        "result": ("--es", f"{run}/measurement.json"),
        "failure": ("--es", f"{run}/failure.txt"),
        "baselines": ("--es", f"{run}/baseline-1"),
        "source": ("--es", f"fixed:{LENGTH}"),
        "threads": ("--ei", "1"),
        "warmup": ("--ei", "1"),
        "runs": ("--ei", "2"),
        "seconds": ("--ef", "0"),
    }


@pytest.mark.parametrize(
    ("does", "text", "said"),
    [
        ("fails", "", "the app gave up: the bundle's program was altered"),
        ("crashes", "", "the app ended without a result; adb -s .* logcat -b crash says more"),
        ("missing", "", "BenchmarkActivity did not start: Error: Activity class .* does not exist"),
        ("measures", "{", "what the app wrote is no measurement.json of format 1"),
        ("measures", '{"format": 2}', "what the app wrote is no measurement.json of format 1"),
    ],
)
def test_an_app_that_fails_is_one_sentence_and_leaves_nothing(
    does: str, text: str, said: str, with_app: Callable[..., Phone], asked: Request
) -> None:
    phone = with_app(does, text)
    with pytest.raises(DeviceError, match=said) as failed:
        measured(phone, asked)
    assert len(str(failed.value).splitlines()) == 1
    assert [name for name in left_behind(phone) if name != "started"] == []


def test_a_result_about_other_bundles_is_none(with_app: Callable[..., Phone], asked: Request) -> None:
    told = told_by_app(asked)
    other = told.model_copy(
        update={"programs": tuple(p.model_copy(update={"bundle_seal": "1" * 64}) for p in told.programs)}
    )
    with pytest.raises(DeviceError, match="a measurement of something else"):
        measured(with_app("measures", other.model_dump_json()), asked)


def test_without_the_app_nothing_is_pushed(pixel: Phone, asked: Request) -> None:
    with pytest.raises(DeviceError, match=r"the app org\.pocketdistil\.app is not installed"):
        measured(pixel, asked)


def test_the_app_chooses_its_cores_itself(pixel: Phone, asked: Request) -> None:
    with pytest.raises(UsageError, match="cannot be held to cores"):
        measured(pixel, replace(asked, cpu="big"))


def test_what_an_app_writes_is_what_the_schema_says(asked: Request, tmp_path: Path) -> None:
    measurement.write(told_by_app(asked), tmp_path / "measurement.json")
    assert measurement.read(tmp_path / "measurement.json") == told_by_app(asked)
