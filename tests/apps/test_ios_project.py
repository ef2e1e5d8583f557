"""What Xcode and device_bench need of apps/ios that no Swift tool looks at; only a Mac can build it."""

from __future__ import annotations

import json
import os
import plistlib
import re
import subprocess
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest

from device_bench.apple.sample_app import BUNDLE_ID
from device_bench.toolchain import suites

IOS = suites.APPS / "ios"
APP = IOS / "App"
PROJECT = APP / "Pocket.xcodeproj"
COMMENT = re.compile(r"^//.*$|/\*.*?\*/", re.M)
TOKEN = re.compile(r'\s*([{}()=;,]|"(?:[^"\\]|\\.)*"|[\w./-]+)')


def read_pbxproj(text: str) -> dict[str, Any]:
    """An old-style property list, which is what project.pbxproj is."""
    text = COMMENT.sub("", text)
    tokens = [found[1] for found in TOKEN.finditer(text)]
    assert TOKEN.sub("", text).strip() == ""
    tokens.reverse()

    def value() -> Any:
        token = tokens.pop()
        if token == "{":
            members: dict[str, Any] = {}
            while tokens[-1] != "}":
                key = value()
                assert key not in members, key
                assert tokens.pop() == "="
                members[key] = value()
                assert tokens.pop() == ";"
            tokens.pop()
            return members
        if token == "(":
            items = []
            while tokens[-1] != ")":
                items.append(value())
                assert tokens.pop() == ","
            tokens.pop()
            return items
        return json.loads(token) if token.startswith('"') else token

    read = value()
    assert not tokens
    assert isinstance(read, dict)
    return read


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return read_pbxproj((PROJECT / "project.pbxproj").read_text(encoding="utf-8"))


def of(project: dict[str, Any], isa: str) -> dict[str, dict[str, Any]]:
    return {key: one for key, one in project["objects"].items() if one["isa"] == isa}


