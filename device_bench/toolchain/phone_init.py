"""Process 1 of a phone: an arm64 `adbd` under QEMU, in namespaces of its own.

Started by device_bench.toolchain.phone through unshare(1), as root of a user namespace, nobody outside of it.
What it mounts, registers and starts is seen by nobody else and ends with it; it ends when its standard input
does, so a phone never outlives whoever started it, however that ends.

The phone has no network but its own loopback. Connections to it come in through a listening socket that was
opened outside and handed in; each is joined to a connection to `adbd` made in here.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ADBD_PORT = 5555
BINFMT = Path("/proc/sys/fs/binfmt_misc")
ARM64_ELF = (
    r":arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
)
"""The kernel's binfmt_misc rule for 64-bit little-endian ELF files of machine 0xb7, AArch64."""
NODES = ("null", "zero", "full", "random", "urandom", "tty")
FOLDERS = ("proc", "sys", "dev", "tmp", "usr", "etc", "system/bin", "data/local/tmp", "sdcard")
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def main() -> None:
    """Reads what to do from its argument, says `ready` once adbd listens, and serves until told to end."""
    wish = json.loads(sys.argv[1])
    root = Path(wish["mountpoint"])
    try:
        run_arm64_with(wish["qemu"])
        build(root, wish)
        raise_loopback()
        adbd = start(root, wish)
        wait_for(adbd)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        sys.exit(said.strip().splitlines()[-1])
    threading.Thread(target=serve, args=(socket.socket(fileno=wish["listener"]),), daemon=True).start()
    threading.Thread(target=reap, args=(adbd.pid,), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


def run_arm64_with(qemu: str) -> None:
    """Has the kernel run arm64 programs of this namespace with `qemu`, which is opened now (F)."""
    mount("-t", "binfmt_misc", "binfmt_misc", str(BINFMT))
    (BINFMT / "register").write_text(f"{ARM64_ELF}:{qemu}:FP\n", encoding="ascii")


def build(root: Path, wish: dict[str, Any]) -> None:
    """The phone's root folder, in memory but for /usr, which is the cache's and cannot be written to."""
    mount("-t", "tmpfs", "-o", "size=64m,mode=755", "phone", str(root))
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
    mount("--bind", f"{wish['system']}/usr", str(root / "usr"))
    mount("-o", "remount,bind,ro", str(root / "usr"))
    for name in ("sbin", "lib"):
        (root / name).symlink_to(f"usr/{name}")
    # As many as the /proc/cpuinfo that QEMU makes up; runtimes count their processors here and fail without.
    cpus = root / "sys/devices/system/cpu"
    cpus.mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (cpus / name).write_text(f"0-{(os.cpu_count() or 1) - 1}\n", encoding="ascii")
    for overlay in wish["overlays"]:
        shutil.copytree(overlay, root, dirs_exist_ok=True)
    # After the overlays, which win, and would be written through links that lead out of this root.
    (root / "bin").symlink_to("system/bin")
    links = {**dict.fromkeys(wish["tools"], "/usr/bin/toybox"), "sh": "/usr/bin/mksh"}
    for name, program in links.items():
        if not (root / "system/bin" / name).exists():
            (root / "system/bin" / name).symlink_to(program)
    (root / "etc/passwd").write_text("shell:x:0:0:shell:/data/local/tmp:/system/bin/sh\n", encoding="ascii")
    mount("-t", "proc", "proc", str(root / "proc"))
    mount("-t", "tmpfs", "-o", f"size={wish['storage_bytes']}", "userdata", str(root / "data/local/tmp"))
    for node in NODES:
        (root / "dev" / node).touch()
        mount("--bind", f"/dev/{node}", str(root / "dev" / node))
    (root / "dev/pts").mkdir()
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666", "devpts", str(root / "dev/pts"))
    (root / "dev/ptmx").symlink_to("pts/ptmx")


def mount(*arguments: str) -> None:
    """mount(8). Raises CalledProcessError with what it said."""
    subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)


def raise_loopback() -> None:
    """Sets `lo` up: a new network namespace has it down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, name))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def start(root: Path, wish: dict[str, Any]) -> subprocess.Popen[bytes]:
    """adbd, with Android's environment: its shells inherit it."""
    environment = {
        "QEMU_CPU": wish["cpu"],
        "ADBD_PORT": str(ADBD_PORT),
        "PATH": "/system/bin",
        "HOME": "/data/local/tmp",
        "SHELL": "/system/bin/sh",
        "TMPDIR": "/data/local/tmp",
    }
    command = [shutil.which("chroot") or "/usr/sbin/chroot", str(root), "/usr/sbin/adbd"]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )


def wait_for(adbd: subprocess.Popen[bytes]) -> None:
    """Until adbd listens. Raises OSError where it ends before."""
    while adbd.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", ADBD_PORT)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise OSError(f"adbd ended at once, with exit code {adbd.returncode}")


def reap(adbd: int) -> None:
    """Takes note of every process that ended, as process 1 has to; ends the phone with its adbd."""
    while os.wait()[0] != adbd:
        pass
    os._exit(1)


def serve(listener: socket.socket) -> None:
    """Joins every connection from outside to one of adbd's."""
    while True:
        outside, _ = listener.accept()
        inside = socket.create_connection(("127.0.0.1", ADBD_PORT))
        for one, other in ((outside, inside), (inside, outside)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=carry, args=(one, other), daemon=True).start()


def carry(one: socket.socket, other: socket.socket) -> None:
    """Bytes one way until either side has enough."""
    try:
        while data := one.recv(1 << 16):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (one, other):
            end.close()


if __name__ == "__main__":
    main()
