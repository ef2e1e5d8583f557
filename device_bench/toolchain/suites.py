"""The apps' own tests over apps/golden, and their formatters, with the toolchains in the cache folder.

`make apps` runs them all, which is `python -m device_bench.toolchain.suites`; `make apps-swift`, `make
apps-kotlin` and `make apps-web` name one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs

from device_bench.toolchain import android, chroot, kotlin, once, swift, web
from pipeline import console
from pipeline.types import PipelineError, Silent, UsageError, VerificationFailed

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
STUBS = ("CryptoKit", "CoreML", "ExecuTorch", "Accessibility", "UIKit", "SwiftUI", "Charts")
APPLE_LAYERS = ("PocketBundle", "PocketEngine", "PocketBench")
"""Of apps/ios, those that import what only Apple has, or are built upon one that does."""
DRY_BENCH = "pocket-bench-dry"
"""Of apps/ios."""
TOLD, WIDEST = 12, 1500
"""Lines of what went wrong that are passed on, and characters of each."""
COMPARED = re.compile(
    r"^\.*\w+: (?:(?P<cases>\d+) cases, )?(?P<compared>\d+) compared, (?P<wrong>\d+) mismatches$", re.M
)


def swift_suite(cache: Path, apps: Path = APPS) -> str:
    """What `swift test` said. Raises VerificationFailed with its first complaints."""
    return _swift(cache, apps, ["test", *_building(cache, apps)])


def swift_types(cache: Path, apps: Path = APPS) -> None:
    """Raises VerificationFailed where a type of the iOS app does not fit.

    Apple's frameworks and ExecuTorch are stood for by the declarations in Tests/Stubs, so that everything is
    compiled which only a Mac can link.
    """
    _swift_build(cache, apps)
    scratch, package = _scratch(cache, apps), (apps / "ios").resolve()
    modules, built = scratch / "stubs", scratch / "build" / "release" / "Modules"
    modules.mkdir(parents=True, exist_ok=True)
    usual = ("-swift-version", "6", "-wmo", "-parse-as-library", "-I", str(modules), "-I", str(built))
    # enumerations may grow, as those of Apple's own libraries
    stubs, ours = "-enable-library-evolution", "-warnings-as-errors"

    def compile_module(name: str, sources: Sequence[Path], option: str) -> None:
        emitted = ("-emit-module", "-emit-module-path", str(modules / f"{name}.swiftmodule"))
        arguments = [*emitted, "-module-name", name, *usual, option, *map(str, sources)]
        _swift(cache, apps, arguments, swift.SWIFTC)

    for name in STUBS:
        compile_module(name, [package / "Tests" / "Stubs" / f"{name}.swift"], stubs)
    for name in APPLE_LAYERS:
        compile_module(name, sorted((package / "Sources" / name).glob("*.swift")), ours)
    compile_module("Pocket", sorted((package / "App" / "Pocket").glob("*.swift")), ours)


def swift_format(cache: Path, apps: Path = APPS) -> None:
    """Raises VerificationFailed with the first lines that `swift format lint` complains of."""
    _swift(cache, apps, ["format", "lint", "--strict", "--recursive", str((apps / "ios").resolve())])


def swift_dry_bench(cache: Path, documents: Path, apps: Path = APPS) -> list[str]:
    """What starts the iOS app's benchmark mode here, with a program that only passes time.

    Its arguments follow; `documents` stands for the app's. Raises VerificationFailed where it does not build.
    """
    _swift_build(cache, apps)
    scratch = _scratch(cache, apps)
    program = scratch / "build" / "release" / DRY_BENCH
    return chroot.command(swift.here(cache), [documents, scratch], [str(program), str(documents)])


def _swift_build(cache: Path, apps: Path) -> None:
    # not `swift build`: that and `swift test` throw away what the other has built
    _swift(cache, apps, ["test", "list", *_building(cache, apps)])


def _swift(cache: Path, apps: Path, arguments: Sequence[str], program: str = swift.SWIFT) -> str:
    shared, scratch = [apps.resolve().parent], _scratch(cache, apps)
    ran = swift.run(swift.here(cache), shared, scratch, arguments, program)
    return _passed(ran, f"{Path(program).name} {arguments[0]}")


def _building(cache: Path, apps: Path) -> list[str]:
    # optimized: every code point is asked, which takes minutes without
    strict = ("-Xswiftc", "-enable-testing", "-Xswiftc", "-warnings-as-errors")
    package, build = str((apps / "ios").resolve()), str(_scratch(cache, apps) / "build")
    return ["--package-path", package, "--scratch-path", build, "-c", "release", *strict]


def _scratch(cache: Path, apps: Path) -> Path:
    return cache / "swift-build" / once.key(str((apps / "ios").resolve()))


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
    "swift": (lambda cache: swift.unpack(cache, Silent()), swift_suite, swift_types, swift_format),
    "kotlin": (
        lambda cache: kotlin.unpack(cache, Silent()),
        lambda cache: android.unpack(cache, Silent()),
        kotlin_suite,
        android_build,
    ),
    "web": (lambda cache: web.install(APPS / "web", cache, Silent()), web_suite, web_check),
}
"""Name → what is done for it, in order: the toolchain is fetched where it is not there yet."""


def main() -> None:
    """Runs the suites that are named, or all of them."""
    for name in sys.argv[1:] or SUITES:
        if name not in SUITES:
            raise UsageError(f"unknown suite {name!r}; there are {', '.join(SUITES)}")
        for step in SUITES[name]:
            try:
                said = step(CACHE)
            except PipelineError as error:
                raise type(error)(f"{name}: {error}") from None
            if isinstance(said, str):
                print(f"{name}: {compared(said)} cases, no mismatches")


if __name__ == "__main__":
    sys.exit(console.run(main))
