"""The apps' own tests over apps/golden, and their formatters, with the toolchains in the cache folder.

`python -m device_bench.toolchain.suites swift kotlin` is what `make apps-swift` and `make apps-kotlin` run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs

from device_bench.toolchain import android, kotlin, once, swift
from pipeline import console
from pipeline.types import Silent, UsageError, VerificationFailed

APPS = Path(__file__).parents[2] / "apps"
CACHE = Path(platformdirs.user_cache_dir("pocket-distil"))
MODULES = ("bundle", "text", "ask", "bench")
"""Of apps/android, each built upon those before it: all that needs no Android."""
ANDROID_MODULES = ("text", "ask", "bench", "engine", "app")
"""Of apps/android, those that are compiled against android.jar, the first only to see that Android has what
they use. :bundle is not: it uses java.nio.file, which Android has from API 26 on, and this jar is older."""
TESTS = (
    "pocket.bundle.GoldenBundleTest",
    "pocket.bundle.ShippedBundleTest",
    "pocket.text.GoldenTextTest",
    "pocket.ask.QuestionAnswererTest",
    "pocket.bench.BenchmarkTest",
)
TOLD, WIDEST = 12, 1500
"""Lines of what went wrong that are passed on, and characters of each."""
COMPARED = re.compile(
    r"^\.*\w+: (?:(?P<cases>\d+) cases, )?(?P<compared>\d+) compared, (?P<wrong>\d+) mismatches$", re.M
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
    resources = [apps / "android" / module / "src" / "main" / "resources" for module in MODULES]
    given = {"pocket.golden": str((apps / "golden").resolve())}
    tools, classpath = kotlin.here(cache), [kotlin_classes(cache, apps), *resources]
    return _passed(tools.test(tests, classpath, given), "JUnit")


def kotlin_classes(cache: Path, apps: Path = APPS) -> Path:
    """Classes that need no Android, tests among them. Raises VerificationFailed with kotlinc's complaints."""
    tools = kotlin.here(cache)
    sources = _kotlin_sources(apps, MODULES, ("main", "test"))

    def build(folder: Path) -> None:
        # all modules at once: most of the compiler's time is its start
        _passed(tools.compile(sources, folder, classpath=tools.junit), "kotlinc")

    return once.folder(cache / "kotlin-build" / once.key(kotlin.COMPILER, _content(sources, apps)), build)


def android_build(cache: Path, apps: Path = APPS) -> Path:
    """All but :bundle as Android runs it: `classes`, `resources.apk`.

    Raises VerificationFailed with the tools' complaints. LiteRT, ExecuTorch and newer parts of Android are
    declared in the app's test tree.
    """
    tools, sdk, app = kotlin.here(cache), android.here(cache), apps / "android" / "app"
    sources = _kotlin_sources(apps, ANDROID_MODULES, ("main",))
    stubs = sorted(file for file in (app / "src" / "test" / "stubs").rglob("*") if file.is_file())
    shown = sorted(file for file in (app / "src" / "main").rglob("*.xml"))
    below = kotlin_classes(cache, apps)

    def build(folder: Path) -> None:
        _, table = android.link(sdk, app, folder)
        given = [*sources, *stubs, table]
        ran = tools.compile(given, folder / "classes", classpath=[below], android=sdk.jar)
        _passed(ran, "kotlinc for Android")

    content = _content([*sources, *stubs, *shown, app / "build.gradle.kts"], apps)
    return once.folder(cache / "kotlin-build" / once.key(below.name, content), build)


def _kotlin_sources(apps: Path, modules: Sequence[str], parts: Sequence[str]) -> list[Path]:
    folders = [apps / "android" / module / "src" / part / "kotlin" for module in modules for part in parts]
    return sorted(source for folder in folders for source in folder.rglob("*.kt"))


def _content(files: Sequence[Path], apps: Path) -> list[tuple[str, str]]:
    return [(str(file.relative_to(apps)), file.read_text(encoding="utf-8")) for file in files]


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
    "kotlin": (
        lambda cache: kotlin.unpack(cache, Silent()),
        lambda cache: android.unpack(cache, Silent()),
        kotlin_suite,
        android_build,
    ),
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
