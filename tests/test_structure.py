"""The house stays one building: imports point one way, files stay short, the README's tree is true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(p for room in ("pipeline", "exporters", "device_bench") for p in (ROOT / room).rglob("*.py"))
VERBS = {
    "run",
    "export",
    "ask",
    "answer",
    "verify",
    "evaluate",
    "ablate",
    "baseline",
    "bench",
    "bench_export",
    "bench_distil",
    "lengths",
    "golden_suite",
}

KNOWN = {
    "exporters": ("pipeline.types",),
    "device_bench": (
        "pipeline.types",
        "pipeline.bundles",
        "pipeline.tasks",
        "pipeline.console",
        "pipeline.store",
    ),
}
"""What other rooms may import of pipeline. device_bench reads bundles as anybody would: the contract's Python
reading, its windows and answers, and how a verb speaks to a person."""


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    for name in imports_of(path):
        if room != "pipeline" and name.startswith("pipeline."):
            assert name.startswith(KNOWN[room]), f"{path} imports {name}"
        if room != "device_bench" and room != "pipeline":
            assert not name.startswith("device_bench"), f"{path} imports {name}"
        assert not any(name == f"pipeline.{verb}" for verb in VERBS), f"{path} imports the verb {name}"
        if path.parent.name == "stages" and name.startswith("exporters"):
            assert name.startswith("exporters.base") or name == "exporters", f"{path} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_short_and_says_why_it_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 600
    assert path.name not in {"utils.py", "helpers.py", "common.py"}
    assert not text or ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


@pytest.mark.parametrize("package", ["pipeline", "pipeline.types", "pipeline.recipe", "exporters.base"])
def test_light_modules_do_not_import_torch(package: str) -> None:
    code = f"import sys, {package}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_readme_tree_is_true() -> None:
    tree = (ROOT / "README.md").read_text(encoding="utf-8").rsplit("```", 2)[1]
    folders: list[str] = []
    for line in tree.splitlines():
        match = re.match(r"^((?:  )*)(\S+)", line)
        if not match or line.startswith("text"):
            continue
        depth = len(match.group(1)) // 2
        folders = [*folders[:depth], match.group(2)]
        assert (ROOT / Path(*folders)).exists(), f"README's tree names {'/'.join(folders)}"
    listed = set(re.findall(r"(\w+)\.py", tree))
    unlisted = {p.stem for p in SOURCES if p.stem != "__init__"} - listed
    assert not unlisted, f"README's tree lacks {sorted(unlisted)}"
