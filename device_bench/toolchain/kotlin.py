"""Kotlin for the JVM: JetBrains' compiler from npm, JUnit 4 from Debian, this machine's Java.

Gradle and its plugins are not fetched: what they would compile for the JVM, the compiler compiles by itself.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from device_bench.toolchain import debian, once
from pipeline.types import MissingTool, Progress

SETUP = "python -m device_bench setup"
COMPILER = "kotlin-compiler@2.4.20"
INTEGRITY = "sha512-IF5IVM7LpPhA/ntHQQpaVt1yxpaaQovtEVYLyqWMuaLr0XelLPPm7/sM6HLhtcRjjjoSsK7I7lP2kzYJkMy73w=="
JUNIT = debian.Source(suite="bookworm", architecture="amd64")
JUNIT_PACKAGES = ("junit4", "libhamcrest-java")
OLDEST_JAVA = 17
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx1g")
"""The compiler is done before a thorough just-in-time compiler would pay."""
FOR_DX = ("-jvm-target", "1.8", "-Xlambdas=class", "-Xsam-conversions=class")
"""Debian's dx knows Java 8 at most, and no lambdas that are made at run time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kotlin:
    """The unpacked compiler and what tests are linked with."""

    java: str
    library: Path
    """The compiler's jars."""
    junit: tuple[Path, ...]

    @property
    def standard_library(self) -> Path:
        """What compiled code runs with."""
        return self.library / "kotlin-stdlib.jar"

    def compile(
        self,
        sources: Sequence[Path],
        out: Path,
        *,
        classpath: Sequence[Path] = (),
        android: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Compiles to class files that dx can read, warnings being errors.

        With `android`, an android.jar, there is no other library of Java than what that has.
        """
        jdk = () if android is None else ("-no-jdk",)
        jars = ":".join(map(str, (self.standard_library, *classpath, *((android,) if android else ()))))
        compiler = [self.java, *QUICK, "-cp", str(self.library / "*")]
        options = ["-no-stdlib", "-no-reflect", *jdk, "-Werror", *FOR_DX, "-cp", jars]
        return _run(
            [
                *compiler,
                "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
                *options,
                "-d",
                str(out),
                *map(str, sources),
            ]
        )

    def test(
        self, classes: Sequence[str], classpath: Sequence[Path], properties: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Runs JUnit 4 test classes."""
        jars = ":".join(map(str, (self.standard_library, *self.junit, *classpath)))
        given = [f"-D{name}={value}" for name, value in properties.items()]
        return _run([self.java, *given, "-cp", jars, "org.junit.runner.JUnitCore", *classes])


def here(cache: Path) -> Kotlin:
    """The compiler, without asking anything of the network. Raises MissingTool where it is not there."""
    package, junit = _place(cache), debian.place(JUNIT, JUNIT_PACKAGES, cache)
    if not package.is_dir() or not junit.is_dir():
        raise MissingTool(f"the Kotlin compiler is not set up; run: {SETUP}")
    return _kotlin(package, junit)


def unpack(cache: Path, progress: Progress, mirror: str | None = None) -> Kotlin:
    """The compiler, fetched where it is not there yet."""
    source = debian.Source(suite=JUNIT.suite, architecture=JUNIT.architecture, mirror=mirror)
    junit = debian.packages(source, JUNIT_PACKAGES, cache, progress)
    return _kotlin(once.folder(_place(cache), lambda folder: _fetch(folder, progress)), junit)


def _place(cache: Path) -> Path:
    return cache / "kotlin" / once.key(COMPILER, INTEGRITY)


def _kotlin(package: Path, junit: Path) -> Kotlin:
    jars = junit / "usr" / "share" / "java"
    return Kotlin(java=_java(), library=package / "lib", junit=(jars / "junit4.jar", jars / "hamcrest.jar"))


def _fetch(folder: Path, progress: Progress) -> None:
    """npm's package, unpacked after its hash was compared. Its own install scripts are not run."""
    if shutil.which("npm") is None:
        raise MissingTool("the Kotlin compiler comes from npm, and this machine has none; install Node.js")
    progress.say(f"fetching {COMPILER} from npm")
    fetched = _run(["npm", "pack", COMPILER, "--silent", "--pack-destination", str(folder)])
    archive = next(folder.glob("*.tgz"), None)
    if fetched.returncode or archive is None:
        last = fetched.stdout.strip().splitlines()[-1:] or ["no word of it"]
        raise MissingTool(f"npm did not give {COMPILER}: {last[0]}")
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{found}" != INTEGRITY:
        raise MissingTool(f"npm gave another {COMPILER} than the pinned one; ask your registry's administrator")
    with tarfile.open(archive) as packed:
        members = [member for member in packed if member.name.startswith("package/lib/")]
        for member in members:
            member.name = member.name.removeprefix("package/")
        packed.extractall(folder, members, filter="data")
    archive.unlink()


def _java() -> str:
    """This machine's Java. Raises MissingTool where it has none that is new enough."""
    java = shutil.which("java")
    said = _run([java, "-version"]).stdout if java else ""
    version = re.search(r'version "(\d+)', said)
    if java is None or version is None or int(version[1]) < OLDEST_JAVA:
        raise MissingTool(
            f"Kotlin's compiler wants Java {OLDEST_JAVA} or later; run: apt-get install openjdk-17-jre-headless"
        )
    return java


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
