"""What a child process cost: wall time and peak memory, as the system counts them.

The system counts into a child's peak what its parent held when it was started, so the parent should be light.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """One child: its wall time, its peak resident memory, its exit code (−n: killed by signal n)."""

    wall_seconds: float
    peak_resident_bytes: int
    exit_code: int


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Spent:
    """Runs a command to its end; `environment` is added to ours."""
    began = time.monotonic()
    child = subprocess.Popen(command, env={**os.environ, **(environment or {})})
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return Spent(wall_seconds=wall, peak_resident_bytes=usage.ru_maxrss * unit, exit_code=child.returncode)
