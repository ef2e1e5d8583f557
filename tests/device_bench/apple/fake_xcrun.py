"""A stand-in for Xcode's `xcrun`, run as a program: it writes down how it was called and plays a scenario.

It sits beside scenario.json, calls.jsonl and `storage`, the app's data container on the device. Its answers are
in the formats that the tools document or are seen to give, with identifiers made up here:

- devicectl: `xcrun devicectl help …` of Xcode 27 (options, "--console waits for it to exit"), Apple's release
  notes of Xcode 27 on JSON version 5, and captured answers in the public issues of flutter/flutter, expo/expo
  and dotnet/macios for versions 2 to 5.
- simctl: `xcrun simctl help launch` and `xcrun simctl list --json`, as its answers stand in the issues of
  expo/expo-cli.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STORAGE = HERE / "storage"
APP = "org.pocketdistil.app"


def main(arguments: list[str]) -> int:
    with (HERE / "calls.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(arguments) + "\n")
    scenario = json.loads((HERE / "scenario.json").read_text(encoding="utf-8"))
    if arguments[0] == "--find":
        missing = scenario.get("missing", "")
        if missing:
            print(missing, file=sys.stderr)
            return 72
        print(f"/Applications/Xcode.app/Contents/Developer/usr/bin/{arguments[1]}")
        return 0
    tool, rest = arguments[0], arguments[1:]
    return devicectl(rest, scenario) if tool == "devicectl" else simctl(rest, scenario)


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def devicectl(arguments: list[str], scenario: dict[str, Any]) -> int:
    answer = Path(option(arguments, "--json-output"))
    command = " ".join(word for word in arguments[:3] if not word.startswith("-"))
    if command in scenario.get("rubbish", []):
        answer.write_text('{"info" : {"outcome" :', encoding="utf-8")
        return 0
    device = option(arguments, "--device") if "--device" in arguments else ""
    if command in scenario.get("fails", {}) and scenario.get("fails_on", device) == device:
        return refuse(answer, arguments, scenario["fails"][command])
    if command.startswith("list devices"):
        return answered(answer, arguments, scenario["devices"])
    if command == "device info apps":
        apps = [{"bundleIdentifier": name, "name": name, "version": "1.0"} for name in scenario["apps"]]
        return answered(answer, arguments, {"apps": apps, "matchingBundleIdentifier": APP})
    if command == "device install app":
        scenario["apps"].append(APP)
        (HERE / "scenario.json").write_text(json.dumps(scenario), encoding="utf-8")
        return answered(answer, arguments, {"installedApplications": [{"bundleIdentifier": APP}]})
    if command == "device copy to":
        shutil.copytree(option(arguments, "--source"), STORAGE / option(arguments, "--destination"))
        return answered(answer, arguments, {})
    if command == "device copy from":
        source = STORAGE / option(arguments, "--source")
        if not source.exists():
            return refuse(answer, arguments, "The file couldn’t be opened because it doesn’t exist.")
        shutil.copy(source, option(arguments, "--destination"))
        return answered(answer, arguments, {})
    if command == "device process launch":
        if scenario.get("refused"):
            print(
                "ERROR: The application failed to launch. (com.apple.dt.CoreDeviceError error 10002 (0x2712))"
            )
            return refuse(answer, arguments, "The application failed to launch.", scenario["refused"])
        print("Launched application with org.pocketdistil.app bundle identifier.")
        print("Waiting for the application to terminate…", flush=True)
        code = app(arguments[arguments.index("--") + 1 :], scenario, "ios")
        if code < 0:
            print(f"App terminated due to signal {-code}.")
            return 1
        answered(answer, arguments, {"process": {"processIdentifier": 1802}})
        return code
    print(f"error: unexpected {arguments}", file=sys.stderr)
    return 64


def answered(answer: Path, arguments: list[str], result: dict[str, Any]) -> int:
    info = {"arguments": ["devicectl", *arguments], "jsonVersion": 3, "outcome": "success", "version": "518.33"}
    answer.write_text(json.dumps({"info": info, "result": result}), encoding="utf-8")
    return 0


def refuse(answer: Path, arguments: list[str], described: str, reason: str = "") -> int:
    under = {
        "error": {
            "code": 1,
            "domain": "FBSOpenApplicationServiceErrorDomain",
            "userInfo": {"NSLocalizedFailureReason": {"string": reason}},
        }
    }
    user_info: dict[str, Any] = {"NSLocalizedDescription": {"string": described}}
    if reason:
        user_info["NSUnderlyingError"] = under
    error = {"code": 10002, "domain": "com.apple.dt.CoreDeviceError", "userInfo": user_info}
    info = {"arguments": ["devicectl", *arguments], "jsonVersion": 3, "outcome": "failed", "version": "518.33"}
    answer.write_text(json.dumps({"error": error, "info": info}), encoding="utf-8")
    return 1


def simctl(arguments: list[str], scenario: dict[str, Any]) -> int:
    command = arguments[0]
    if command == "list":
        print(scenario["list"] if isinstance(scenario["list"], str) else json.dumps(scenario["list"]))
        return 0
    if command in scenario.get("fails", {}):
        print(scenario["fails"][command], file=sys.stderr)
        return 148
    if command == "get_app_container":
        if APP not in scenario["apps"]:
            print("An error was encountered processing the command (domain=NSPOSIXErrorDomain, code=2):")
            return 2
        (STORAGE / "Documents").mkdir(parents=True, exist_ok=True)
        print(STORAGE)
    if command == "install":
        scenario["apps"].append(APP)
        (HERE / "scenario.json").write_text(json.dumps(scenario), encoding="utf-8")
    if command == "launch":
        print(f"{APP}: 4711", flush=True)
        return abs(app(arguments[arguments.index(APP) + 1 :], scenario, "ios-simulator"))
    return 0


def app(arguments: list[str], scenario: dict[str, Any], kind: str) -> int:
    """The sample app's benchmark mode as its contract has it; a negative code is a signal."""
    assert arguments[0] == "--bench", arguments
    documents = STORAGE / "Documents"
    names = [option(arguments, "--bundle")]
    if "--baselines" in arguments:
        names += option(arguments, "--baselines").split(",")
    assert all((documents / name / "manifest.json").is_file() for name in names)
    plays = scenario.get("app", "measures")
    print("2026-11-21 12:00:00.000 pocket[4711:9] [noise] not of the app", flush=True)
    say({"bench": "progress", "done": 3, "total": 13})
    if plays == "crashes":
        print("Fatal error: index out of range", flush=True)
        return -signal.SIGTRAP
    if plays == "hangs":
        time.sleep(60)
    if plays == "gives up":
        say({"bench": "failed", "why": "the program does not load: error -5"})
        return 1
    written = measured(arguments, names, kind)
    written.update(scenario.get("writes", {}))
    text = scenario.get("text") or json.dumps(written)
    (documents / option(arguments, "--result")).write_text(text, encoding="utf-8")
    for name in names:
        shutil.rmtree(documents / name)
    say({"bench": "done"})
    if plays == "stays":
        time.sleep(60)
    return 0


