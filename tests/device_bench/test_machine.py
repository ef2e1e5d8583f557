"""The machine's identity: what the system says, stable, and something where it says nothing."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from device_bench import machine

X86 = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\ncache size\t: 512 KB\n\n" * 2
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"


@pytest.mark.parametrize(
    ("text", "name"), [(X86, "AMD EPYC 7B13"), (ARM, "CPU implementer 0x41 CPU part 0xd0c")]
)
def test_the_model_name_is_read(text: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    assert machine.processor() == name


def test_without_a_name_the_architecture_stands_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "absent")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    assert machine.processor() == (platform.processor() or platform.machine())


def test_the_identity_is_stable_and_says_how_many_processors() -> None:
    identity = machine.identity()
    assert identity == machine.identity()
    assert set(identity) == {"processor", "cpus", "system"}
    assert identity["processor"]
    assert int(identity["cpus"]) >= 1
