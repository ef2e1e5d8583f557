"""Node.js for the web app: this machine's own, and the app's packages from npm, as its lock file pins them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.types import MissingTool, Progress

SETUP = "python -m device_bench setup"
OLDEST_NODE = (20, 19)
LOCK, INSTALLED = "package-lock.json", "node_modules/.package-lock.json"
"""What is wanted, and npm's own record of what is there."""


def here(web: Path) -> Path:
    """`web`, the app's folder, ready to run. Raises MissingTool where Node.js or its packages are not there."""
    _node()
    if not _is_installed(web):
        raise MissingTool(f"the web app's packages are not set up; run: {SETUP}")
    return web


def install(web: Path, cache: Path, progress: Progress) -> Path:
    """The same, its packages fetched into node_modules where the lock file's are not there yet.

    Packages are compared with the lock file's hashes by npm; their install scripts are not run.
    """
    _node()
    with FileLock(web / ".npm.lock"):
        if not _is_installed(web):
            progress.say("fetching the web app's packages from npm")
            kept = ["--cache", str(cache / "npm"), "--prefer-offline"]
            fetched = run(web, ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", *kept])
            if fetched.returncode:
                lines = [line for line in fetched.stdout.splitlines() if line.strip()]
                telling = next((line for line in lines if "error" in line), lines[-1] if lines else "no word")
                raise MissingTool(f"npm did not give the web app's packages: {telling}")
    return web


def run(web: Path, command: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in the app's folder, without colours; its errors are in its output."""
    return subprocess.run(
        command,
        cwd=web,
        env={**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "0", "CI": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def _is_installed(web: Path) -> bool:
    """Whether all that is not for some systems only is there, as the lock file pins it."""
    if not (web / INSTALLED).is_file():
        return False
    wanted, there = _packages(web / LOCK), _packages(web / INSTALLED)
    return all(
        name in there and there[name].get("integrity") == package.get("integrity")
        for name, package in wanted.items()
        if name and not package.get("optional")
    )


def _packages(lock: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    return found


def _node() -> None:
    """Raises MissingTool where this machine has no Node.js that is new enough, or no npm."""
    wanted = ".".join(map(str, OLDEST_NODE))
    missing = f"the web app wants Node.js {wanted} or later with npm; install it from your system or nodejs.org"
    node = shutil.which("node")
    said = subprocess.run([node, "--version"], capture_output=True, text=True).stdout if node else ""
    version = re.match(r"v(\d+)\.(\d+)", said)
    if version is None or shutil.which("npm") is None:
        raise MissingTool(missing)
    if (int(version[1]), int(version[2])) < OLDEST_NODE:
        raise MissingTool(f"{missing}; this one is {said.strip()}")
