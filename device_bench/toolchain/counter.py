"""The emulator with our plugin, and the little that a guest sees of its machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from device_bench.toolchain import build, once, tools

LIBRARY = "libcount.so"
PROCESSORS = ("possible", "present", "online")


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """A core that QEMU emulates."""

    name: str
    """What `--device arm64-emulator:` calls it."""
    cpu: str
    """QEMU's -cpu."""
    part: int
    """What /proc/cpuinfo gives as `CPU part`: runtimes choose some kernels by it."""
    features: str
    called: str


CORES = (
    Core(
        name="cortex-a76",
        cpu="cortex-a76",
        part=0xD0B,
        features=(
            "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs"
        ),
        called="Cortex-A76 (dot products)",
    ),
    Core(
        name="i8mm",
        # QEMU 7.2 computes some int8 kernels wrongly with its scalable vectors on.
        cpu="max,sve=off,sme=off",
        part=0xD47,
        features=(
            "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop "
            "sha3 asimddp sha512 asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg dcpodp flagm2 frint i8mm "
            "bf16 bti"
        ),
        called="Armv8.6 core with i8mm (QEMU's max, no scalable vectors)",
    ),
)


def plugin(cache: Path) -> Path:
    """The counting plugin, built where it is not there yet. Raises MissingTool."""
    identity = build.identity("count", "host", cache)

    def fill(place: Path) -> None:
        build.build("count", LIBRARY, "host", cache, {}, place)

    return once.folder(cache.resolve() / "plugins" / identity, fill) / LIBRARY


def root(core: Core, cache: Path) -> Path:
    """Files that the guest sees in place of this machine's: one processor, and it is an ARM core.

    Without them runtimes read of as many processors as this machine has, start threads or choose tiles by it,
    and counts differ from machine to machine; QEMU 7.2 has no /proc/cpuinfo of its own for arm64 guests.
    """
    cpuinfo = (
        "processor\t: 0\nBogoMIPS\t: 50.00\n"
        f"Features\t: {core.features}\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x1\n"
        f"CPU part\t: 0x{core.part:03x}\nCPU revision\t: 0\n\n"
    )

    def fill(place: Path) -> None:
        (place / "proc").mkdir()
        (place / "proc" / "cpuinfo").write_text(cpuinfo, encoding="ascii")
        processors = place / "sys" / "devices" / "system" / "cpu"
        processors.mkdir(parents=True)
        for name in PROCESSORS:
            (processors / name).write_text("0\n", encoding="ascii")

    return once.folder(cache.resolve() / "arm64" / f"{core.name}-{once.key(cpuinfo)}", fill)


def why_unavailable(cache: Path) -> str | None:
    """A sentence where nothing can be counted here, or None."""
    return tools.why_unavailable(cache) or build.why_unavailable("host", cache)
