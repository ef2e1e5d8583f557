"""A Mac's tools as programs on PATH, and small bundles to measure."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from device_bench import queries
from device_bench.devices.base import Contender, Request
from device_bench.measurement import Role
from device_bench.protocol import Plan
from pipeline import bundles

UDID = "00008150-000A1B2C3D4E001E"
SECOND = "00008120-00112233445566AA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Xcode:
    """The stand-in for xcrun, its scenario and what it was asked."""

    folder: Path

    def plays(self, **scenario: Any) -> None:
        text = json.dumps({"apps": ["org.pocketdistil.app"], **scenario})
        (self.folder / "scenario.json").write_text(text, encoding="utf-8")

    @property
    def calls(self) -> list[list[str]]:
        lines = (self.folder / "calls.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @property
    def storage(self) -> Path:
        return self.folder / "storage"


@pytest.fixture
def xcode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Xcode:
    folder = tmp_path / "xcode"
    folder.mkdir()
    body = Path(__file__).with_name("fake_xcrun.py").read_text(encoding="utf-8")
    program = folder / "xcrun"
    program.write_text(f"#!{sys.executable} -IS\n{body}", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return Xcode(folder=folder)


def phone(udid: str = UDID, name: str = "Ada's iPhone", **changes: Any) -> dict[str, Any]:
    """A device as devicectl lists it up to JSON version 4."""
    old: dict[str, Any] = {
        "identifier": "3D0C9E7A-0000-4000-8000-5B0B0B0B0B0B",
        "connectionProperties": {
            "pairingState": "paired",
            "transportType": "wired",
            "tunnelState": "disconnected",
        },
        "deviceProperties": {"name": name, "osVersionNumber": "18.4", "developerModeStatus": "enabled"},
        "hardwareProperties": {
            "marketingName": "iPhone 16 Pro",
            "platform": "iOS",
            "productType": "iPhone17,1",
            "reality": "physical",
            "udid": udid,
        },
    }
    for section, entries in changes.items():
        old[section].update(entries)
    return old


def phone_of_version_5(udid: str = UDID, *, reality: str = "physical", mode: str = "enabled") -> dict[str, Any]:
    """The same from JSON version 5 on, without the three that are deprecated."""
    return {
        "identifier": "3D0C9E7A-0000-4000-8000-5B0B0B0B0B0C",
        "properties": {
            "connection": {"pairingState": "paired", "state": "connected", "transportType": "wired"},
            "hardware": {
                "marketingName": "iPhone 18 Pro",
                "platform": "iOS",
                "productType": "iPhone19,1",
                "reality": reality,
                "udid": udid,
            },
            "software": {"osVersionNumber": {"components": [27, 0], "stringValue": "27.0"}},
            "state": {
                "bootState": "booted",
                "developerModeStatus": {mode: {"mode": 1}},
                "name": "Ada's iPhone",
            },
        },
    }


def make_bundle(folder: Path, name: str, target: str = "coreml") -> bundles.Bundle:
    """A bundle that passes its own checks; its program is a few bytes."""
    program = folder / f"{name}.mlpackage"
    program.mkdir(parents=True)
    (program / "model.mlmodel").write_bytes(name.encode())
    task = {
        "kind": "question-answering",
        "max_length": 128,
        "stride": 32,
        "n_best": 20,
        "max_answer_length": 30,
    }
    fields = {
        "task": "question-answering",
        "name": name,
        "target": target,
        "program": program.name,
        "windows": task,
        "lengths": {"fixed": [64, 128]},
        "metrics": {},
        "precision": "int8",
    }
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{i}" for i in range(100))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (folder / "golden.json").write_text('{"cases": []}', encoding="utf-8")
    bundles.write_manifest(folder, fields)
    return bundles.read(folder)


def make_request(folder: Path, targets: Sequence[str] = ("coreml", "coreml"), cache: Path = Path()) -> Request:
    """A candidate and a baseline. The app that is played writes its figures at once."""
    roles: tuple[Role, ...] = ("candidate", "baseline")
    contenders = tuple(
        Contender(role=role, bundle=make_bundle(folder / role, f"made-up-{role}", target))
        for role, target in zip(roles, targets, strict=True)
    )
    return Request(
        contenders=contenders,
        metric="latency",
        plan=Plan(warmup=5, runs=50, seconds=10.0),
        queries=queries.make("fixed:64", range(1000, 1100), 128),
        runner="app",
        cache=cache,
    )


@pytest.fixture
def request_of_two(tmp_path: Path) -> Request:
    return make_request(tmp_path / "bundles", cache=tmp_path / "cache")
