"""What the tokenizer makes of every code point, asked of the tokenizer itself and written as one text file.

Nothing here knows Unicode: the tables are answers of the installed `tokenizers`, code point by code point.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import tokenizers
from tokenizers import normalizers, pre_tokenizers

CODE_POINTS = [point for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
HANGUL = range(0xAC00, 0xD7A4)
WIDTH = 110
HIGHEST_CLASS, LOWEST_CLASS = "\u0345", "\u0334"
"""Marks of the combining classes 240 and 1: no other mark is sorted behind the first, or before the second."""

HEADER = """\
# What BERT's tokenizer makes of every code point, as Hugging Face's tokenizers {version} answers.
#
# Made by `python -m pipeline.golden_suite`; do not edit. All apps read this file instead of asking their
# platform: the library's own tables come from several versions of Unicode at once (its punctuation and
# its marks are older than its lower case), and a platform's tables change with its updates. A phone that
# learns a new mark or letter would then give other ids than those the model was trained with.
#
# Code points are hexadecimal, A-B is a range with both ends. In this order:
#   dropped      clean_text removes them
#   whitespace   between words; where clean_text is on, a space stands for it
#   ideograph    handle_chinese_chars makes a word of its own of each
#   decompose    strip_accents, first: A=B.C, A becomes B C. Hangul syllables are not listed, they are
#                computed: s = A - AC00; 1100 + s/24C, 1161 + s%24C/1C, and 11A7 + s%1C unless s%1C is 0
#   class        second: neighbouring code points of classes other than 0 are sorted by class, stably. The
#                number after the word is the class, decimal; who is not listed has class 0
#   nonspacing   third: they are removed
#   lower        lowercase: A-B/S:+D, every S-th from A to B becomes itself plus D; A=B.C, A becomes B C
#   punctuation  a word of its own
"""


def _normalizer(**flags: bool) -> normalizers.BertNormalizer:
    everything = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    return normalizers.BertNormalizer(**{flag: flags.get(flag, False) for flag in everything})


def _ranges(points: Iterable[int]) -> list[str]:
    """Ascending code points as A or A-B."""
    runs: list[list[int]] = []
    for point in points:
        if runs and runs[-1][1] == point - 1:
            runs[-1][1] = point
        else:
            runs.append([point, point])
    return [f"{first:X}" if first == last else f"{first:X}-{last:X}" for first, last in runs]


def _becomes(text: str) -> str:
    return ".".join(f"{ord(character):X}" for character in text)


def lower_items(mapping: Mapping[int, str]) -> list[str]:
    """Mappings to one character as steps of 1 or 2 at the same distance, the others one by one."""
    items: list[str] = [f"{point:X}={_becomes(text)}" for point, text in mapping.items() if len(text) > 1]
    left = {point: ord(text) - point for point, text in mapping.items() if len(text) == 1}
    while left:
        first = min(left)
        runs = {step: _run(left, first, step) for step in (1, 2)}
        step = max(runs, key=lambda step: (len(runs[step]), -step))
        run, distance = runs[step], left[first]
        stride = f"/{step}" if step > 1 and len(run) > 1 else ""
        until = f"-{run[-1]:X}" if len(run) > 1 else ""
        items.append(f"{first:X}{until}{stride}:{'+' if distance > 0 else '-'}{abs(distance):X}")
        for point in run:
            del left[point]
    return sorted(items, key=lambda item: int(re.split("[-:=]", item)[0], 16))


def _run(left: Mapping[int, int], first: int, step: int) -> list[int]:
    run = [first]
    while left.get(run[-1] + step) == left[first]:
        run.append(run[-1] + step)
    return run


def _classes(decomposed: Mapping[int, str]) -> dict[int, list[int]]:
    """Combining class → code points, found by what the tokenizer sorts them before and behind.

    A class is known by its place among the others; its number is read off one mark whose number the
    standard has fixed for good (stability policy), so only the order is asked.
    """
    order = normalizers.NFD().normalize_str
    marks = [point for point in CODE_POINTS if point not in decomposed and _moves(order, chr(point))]
    known = {mark: number for number, mark in _FIXED.items() if ord(mark) in set(marks)}
    found: dict[int, list[int]] = {}
    for point in marks:
        mark = chr(point)
        before = [n for m, n in known.items() if order(f"a{mark}{m}") != f"a{mark}{m}"]
        behind = [n for m, n in known.items() if order(f"a{m}{mark}") != f"a{m}{mark}"]
        (number,) = set(known.values()) - set(before) - set(behind)
        found.setdefault(number, []).append(point)
    return dict(sorted(found.items()))


def _moves(order: Callable[[str], str], mark: str) -> bool:
    pairs = (f"a{HIGHEST_CLASS}{mark}", f"a{mark}{LOWEST_CLASS}")
    return any(order(pair) != pair for pair in pairs)


_FIXED = {
    1: "\u0334",
    6: "\U00016ff0", 7: "\u093c", 8: "\u3099", 9: "\u094d", 10: "\u05b0", 11: "\u05b1", 12: "\u05b2",
    13: "\u05b3", 14: "\u05b4", 15: "\u05b5", 16: "\u05b6", 17: "\u05b7", 18: "\u05b8", 19: "\u05b9",
    20: "\u05bb", 21: "\u05bc", 22: "\u05bd", 23: "\u05bf", 24: "\u05c1", 25: "\u05c2", 26: "\ufb1e",
    27: "\u064b", 28: "\u064c", 29: "\u064d", 30: "\u064e", 31: "\u064f", 32: "\u0650", 33: "\u0651",
    34: "\u0652", 35: "\u0670", 36: "\u0711", 84: "\u0c55", 91: "\u0c56", 103: "\u0e38", 107: "\u0e48",
    118: "\u0eb8", 122: "\u0ec8", 129: "\u0f71", 130: "\u0f72", 132: "\u0f74", 202: "\u0321", 214: "\u1dce",
    216: "\u031b", 218: "\u302a", 220: "\u0316", 222: "\u059a", 224: "\u302e", 226: "\U0001d16d",
    228: "\u05ae", 230: "\u0300", 232: "\u0315", 233: "\u035c", 234: "\u035d", 240: "\u0345",
}  # fmt: skip


def make() -> str:
    """The text of the file."""
    cleaned = _answers(_normalizer(clean_text=True).normalize_str)
    decomposed = _answers(normalizers.NFD().normalize_str)
    apart = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = {point: [word for word, _ in apart(f"a{chr(point)}b")] for point in CODE_POINTS}
    spaced = _answers(_normalizer(handle_chinese_chars=True).normalize_str)
    unaccented = _answers(_normalizer(strip_accents=True).normalize_str)
    syllables = {point: text for point, text in decomposed.items() if point in HANGUL}
    if syllables != {point: _syllable(point) for point in HANGUL}:
        raise AssertionError("Hangul is not decomposed by the standard's arithmetic")
    lines = [HEADER.format(version=tokenizers.__version__)]
    lines += _lines("dropped", _ranges(point for point, text in cleaned.items() if not text))
    lines += _lines("whitespace", _ranges(p for p, found in words.items() if found == ["a", "b"]))
    lines += _lines("ideograph", _ranges(spaced))
    listed = [f"{p:X}={_becomes(text)}" for p, text in decomposed.items() if p not in HANGUL]
    lines += _lines("decompose", listed)
    for number, points in _classes(decomposed).items():
        lines += _lines(f"class {number}", _ranges(points))
    lines += _lines("nonspacing", _ranges(p for p, text in unaccented.items() if not text))
    lines += _lines("lower", lower_items(_answers(_normalizer(lowercase=True).normalize_str)))
    lines += _lines("punctuation", _ranges(p for p, found in words.items() if len(found) == 3))
    return "".join(lines)


def _answers(normalize: Callable[[str], str]) -> dict[int, str]:
    """Code point → what it becomes, where that is something else."""
    answers = ((point, normalize(chr(point))) for point in CODE_POINTS)
    return {point: text for point, text in answers if text != chr(point)}


def _syllable(point: int) -> str:
    place = point - HANGUL.start
    parts = [0x1100 + place // 588, 0x1161 + place % 588 // 28, *([0x11A7 + place % 28] if place % 28 else [])]
    return "".join(map(chr, parts))


def _lines(word: str, items: Sequence[str]) -> list[str]:
    """Lines that begin with the word, none longer than WIDTH."""
    lines = [word]
    for item in items:
        if len(lines[-1]) + 1 + len(item) > WIDTH:
            lines.append(word)
        lines[-1] += f" {item}"
    return [f"{line}\n" for line in lines]
