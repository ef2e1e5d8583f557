"""Which machine a figure belongs to: its name for keys and reports, and how busy it was."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def identity() -> dict[str, str | int]:
    """Processor model, CPU count and system: the same after a reboot or an update, different elsewhere."""
    return {"processor": processor(), "cpus": os.cpu_count() or 1, "system": platform.system()}


def processor() -> str:
    """The processor's model name as the system gives it, or the architecture where it gives none."""
    name = _from_sysctl() if platform.system() == "Darwin" else _from_cpuinfo()
    return name or platform.processor() or platform.machine()


def load_average() -> float | None:
    """Processes that wanted a CPU over the last minute; a figure taken far above 1 is to be doubted."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _from_cpuinfo() -> str | None:
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = dict(re.findall(r"^(model name|Hardware|CPU implementer|CPU part)\s*:\s*(.+?)\s*$", text, re.M))
    arm = " ".join(f"{key} {fields[key]}" for key in ("CPU implementer", "CPU part") if key in fields)
    return fields.get("model name") or fields.get("Hardware") or arm or None


def _from_sysctl() -> str | None:
    try:
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip() or None
