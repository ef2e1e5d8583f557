"""An iPhone from list to measurement.json, with Xcode's tools played by a program on PATH."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from device_bench import measurement
from device_bench.apple import devicectl, sample_app
from device_bench.devices import base
from device_bench.devices.base import Request
from device_bench.session import DeviceError
from pipeline.types import Silent, UsageError
from tests.device_bench.apple.conftest import SECOND, UDID, Xcode, make_request, phone, phone_of_version_5


def only(name: str, cache: Path) -> base.Device:
    (device,) = base.find(name, cache)
    return device


def test_a_phone_measures_and_the_figures_are_a_measurement(
    xcode: Xcode, request_of_two: Request, tmp_path: Path
) -> None:
    xcode.plays(devices={"devices": [phone()]})
    device = only("ios", request_of_two.cache)
    assert (device.name, device.why_unavailable()) == (f"ios:{UDID}", None)
    found = device.measure(request_of_two, Silent())
    measurement.write(found, tmp_path / "measurement.json")
    again = measurement.read(tmp_path / "measurement.json")
    assert again.place.name == "iPhone 16 Pro"
    assert (again.place.system, again.place.emulated, again.place.trend_only) == ("iOS 18.4", False, False)
    assert [program.role for program in again.programs] == ["candidate", "baseline"]
    assert again.candidate.compute_unit == measurement.Wish(asked="all", got="all")
    assert again.validity == measurement.Validity(valid=True)
    assert (again.before.thermal, again.after.thermal) == ("nominal", "fair")
    left = [path.name for path in xcode.storage.rglob("*") if path.is_file()]
    assert sorted(left) == ["measurement.json", "queries"], "the app has removed the bundles"


def test_the_commands_are_those_that_the_tools_document(xcode: Xcode, request_of_two: Request) -> None:
    xcode.plays(devices={"devices": [phone()]})
    only(f"ios:{UDID}:cpu-only", request_of_two.cache).measure(request_of_two, Silent())
    find, listed, apps, push, launch, pull = xcode.calls
    assert find == ["--find", "devicectl"]
    assert listed[:3] == ["devicectl", "list", "devices"]
    assert apps[1:8] == ["device", "info", "apps", "--device", UDID, "--bundle-id", "org.pocketdistil.app"]
    container = ["--domain-type", "appDataContainer", "--domain-identifier", "org.pocketdistil.app"]
    assert push[1:10] == ["device", "copy", "to", "--device", UDID, *container]
    result = launch[-1]
    folder = result.partition("/")[0]
    assert push[push.index("--destination") + 1] == f"Documents/{folder}"
    assert launch[1:4] == ["device", "process", "launch"]
    assert {"--console", "--terminate-existing"} <= set(launch)
    assert launch[launch.index("org.pocketdistil.app") + 1 :][:2] == ["--", "--bench"]
    assert pull[1:10] == ["device", "copy", "from", "--device", UDID, *container]
    assert pull[pull.index("--source") + 1] == f"Documents/{folder}/measurement.json"
    assert all("--json-output" in call for call in xcode.calls[1:])
    assert not any("--remove-existing-content" in call for call in xcode.calls), (
        "it has emptied whole containers"
    )


def test_the_app_is_asked_for_what_the_user_asked(xcode: Xcode, request_of_two: Request) -> None:
    xcode.plays(devices={"devices": [phone()]})
    only(f"ios:{UDID}:cpu-and-ne", request_of_two.cache).measure(request_of_two, Silent())
    launch = next(call for call in xcode.calls if "--bench" in call)
    (queries,) = xcode.storage.rglob("queries")
    folder = queries.parent.name
    assert launch[launch.index("--bench") :] == [
        *("--bench", "--bundle", f"{folder}/candidate-0", "--baselines", f"{folder}/baseline-1"),
        *("--queries", f"{folder}/queries", "--source", "fixed:64", "--threads", "1"),
        *("--warmup", "5", "--runs", "50", "--seconds", "10"),
        *("--units", "cpu-and-ne", "--result", f"{folder}/measurement.json"),
    ]
    windows = [tuple(map(int, line.split())) for line in queries.read_text().splitlines()]
    assert tuple(windows) == request_of_two.queries.windows


def test_each_measurement_has_a_folder_of_its_own(xcode: Xcode, request_of_two: Request) -> None:
    """A file that an earlier one left behind cannot be taken for this one's."""
    xcode.plays(devices={"devices": [phone()]})
    device = only("ios", request_of_two.cache)
    device.measure(request_of_two, Silent())
    device.measure(request_of_two, Silent())
    assert len(list(xcode.storage.rglob("measurement.json"))) == 2


