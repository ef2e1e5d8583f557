"""Swift, Kotlin and TypeScript give what Python recorded: every id, offset, answer and sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from device_bench.toolchain import suites, web
from pipeline.types import MissingTool, Silent, VerificationFailed

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


def test_swift_types_fit(cache: Path) -> None:
    suites.swift_types(cache)


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


@pytest.fixture
def offline(tmp_path: Path) -> str:
    """A PATH on which neither Debian's packages nor npm's can be had."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("apt-get", "npm"):
        (tools / tool).write_text("#!/bin/sh\necho E: no network >&2\nexit 1\n", encoding="utf-8")
        (tools / tool).chmod(0o755)
    return f"{tools}:{os.environ['PATH']}"


@pytest.mark.parametrize("name", ["swift", "kotlin"])
def test_a_toolchain_that_cannot_be_had_fails_with_its_name(name: str, offline: str, tmp_path: Path) -> None:
    """With an empty cache `make apps` fails, and CI with it."""
    ran = subprocess.run(
        [sys.executable, "-m", "device_bench.toolchain.suites", name],
        cwd=suites.APPS.parent,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PATH": offline},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 3, ran.stderr
    assert ran.stderr.startswith(f"error: {name}: ")
    assert "no network" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_web_packages_that_cannot_be_had_are_said(
    offline: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "web"
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(suites.APPS / "web" / name, folder / name)
    monkeypatch.setenv("PATH", offline)
    with pytest.raises(MissingTool, match="npm did not give the web app's packages: E: no network"):
        web.install(folder, tmp_path, Silent())
