"""Phones: Debian's arm64 adbd under QEMU, set up in the cache folder once and started anew for the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from device_bench.__main__ import CACHE
from device_bench.android import adb
from device_bench.toolchain import phone
from device_bench.toolchain.phone import Parts, Phone
from pipeline import bundles
from pipeline.recipe import Task
from tests.device_bench.adb.runners import LENGTH

HERE = Path(__file__).parent
PIXEL, APP = HERE / "pixel", HERE / "app"
"""What a phone has that Debian does not: Android's getprop and dumpsys, its cores; pm, am and pidof for an app.
They answer from texts written to the documented formats."""


@pytest.fixture(scope="session")
def parts() -> Parts:
    """What phones are made of; fetched by the first run of all."""
    return phone.setup(CACHE)


@pytest.fixture(scope="session")
def server(parts: Parts) -> Iterator[adb.Adb]:
    with phone.server(parts) as client:
        yield client


@pytest.fixture(scope="session")
def pixel(parts: Parts, server: adb.Adb) -> Iterator[Phone]:
    """A phone that tells of itself what a phone tells, for tests that leave it as it was."""
    with phone.started(parts, server, files=[PIXEL]) as started:
        yield started


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A sealed bundle whose program is for Apple's devices: nothing here runs it, or compares with it."""
    return write_bundle(tmp_path / "bundle", b"a program" * 1000)


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "baseline", b"another" * 3000)


def write_bundle(folder: Path, program: bytes, target: str = "coreai") -> Path:
    """A bundle around a program that takes windows of LENGTH tokens."""
    folder.mkdir()
    (folder / "small.bin").write_bytes(program)
    task = Task(max_length=LENGTH, stride=4)
    fields = {
        "name": "small",
        "target": target,
        "task": task.kind,
        "program": "small.bin",
        "windows": task.model_dump(mode="json"),
        "lengths": bundles.lengths_field([LENGTH]),
        "metrics": {},
        "verified": True,
        "precision": "int8",
    }
    bundles.write_manifest(folder, fields)
    return folder


@pytest.fixture
def start(parts: Parts, server: adb.Adb) -> Iterator[Callable[..., Phone]]:
    """start(files=…, storage_bytes=…) → a phone of the test's own."""
    with ExitStack() as stack:

        def started(files: Sequence[Path] = (), storage_bytes: int = phone.STORAGE_BYTES) -> Phone:
            return stack.enter_context(phone.started(parts, server, storage_bytes=storage_bytes, files=files))

        yield started
