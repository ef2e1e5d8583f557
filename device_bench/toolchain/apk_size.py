"""What model, runtimes and code add to the Android app: `python -m device_bench.toolchain.apk_size [APK]`.

Of an APK that Gradle built, everything. Without one, an APK is built here from our own code, resources and the
bundle that was put into the app, or the one that `--bundle` gives: not signed, not shrunk, and without the
runtimes' native libraries, which cannot be had here. What is not in an APK is not guessed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from device_bench.toolchain import android, kotlin, once, suites
from pipeline import bundles, console
from pipeline.types import UsageError

MODEL = "assets/model"
STORED = (".tflite", ".pte")
"""As in apps/android/app/build.gradle.kts."""
RUNTIME = "runtime, "
PARTS: tuple[tuple[str, str], ...] = (
    (rf"{MODEL}/.*\.(tflite|pte)", "model"),
    (rf"{MODEL}/.*", "tokenizer and the rest of the bundle"),
    (r"(?i)lib/(?P<abi>[^/]+)/lib[^/]*litert[^/]*\.so", f"{RUNTIME}LiteRT"),
    (r"lib/(?P<abi>[^/]+)/lib(executorch|fbjni)[^/]*\.so", f"{RUNTIME}ExecuTorch"),
    (r"lib/(?P<abi>[^/]+)/.*", "other native libraries"),
    (r"classes\d*\.dex", "code"),
    (r".*", "resources and the rest"),
)
"""Entry of an APK → part; the first that fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some of an APK's entries. `packed_bytes` is what they take in it, `bytes` what they are unpacked."""

    name: str
    files: int
    packed_bytes: int
    bytes: int


def parts(apk: Path) -> tuple[Part, ...]:
    """What an APK is made of. Raises UsageError where it is none."""
    try:
        with zipfile.ZipFile(apk) as packed:
            entries = [entry for entry in packed.infolist() if not entry.is_dir()]
    except (OSError, zipfile.BadZipFile):
        raise UsageError(f"{apk} is no APK") from None
    if "AndroidManifest.xml" not in {entry.filename for entry in entries}:
        raise UsageError(f"{apk} is no APK: it has no AndroidManifest.xml")
    found: defaultdict[str, list[zipfile.ZipInfo]] = defaultdict(list)
    for entry in entries:
        found[_part(entry.filename)].append(entry)
    order = [name for _, name in PARTS]
    return tuple(
        Part(
            name=name,
            files=len(found[name]),
            packed_bytes=sum(entry.compress_size for entry in found[name]),
            bytes=sum(entry.file_size for entry in found[name]),
        )
        for name in sorted(found, key=lambda name: (order.index(name.partition(" (")[0]), name))
    )


def report(apk: Path) -> str:
    """A Markdown table, with what model and runtimes add."""
    made = parts(apk)
    rows = [f"| {p.name} | {p.files} | {p.packed_bytes:,} | {p.bytes:,} |" for p in made]
    added = [part for part in made if part.name.startswith(("model", "tokenizer", RUNTIME))]
    lines = [
        "| part | files | bytes in the APK | unpacked |",
        "|---|---:|---:|---:|",
        *rows,
        f"| the whole file | {sum(p.files for p in made)} | {apk.stat().st_size:,} | |",
        "",
        *(f"{part.name}: {part.packed_bytes / 1e6:.1f} MB of this APK." for part in added),
    ]
    if not any(part.name.startswith(RUNTIME) for part in made):
        lines.append("There is no runtime in it: what LiteRT or ExecuTorch add is not known here.")
    if not any(part.name == "model" for part in made):
        lines.append("There is no model in it; put one in with python -m pipeline.run --app android.")
    return "\n".join(lines)


def build(cache: Path, bundle: Path | None, out: Path, apps: Path = suites.APPS) -> Path:
    """Our own part of the app as an APK at `out`. Raises VerificationFailed where it does not compile."""
    tools, sdk, sources = kotlin.here(cache), android.here(cache), apps / "android"
    plain, made = suites.kotlin_classes(cache, apps), suites.android_build(cache, apps)
    library = once.folder(
        cache / "kotlin-build" / once.key(kotlin.COMPILER, "dex"),
        lambda folder: _library(sdk, tools, folder),
    )
    with tempfile.TemporaryDirectory(prefix="apk-") as work:
        own = Path(work) / "own"
        tested = {file.stem for file in sources.glob("*/src/test/kotlin/**/*.kt")}
        for root, packages in ((plain, ("pocket/bundle",)), (made / "classes", ("pocket", "org/pocketdistil"))):
            for file in (file for package in packages for file in (root / package).rglob("*.class")):
                if file.stem.partition("$")[0].removesuffix("Kt") not in tested:
                    target = own / file.relative_to(root)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, target)
        android.dex(sdk, tools.java, [own], Path(work) / "classes.dex")
        shutil.copy(made / "resources.apk", out)
        with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as apk:
            apk.write(Path(work) / "classes.dex", "classes.dex")
            apk.write(library / "classes.dex", "classes2.dex")
            for java in sorted(sources.glob("*/src/main/resources/**/*.txt")):
                apk.write(java, str(java).partition("/src/main/resources/")[2])
            apk.write(apps / "samples.json", "assets/samples.json")
            for file in sorted(bundle.iterdir()) if bundle else ():
                how = zipfile.ZIP_STORED if file.suffix in STORED else zipfile.ZIP_DEFLATED
                apk.write(file, f"{MODEL}/{file.name}", how)
    return out


def _library(sdk: android.Sdk, tools: kotlin.Kotlin, folder: Path) -> None:
    """Kotlin's standard library as dex, of which Gradle's release build keeps what is used."""
    classes = android.class_files(tools.standard_library, folder / "classes")
    android.dex(sdk, tools.java, [classes], folder / "classes.dex")
    shutil.rmtree(classes)


def _part(name: str) -> str:
    for pattern, part in PARTS:
        if fits := re.fullmatch(pattern, name):
            abi = fits.groupdict().get("abi")
            return f"{part} ({abi})" if abi else part
    raise AssertionError(name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m device_bench.toolchain.apk_size", description=__doc__)
    parser.add_argument("apk", type=Path, nargs="?", help="an APK that Gradle built")
    parser.add_argument("--bundle", type=Path, help="a bundle to build one with here")
    flags = parser.parse_args(arguments)
    if flags.apk:
        if flags.bundle:
            raise UsageError("an APK has its bundle in it; leave --bundle out")
        print(report(flags.apk))
        return
    dropped = suites.APPS / "android" / "app" / "src" / "main" / MODEL
    bundle = flags.bundle or (dropped if dropped.is_dir() else None)
    if bundle:
        bundles.read(bundle)
    with tempfile.TemporaryDirectory(prefix="apk-") as folder:
        print(report(build(suites.CACHE, bundle, Path(folder) / "app.apk")))


if __name__ == "__main__":
    sys.exit(console.run(main))
