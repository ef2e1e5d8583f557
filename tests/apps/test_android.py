"""The Android app where there is no Android: it compiles, speaks with device_bench, and knows its size."""

from __future__ import annotations

import re
import shutil
import tomllib
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import numpy as np
import pytest

from device_bench import measurement
from device_bench.android import app
from device_bench.android.adb import Adb, Connection, Ran
from device_bench.devices.base import Request
from device_bench.protocol import Plan
from device_bench.queries import make
from device_bench.toolchain import apk_size, kotlin, suites
from pipeline.types import UsageError, VerificationFailed

ANDROID = suites.APPS / "android"
APP = ANDROID / "app" / "src" / "main"
NAMESPACE = "{http://schemas.android.com/apk/res/android}"


def test_it_compiles_without_a_warning(cache: Path) -> None:
    made = suites.android_build(cache)
    assert list(made.rglob("BenchmarkActivity.class"))


@pytest.mark.parametrize(
    ("file", "text", "instead", "complaint"),
    [
        ("engine/src/main/kotlin/pocket/engine/LiteRtProgram.kt", "writeInt(", "writeLong(", "writeLong"),
        ("app/src/main/res/layout/main.xml", "@string/ask", "@string/none", "string/none"),
    ],
)
def test_what_does_not_fit_fails(
    cache: Path, tmp_path: Path, file: str, text: str, instead: str, complaint: str
) -> None:
    apps = tmp_path / "apps"
    shutil.copytree(ANDROID, apps / "android")
    changed = apps / "android" / file
    changed.write_text(changed.read_text().replace(text, instead))
    with pytest.raises(VerificationFailed, match=complaint):
        suites.android_build(cache, apps)


