"""The verb run on a tiny bundle and this machine: what it writes, what it refuses, what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from device_bench import __main__ as command_line
from device_bench import flags, measurement
from device_bench.devices import base, host
from device_bench.devices.base import Request
from device_bench.measurement import SCHEMA, Measurement, Place, Validity
from device_bench.protocol import Plan
from device_bench.session import DeviceError
from tests.device_bench.conftest import rewrite
from tests.device_bench.fakes import Fake, Install
from tests.test_run import call

ROOT = Path(__file__).parents[2]
NAME = "onnx-host-latency-fixed-64.json"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol of a second, which no judge would let pass."""
    monkeypatch.setattr(flags, "STANDARD", Plan(warmup=1, runs=4))
    monkeypatch.setattr(host, "STARTS", 2)


def run(bundle: Path, *more: object) -> int:
    return call(command_line.main, "run", "--bundle", bundle, *more)


def call_verb(*arguments: object) -> int:
    return call(command_line.main, *arguments)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("quick")
def test_a_bundle_beside_its_baseline(bundle: Path, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, "--baseline", baseline, "--no-peak") == 0
    path = bundle.parent / "measurements" / NAME
    made = measurement.read(path)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(path.read_text(encoding="utf-8")))
    assert (made.place.kind, made.place.emulated) == ("host", False)
    assert (made.protocol.queries, made.protocol.interleaved, made.protocol.runs) == ("fixed:64", True, 4)
    ours, theirs = made.candidate, made.baseline("float32")
    assert theirs is not None
    assert (ours.name, theirs.name, theirs.random_weights) == ("small", "other", True)
    for program in made.programs:
        assert len(program.samples_ns) == 4
        assert program.lengths == (64,) * 4
        assert len(program.load_ns) == len(program.first_ns) == 2
        assert program.multiply_adds == 7000 * 64 + 64 * 64 * 64
        assert program.footprint.program_bytes == (bundle / "small.onnx").stat().st_size
        assert program.footprint.bundle_bytes > program.footprint.program_bytes
        assert program.footprint.runtime_bytes is None or program.footprint.runtime_bytes > 1e6
        assert (program.threads.asked, program.delegate.asked) == ("1", "cpu")
        assert program.peak_resident_bytes
    assert ours.program_sha256 == theirs.program_sha256
    assert ours.bundle_seal != theirs.bundle_seal
    assert len(ours.tokenize_ns) == len(ours.decode_ns) == 50
    assert theirs.tokenize_ns == ()
    assert not made.validity.valid
    printed = capsys.readouterr().out
    for said in (
        "small float32",
        "other float32 *",
        "times faster",
        "less time",
        "p50",
        "random weights",
        str(path),
    ):
        assert said in printed
    assert "not valid: small float32 has 4 samples; 50 are the least" in printed
    assert files(bundle.parent / "measurements") == {NAME}


@pytest.mark.usefixtures("quick")
def test_lengths_of_squad_and_a_name_that_says_what_is_unusual(bundle: Path, tmp_path: Path) -> None:
    asked = (
        "--baseline",
        "none",
        "--no-peak",
        "--lengths",
        "squad",
        "--threads",
        2,
        "--out",
        tmp_path / "here",
    )
    assert run(bundle, *asked) == 0
    (path,) = (tmp_path / "here").iterdir()
    assert path.name == "onnx-host-latency-squad-2threads.json"
    program = measurement.read(path).candidate
    assert len(program.lengths) == 64  # a whole pass, though 4 runs were asked for
    assert program.lengths.count(64) > 32  # most of SQuAD's windows are longer than this program
    assert min(program.lengths) < 64


@pytest.mark.parametrize(
    ("more", "said", "code"),
    [
        (("--length", "65"), "runs at 1 to 64 tokens, not at exactly 65", 2),
        (("--threads", "0"), "--threads must be at least 1, got 0", 2),
        (("--device", "toaster"), "unknown device 'toaster'; devices are host, ", 2),
        (("--device", "host:1"), "there is only one host; give --device host", 2),
        (("--cores", "big"), "the host has no big and little cores", 2),
        (("--runner", "app"), "the host has no app to run", 2),
        (("--metric", "instructions"), "host does not count instructions; arm64-emulator does", 2),
    ],
)
def test_what_makes_no_sense_is_refused(
    more: tuple[str, ...], said: str, code: int, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, "--baseline", "none", "--no-peak", *more) == code
    assert said in capsys.readouterr().err
    assert not (bundle.parent / "measurements").exists()


