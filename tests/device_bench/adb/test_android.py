"""What is read off Android's tools. The texts are written to their documented formats, not recorded."""

from __future__ import annotations

import pytest

from device_bench.android.looks import Core, Look, parse, parse_battery, parse_cores, parse_temperatures
from pipeline.types import UsageError
from tests.device_bench.adb.conftest import PIXEL

TEXTS = PIXEL / "system" / "etc"
ONE_THREE_FOUR = "\n".join(
    f"{number} cpu_capacity {capacity}\n{number} cpufreq/scaling_governor sched_pixel"
    for number, capacity in enumerate((250, 250, 250, 250, 700, 700, 700, 1024))
)


def text(name: str) -> str:
    return (TEXTS / name).read_text(encoding="utf-8")


def looked(**sections: str) -> Look:
    return parse("\n".join(f"=== {name}\n{section}" for name, section in sections.items()))


def whole() -> Look:
    return looked(
        properties=text("properties.txt"),
        battery=text("dumpsys/battery.txt"),
        thermal=text("dumpsys/thermalservice.txt"),
        power="  mWakefulness=Asleep",
        cpus=ONE_THREE_FOUR,
        load="12.10 11.02 10.51 3/4102 20117",
        machine="aarch64\n\n/apex/com.android.adbd/bin/adbd",
    )


def test_a_phone() -> None:
    place = whole().place()
    assert (place.name, place.system) == ("Google Pixel 8", "Android 15 (API 35)")
    assert (place.processor, place.cores) == ("Google Tensor G3", 8)
    assert (place.emulated, place.trend_only, place.cpu) == (False, False, None)


def test_its_state() -> None:
    state = whole().state((7,))
    assert (state.thermal, state.temperature_celsius) == ("light", 36.75)
    assert (state.battery_percent, state.charging) == (81, True)
    assert (state.governor, state.pinned_to, state.load_average) == ("sched_pixel", (7,), 12.1)
    assert whole().about()["screen"] == "Asleep"


def test_sensors_without_a_value_are_left_out() -> None:
    assert set(parse_temperatures(text("dumpsys/thermalservice.txt"))) == {
        "BIG",
        "LITTLE",
        "battery",
        "VIRTUAL-SKIN",
    }


def test_without_a_hal_the_cached_temperatures_count() -> None:
    cached = text("dumpsys/thermalservice.txt").partition("HAL Ready")[0] + "HAL Ready: false\n"
    assert looked(thermal=cached).temperature() == 35.5


def test_without_a_thermal_service_the_battery_tells() -> None:
    assert looked(battery=text("dumpsys/battery.txt")).state().temperature_celsius == 28.4
    assert looked(battery=text("dumpsys/battery.txt")).state().thermal is None


def test_without_either_the_kernels_zones_tell() -> None:
    zones = "61250 big\n28400 battery\n36500 skin_therm\n-40000 usb"
    assert looked(zones=zones).temperature() == 36.5
    assert looked(zones="61250 big").temperature() is None  # a core's own heat says nothing of the phone's


def test_a_device_that_tells_nothing() -> None:
    place, state = parse("").place(), parse("").state()
    assert (place.name, place.processor, place.cores) == ("an Android device", "unknown", 0)
    assert not state.model_dump(exclude_none=True)


@pytest.mark.parametrize(
    ("status", "charging"), [("1", False), ("2", True), ("3", False), ("4", False), ("5", False)]
)
def test_only_status_2_is_charging(status: str, charging: bool) -> None:
    battery = text("dumpsys/battery.txt").replace("status: 2", f"status: {status}")
    assert looked(battery=battery).state().charging is charging


def test_a_board_without_a_battery_has_no_percentage() -> None:
    battery = text("dumpsys/battery.txt").replace("present: true", "present: false")
    assert looked(battery=battery).state().battery_percent is None
    assert parse_battery(battery)["AC powered"] == "false"


@pytest.mark.parametrize("flag", ["[ro.kernel.qemu]: [1]", "[ro.boot.qemu]: [1]", "[ro.hardware]: [ranchu]"])
def test_an_android_emulator_is_good_for_trends_only(flag: str) -> None:
    place = looked(properties=flag, machine="x86_64").place()
    assert (place.trend_only, place.emulated) == (True, False)


def test_qemus_user_mode_is_known_by_what_runs_adbd() -> None:
    place = looked(machine="aarch64\ncortex-a76\n/somewhere/qemu-aarch64").place()
    assert (place.name, place.emulated, place.trend_only) == ("qemu-arm64 (emulated)", True, False)
    assert place.cpu == "cortex-a76"


@pytest.mark.parametrize(
    ("which", "threads", "cores"),
    [
        ("big", 1, (7,)),
        ("big", 2, (4, 5, 6, 7)),
        ("big", 8, (0, 1, 2, 3, 4, 5, 6, 7)),
        ("little", 1, (0, 1, 2, 3)),
        ("little", 5, (0, 1, 2, 3, 4, 5, 6)),
    ],
)
def test_whole_clusters_with_a_core_for_every_thread(which: str, threads: int, cores: tuple[int, ...]) -> None:
    assert whole().pick_cores(which, threads) == cores


def test_clusters_by_frequency_where_there_are_no_capacities() -> None:
    told = "0 cpufreq/cpuinfo_max_freq 1800000\n1 cpufreq/cpuinfo_max_freq 2400000\n2 online 0\n"
    assert looked(cpus=told).clusters() == ((0,), (1,))
    assert parse_cores(told)[2] == Core(number=2, online=False)


def test_one_kind_of_core_leaves_nothing_to_choose() -> None:
    with pytest.raises(UsageError, match="one kind of core, so none are big"):
        looked(cpus="0 cpu_capacity 1024\n1 cpu_capacity 1024").pick_cores("big", 1)