def test_a_hot_phone_makes_it_invalid(xcode: Xcode, request_of_two: Request) -> None:
    xcode.plays(devices={"devices": [phone()]}, writes={"after": {"thermal": "serious"}})
    found = only("ios", request_of_two.cache).measure(request_of_two, Silent())
    assert not found.validity.valid
    assert any("serious" in reason for reason in found.validity.reasons)


@pytest.mark.parametrize("listed", [phone(), phone_of_version_5()])
def test_both_shapes_of_the_list_are_read(xcode: Xcode, listed: dict[str, Any]) -> None:
    simulated = phone_of_version_5("F0F0F0F0-0000-4000-8000-000000000000", reality="simulated")
    watch = phone("00008310-0", hardwareProperties={"platform": "watchOS"})
    xcode.plays(devices={"devices": [listed, simulated, watch]})
    (found,) = devicectl.phones()
    assert (found.udid, found.name, found.paired, found.developer_mode) == (UDID, "Ada's iPhone", True, True)
    assert (found.model, found.system) in {("iPhone 16 Pro", "iOS 18.4"), ("iPhone 18 Pro", "iOS 27.0")}


def test_several_phones_are_several_devices(xcode: Xcode, tmp_path: Path) -> None:
    xcode.plays(devices={"devices": [phone(), phone(SECOND, "Test phone")]})
    assert [device.name for device in base.find("ios", tmp_path)] == [f"ios:{UDID}", f"ios:{SECOND}"]
    assert [device.name for device in base.find(f"ios:{SECOND}", tmp_path)] == [f"ios:{SECOND}"]
    assert [device.name for device in base.find("ios:test phone", tmp_path)] == [f"ios:{SECOND}"]
    unknown = only("ios:000", tmp_path).why_unavailable()
    assert unknown is not None
    assert UDID in unknown
    assert SECOND in unknown


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (phone(connectionProperties={"pairingState": "unpaired"}), ("not paired", "tap Trust")),
        (phone(connectionProperties={"tunnelState": "unavailable"}), ("cannot be reached", "cable")),
        (phone(deviceProperties={"developerModeStatus": "disabled"}), ("Developer Mode", "Privacy & Security")),
        (phone_of_version_5(mode="disabled"), ("Developer Mode", "Privacy & Security")),
        (phone(deviceProperties={"osVersionNumber": "16.7"}), ("iOS 16.7", "17")),
    ],
)
def test_what_a_phone_needs_first_is_one_sentence(
    xcode: Xcode, request_of_two: Request, listed: dict[str, Any], words: tuple[str, ...]
) -> None:
    xcode.plays(devices={"devices": [listed]})
    device = only("ios", request_of_two.cache)
    reason = device.why_unavailable()
    assert reason is not None
    assert all(word in reason for word in words)
    with pytest.raises(DeviceError, match=words[0]):
        device.measure(request_of_two, Silent())
    assert len(xcode.calls) == 2, "nothing was copied to it"


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        (
            {"missing": 'xcrun: error: unable to find utility "devicectl", not a developer tool'},
            "xcode-select -s",
        ),
        ({"missing": "You have not agreed to the Xcode license agreements."}, "xcodebuild -license accept"),
        ({"devices": {"devices": []}}, "no iPhone or iPad: connect one"),
        ({"devices": {"phones": 3}}, "form that is not known"),
        ({"devices": {"devices": [3]}}, "form that is not known"),
        ({"rubbish": ["list devices"], "devices": {}}, "is no JSON"),
        ({"fails": {"list devices": "CoreDeviceService was unable to start"}}, "unable to start"),
    ],
)
def test_no_phone_is_a_sentence_too(xcode: Xcode, tmp_path: Path, scenario: dict[str, Any], words: str) -> None:
    xcode.plays(**scenario)
    assert words in str(only("ios", tmp_path).why_unavailable())


def test_without_xcode_it_says_where_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_of_two: Request
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("ios", "ios-simulator"):
        device = only(name, tmp_path)
        assert "Mac" in str(device.why_unavailable()) or "Xcode" in str(device.why_unavailable())
        with pytest.raises(DeviceError, match=name):
            device.measure(request_of_two, Silent())


