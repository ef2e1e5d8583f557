"""The golden files are what the libraries installed here say, and the apps' tables are copies of theirs."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from pipeline import golden_suite
from pipeline.suite import texts, unicode_tables
from pipeline.types import VerificationFailed


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return golden_suite.make()


def test_no_file_is_stale(made: dict[str, bytes]) -> None:
    golden_suite.bring_up_to_date(made, golden_suite.APPS, check=True)


def test_what_is_stale_is_named_with_the_command(made: dict[str, bytes], tmp_path: Path) -> None:
    assert golden_suite.bring_up_to_date(made, tmp_path) == list(made)
    assert golden_suite.bring_up_to_date(made, tmp_path, check=True) == []
    (tmp_path / "golden" / "vocab.txt").unlink()
    with pytest.raises(VerificationFailed, match=r"golden/vocab\.txt; run python -m pipeline\.golden_suite"):
        golden_suite.bring_up_to_date(made, tmp_path, check=True)
    assert golden_suite.bring_up_to_date(made, tmp_path) == ["golden/vocab.txt"]


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
