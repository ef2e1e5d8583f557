"""The web app's page in a real browser: its tests under apps/web/tests/browser, over two bundles.

`python -m device_bench.toolchain.web_page BUNDLE OTHER` asks the first the questions of its golden.json, and
does everything where answers do not matter with the other, which has another name.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from device_bench.toolchain import chromium, web
from device_bench.toolchain.suites import APPS, CACHE
from pipeline import bundles, console
from pipeline.types import Silent, UsageError, VerificationFailed

TASK = "question-answering"
PASSED = re.compile(r"^ *Tests +(\d+) passed \((\d+)\)$", re.M)
TOLD, WIDEST = 30, 500
"""Lines of what went wrong that are passed on, and characters of each."""


def check(bundle: Path, other: Path, cache: Path, left: Path | None = None) -> str:
    """What Vitest said; `left` gets the measurement.json that the page wrote.

    Raises UsageError for bundles that are of no use here, VerificationFailed with the first complaints.
    """
    names = [bundles.read(folder, TASK).name for folder in (bundle, other)]
    if names[0] == names[1]:
        raise UsageError(f"both bundles are called {names[0]}; the second has to be another one")
    given = {"BUNDLE": bundle, "OTHER_BUNDLE": other, "CHROMIUM": chromium.here(cache), "LEFT": left}
    ran = web.run(
        web.here(APPS / "web"),
        ["npm", "run", "--silent", "test:browser"],
        **{name: str(path.resolve()) for name, path in given.items() if path is not None},
    )
    passed = PASSED.search(ran.stdout)
    if ran.returncode or passed is None or passed[1] != passed[2]:
        lines = [line for line in ran.stdout.splitlines() if line.strip()]
        first = next((at for at, line in enumerate(lines) if "FAIL" in line), max(0, len(lines) - TOLD))
        told = "\n".join(line[:WIDEST] for line in lines[first : first + TOLD])
        raise VerificationFailed(f"the page failed in the browser:\n{told}")
    return ran.stdout


def main() -> None:
    """Parses the flags and runs the tests."""
    parser = argparse.ArgumentParser(
        prog="python -m device_bench.toolchain.web_page",
        description="Tests the web app's page in headless Chromium.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, help="a tflite bundle with golden answers")
    parser.add_argument("other", type=Path, help="another one, of another name")
    given = parser.parse_args()
    web.install(APPS / "web", CACHE, Silent())
    chromium.unpack(CACHE, Silent())
    said = check(given.bundle, given.other, CACHE)
    for line in said.splitlines():
        if re.match(r"(page:|50,000 characters:| *Tests )", line):
            print(line.strip())


if __name__ == "__main__":
    sys.exit(console.run(main))
