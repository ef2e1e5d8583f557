"""The phone: a real adbd, with a real shell, that ends with whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from device_bench.__main__ import CACHE
from device_bench.android import adb
from device_bench.session import DeviceError
from device_bench.toolchain import phone
from device_bench.toolchain.phone import Parts, Phone
from pipeline.types import MissingTool

COMMAND = (sys.executable, "-m", "device_bench.toolchain.phone", "--cache", str(CACHE), "--")


def running(parts: Parts) -> list[str]:
    """Processes of this machine that the phone's QEMU runs, or that serve its adb."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            program = os.readlink(process / "exe")
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if program.startswith(str(parts.folder.resolve())) or b"acceptfd:" in b" ".join(words):
            found.append(process.name)
    return found


def test_its_shell_keeps_streams_and_exit_codes_apart(pixel: Phone) -> None:
    ran = pixel.connection.shell("uname -m; echo bad >&2; exit 7")
    assert (ran.code, ran.output, ran.errors) == (7, "aarch64\n", "bad\n")
    assert pixel.connection.supports_streams()


def test_files_go_there_and_come_back(pixel: Phone, tmp_path: Path) -> None:
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(300_000))
    pixel.connection.push([sent], "/data/local/tmp/sent")
    pixel.connection.pull("/data/local/tmp/sent", back)
    pixel.connection.check("rm /data/local/tmp/sent")
    assert back.read_bytes() == sent.read_bytes()


def test_a_file_that_is_not_there_is_one_sentence(pixel: Phone, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"pulling /data/nothing failed: .*No such file"):
        pixel.connection.pull("/data/nothing", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_it_cannot_write_to_what_all_phones_share(pixel: Phone, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"permission denied|Read-only"):
        pixel.connection.push([Path(__file__)], "/usr/bin/")


def test_it_sees_no_network_but_its_own(pixel: Phone) -> None:
    assert pixel.connection.check("cat /proc/net/dev").count(":") == 1


def test_two_phones_at_once_are_told_apart(pixel: Phone, start: Callable[..., Phone]) -> None:
    other = start()
    with pytest.raises(DeviceError, match="adb sees several devices; say which") as several:
        pixel.connection.adb.pick()
    for each in (pixel, other):
        assert f"adb:{each.serial}" in str(several.value)
        assert each.connection.adb.pick(each.serial).check(f"echo {each.serial}") == f"{each.serial}\n"
    other.kill()
    assert "offline" in (other.connection.why_gone() or "") or "vanished" in (other.connection.why_gone() or "")
    assert pixel.connection.check("echo here") == "here\n"


def test_a_command_finds_the_phone_alone_in_its_adb() -> None:
    told = subprocess.run(
        [*COMMAND, "sh", "-c", "adb devices; adb shell uname -m; exit 5"], capture_output=True, text=True
    )
    assert told.returncode == 5
    assert told.stdout.count("\tdevice\n") == 1
    assert told.stdout.splitlines()[-1] == "aarch64"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to end"])
def test_nothing_of_it_outlives_who_started_it(parts: Parts, end: signal.Signals) -> None:
    before = running(parts)
    with subprocess.Popen([*COMMAND, "sh", "-c", "echo up; read -r wait"], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert len(running(parts)) > len(before)
        process.send_signal(end)
    for _ in range(200):
        if len(running(parts)) <= len(before):
            break
        time.sleep(0.05)
    assert set(running(parts)) <= set(before)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "unshare: unshare failed: Operation not permitted",
            "needs user namespaces, which this system does not",
        ),
        (
            "mount: /proc/sys/fs/binfmt_misc: permission denied.",
            "needs binfmt_misc in a user namespace: Linux 6.7",
        ),
    ],
)
def test_a_system_that_does_not_allow_it_is_one_sentence(
    said: str, reason: str, parts: Parts, server: adb.Adb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n", encoding="utf-8")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert reason in (phone.why_unavailable() or "")
    with pytest.raises(MissingTool, match=reason), phone.started(parts, server):
        pass


def test_a_phone_that_is_not_set_up_says_how(tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match="run: python -m device_bench setup"):
        phone.find(tmp_path)