@pytest.mark.parametrize(
    ("spoil", "said", "code"),
    [
        (lambda folder: (folder / "vocab.txt").write_text("x"), "vocab.txt was altered", 4),
        (
            lambda folder: rewrite(folder, lambda m: m.update(verified=False, why_not_verified="no Mac")),
            "is not verified (no Mac)",
            2,
        ),
        (
            lambda folder: rewrite(folder, lambda m: m.pop("precision")),
            "was made before bundles said their precision; make it again",
            2,
        ),
    ],
)
def test_a_bundle_that_is_not_right_is_not_measured(
    spoil: Callable[[Path], object],
    said: str,
    code: int,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(bundle)
    assert run(bundle, "--baseline", "none", "--no-peak") == code
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_a_device_that_fails_does_not_cost_the_others(
    bundle: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("lost", Fake("lost", DeviceError("lost: it went away in the middle")))
    install("absent", Fake("absent", "plug it in"))
    devices = ("--device", "lost,host", "--device", "absent")
    assert run(bundle, "--baseline", "none", "--no-peak", *devices) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "error: lost: it went away in the middle",
        "error: absent: plug it in",
        "error: 2 of 3 devices were not measured",
    ]
    assert files(bundle.parent / "measurements") == {NAME}
    measurement.read(bundle.parent / "measurements" / NAME)


def test_one_device_that_is_not_there_is_a_missing_tool(
    bundle: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("absent", Fake("absent", "plug it in"))
    assert run(bundle, "--baseline", "none", "--device", "absent") == 3
    assert capsys.readouterr().err == "error: absent: plug it in\n"


@pytest.mark.usefixtures("quick")
def test_emulated_milliseconds_are_never_printed(
    bundle: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    def emulated(request: Request) -> Measurement:
        real = host.Host().measure(request, _Silent())
        place = Place(**{**real.place.model_dump(), "kind": "adb", "name": "qemu-arm64", "emulated": True})
        return real.model_copy(update={"place": place, "validity": Validity(valid=True)})

    install("slow", Fake("slow", emulated))
    assert run(bundle, "--baseline", "none", "--device", "slow", "--runner", "python") == 0
    printed = capsys.readouterr().out
    assert "on qemu-arm64 (emulated)" in printed
    assert "peak memory" in printed
    after_heading = printed.split("batch 1")[1].split("measurement  ")[0]
    assert not re.search(r"millisecond|p50|\bms\b|load|first", after_heading)


class _Silent:
    def update(self, done: float, total: float, note: str = "") -> None: ...

    def say(self, sentence: str) -> None: ...


def test_milliseconds_of_an_emulator_are_refused(
    bundle: Path,
    install: Install,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install("counter", Fake("counter", "not asked"))
    monkeypatch.setattr(flags, "COUNTERS", ("counter",))
    assert run(bundle, "--baseline", "none", "--device", "counter", "--metric", "latency") == 2
    assert "counter is emulated, and its milliseconds mean nothing" in capsys.readouterr().err


def test_what_is_here_and_what_is_not(
    install: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(base, "KINDS", {"host": "this machine"})
    install("phone", Fake("phone:A1", _unasked), Fake("phone:B2", "unlock it"))
    install("none")
    install("broken")
    refusing: Any = sys.modules["device_bench.devices.broken"]

    def refuse(*_: object) -> Iterator[Fake]:
        raise DeviceError("its server does not answer")

    refusing.find = refuse
    assert call_verb("devices") == 0
    lines = [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["--device", "what it is", "here"],
        ["host", "this machine", "yes"],
        ["phone:A1", "a fake", "yes"],
        ["phone:B2", "unlock it"],
        ["none", "a fake", "none was found"],
        ["broken", "a fake", "its server does not answer"],
    ]


def _unasked(request: Request) -> Measurement:
    raise AssertionError


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_in_the_middle_leaves_nothing(how: signal.Signals, bundle: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "device_bench",
            "run",
            "--bundle",
            str(bundle),
            "--baseline",
            "none",
            "--no-peak",
        ],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    children: set[int] = set()
    until = time.monotonic() + 60
    while len(children) < 2 and process.poll() is None and time.monotonic() < until:
        children |= set(_children(process.pid))
        time.sleep(0.01)
    assert len(children) == 2  # the second of its runners has been started
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "stopped; run again to go on from here\n"
    assert not list(scratch.glob("device-bench-*"))
    assert not (bundle.parent / "measurements").exists()
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def _children(pid: int) -> list[int]:
    told = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in told.read_text().split()] if told.exists() else []