def test_its_runtimes_are_those_that_made_the_bundles() -> None:
    catalogue = tomllib.loads((ANDROID / "gradle" / "libs.versions.toml").read_text())["versions"]
    source = (ANDROID / "engine/src/main/kotlin/pocket/engine/Runtimes.kt").read_text()
    told = dict(re.findall(r'const val (\w+)_VERSION = "([\d.]+)"', source))
    pinned = dict(
        line.split("==")
        for line in (suites.APPS.parent / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    assert told["LITERT"] == catalogue["litert"] == pinned["ai-edge-litert"]
    assert told["EXECUTORCH"] == catalogue["executorch"] == pinned["executorch"]
    assert catalogue["kotlin"] == kotlin.COMPILER.partition("@")[2]


def test_its_measurement_is_one(cache: Path, tmp_path: Path) -> None:
    """What the JUnit test of the benchmark mode writes, with fake programs and a clock that they move."""
    file = tmp_path / "measurement.json"
    given = {"pocket.golden": str(suites.APPS / "golden"), "pocket.measurement": str(file)}
    ran = kotlin.here(cache).test(["pocket.bench.BenchmarkTest"], [suites.kotlin_classes(cache)], given)
    assert ran.returncode == 0, ran.stdout
    found = measurement.read(file)
    assert (found.place.kind, found.protocol.processes, found.protocol.mode) == ("adb", "app", "standard")
    assert [(one.role, one.runner, one.name) for one in found.programs] == [
        ("candidate", "app", "small"),
        ("baseline", "app", "small"),
    ]
    assert found.candidate.lengths == (128, 384) * 25
    assert found.baseline("int8") is not None
    assert (found.before.thermal, found.after.thermal) == (None, "light")
    assert found.validity.reasons == ("the app was left",)
    assert found.candidate.footprint.program_bytes == len("not a model")
    assert found.candidate.footprint.bundle_bytes > 1_000


def test_the_activity_takes_what_device_bench_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extras of `am start`, by name and type, are those that the activity reads."""
    scripts: list[str] = []

    def shell(_: Connection, script: str, timeout: float = 0) -> Ran:
        scripts.append(script)
        return Ran(code=0, output="Status: ok\n", errors="")

    monkeypatch.setattr(Connection, "shell", shell)
    queries = make("fixed:16", np.arange(100, 200).tolist(), 384)
    plan = Plan(warmup=5, runs=50, seconds=10.0)
    request = Request(contenders=(), queries=queries, metric="latency", plan=plan, threads=2, runner="app")
    connection = Connection(adb=Adb(program=Path("adb")), serial="x")
    names = {"candidate-0": None, "baseline-1": None}
    app._start(connection, f"{app.FILES}/bench.x", names, request)  # type: ignore[arg-type]
    (script,) = scripts
    given = set(re.findall(r"--e([sif]) (\w+)", script))
    source = (APP / "kotlin/org/pocketdistil/app/BenchmarkActivity.kt").read_text()
    kinds = {"String": "s", "Int": "i", "Float": "f"}
    taken = {(kinds[kind], name) for kind, name in re.findall(r'get(String|Int|Float)Extra\("(\w+)"', source)}
    assert given == taken
    assert f"-n {app.ACTIVITY} " in script


def test_its_manifest_lets_adb_in_and_nothing_out() -> None:
    manifest = ET.parse(APP / "AndroidManifest.xml").getroot()
    assert manifest.findall("uses-permission") == []
    activities = {one.get(f"{NAMESPACE}name"): one for one in manifest.iter("activity")}
    assert activities[f".{app.ACTIVITY.partition('/.')[2]}"].get(f"{NAMESPACE}exported") == "true"
    (provider,) = manifest.iter("provider")
    assert provider.get(f"{NAMESPACE}exported") == "false"
    settings = (ANDROID / "app" / "build.gradle.kts").read_text()
    assert re.findall(r'(?:applicationId|namespace) = "([^"]+)"', settings) == [app.PACKAGE] * 2


def test_the_size_of_what_is_built_here(cache: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "small.tflite").write_bytes(bytes(50_000))
    (bundle / "vocab.txt").write_text("the\n" * 5_000)
    made = apk_size.build(cache, bundle, tmp_path / "app.apk")
    with zipfile.ZipFile(made) as apk:
        assert apk.read("classes.dex")[:4] == apk.read("classes2.dex")[:4] == b"dex\n"
        assert b"Lorg/pocketdistil/app/BenchmarkActivity;" in apk.read("classes.dex")
        assert b"BenchmarkTest" not in apk.read("classes.dex")
        assert apk.read("assets/samples.json") == (suites.APPS / "samples.json").read_bytes()
        assert apk.testzip() is None
    found = {part.name: part for part in apk_size.parts(made)}
    assert found["model"].packed_bytes == found["model"].bytes == 50_000
    assert found["tokenizer and the rest of the bundle"].packed_bytes < 1_000
    assert found["code"].files == 2
    text = apk_size.report(made)
    assert "| model | 1 | 50,000 | 50,000 |" in text
    assert "what LiteRT or ExecuTorch add is not known here" in text


def test_the_size_of_what_gradle_builds(tmp_path: Path) -> None:
    made = tmp_path / "app.apk"
    with zipfile.ZipFile(made, "w") as apk:
        apk.writestr("AndroidManifest.xml", b"x")
        apk.writestr("lib/arm64-v8a/libLiteRt.so", bytes(4_000_000))
        apk.writestr("lib/arm64-v8a/liblitert_jni.so", bytes(1_000_000))
        apk.writestr("lib/x86_64/libLiteRt.so", bytes(6_000_000))
        apk.writestr("lib/arm64-v8a/libexecutorch.so", bytes(9_000_000))
        apk.writestr("lib/arm64-v8a/libc++_shared.so", bytes(1_500_000))
    sizes = {part.name: part.packed_bytes for part in apk_size.parts(made)}
    assert sizes == {
        "runtime, LiteRT (arm64-v8a)": 5_000_000,
        "runtime, LiteRT (x86_64)": 6_000_000,
        "runtime, ExecuTorch (arm64-v8a)": 9_000_000,
        "other native libraries (arm64-v8a)": 1_500_000,
        "resources and the rest": 1,
    }
    text = apk_size.report(made)
    assert "runtime, LiteRT (arm64-v8a): 5.0 MB of this APK." in text
    assert "not known" not in text
    assert "There is no model in it" in text


def test_what_is_no_apk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "app.apk").write_text("x")
    with pytest.raises(UsageError, match=r"app\.apk is no APK"):
        apk_size.parts(tmp_path / "app.apk")
    with zipfile.ZipFile(tmp_path / "other.apk", "w") as other:
        other.writestr("a", b"b")
    with pytest.raises(UsageError, match=r"AndroidManifest\.xml"):
        apk_size.main([str(tmp_path / "other.apk")])
