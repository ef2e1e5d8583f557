"""What compiles the Android app where Google's SDK and Maven repositories cannot be reached: Debian's packages.

android.jar is API 23's, the newest that Debian has; what the app uses beyond it is declared among the stubs of
its test tree, as are LiteRT and ExecuTorch. Resources are compiled against API 33's. Gradle builds the app.
"""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from device_bench.toolchain import chroot, debian
from pipeline.types import MissingTool, Progress, VerificationFailed

SETUP = "python -m device_bench setup"
DEX = debian.Source(suite="bullseye", architecture="amd64", alone=True)
DEX_PACKAGES = ("dalvik-exchange", "libandroid-23-java")
"""Of the last release that has both dx and android.jar; they run on the Java that Kotlin's compiler runs on."""
RESOURCES = debian.Source(suite="trixie", architecture="amd64")
RESOURCES_PACKAGES = ("aapt", "android-framework-res", "base-files")
FRAMEWORK = "/usr/share/android-framework-res/framework-res.apk"
AAPT = "/usr/bin/aapt2"
MIN_SDK, TARGET_SDK = "26", "33"
"""The app's, and that of the framework's resources; Gradle's target is newer."""
MEMORY = "-Xmx1g"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdk:
    """The unpacked tools."""

    jar: Path
    """android.jar."""
    dx: Path
    """dx.jar: class files of Java 8 to dex."""
    resources: Path
    """The root that aapt2 runs in."""


def here(cache: Path) -> Sdk:
    """The tools, without asking anything of the network. Raises MissingTool where they are not there."""
    dex, resources = (
        debian.place(source, names, cache)
        for source, names in ((DEX, DEX_PACKAGES), (RESOURCES, RESOURCES_PACKAGES))
    )
    if not dex.is_dir() or not resources.is_dir():
        raise MissingTool(f"what compiles the Android app is not set up; run: {SETUP}")
    return _sdk(dex, resources)


def unpack(cache: Path, progress: Progress, mirror: str | None = None) -> Sdk:
    """The tools, fetched where they are not there yet."""
    roots = (
        debian.packages(
            replace(source, mirror=mirror),
            names,
            cache,
            progress,
        )
        for source, names in ((DEX, DEX_PACKAGES), (RESOURCES, RESOURCES_PACKAGES))
    )
    return _sdk(*roots)


def _sdk(dex: Path, resources: Path) -> Sdk:
    return Sdk(
        jar=dex / "usr" / "lib" / "android-sdk" / "platforms" / "android-23" / "android.jar",
        dx=dex / "usr" / "share" / "java" / "com.android.dx.jar",
        resources=resources,
    )


def link(sdk: Sdk, app: Path, out: Path) -> tuple[Path, Path]:
    """Compiles an app module's resources and manifest into `out`: an APK of them, and R.java.

    Raises VerificationFailed with aapt2's first complaints.
    """
    main, manifest, compiled = app / "src" / "main", out / "AndroidManifest.xml", out / "resources.zip"
    settings = (app / "build.gradle.kts").read_text(encoding="utf-8")
    namespace = _setting(settings, r'namespace = "([\w.]+)"')
    version = _setting(settings, r'versionName = "([\w.]+)"'), _setting(settings, r"versionCode = (\d+)")
    # Gradle's plugin adds the package, and refuses a manifest that has one
    text = (main / "AndroidManifest.xml").read_text(encoding="utf-8")
    manifest.write_text(text.replace("<manifest ", f'<manifest package="{namespace}" ', 1), encoding="utf-8")
    # `out` may have a name for once: mounted, it would stay behind as a folder of the root
    shared = (out.parent, main)
    _aapt(sdk, shared, "compile", "--dir", str(main / "res"), "-o", str(compiled))
    apk = out / "resources.apk"
    levels = ["--min-sdk-version", MIN_SDK, "--target-sdk-version", TARGET_SDK]
    versions = ["--version-name", version[0], "--version-code", version[1]]
    files = ["-I", FRAMEWORK, "--manifest", str(manifest), "--java", str(out / "java"), "-o", str(apk)]
    _aapt(sdk, shared, "link", *files, *levels, *versions, str(compiled))
    (table,) = (out / "java").rglob("R.java")
    return apk, table


def dex(sdk: Sdk, java: str, classes: Sequence[Path], out: Path) -> None:
    """Turns folders of class files into `out`, a dex file. Raises VerificationFailed with dx's complaint."""
    options = ["--dex", f"--min-sdk-version={MIN_SDK}", f"--output={out}"]
    command = [java, MEMORY, "-XX:TieredStopAtLevel=1", "-jar", str(sdk.dx), *options, *map(str, classes)]
    ran = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if ran.returncode or not out.is_file():
        raise VerificationFailed(f"dx failed:\n{(ran.stderr or ran.stdout)[:1500]}")


def class_files(jar: Path, out: Path) -> Path:
    """A jar's classes for dx, which knows neither modules nor versions for other Javas."""
    with zipfile.ZipFile(jar) as packed:
        names = [name for name in packed.namelist() if name.endswith(".class")]
        packed.extractall(out, [name for name in names if not name.startswith("META-INF/")])
    return out


def _setting(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise VerificationFailed(f"build.gradle.kts has nothing like {pattern}")
    return found[1]


def _aapt(sdk: Sdk, shared: Sequence[Path], *arguments: str) -> None:
    ran = chroot.run(sdk.resources, [folder.resolve() for folder in shared], [AAPT, *arguments], {})
    if ran.returncode:
        raise VerificationFailed(f"aapt2 {arguments[0]} failed:\n{ran.stdout[:1500]}")