PROGRAM = {
    **{"role": "candidate", "name": "another", "target": "coreml", "precision": "int8", "runner": "app"},
    **{"bundle_seal": "0" * 64, "program_sha256": "0" * 64, "runtime": "Core ML", "samples_ns": [1] * 50},
    **{"threads": {"asked": "1", "got": None}, "delegate": {"asked": "Core ML", "got": None}},
    "footprint": {"program_bytes": 1, "bundle_bytes": 1},
}
"""Of a bundle that nobody asked for."""
LOCKED = (
    'The request was denied by service delegate (SBMainWorkspace) for reason: Locked ("Unable to launch '
    'org.pocketdistil.app because the device was not, or could not be, unlocked").'
)
UNTRUSTED = (
    "Unable to launch org.pocketdistil.app because it has an invalid code signature, inadequate entitlements "
    "or its profile has not been explicitly trusted by the user."
)


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ({"refused": LOCKED}, "it is locked: unlock it"),
        ({"refused": UNTRUSTED}, "VPN & Device Management"),
        ({"refused": "The connection to the device was interrupted."}, "it is gone"),
        ({"refused": "Something new went wrong inside"}, "failed to launch"),
        ({"apps": []}, "the sample app is not installed: install apps/ios"),
        ({"fails": {"device copy to": "No space left on device"}}, "it is full"),
        ({"fails": {"device copy to": "The tunnel connection was interrupted."}}, "it is gone"),
        ({"fails": {"device copy from": "The specified device was not found."}}, "it is gone"),
        ({"fails": {"device info apps": "The developer disk image could not be mounted."}}, "disk image"),
        ({"rubbish": ["device copy to"]}, "is no JSON"),
        ({"app": "crashes"}, "ended before it was done; last said: App terminated due to signal 5"),
        ({"app": "gives up"}, "the program does not load: error -5"),
        ({"text": '{"format": 1, '}, "cannot be used"),
        ({"text": "[]"}, "cannot be used"),
        ({"writes": {"programs": [PROGRAM]}}, "of other bundles"),
        ({"writes": {"surprise": 1}}, "surprise"),
    ],
)
def test_what_goes_wrong_in_the_middle_is_one_sentence(
    xcode: Xcode, request_of_two: Request, scenario: dict[str, Any], words: str
) -> None:
    xcode.plays(devices={"devices": [phone()]}, **scenario)
    with pytest.raises(DeviceError) as raised:
        only("ios", request_of_two.cache).measure(request_of_two, Silent())
    sentence = str(raised.value)
    assert words in sentence
    assert "Ada's iPhone" in sentence
    assert "\n" not in sentence


def test_a_built_app_in_the_cache_is_installed(xcode: Xcode, request_of_two: Request) -> None:
    app = request_of_two.cache / "apps" / "ios" / "Pocket.app"
    app.mkdir(parents=True)
    xcode.plays(devices={"devices": [phone()]}, apps=[])
    only("ios", request_of_two.cache).measure(request_of_two, Silent())
    install = next(call for call in xcode.calls if call[1:4] == ["device", "install", "app"])
    assert install[4:7] == ["--device", UDID, str(app)]


def test_fewer_runs_than_asked_are_no_measurement(xcode: Xcode, request_of_two: Request) -> None:
    xcode.plays(devices={"devices": [phone()]})
    greedy = dataclasses.replace(request_of_two.plan, runs=60)
    device = only("ios", request_of_two.cache)
    found = device.measure(dataclasses.replace(request_of_two, plan=greedy), Silent())
    assert len(found.candidate.samples_ns) == 60
    short = [{**program.model_dump(mode="json"), "samples_ns": [1, 2]} for program in found.programs]
    xcode.plays(devices={"devices": [phone()]}, writes={"programs": short})
    with pytest.raises(DeviceError, match="of 2 runs instead of 50"):
        device.measure(request_of_two, Silent())


def test_an_app_that_says_nothing_is_stopped(xcode: Xcode, request_of_two: Request, tmp_path: Path) -> None:
    xcode.plays(devices={"devices": [phone()]}, app="hangs")
    asked = sample_app.ask(request_of_two, "all", ("coreml",))
    staged = asked.stage(tmp_path / "staged")
    devicectl.push(UDID, "org.pocketdistil.app", staged, f"Documents/{asked.folder}", "it")
    command = devicectl.launch_command(UDID, "org.pocketdistil.app", asked.arguments(), tmp_path / "answer")
    with pytest.raises(DeviceError, match="said nothing for 1 s"):
        sample_app.follow(command, "it", Silent(), silence=1.0)


def test_what_an_apple_device_cannot_do_is_refused_before_anything_runs(xcode: Xcode, tmp_path: Path) -> None:
    xcode.plays(devices={"devices": [phone()]})
    device = only("ios", tmp_path)
    request = make_request(tmp_path / "b", ("tflite", "tflite"))
    with pytest.raises(UsageError, match="is for tflite; this device runs coreml"):
        device.measure(request, Silent())
    counting = dataclasses.replace(make_request(tmp_path / "c"), metric="instructions")
    with pytest.raises(UsageError, match="count no instructions"):
        device.measure(counting, Silent())
    native = dataclasses.replace(make_request(tmp_path / "d"), runner="native")
    with pytest.raises(UsageError, match="give --runner app"):
        device.measure(native, Silent())
