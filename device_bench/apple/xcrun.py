"""Xcode's command-line tools: whether they are there, and what they say when they fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence

from device_bench.session import TAIL, DeviceError

SECONDS = 120.0
"""What a tool gets for anything but running the app."""
_SELECT = "install Xcode 15 or later and run: sudo xcode-select -s /Applications/Xcode.app"


def why_missing(tool: str) -> str | None:
    """A sentence where Xcode's `tool` cannot be run here, or None."""
    if shutil.which("xcrun") is None:
        if sys.platform != "darwin":
            return f"not run here: {tool} is part of Xcode, which runs on a Mac only"
        return f"there is no Xcode: {_SELECT}"
    try:
        asked = subprocess.run(
            ["xcrun", "--find", tool], capture_output=True, text=True, errors="replace", timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return f"xcrun does not answer: {_SELECT}"
    if asked.returncode == 0:
        return None
    if "license" in asked.stderr:
        return "Xcode's license has not been accepted: run sudo xcodebuild -license accept"
    return f"Xcode's {tool} is missing, the command line tools alone do not have it: {_SELECT}"


def run(arguments: Sequence[str], who: str, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
    """`xcrun` with these arguments, to its end, whatever its exit code.

    Raises DeviceError where it cannot be started or takes longer than `seconds`.
    """
    try:
        return subprocess.run(
            ["xcrun", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except OSError as error:
        raise DeviceError(f"{who}: xcrun cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise DeviceError(f"{who}: {arguments[0]} did not answer within {seconds:g} s") from None


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """The last line that a tool said, stderr before stdout, or its exit code where it said nothing."""
    said = [*done.stdout.strip().splitlines(), *done.stderr.strip().splitlines()]
    return said[-1].strip()[:TAIL] if said else f"exit code {done.returncode}"
