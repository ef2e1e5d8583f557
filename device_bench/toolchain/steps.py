"""What `python -m device_bench setup` does, step by step. A new step is a function and a line in STEPS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device_bench import native_runners
from device_bench.android import adb
from device_bench.toolchain import (
    android,
    chromium,
    counter,
    kotlin,
    phone,
    suites,
    swift,
    tools,
    web,
    wheels,
)
from pipeline.types import MissingTool, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What every step is given."""

    cache: Path
    mirror: str | None
    """URL of a Debian archive; None: the system's."""
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to be set up. `make` leaves alone what is there, and gives the folders or files it is in."""

    name: str
    make: Callable[[Setup], tuple[Path, ...]]


def _tools(setup: Setup) -> tuple[Path, ...]:
    return (tools.unpack(setup.cache, setup.progress, setup.mirror).root,)


def _wheels(setup: Setup) -> tuple[Path, ...]:
    return tuple(wheels.fetch(runtime, setup.cache, setup.progress) for runtime in _installed(setup))


def _counter(setup: Setup) -> tuple[Path, ...]:
    made = [counter.root(core, setup.cache) for core in counter.CORES]
    return (counter.plugin(setup.cache), *made)


def _arm64_runners(setup: Setup) -> tuple[Path, ...]:
    runners = (native_runners.runner(runtime.target, "arm64", setup.cache) for runtime in _installed(setup))
    return tuple(runner.binary.parent for runner in runners)


def _host_runners(setup: Setup) -> tuple[Path, ...]:
    runners = (native_runners.runner(runtime.target, "host", setup.cache) for runtime in _installed(setup))
    return tuple(runner.binary.parent for runner in runners)


def _phone(setup: Setup) -> tuple[Path, ...]:
    if reason := phone.why_unavailable():
        setup.progress.say(f"left out the phone: {reason}")
        return (adb.setup(setup.cache, setup.progress, setup.mirror).program,)
    parts = phone.setup(setup.cache, setup.progress, setup.mirror)
    return (parts.folder, parts.adb.program)


def _swift(setup: Setup) -> tuple[Path, ...]:
    try:
        return (swift.unpack(setup.cache, setup.progress, setup.mirror),)
    except MissingTool as reason:
        setup.progress.say(f"left out Swift, which the iOS app's tests need: {reason}")
        return ()


def _kotlin(setup: Setup) -> tuple[Path, ...]:
    try:
        return (kotlin.unpack(setup.cache, setup.progress, setup.mirror).library,)
    except MissingTool as reason:
        setup.progress.say(f"left out Kotlin, which the Android app's tests need: {reason}")
        return ()


def _android(setup: Setup) -> tuple[Path, ...]:
    try:
        sdk = android.unpack(setup.cache, setup.progress, setup.mirror)
    except MissingTool as reason:
        setup.progress.say(f"left out android.jar, aapt2 and dx, which the Android app's tests need: {reason}")
        return ()
    return (sdk.jar, sdk.resources)


def _web(setup: Setup) -> tuple[Path, ...]:
    try:
        program = chromium.unpack(setup.cache, setup.progress, setup.mirror)
        return (web.install(suites.APPS / "web", setup.cache, setup.progress), program)
    except MissingTool as reason:
        setup.progress.say(f"left out Node.js' packages and Chromium, which the web app's tests need: {reason}")
        return ()


def _installed(setup: Setup) -> list[wheels.Runtime]:
    """Runtimes whose package is installed; the others are named."""
    found = []
    for runtime in wheels.RUNTIMES.values():
        if runtime.version is None:
            setup.progress.say(
                f"left out {runtime.called}: {wheels.why_unavailable(runtime, 'arm64', setup.cache)}"
            )
        else:
            found.append(runtime)
    return found


STEPS: tuple[Step, ...] = (
    Step(name="QEMU, cross compiler, CMake", make=_tools),
    Step(name="arm64 libraries of the runtimes", make=_wheels),
    Step(name="instruction counter", make=_counter),
    Step(name="native runners for arm64", make=_arm64_runners),
    Step(name="native runners for this machine", make=_host_runners),
    Step(name="adb, and an arm64 phone for it", make=_phone),
    Step(name="Swift", make=_swift),
    Step(name="Kotlin", make=_kotlin),
    Step(name="android.jar, aapt2 and dx", make=_android),
    Step(name="Chromium, and the web app's packages", make=_web),
)
"""In the order in which they need each other."""
