"""Swift and Kotlin give what Python recorded: every id, offset, answer and sentence of the golden suite."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from device_bench.toolchain import suites
from pipeline.types import VerificationFailed

GOLDEN = suites.APPS / "golden"


def recorded() -> int:
    """Cases that the files hold, code points left aside."""
    lists = ("tokenization", "windows", "answers", "texts")
    return sum(len(json.loads((GOLDEN / f"{name}.json").read_text())) for name in lists) + len(
        json.loads((GOLDEN / "bundles.json").read_text())["cases"]
    )


@pytest.mark.parametrize("suite", [suites.swift_suite, suites.kotlin_suite])
def test_no_case_differs(suite: Callable[[Path], str], cache: Path) -> None:
    assert suites.compared(suite(cache)) == recorded() >= 3000


def test_swift_types_fit(cache: Path) -> None:
    suites.swift_types(cache)


def test_swift_is_formatted(cache: Path) -> None:
    suites.swift_format(cache)


def test_a_changed_case_fails_the_kotlin_suite(cache: Path, tmp_path: Path) -> None:
    apps = shutil.copytree(suites.APPS, tmp_path / "apps")
    file = apps / "golden" / "bundles.json"
    suite = json.loads(file.read_text())
    suite["cases"][-1]["says"] += "!"
    file.write_text(json.dumps(suite))
    with pytest.raises(VerificationFailed, match=suite["cases"][-1]["id"]):
        suites.kotlin_suite(cache, apps, suites.TESTS[:1])