def say(word: dict[str, Any]) -> None:
    print(json.dumps(word), flush=True)


def measured(arguments: list[str], names: list[str], kind: str) -> dict[str, Any]:
    """A measurement.json put together by hand from its published schema, not with the project's records."""
    documents = STORAGE / "Documents"
    windows = (documents / option(arguments, "--queries")).read_text(encoding="ascii").splitlines()
    lengths = [len(window.split()) for window in windows]
    runs, units = int(option(arguments, "--runs")), option(arguments, "--units")
    state = {"thermal": "nominal", "battery_percent": 80.0, "charging": True}
    programs = []
    for place, name in enumerate(names):
        manifest = json.loads((documents / name / "manifest.json").read_text(encoding="utf-8"))
        programs.append(
            {
                "role": name.rpartition("/")[2].partition("-")[0],
                "name": manifest["name"],
                "target": manifest["target"],
                "precision": manifest["precision"],
                "bundle_seal": manifest["seal"],
                "program_sha256": "ab" * 32,
                "runner": "app",
                "runtime": "Core ML, iOS 27.0",
                "threads": {"asked": option(arguments, "--threads"), "got": None},
                "delegate": {"asked": "Core ML", "got": "Core ML"},
                "compute_unit": {"asked": units, "got": units},
                "footprint": {"program_bytes": 1000, "bundle_bytes": 2000, "on_device_bytes": 4096},
                "load_ns": [41_000_000],
                "first_ns": [9_000_000],
                "samples_ns": [3_000_000 * (place + 1) + 1000 * (i % 7) for i in range(runs)],
                "lengths": [lengths[i % len(lengths)] for i in range(runs)],
                "peak_resident_bytes": 55_000_000,
            }
        )
    return {
        "format": 1,
        "place": {
            "kind": kind,
            "name": "iPhone19,1",
            "emulated": False,
            "processor": "arm64",
            "cores": 6,
            "system": "iOS 27.0",
        },
        "before": state,
        "after": {**state, "thermal": "fair"},
        "protocol": {
            "metric": "latency",
            "mode": "standard",
            "warmup": int(option(arguments, "--warmup")),
            "runs": runs,
            "seconds": float(option(arguments, "--seconds")),
            "queries": option(arguments, "--source"),
            "threads": int(option(arguments, "--threads")),
            "interleaved": True,
            "processes": "app",
        },
        "programs": programs,
        "validity": {"valid": True, "reasons": []},
        "made": {"app": "1.0"},
    }


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
