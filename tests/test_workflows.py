"""Workflow files call what exists: make's targets, modules, verbs, flags, scripts. Lint checks their form."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.apps import APPS

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BUILDS = {"web": "npm run build", "android": ":app:assembleDebug", "ios": "apps/ios/build.sh"}


def workflow(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(path)
    return loaded


def commands(document: dict[str, Any]) -> Iterator[list[str]]:
    """Every command line of every step, split as a shell does."""
    for job in document["jobs"].values():
        for step in job["steps"]:
            text = step.get("run", step.get("with", {}).get("script", ""))
            for line in text.replace("\\\n", " ").splitlines():
                if line.strip():
                    yield shlex.split(line)


def wrong(words: list[str]) -> str | None:
    """What in a command line does not exist in this repository, or None."""
    if words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        return next((f"make {target}" for target in targets if target not in make_targets()), None)
    if words[0].startswith((".ci/", "apps/")):
        return None if (ROOT / words[0]).is_file() else words[0]
    if words[0] == "gradle":
        settings = (ROOT / words[words.index("--project-dir") + 1] / "settings.gradle.kts").read_text(
            encoding="utf-8"
        )
        modules = [word.rpartition(":")[0] for word in words if word.startswith(":")]
        return next((f"gradle {module}" for module in modules if f'"{module}"' not in settings), None)
    if words[:2] == ["npm", "run"]:
        folder = ROOT / words[words.index("--prefix") + 1]
        scripts = json.loads((folder / "package.json").read_text(encoding="utf-8"))["scripts"]
        return None if words[2] in scripts else f"npm run {words[2]}"
    if words[:2] == [".venv/bin/python", "-m"]:
        return wrong_module(words[2], words[3:])
    return None


def wrong_module(module: str, arguments: list[str]) -> str | None:
    if importlib.util.find_spec(module) is None:
        return f"python -m {module}"
    verb: tuple[str, ...] = ()
    if module == "device_bench":
        from device_bench.__main__ import VERBS

        if arguments[0] not in VERBS:
            return f"python -m device_bench {arguments[0]}"
        verb = (arguments[0],)
    known = flags_of(module, verb)
    given = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    return next((f"python -m {module} {flag}" for flag in given if flag not in known), None)


@functools.cache
def make_targets() -> frozenset[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(VENV)", ".venv")
    return frozenset(re.findall(r"^([\w./-]+):(?!=)", text, re.M))


@functools.cache
def flags_of(module: str, verb: tuple[str, ...]) -> frozenset[str]:
    """The flags that its own help names."""
    asked = subprocess.run(
        [sys.executable, "-m", module, *verb, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return frozenset(re.findall(r"--[a-z][a-z-]*", asked.stdout))


def test_there_are_workflows_for_the_three_systems() -> None:
    assert [path.stem for path in FILES] == ["android", "linux", "macos"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_calls_only_what_exists(path: Path) -> None:
    lines = list(commands(workflow(path)))
    assert any(words[0] in ("make", ".ci/run") for words in lines)
    assert [found for words in lines if (found := wrong(words))] == []


@pytest.mark.parametrize(
    "line",
    [
        "make tset",
        "make lint PYTHON=python3.11 nothing",
        ".ci/rnu",
        "npm run biuld --prefix apps/web",
        "gradle --project-dir apps/android :ap:assembleDebug",
        ".venv/bin/python -m exporters.coreml_chekc runs/pocket/coreml",
        ".venv/bin/python -m pipeline.run --targets tflite",
        ".venv/bin/python -m device_bench rnu --bundle x",
    ],
)
def test_what_does_not_exist_is_found(line: str) -> None:
    assert wrong(shlex.split(line)) is not None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_always_ends(path: Path) -> None:
    document = workflow(path)
    assert document["permissions"] == {"contents": "read"}
    assert "pull_request" in document["concurrency"]["cancel-in-progress"]
    for job in document["jobs"].values():
        assert job["timeout-minutes"] <= 90
        assert "permissions" not in job
        names = [step["uses"].partition("@") for step in job["steps"] if "uses" in step]
        assert all(re.fullmatch(r"[0-9a-f]{40}", commit) for _, _, commit in names)


@pytest.mark.parametrize(
    ("name", "targets", "app"),
    [
        ("linux", {"tflite"}, "web"),
        ("android", {"tflite", "executorch"}, "android"),
        ("macos", {"coreml"}, "ios"),
    ],
)
def test_every_app_is_built_with_the_model_in_it(name: str, targets: set[str], app: str) -> None:
    (job,) = workflow(ROOT / ".github" / "workflows" / f"{name}.yml")["jobs"].values()
    lines = [" ".join(shlex.split(step.get("run", ""))) for step in job["steps"]]
    (dropped,) = (number for number, line in enumerate(lines) if f"--app {app}" in line)
    (built,) = (number for number, line in enumerate(lines) if BUILDS[app] in line)
    assert dropped < built
    given = re.search(r"--target (\S+)", lines[dropped])
    assert given
    asked = job["strategy"]["matrix"]["target"] if given[1] == "$TARGET" else [given[1]]
    assert set(asked) == targets <= set(APPS[app].targets)


def test_figures_that_are_no_phones_say_so() -> None:
    for name in ("android", "macos"):
        text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
        assert "trend only" in text
