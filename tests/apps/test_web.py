"""The browser answers as Python does, and what that needs is fetched, found or asked for in a sentence."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from device_bench.toolchain import chromium, suites, web, web_agreement
from pipeline.tasks import squad
from pipeline.types import MissingTool, VerificationFailed

QUESTIONS = 40


def test_the_browser_answers_as_python(cache: Path, tflite_bundle: Path) -> None:
    report = web_agreement.compare(tflite_bundle, squad.read("passages")[:QUESTIONS], cache)
    assert len(report.compared) == QUESTIONS
    differ = [one for one in report.compared if not one.agrees]
    # int8 linears round what float kernels of two processors left a last bit apart
    assert all(one.margin < 0.05 for one in differ), differ
    assert report.share >= 0.95
    assert report.complaints == ()
    assert all(report.windows_ms.values())
    assert min(report.milliseconds) > 0


def test_an_altered_program_does_not_run(cache: Path, tflite_bundle: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "bundle"
    shutil.copytree(tflite_bundle, spoiled)
    program = next(spoiled.glob("*.tflite"))
    program.write_bytes(program.read_bytes()[:-1] + b"?")
    with pytest.raises(VerificationFailed, match=f"{program.name} was altered; make the bundle again"):
        web_agreement.asked(suites.APPS / "web", chromium.here(cache), spoiled, [])


def test_an_unpacked_chromium_starts_with_what_came_with_it(tmp_path: Path) -> None:
    root = tmp_path / "a root"
    program = root / "usr/lib/chromium/chromium"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$LD_LIBRARY_PATH|$FONTCONFIG_FILE|$1"\n', encoding="utf-8")
    program.chmod(0o755)
    library = root / chromium.LIBRARIES[1]
    library.mkdir(parents=True)
    for name in ("libfine.so.1", "libc.so.6"):
        (library / name).touch()
    script = chromium.launcher(root, tmp_path / "cache")
    said = subprocess.run([script, "an argument"], capture_output=True, text=True, check=True).stdout.strip()
    libraries, fonts, argument = said.split("|")
    assert [file.name for file in Path(libraries).iterdir()] == ["libfine.so.1"]
    assert f"<dir>{root}/usr/share/fonts</dir>" in Path(fonts).read_text(encoding="utf-8")
    assert argument == "an argument"


@pytest.mark.parametrize("said", ["v18.20.4", "v20.18.9", ""])
def test_an_old_node_is_refused(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {said}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match=r"wants Node.js 20\.19 or later with npm"):
        web.here(suites.APPS / "web")


def test_packages_that_are_not_the_lock_files_are_not_used(tmp_path: Path) -> None:
    package = {"version": "1.0.0", "integrity": "sha512-one"}
    other = {"version": "1.0.0", "integrity": "sha512-two", "optional": True}
    wanted = {"": {}, "node_modules/one": package, "node_modules/for-another-system": other}
    (tmp_path / web.LOCK).write_text(json.dumps({"packages": wanted}), encoding="utf-8")
    installed = tmp_path / web.INSTALLED
    installed.parent.mkdir()
    with pytest.raises(MissingTool, match="packages are not set up; run: python -m device_bench setup"):
        web.here(tmp_path)
    installed.write_text(json.dumps({"packages": {"node_modules/one": package}}), encoding="utf-8")
    assert web.here(tmp_path) == tmp_path
    stale = {"node_modules/one": {**package, "integrity": "sha512-old"}}
    installed.write_text(json.dumps({"packages": stale}), encoding="utf-8")
    with pytest.raises(MissingTool, match="packages are not set up"):
        web.here(tmp_path)
