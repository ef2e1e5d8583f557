"""python -m device_bench: measures bundles on devices, and holds measurements against each other."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from pathlib import Path

import platformdirs

from pipeline import console

CACHE = Path(platformdirs.user_cache_dir("pocket-distil"))
VERBS = {
    "run": "measure a bundle, beside a baseline, on one device or several",
    "devices": "what is here, and what each missing device needs",
    "repeat": "measure the same twice: do counts repeat, do intervals overlap",
    "setup": "fetch and build what the emulator, the native runners and the apps' tests need, once",
    "compare": "hold a measurement against an earlier one: exit 1 where it got worse",
    "claims": "the paper's claims beside what was measured",
}
"""Each in a module of its name, with `add(parser)` for its flags and `main(flags)`."""


def main() -> None:
    """Parses the flags and hands them to their verb."""
    parser = argparse.ArgumentParser(
        prog="python -m device_bench",
        description="Latency, instructions and footprint of bundles on hosts, emulated cores and phones.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, about in VERBS.items():
        flags = verbs.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        flags.add_argument(
            "--cache", type=Path, default=CACHE, help=f"where tools and built runners are kept ({CACHE})"
        )
        if name in sys.argv[1:2]:  # one verb's tools at a time
            importlib.import_module(f"device_bench.verbs.{name}").add(flags)
    given = parser.parse_args()
    importlib.import_module(f"device_bench.verbs.{given.verb}").main(given)


def _stop(*_: object) -> None:
    """Whatever is under way is undone as after Ctrl-C: runners ended, scratch removed."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(console.run(main))
