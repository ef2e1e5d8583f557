"""The golden files are what the libraries installed here say, and the apps' tables are copies of theirs."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from pipeline import golden_suite
from pipeline.suite import texts, unicode_tables


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return golden_suite.make()


def test_no_file_is_stale(made: dict[str, bytes]) -> None:
    stale = [name for name, content in made.items() if (golden_suite.APPS / name).read_bytes() != content]
    assert not stale, f"{', '.join(stale)}: run python -m pipeline.golden_suite"


def test_files_are_of_a_sensible_size(made: dict[str, bytes]) -> None:
    assert sum(map(len, made.values())) < 6_000_000


def test_combining_classes_are_the_standards(made: dict[str, bytes]) -> None:
    """They were found by sorting alone, and Python knows them too."""
    listed = 0
    for line in made["golden/unicode.txt"].decode().splitlines():
        word, *items = line.split()
        if word != "class":
            continue
        for item in items[1:]:
            first, _, last = item.partition("-")
            for point in range(int(first, 16), int(last or first, 16) + 1):
                assert unicodedata.combining(chr(point)) == int(items[0]), f"U+{point:04X}"
                listed += 1
    assert listed > 700


def test_lower_case_ranges_are_undone() -> None:
    mapping = {0x41 + i: chr(0x61 + i) for i in range(26)} | {
        0x100: "\u0101",
        0x102: "\u0103",
        0x130: "i\u0307",
    }
    assert unicode_tables.lower_items(mapping) == ["41-5A:+20", "100-102/2:+1", "130=69.307"]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("a\ud800b", "a\ufffdb"),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        ("é\U0001f600", "é\U0001f600"),
    ],
)
def test_halves_of_pairs_are_replaced(text: str, whole: str) -> None:
    assert texts.well_formed(text) == whole


def test_the_verb_says_what_is_stale(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "pipeline.golden_suite", "--apps", str(tmp_path), "--check"],
        cwd=golden_suite.APPS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 4
    assert "run python -m pipeline.golden_suite" in said.stderr
    assert not list(tmp_path.iterdir())
