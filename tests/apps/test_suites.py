"""Swift, Kotlin and TypeScript give what Python recorded: every id, offset, answer and sentence."""

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


@pytest.mark.parametrize("suite", [suites.swift_suite, suites.kotlin_suite, suites.web_suite])
def test_no_case_differs(suite: Callable[[Path], str], cache: Path) -> None:
    assert suites.compared(suite(cache)) == recorded() >= 3000


def test_swift_is_formatted(cache: Path) -> None:
    suites.swift_format(cache)


def test_typescript_is_checked_and_formatted(cache: Path) -> None:
    suites.web_check(cache)


def spoiled(tmp_path: Path) -> tuple[Path, str]:
    """A copy of the apps with one changed sentence among the golden cases, and that case's name."""
    apps = shutil.copytree(suites.APPS, tmp_path / "apps", ignore=shutil.ignore_patterns("node_modules"))
    (apps / "web" / "node_modules").symlink_to(suites.APPS / "web" / "node_modules")
    (tmp_path / "pipeline").symlink_to(suites.APPS.parent / "pipeline")
    file = apps / "golden" / "bundles.json"
    suite = json.loads(file.read_text())
    suite["cases"][-1]["says"] += "!"
    file.write_text(json.dumps(suite))
    return apps, suite["cases"][-1]["id"]


def test_a_changed_case_fails_the_kotlin_suite(cache: Path, tmp_path: Path) -> None:
    apps, case = spoiled(tmp_path)
    with pytest.raises(VerificationFailed, match=case):
        suites.kotlin_suite(cache, apps, suites.TESTS[:1])


def test_a_changed_case_fails_the_web_suite(cache: Path, tmp_path: Path) -> None:
    apps, case = spoiled(tmp_path)
    with pytest.raises(VerificationFailed, match=case):
        suites.web_suite(cache, apps, ["tests/bundle.test.ts"])
