"""What is said about devices that cannot be used: adb's documented words, from a program that prints them."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_bench.android import adb
from device_bench.android.adb import Adb, Seen, parse_devices
from device_bench.devices.adb import Android
from device_bench.session import DeviceError
from pipeline.types import MissingTool

HEADING = "List of devices attached\n"
READY = "8A2X0F3GK              device usb:1-2 product:shiba model:Pixel_8 device:shiba transport_id:3\n"
EMULATOR = "emulator-5554          device product:sdk_x86_64 model:sdk_gphone64 device:emu64 transport_id:1\n"
UNAUTHORIZED = "R58M123456A            unauthorized usb:1-4 transport_id:5\n"
OFFLINE = "192.168.1.20:5555      offline transport_id:7\n"
NO_PERMISSIONS = (
    "????????????           no permissions (user in plugdev group; are your udev rules wrong?); "
    "see [http://developer.android.com/tools/device.html] usb:1-5 transport_id:2\n"
)
RECOVERY = "8A2X0F3GK              recovery usb:1-2 transport_id:3\n"
DAEMON = "* daemon not running; starting now at tcp:5037\n* daemon started successfully\n"


def printing(folder: Path, devices: str, otherwise: str = "") -> Adb:
    """An adb whose `devices -l` prints this, and for which every other command fails with `otherwise`."""
    (folder / "devices").write_text(HEADING + devices, encoding="utf-8")
    (folder / "otherwise").write_text(otherwise, encoding="utf-8")
    program = folder / "adb"
    program.write_text(
        f"""#!/bin/sh
if [ "$1" = devices ]; then cat {folder}/devices; exit 0; fi
if [ "$3" = features ]; then echo shell_v2; exit 0; fi
cat {folder}/otherwise >&2
exit 1
""",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return Adb(program=program)


def test_the_lines_of_adb_devices() -> None:
    text = HEADING + DAEMON + READY + EMULATOR + UNAUTHORIZED + OFFLINE + NO_PERMISSIONS + RECOVERY + "\n"
    assert [(seen.serial, seen.state, seen.model) for seen in parse_devices(text)] == [
        ("8A2X0F3GK", "device", "Pixel_8"),
        ("emulator-5554", "device", "sdk_gphone64"),
        ("R58M123456A", "unauthorized", None),
        ("192.168.1.20:5555", "offline", None),
        ("????????????", "no permissions (user in plugdev group; are your udev rules wrong?)", None),
        ("8A2X0F3GK", "recovery", None),
    ]


@pytest.mark.parametrize(
    ("devices", "serial", "said"),
    [
        ("", "", "adb sees no device; connect a phone with USB debugging on"),
        ("", "X1", "no device X1: adb sees none; connect"),
        (READY, "X1", "no device X1; adb sees 8A2X0F3GK"),
        (READY + EMULATOR, "", "adb sees several devices; say which: adb:8A2X0F3GK, adb:emulator-5554"),
        (UNAUTHORIZED, "", "device R58M123456A is unauthorized: unlock it and allow USB debugging"),
        (READY + UNAUTHORIZED, "R58M123456A", "device R58M123456A is unauthorized"),
        (OFFLINE, "", "device 192.168.1.20:5555 is offline: plug it in again"),
        (NO_PERMISSIONS, "", "this user may not open it over USB"),
        (RECOVERY, "", "device 8A2X0F3GK is in recovery mode; start Android on it"),
        ("X1                     authorizing transport_id:1\n", "", "device X1 is authorizing: unlock it"),
        ("X1                     connecting\n", "", "device X1 is not ready"),
    ],
)
def test_a_device_that_cannot_be_used_is_one_sentence(
    devices: str, serial: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    name = f"adb:{serial}" if serial else "adb"
    reason = Android(name=name, cache=tmp_path, client=printing(tmp_path, devices)).why_unavailable()
    assert reason is not None
    assert said in reason
    assert len(reason.splitlines()) == 1


@pytest.mark.parametrize("others", ["", UNAUTHORIZED, OFFLINE])
def test_the_only_one_that_is_ready_is_taken(
    others: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    assert printing(tmp_path, others + READY).pick().serial == "8A2X0F3GK"


def test_without_a_serial_adbs_own_variable_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_SERIAL", "emulator-5554")
    assert printing(tmp_path, READY + EMULATOR).pick().serial == "emulator-5554"


@pytest.mark.parametrize(
    ("now", "otherwise", "said"),
    [
        ("", "error: device '8A2X0F3GK' not found\n", "device 8A2X0F3GK vanished: adb no longer lists it"),
        (READY.replace("device ", "offline ", 1), "error: device offline\n", "device 8A2X0F3GK is offline"),
        (READY, "adb: error: failed to copy: remote write failed: No space left on device\n", "is full"),
        (READY, "adb: error: failed to copy: Permission denied\n", "permission denied"),
        (READY, "adb: error: something new\n", "adb: error: something new"),
    ],
)
def test_a_push_that_fails_says_what_became_of_the_device(
    now: str, otherwise: str, said: str, tmp_path: Path
) -> None:
    connection = printing(tmp_path, READY).pick("8A2X0F3GK")
    printing(tmp_path, now, otherwise)
    with pytest.raises(DeviceError, match=said) as failed:
        connection.push([tmp_path / "adb"], "/data/local/tmp")
    assert len(str(failed.value).splitlines()) == 1


def test_a_script_that_fails_is_no_lost_device(tmp_path: Path) -> None:
    """`error:` on stderr is adb's only where the device is gone; a script there may print the same."""
    connection = printing(tmp_path, READY, "error: no such query\n").pick("8A2X0F3GK")
    assert connection.shell("runner").errors == "error: no such query\n"


def test_an_old_android_is_refused(tmp_path: Path) -> None:
    client = printing(tmp_path, READY)
    client.program.write_text(client.program.read_text("utf-8").replace("shell_v2", "cmd"), encoding="utf-8")
    reason = Android(name="adb:8A2X0F3GK", cache=tmp_path, client=client).why_unavailable()
    assert reason is not None
    assert "Android 7 or later" in reason


def test_an_adb_that_hangs_is_given_up(tmp_path: Path) -> None:
    client = printing(tmp_path, READY)
    client.program.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    with pytest.raises(DeviceError, match="adb did not answer within 0 s to: shell ls"):
        client.call("shell", "ls", timeout=0.2)


def test_no_adb_is_a_sentence_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match=r"run python -m device_bench setup, or: apt-get install adb"):
        adb.find(tmp_path)
    assert "adb is not installed" in (Android(name="adb", cache=tmp_path).why_unavailable() or "")


def test_adb_from_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = printing(tmp_path, READY).program
    monkeypatch.setenv("PATH", str(tmp_path))
    assert adb.find(tmp_path).program == program == adb.setup(tmp_path).program


def test_only_a_ready_device_has_nothing_against_it() -> None:
    assert Seen(serial="X", state="device").why_not is None
    assert Seen(serial="X", state="sideload").why_not is not None
