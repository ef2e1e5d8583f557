"""Chromium for the web app's tests: the system's, else Debian's, unpacked in the cache folder."""

from __future__ import annotations

import platform
import shlex
import shutil
import sys
from pathlib import Path

from device_bench.toolchain import debian, once, tools
from pipeline.types import MissingTool, Progress

SETUP = "python -m device_bench setup"
SUITE = "bookworm"
PACKAGES = ("chromium", "fonts-dejavu-core")
LIBRARIES = (
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/pulseaudio",
)
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>
"""


def here(cache: Path) -> Path:
    """The program, without asking anything of the network. Raises MissingTool where there is none."""
    if found := shutil.which("chromium"):
        return Path(found)
    root = debian.place(_source(None), PACKAGES, cache)
    if not root.is_dir():
        raise MissingTool(_unsuited() or f"Chromium is not set up; run: {SETUP}")
    return launcher(root, cache)


def unpack(cache: Path, progress: Progress, mirror: str | None = None) -> Path:
    """The program, fetched where this machine has none and it is not there yet."""
    if found := shutil.which("chromium"):
        return Path(found)
    return private(cache, progress, mirror)


def private(cache: Path, progress: Progress, mirror: str | None = None) -> Path:
    """Debian's, whether or not this machine has its own. Raises MissingTool where it cannot be had or run."""
    if reason := _unsuited():
        raise MissingTool(reason)
    return launcher(debian.packages(_source(mirror), PACKAGES, cache, progress), cache)


def launcher(root: Path, cache: Path) -> Path:
    """A script that starts the unpacked Chromium with the libraries and fonts that came with it."""
    root = root.resolve()

    def fill(folder: Path) -> None:
        libraries = folder / "lib"
        libraries.mkdir()
        for place in LIBRARIES:
            for file in sorted((root / place).glob("*.so*")):
                name = libraries / file.name
                if not tools.GLIBC.match(file.name) and not name.exists():
                    name.symlink_to(file)
        fonts = FONTS.format(fonts=root / "usr/share/fonts", cache=made / "fonts")
        (folder / "fonts.conf").write_text(fonts, encoding="utf-8")
        script = folder / "chromium"
        script.write_text(
            "#!/bin/sh\n"
            f"export LD_LIBRARY_PATH={shlex.quote(str(made / 'lib'))}\n"
            f"export FONTCONFIG_FILE={shlex.quote(str(made / 'fonts.conf'))}\n"
            f'exec {shlex.quote(str(root / "usr/lib/chromium/chromium"))} "$@"\n',
            encoding="utf-8",
        )
        script.chmod(0o755)

    made = cache.resolve() / "chromium" / once.key(str(root), LIBRARIES, FONTS)
    return once.folder(made, fill) / "chromium"


def _unsuited() -> str | None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "the web app's tests want Chromium, and there is none here; install it as chromium"
    return None


def _source(mirror: str | None) -> debian.Source:
    return debian.Source(suite=SUITE, architecture="amd64", mirror=mirror)
