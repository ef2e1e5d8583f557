"""The apps' own tests over apps/golden, and their formatters, with the toolchains in the cache folder.

`python -m device_bench.toolchain.suites swift kotlin web` is what `make apps-swift`, `make apps-kotlin` and
`make apps-web` run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs

from device_bench.toolchain import kotlin, once, swift, web
from pipeline import console
from pipeline.types import Silent, UsageError, VerificationFailed

APPS = Path(__file__).parents[2] / "apps"
CACHE = Path(platformdirs.user_cache_dir("pocket-distil"))
MODULES = ("bundle", "text")
"""Of apps/android, each built upon those before it."""
TESTS = ("pocket.bundle.GoldenBundleTest", "pocket.text.GoldenTextTest")
TOLD, WIDEST = 12, 1500
"""Lines of what went wrong that are passed on, and characters of each."""
COMPARED = re.compile(
    r"^\.?\w+: (?:(?P<cases>\d+) cases, )?(?P<compared>\d+) compared, (?P<wrong>\d+) mismatches$", re.M
)


def swift_suite(cache: Path, apps: Path = APPS) -> str:
    """What `swift test` said. Raises VerificationFailed with its first complaints."""
    root, package = swift.here(cache), apps / "ios"
    scratch = cache / "swift-build" / once.key(str(package.resolve()))
    # optimized: every code point is asked, which takes minutes without
    built = ["--package-path", str(package.resolve()), "--scratch-path", str(scratch / "build")]
    arguments = ["test", *built, "-c", "release", "-Xswiftc", "-enable-testing"]
    return _passed(swift.run(root, [apps.resolve().parent], scratch, arguments), "swift test")


def swift_format(cache: Path, apps: Path = APPS) -> None:
    """Raises VerificationFailed with the first lines that `swift format lint` complains of."""
    root, package = swift.here(cache), (apps / "ios").resolve()
    arguments = ["format", "lint", "--strict", "--recursive", str(package)]
    scratch = cache / "swift-build" / once.key(str(package))
    _passed(swift.run(root, [apps.resolve().parent], scratch, arguments), "swift format lint")


def kotlin_suite(cache: Path, apps: Path = APPS, tests: Sequence[str] = TESTS) -> str:
    """What JUnit said of these classes. Raises VerificationFailed with the first complaints, or kotlinc's."""
    tools = kotlin.here(cache)
    parts = [apps / "android" / module / "src" / part for module in MODULES for part in ("main", "test")]
    sources = sorted(source for part in parts for source in part.rglob("*.kt"))
    content = [(str(source.relative_to(apps)), source.read_text(encoding="utf-8")) for source in sources]

    def build(folder: Path) -> None:
        # all modules at once: most of the compiler's time is its start
        _passed(tools.compile(sources, folder, classpath=tools.junit), "kotlinc")

    built = cache / "kotlin-build" / once.key(kotlin.COMPILER, content)
    classpath = [once.folder(built, build), *(part.parent / "main" / "resources" for part in parts)]
    given = {"pocket.golden": str((apps / "golden").resolve())}
    return _passed(tools.test(tests, classpath, given), "JUnit")


def web_suite(_: Path, apps: Path = APPS, tests: Sequence[str] = ()) -> str:
    """What Vitest said of these files of tests, or of all but the browser's.

    Raises VerificationFailed with the first complaints.
    """
    folder = web.here(apps / "web")
    return _passed(web.run(folder, ["npx", "vitest", "run", "--exclude", "tests/browser/**", *tests]), "vitest")


def web_check(_: Path, apps: Path = APPS) -> None:
    """Raises VerificationFailed with the first lines that TypeScript's compiler or Biome complain of."""
    _passed(web.run(web.here(apps / "web"), ["npm", "run", "--silent", "check"]), "npm run check")


def compared(said: str) -> int:
    """How many cases and folders a suite says that it compared."""
    return sum(int(found["cases"] or found["compared"]) for found in COMPARED.finditer(said))


def _passed(ran: subprocess.CompletedProcess[str], what: str) -> str:
    if ran.returncode:
        lines = ran.stdout.splitlines()
        telling = [line for line in lines if re.search("error|mismatches|warning|fail", line, re.I)]
        shown = (telling or lines)[:TOLD]
        raise VerificationFailed(f"{what} failed:\n" + "\n".join(line[:WIDEST] for line in shown))
    return ran.stdout


SUITES: dict[str, tuple[Callable[[Path], object], ...]] = {
    "swift": (lambda cache: swift.unpack(cache, Silent()), swift_suite, swift_format),
    "kotlin": (lambda cache: kotlin.unpack(cache, Silent()), kotlin_suite),
    "web": (lambda cache: web.install(APPS / "web", cache, Silent()), web_suite, web_check),
}
"""Name → what is done for it, in order: the toolchain is fetched where it is not there yet."""


def main() -> None:
    """Runs the suites that are named."""
    for name in sys.argv[1:]:
        if name not in SUITES:
            raise UsageError(f"unknown suite {name!r}; there are {', '.join(SUITES)}")
        for step in SUITES[name]:
            said = step(CACHE)
            if isinstance(said, str):
                print(f"{name}: {compared(said)} cases, no mismatches")


if __name__ == "__main__":
    sys.exit(console.run(main))
