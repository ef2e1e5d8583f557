"""What is fetched once: whole or not there, nothing of the system's touched, offline the second time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from device_bench.toolchain import debian, once, tools, wheels
from device_bench.toolchain.debian import Source
from device_bench.toolchain.steps import STEPS
from pipeline.types import MissingTool, Silent


def test_a_folder_is_made_once_however_many_want_it(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("whole")

    place = tmp_path / "cache" / "place"
    threads = [threading.Thread(target=once.folder, args=(place, make)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert (place / "file").read_text() == "whole"
    assert once.size_bytes(place) == 5


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        once.folder(tmp_path / "place", make)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_packages_that_cannot_be_had_are_a_sentence(cache: Path, tmp_path: Path) -> None:
    system = Path("/var/lib/dpkg/status")
    before = system.stat().st_mtime_ns if system.exists() else None
    nowhere = Source(suite="bookworm", architecture="arm64", mirror=f"file://{tmp_path}/nowhere")
    with pytest.raises(MissingTool, match=r"apt-get -q update failed: .*nowhere"):
        debian.packages(nowhere, ["hello"], tmp_path / "cache")
    assert not debian.place(nowhere, ["hello"], tmp_path / "cache").exists()
    assert (system.stat().st_mtime_ns if system.exists() else None) == before


def test_packages_that_nobody_signed_are_refused(cache: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive" / "dists" / "bookworm"
    (archive / "main" / "binary-arm64").mkdir(parents=True)
    (archive / "main" / "binary-arm64" / "Packages").touch()
    (archive / "Release").write_text("Origin: Debian\nSuite: bookworm\nCodename: bookworm\nComponents: main\n")
    unsigned = Source(suite="bookworm", architecture="arm64", mirror=f"file://{tmp_path}/archive")
    with pytest.raises(MissingTool, match=r"apt-get -q update failed: .*not signed"):
        debian.packages(unsigned, ["hello"], tmp_path / "cache")


def test_what_is_there_needs_neither_network_nor_apt(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    first = tools.unpack(cache, Silent(), mirror="file:///nowhere")
    assert "qemu-user_" in " ".join(first.packages)
    assert first.qemu.startswith("7.2")
    for runtime in wheels.RUNTIMES.values():
        folder = wheels.fetch(runtime, cache, Silent())
        assert all((folder / name).is_file() for name in runtime.libraries)


def test_a_system_that_is_no_debian_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "has no apt-get; use a Debian" in (debian.why_unavailable() or "")


def test_steps_have_names() -> None:
    assert len({step.name for step in STEPS}) == len(STEPS)
