"""Programs of an unpacked root, run inside of it: a compiler finds its own files where they were built to be.

The process has mounts of its own, so the system's are not touched, and needs no right of root where the kernel
lets users have name spaces.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.types import MissingTool

ENTER = """
set -e
root=$1; shared=$2; folder=$3; shift 3
for one in /proc /dev $shared; do mkdir -p "$root$one"; mount --rbind "$one" "$root$one"; done
mkdir -p -m 1777 "$root/tmp"
exec unshare --root="$root" --wd="$folder" "$@"
"""


def command(root: Path, shared: Sequence[Path], arguments: Sequence[str]) -> list[str]:
    """What runs `arguments` in the root, with the `shared` folders at their own paths, in the first of them.

    Raises MissingTool for a folder with a space in its path.
    """
    for folder in shared:
        if " " in str(folder):
            raise MissingTool(f"{folder} has a space in its path; the tools of {root.name} need one without")
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    folders = [str(folder.resolve()) for folder in shared]
    entered = [str(root.resolve()), " ".join(folders), folders[0] if folders else "/"]
    return ["unshare", "--mount", *user, "sh", "-c", ENTER, "sh", *entered, *arguments]


def run(
    root: Path, shared: Sequence[Path], arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """The finished process, its output and errors together. Raises MissingTool where there is no `unshare`."""
    system = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(
            command(root, shared, arguments),
            env={**system, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise MissingTool("this machine has no unshare; run: apt-get install util-linux") from None
