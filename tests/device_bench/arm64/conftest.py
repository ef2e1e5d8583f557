"""The arm64 tools in the usual cache, fetched by the first run of all, and small bundles to run with them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import pytest

import exporters.base as exporters
from device_bench.__main__ import CACHE
from device_bench.devices.base import Contender, Request
from device_bench.protocol import Plan
from device_bench.queries import Queries
from device_bench.toolchain import debian, tools, wheels
from device_bench.toolchain.tools import Tools
from pipeline import bundles
from pipeline.bundles import Bundle
from pipeline.models.student import Head
from pipeline.recipe import Classification, Task
from pipeline.types import Silent
from tests.exporters.conftest import make_student

LENGTHS = (16, 32)
TARGETS = ("tflite", "executorch")
WINDOWS = (tuple(range(5, 5 + 16)), tuple(range(40, 40 + 16)), tuple(range(5, 5 + 11)), tuple(range(7, 7 + 32)))
"""Of both lengths, one that is padded, two of the same length."""


@pytest.fixture(scope="session")
def cache() -> Path:
    """With everything in it that needs the network; skips only where the machine can have none of it."""
    if reason := tools.unsuited() or debian.why_unavailable():
        pytest.skip(reason)
    tools.unpack(CACHE, Silent())
    for runtime in wheels.RUNTIMES.values():
        wheels.fetch(runtime, CACHE, Silent())
    return CACHE


@pytest.fixture(scope="session")
def unpacked(cache: Path) -> Tools:
    return tools.here(cache)


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Head], Bundle]:
    """target, head → a bundle of two small int8 layers, made once."""

    @functools.cache
    def made(target: str, head: Head) -> Bundle:
        folder = tmp_path_factory.mktemp("bundle") / target
        folder.mkdir()
        labels = 3
        student = dataclasses.replace(
            make_student(head=head, labels=labels), max_length=LENGTHS[-1], lengths=LENGTHS
        )
        lowered = exporters.get(target).lower(student, folder)
        for companion in lowered.companions:
            companion.unlink()
        task: Task | Classification = Task(max_length=LENGTHS[-1], stride=8)
        if head == "text-classification":
            task = Classification(kind="text-classification", max_length=LENGTHS[-1], labels=tuple("abc"))
        lengths = LENGTHS if target == "tflite" else tuple(range(2, LENGTHS[-1] + 1))
        bundles.write_manifest(
            folder,
            {
                "name": "small",
                "target": target,
                "task": task.kind,
                "program": lowered.path.name,
                "windows": task.model_dump(mode="json"),
                "lengths": bundles.lengths_field(lengths),
                "metrics": {},
                "verified": True,
                "precision": "int8",
            },
        )
        return bundles.read(folder)

    return made


def request(bundle: Bundle, cache: Path, source: str = "fixed:16", runs: int = 2) -> Request:
    """Instructions of one bundle, for windows of 16 tokens or for all of WINDOWS."""
    windows = WINDOWS[:2] if source == "fixed:16" else WINDOWS
    return Request(
        contenders=(Contender(role="candidate", bundle=bundle),),
        metric="instructions",
        plan=Plan(warmup=1, runs=runs),
        queries=Queries(source=source, windows=windows),
        cache=cache,
    )
