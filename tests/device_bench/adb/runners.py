"""Runners in the phone's own shell, which do as a test tells them, and requests for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from device_bench.devices.adb import Android
from device_bench.devices.base import Contender, Request
from device_bench.native_runners import NativeRunner
from device_bench.protocol import Plan
from device_bench.queries import Queries
from device_bench.toolchain.phone import Phone
from pipeline import bundles

LENGTH = 16
PRELUDE = """#!/system/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
  --program) program=$2 ;;
  --queries) queries=$2 ;;
  --outputs) outputs=$2 ;;
  esac
  shift 2
done
got='"runtime": "Fake 1.0", "threads": 1, "delegate": "xnnpack"'
loaded() { echo '{"event": "loaded", "load_ns": 7, '$got'}'; }
ran() { echo '{"event": "ran", "query": '$1', "ns": 1000, "length": 16}'; }
"""
OBEDIENT = """
[ -r "$program" ] && [ -r "$queries" ] || exit 3
loaded
while read -r word number; do
  case $word in
  run)
    [ -z "$outputs" ] || head -c 128 /dev/zero >> "$outputs"
    ran $number ;;
  end)
    echo '{"event": "ended", "peak_resident_bytes": 4096}'
    exit 0 ;;
  esac
done
exit 1
"""
"""Its logits are zeros: for every token of LENGTH a start and an end, float32."""


def runners(folder: Path, script: str) -> Callable[[str, Path], NativeRunner]:
    """What Android takes for `runners`: this script, whatever the target."""
    binary = folder / "runner"
    binary.write_text(PRELUDE + script, encoding="utf-8")
    made = NativeRunner(binary=binary, libraries=(), loader=None, runtime="Fake 1.0", runtime_bytes=0)
    return lambda target, cache: made


def request(*folders: Path, cpu: str | None = None, plan: Plan | None = None) -> Request:
    """The first bundle against the others, in windows of LENGTH tokens."""
    roles = ("candidate", *["baseline"] * (len(folders) - 1))
    contenders = (
        Contender(role="candidate" if role == "candidate" else "baseline", bundle=bundles.read(folder))
        for role, folder in zip(roles, folders, strict=True)
    )
    return Request(
        contenders=tuple(contenders),
        metric="latency",
        plan=plan or Plan(warmup=1, runs=2),
        queries=Queries(source=f"fixed:{LENGTH}", windows=(tuple(range(5, 5 + LENGTH)),) * 2),
        cpu=cpu,
    )


def on(phone: Phone, script: str, folder: Path, patience: float = 30.0) -> Android:
    """The phone as a device whose runner is the script, kept in `folder`."""
    return Android(
        name=f"adb:{phone.serial}",
        cache=folder,
        client=phone.connection.adb,
        runners=runners(folder, script),
        patience=patience,
    )
