"""A simulated iPhone, with simctl played by a program on PATH."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_bench.devices import base
from device_bench.devices.base import Request
from device_bench.session import DeviceError
from pipeline.types import Silent
from tests.device_bench.apple.conftest import Xcode

FIRST, SECOND, OLD = (f"{n}1B27B27-55E3-4D4B-A395-FD128A703BE{n}" for n in (6, 7, 8))


def entry(udid: str, name: str, state: str = "Shutdown", **more: Any) -> dict[str, Any]:
    kind = f"com.apple.CoreSimulator.SimDeviceType.{name.replace(' ', '-')}"
    return {
        "udid": udid,
        "name": name,
        "state": state,
        "isAvailable": True,
        "deviceTypeIdentifier": kind,
        **more,
    }


def listing(state: str = "Shutdown") -> dict[str, Any]:
    return {
        "devices": {
            "com.apple.CoreSimulator.SimRuntime.watchOS-11-2": [entry("w", "Apple Watch")],
            "com.apple.CoreSimulator.SimRuntime.iOS-17-5": [entry(OLD, "iPhone 15", state)],
            "com.apple.CoreSimulator.SimRuntime.iOS-18-2": [
                entry(SECOND, "iPad Pro 11-inch (M4)"),
                entry(FIRST, "iPhone 16 Pro"),
                entry("gone", "iPhone 16", isAvailable=False),
            ],
        }
    }


def test_a_simulator_measures_and_is_left_as_it_was(xcode: Xcode, request_of_two: Request) -> None:
    xcode.plays(list=listing())
    (device,) = base.find("ios-simulator", request_of_two.cache)
    assert device.name == f"ios-simulator:{FIRST}", "an iPhone of the newest iOS where none runs"
    found = device.measure(request_of_two, Silent())
    assert found.place.trend_only, "its processor is the Mac's"
    assert (found.place.name, found.place.system) == ("iPhone 16 Pro (simulator)", "iOS 18.2")
    assert [call[1] for call in xcode.calls[2:]] == ["bootstatus", "get_app_container", "launch", "shutdown"]
    launch = next(call for call in xcode.calls if call[1] == "launch")
    options = ["--console-pty", "--terminate-running-process"]
    assert launch[2:7] == [*options, FIRST, "org.pocketdistil.app", "--bench"]
    assert not [path for path in xcode.storage.rglob("*") if path.is_file()]


def test_one_that_runs_is_taken_and_keeps_running(xcode: Xcode, request_of_two: Request) -> None:
    xcode.plays(list=listing("Booted"))
    (device,) = base.find("ios-simulator:cpu-only", request_of_two.cache)
    assert device.name == f"ios-simulator:{OLD}:cpu-only"
    assert device.measure(request_of_two, Silent()).candidate.compute_unit is not None
    assert "shutdown" not in [call[1] for call in xcode.calls]


def test_an_app_built_for_simulators_is_installed(xcode: Xcode, request_of_two: Request) -> None:
    (request_of_two.cache / "apps" / "ios-simulator" / "Pocket.app").mkdir(parents=True)
    xcode.plays(list=listing("Booted"), apps=[])
    (device,) = base.find(f"ios-simulator:{OLD}", request_of_two.cache)
    device.measure(request_of_two, Silent())
    assert "install" in [call[1] for call in xcode.calls]


def test_an_app_that_does_not_end_after_it_is_done_is_ended(
    xcode: Xcode, request_of_two: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device_bench.apple.sample_app._ENDING", 0.2)
    xcode.plays(list=listing("Booted"), app="stays")
    (device,) = base.find("ios-simulator", request_of_two.cache)
    assert device.measure(request_of_two, Silent()).validity.valid


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ({"apps": []}, "the sample app is not installed"),
        ({"app": "crashes"}, "ended before it was done; last said: Fatal error: index out of range"),
        ({"app": "gives up"}, "does not load"),
        ({"fails": {"bootstatus": "Invalid device: gone"}}, "bootstatus failed: Invalid device"),
        ({"writes": {"place": None}}, "cannot be used: "),
    ],
)
def test_failures_are_one_sentence_and_leave_nothing(
    xcode: Xcode, request_of_two: Request, scenario: dict[str, Any], words: str
) -> None:
    xcode.plays(list=listing(), **scenario)
    (device,) = base.find("ios-simulator", request_of_two.cache)
    with pytest.raises(DeviceError) as raised:
        device.measure(request_of_two, Silent())
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not [path for path in xcode.storage.rglob("*") if path.is_file()]
    if "bootstatus" not in scenario.get("fails", {}):
        assert xcode.calls[-1][1] == "shutdown"


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ({"devices": {}}, "no iOS simulator"),
        ("xcrun: not JSON", "form that is not known"),
        ({"devices": {"com.apple.CoreSimulator.SimRuntime.iOS-18-2": [{}]}}, "form that is not known"),
    ],
)
def test_none_is_a_sentence(xcode: Xcode, tmp_path: Path, listed: Any, words: str) -> None:
    xcode.plays(list=listed)
    (device,) = base.find("ios-simulator", tmp_path)
    assert words in str(device.why_unavailable())
    xcode.plays(list=listing())
    (device,) = base.find("ios-simulator:nobody", tmp_path)
    assert "no simulator nobody" in str(device.why_unavailable())