def test_every_object_is_there_and_used(project: dict[str, Any]) -> None:
    def strings(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [one for key in value for one in (key, *strings(value[key]))]
        return [one for item in value for one in strings(item)] if isinstance(value, list) else [value]

    texts = strings(list(project["objects"].values()))
    named = [one for one in texts if re.fullmatch("[0-9A-F]{24}", one)]
    assert {*named, project["rootObject"]} == set(project["objects"])


def test_what_it_names_exists(project: dict[str, Any]) -> None:
    folders = [APP / one["path"] for one in of(project, "PBXFileSystemSynchronizedRootGroup").values()]
    assert [sorted(folder.glob("*App.swift")) for folder in folders] == [[APP / "Pocket" / "PocketApp.swift"]]
    (package,) = of(project, "XCLocalSwiftPackageReference").values()
    manifest = (APP / package["relativePath"] / "Package.swift").read_text(encoding="utf-8")
    products = {one["productName"] for one in of(project, "XCSwiftPackageProductDependency").values()}
    assert products == set(re.findall(r'\.library\(name: "(\w+)"', manifest))
    imported = {
        module
        for source in (APP / "Pocket").glob("*.swift")
        for module in re.findall(r"^import (Pocket\w+)", source.read_text(encoding="utf-8"), re.M)
    }
    assert imported <= products
    (phase,) = of(project, "PBXShellScriptBuildPhase").values()
    assert phase["shellScript"] == '"$SRCROOT/copy.sh"\n'
    scheme = xml.etree.ElementTree.parse(PROJECT / "xcshareddata" / "xcschemes" / "Pocket.xcscheme")
    (target,) = of(project, "PBXNativeTarget")
    assert {one.get("BlueprintIdentifier") for one in scheme.iter("BuildableReference")} == {target}


def test_it_is_the_app_that_device_bench_asks_for(project: dict[str, Any]) -> None:
    settings: dict[str, str] = {}
    for configuration in of(project, "XCBuildConfiguration").values():
        settings |= configuration["buildSettings"]
    assert settings["PRODUCT_BUNDLE_IDENTIFIER"] == BUNDLE_ID
    assert settings["SWIFT_TREAT_WARNINGS_AS_ERRORS"] == "YES"
    assert settings["IPHONEOS_DEPLOYMENT_TARGET"] == "17.0"
    assert ".iOS(.v17)" in (IOS / "Package.swift").read_text(encoding="utf-8")
    info = plistlib.loads((APP / settings["INFOPLIST_FILE"]).read_bytes())
    assert info["CFBundleDisplayName"] == "Pocket"
    assert info["UIFileSharingEnabled"] is True
    assert "UILaunchScreen" in info


def test_it_says_that_it_collects_nothing() -> None:
    privacy = plistlib.loads((APP / "Pocket" / "PrivacyInfo.xcprivacy").read_bytes())
    assert privacy["NSPrivacyTracking"] is False
    assert privacy["NSPrivacyCollectedDataTypes"] == []
    # and nothing in it could: no source names a way into a network
    sources = [*IOS.glob("Sources/**/*.swift"), *(APP / "Pocket").glob("*.swift")]
    wrong = re.compile(r"URLSession|import Network|https?:")
    assert not [one.name for one in sources if wrong.search(one.read_text(encoding="utf-8"))]


def test_the_build_copies_the_bundle_as_it_is_now(tmp_path: Path) -> None:
    source = tmp_path / "apps" / "ios" / "App"
    (source / "model" / "p.mlpackage").mkdir(parents=True)
    (source / "model" / "p.mlpackage" / "Manifest.json").write_text("{}", encoding="utf-8")
    (tmp_path / "apps" / "samples.json").write_text("[]", encoding="utf-8")
    built = tmp_path / "Pocket.app"
    (built / "model").mkdir(parents=True)
    (built / "model" / "left.json").write_text("old", encoding="utf-8")
    environment = {
        **os.environ,
        "SRCROOT": str(source),
        "TARGET_BUILD_DIR": str(tmp_path),
        "UNLOCALIZED_RESOURCES_FOLDER_PATH": built.name,
    }
    subprocess.run([APP / "copy.sh"], env=environment, check=True)
    found = sorted(str(file.relative_to(built)) for file in built.rglob("*") if file.is_file())
    assert found == ["model/p.mlpackage/Manifest.json", "samples.json"]
    subprocess.run(["rm", "-r", source / "model"], check=True)
    said = subprocess.run([APP / "copy.sh"], env=environment, check=True, capture_output=True, text=True)
    assert said.stdout.startswith("warning: no model; run: python -m pipeline.run --target coreml --app ios")
    assert not (built / "model").exists()


XCODEBUILD = """#!/bin/sh
echo "$@" > "$CALLED"
for one; do case $before in -derivedDataPath) data=$one ;; esac; before=$one; done
mkdir -p "$data/Build/Products/Release-iphonesimulator/Pocket.app"
"""


def test_a_simulators_app_lands_where_device_bench_looks(tmp_path: Path) -> None:
    ios = tmp_path / "ios"
    ios.mkdir()
    script = ios / "build.sh"
    script.write_bytes((IOS / "build.sh").read_bytes())
    script.chmod(0o755)
    tool = tmp_path / "bin" / "xcodebuild"
    tool.parent.mkdir()
    tool.write_text(XCODEBUILD, encoding="utf-8")
    tool.chmod(0o755)
    path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "CALLED": str(tmp_path / "called")}
    subprocess.run([script, "simulator", tmp_path / "out"], env=environment, check=True)
    assert [one.name for one in (tmp_path / "out").glob("*.app")] == ["Pocket.app"]
    called = (tmp_path / "called").read_text(encoding="utf-8")
    assert f"-project {ios}/App/Pocket.xcodeproj -scheme Pocket -configuration Release" in called
    assert "-destination generic/platform=iOS Simulator" in called
    assert called.endswith("CODE_SIGNING_ALLOWED=NO build\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "usage: "), (["phone", "out"], "usage: "), (["device", "out"], "give your developer team: ")],
)
def test_a_wrong_call_is_told_what_is_right(arguments: list[str], said: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TEAM"}
    done = subprocess.run([IOS / "build.sh", *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(said)
