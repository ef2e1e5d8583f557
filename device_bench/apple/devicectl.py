"""iPhones and iPads through `xcrun devicectl`, whose JSON is its interface for programs; its text is not.

Two shapes of that JSON are read: up to version 4 (Xcode 15 to 26) a device has hardwareProperties,
deviceProperties and connectionProperties, from version 5 (Xcode 27) on `properties`, with the older three for a
while beside it.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_bench.apple import xcrun
from device_bench.session import TAIL, DeviceError

COPY_SECONDS = 600.0
REASONS = (
    (r"\bLocked\b|could not be, unlocked|device is locked", "it is locked: unlock it and keep it awake"),
    (
        r"explicitly trusted|invalid code signature",
        "it does not trust the app's developer: on it, Settings, General, VPN & Device Management",
    ),
    (r"[Dd]eveloper [Mm]ode", "turn Developer Mode on: on it, Settings, Privacy & Security"),
    (
        r"not installed|unknown to FrontBoard|returned nil for|No application",
        "the sample app is not installed: install apps/ios from Xcode",
    ),
    (r"No space left|not enough (?:free |storage )?(?:space|storage)", "it is full: free some storage on it"),
    (
        r"disk image|DDI",
        "its developer disk image could not be mounted: unlock it and open Xcode's window Devices once",
    ),
    (
        r"not paired|Pairing",
        "it is not paired with this Mac: connect it by cable, unlock it and tap Trust",
    ),
    (
        r"device was not found|[Cc]onnection|disconnected|[Tt]unnel|no longer|unavailable",
        "it is gone: connect it by cable, unlock it and run again",
    ),
)
"""What stands in devicectl's errors → what to do; the first that fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """A device that this Mac knows; fields are empty where devicectl does not tell."""

    udid: str
    name: str
    """What its owner calls it."""
    model: str
    """iPhone 15 Pro; its marketing name, or else its product type."""
    product: str
    """iPhone16,1"""
    system: str
    """iOS 17.4"""
    paired: bool
    developer_mode: bool | None
    state: str
    """connected, disconnected (it is until it is used), unavailable."""

    def why_unavailable(self) -> str | None:
        """What has to be done before an app can be run on it, or None."""
        if not self.paired:
            return f"{self.name} is not paired with this Mac: connect it by cable, unlock it and tap Trust"
        if self.state == "unavailable":
            return f"{self.name} cannot be reached: connect it by cable and unlock it"
        if self.developer_mode is False:
            return f"Developer Mode is off on {self.name}: on it, Settings, Privacy & Security, Developer Mode"
        major = re.search(r"\d+", self.system)
        if major and int(major[0]) < 17:
            return f"{self.name} has {self.system}; the sample app needs 17"
        return None


def phones() -> tuple[Phone, ...]:
    """All iPhones and iPads that this Mac knows, by name. Raises DeviceError where devicectl fails."""
    result = _ask(["list", "devices"], "devicectl")
    try:
        found = [_phone(device) for device in result["devices"]]
    except (KeyError, TypeError, AttributeError):
        raise DeviceError("devicectl listed its devices in a form that is not known here") from None
    return tuple(sorted((phone for phone in found if phone), key=lambda phone: (phone.name, phone.udid)))


def is_installed(udid: str, bundle_id: str, who: str) -> bool:
    """Whether the app is on the device. Launching alone does not tell: it may succeed without one."""
    result = _ask(["device", "info", "apps", "--device", udid, "--bundle-id", bundle_id], who)
    return any(app.get("bundleIdentifier") == bundle_id for app in result.get("apps", []))


def install(udid: str, app: Path, who: str) -> None:
    """Installs a signed .app."""
    _ask(["device", "install", "app", "--device", udid, str(app)], who, COPY_SECONDS)


def push(udid: str, bundle_id: str, source: Path, destination: str, who: str) -> None:
    """Copies a file or folder into the app's data container."""
    _copy("to", udid, bundle_id, str(source), destination, who)


def pull(udid: str, bundle_id: str, source: str, destination: Path, who: str) -> None:
    """Copies a file out of the app's data container."""
    _copy("from", udid, bundle_id, source, str(destination), who)


