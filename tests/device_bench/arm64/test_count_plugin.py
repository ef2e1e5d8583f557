"""The counter against objdump: every class of instruction, in a program whose path is known."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from device_bench.toolchain import counter
from device_bench.toolchain.tools import Tools

SOURCE = Path(__file__).with_name("instructions.s")
LOOPS = 1000
CLASSES = {
    "dot_product": r"[su]dot|usdot|sudot|[su]mmla|usmmla",
    "fma": r"fml[as]|fml[as]l2?|fn?m(add|sub)",
    "load_store": r"(ld|st|prfm|cas|swp).*",
    "branch": r"b|bl|b\..*|cbn?z|tbn?z|br|blr|ret",
}
"""By what the assembler calls an instruction."""


def class_of(mnemonic: str) -> str:
    found = [name for name, pattern in CLASSES.items() if re.fullmatch(pattern, mnemonic)]
    return found[0] if found else "other"


@pytest.fixture(scope="module")
def program(unpacked: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("assembled") / "program"
    flags = [f"--sysroot={unpacked.root}", "-nostdlib", "-static", "-o", str(made), str(SOURCE)]
    subprocess.run([unpacked.program("aarch64-linux-gnu-gcc"), *flags], env=unpacked.environment, check=True)
    return made


def disassembled(program: Path, unpacked: Tools) -> dict[str, Counter[str]]:
    """Label → how many instructions of each class lie between it and the next."""
    command = [unpacked.program("aarch64-linux-gnu-objdump"), "-d", "-M", "no-aliases", str(program)]
    said = subprocess.run(command, env=unpacked.environment, check=True, capture_output=True, text=True).stdout
    found: dict[str, Counter[str]] = {}
    for line in said.splitlines():
        if label := re.fullmatch(r"[0-9a-f]+ <(\w+)>:", line):
            found[label[1]] = Counter()
        elif word := re.match(r"\s+[0-9a-f]+:\t[0-9a-f]{8} \t(\S+)", line):
            found[list(found)[-1]][class_of(word[1])] += 1
    return found


def counted(program: Path, unpacked: Tools, cache: Path, folder: Path) -> list[list[int]]:
    plugin = f"{counter.plugin(cache)},out={folder / 'counts'}"
    command = [unpacked.program("qemu-aarch64"), "-cpu", "max,sve=off,sme=off", "-plugin", plugin, str(program)]
    subprocess.run(command, env=unpacked.environment, check=True)
    lines = (folder / "counts").read_text().splitlines()
    return [[int(word) for word in line.split()] for line in lines]


def test_every_class_is_what_the_disassembler_calls_it(
    program: Path, unpacked: Tools, cache: Path, tmp_path: Path
) -> None:
    parts = disassembled(program, unpacked)
    expected = Counter(parts["straight"]) + Counter(parts["after"])
    for name, count in parts["loop"].items():
        expected[name] += LOOPS * count
    first, last = counted(program, unpacked, cache, tmp_path)
    assert (first[0], last[0]) == (5000, 5001)
    found = [b - a for a, b in zip(first[1:], last[1:], strict=True)]
    assert dict(zip([*CLASSES, "other"], found, strict=True)) == dict(expected)
    assert min(parts["straight"][name] for name in CLASSES) >= 10


def test_counts_are_the_same_again(program: Path, unpacked: Tools, cache: Path, tmp_path: Path) -> None:
    assert counted(program, unpacked, cache, tmp_path) == counted(program, unpacked, cache, tmp_path)


def test_without_a_file_to_write_it_says_so(program: Path, unpacked: Tools, cache: Path) -> None:
    command = [unpacked.program("qemu-aarch64"), "-plugin", str(counter.plugin(cache)), str(program)]
    ran = subprocess.run(command, env=unpacked.environment, capture_output=True, text=True)
    assert ran.returncode
    assert "give a file that can be written" in ran.stderr