def launch_command(udid: str, bundle_id: str, arguments: Sequence[str], answer: Path) -> list[str]:
    """Starts the app anew, its streams being ours, until it ends; devicectl's JSON goes to `answer`.

    The app's arguments follow "--": else devicectl takes those that begin with a dash for its own.
    """
    options = ["--device", udid, "--terminate-existing", "--console", "--json-output", str(answer)]
    return ["xcrun", "devicectl", "device", "process", "launch", *options, bundle_id, "--", *arguments]


def why_refused(answer: Path) -> str | None:
    """From the JSON of a launch that failed: what to do, or None where it tells nothing."""
    try:
        error = json.loads(answer.read_text(encoding="utf-8"))["error"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return explain(error)


def explain(error: Any) -> str:
    """devicectl's `error`, with those that lie under it, as what to do, or in its own words."""
    said = list(_strings(error))
    for pattern, sentence in REASONS:
        if any(re.search(pattern, text) for text in said):
            return sentence
    described = [text for text in said if " " in text]
    return (described or said or ["devicectl failed and did not say why"])[0][:TAIL]


def _ask(arguments: Sequence[str], who: str, seconds: float = xcrun.SECONDS) -> dict[str, Any]:
    """The `result` of a devicectl command. Raises DeviceError with what to do where it has none."""
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "answer.json"
        options = ["--quiet", "--timeout", f"{seconds:g}", "--json-output", str(answer)]
        done = xcrun.run(["devicectl", *arguments, *options], who, seconds + 10)
        try:
            document = json.loads(answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            if done.returncode:
                raise DeviceError(f"{who}: {explain([xcrun.last_words(done)])}") from None
            raise DeviceError(f"{who}: devicectl's answer is no JSON") from None
    if isinstance(document, dict) and "error" in document:
        raise DeviceError(f"{who}: {explain(document['error'])}")
    if not isinstance(document, dict) or not isinstance(document.get("result"), dict):
        raise DeviceError(f"{who}: devicectl's answer holds no result")
    result: dict[str, Any] = document["result"]
    return result


def _copy(direction: str, udid: str, bundle_id: str, source: str, destination: str, who: str) -> None:
    domain = ["--domain-type", "appDataContainer", "--domain-identifier", bundle_id]
    ends = ["--source", source, "--destination", destination]
    _ask(["device", "copy", direction, "--device", udid, *domain, *ends], who, COPY_SECONDS)


def _phone(device: Mapping[str, Any]) -> Phone | None:
    """One entry of the list; None for a watch, a Mac or a simulator, which Xcode 27 lists as well."""
    new = device.get("properties", {})
    hardware = new.get("hardware") or device.get("hardwareProperties", {})
    state = new.get("state") or device.get("deviceProperties", {})
    software = new.get("software") or device.get("deviceProperties", {})
    connection = new.get("connection") or device.get("connectionProperties", {})
    if hardware.get("platform") not in ("iOS", "iPadOS") or hardware.get("reality", "physical") != "physical":
        return None
    version = software.get("osVersionNumber", "")
    if isinstance(version, dict):
        version = version.get("stringValue", "")
    udid = hardware.get("udid") or device["identifier"]
    product = hardware.get("productType", "")
    return Phone(
        udid=udid,
        name=state.get("name") or udid,
        model=hardware.get("marketingName") or product or "iPhone",
        product=product,
        system=f"{hardware['platform']} {version}".strip(),
        paired=connection.get("pairingState", "paired") == "paired",
        developer_mode=_developer_mode(state.get("developerModeStatus")),
        state=connection.get("state") or connection.get("tunnelState") or "",
    )


def _developer_mode(status: Any) -> bool | None:
    """ "enabled", or since version 5 {"enabled": {…}}; None where it does not stand there."""
    if isinstance(status, dict):
        status = next(iter(status), None)
    return None if status is None else status == "enabled"


def _strings(value: Any) -> Iterator[str]:
    """Every string of a JSON value, outermost first, so that a summary comes before its causes."""
    level: list[Any] = [value]
    while level:
        yield from (entry for entry in level if isinstance(entry, str))
        deeper: list[Any] = []
        for entry in level:
            deeper.extend(
                entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
            )
        level = deeper
