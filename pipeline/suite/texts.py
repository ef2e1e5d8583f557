"""Texts that tokenizers disagree about, drawn with a seed."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterator, Sequence

Draw = random.Random

ACCENTED = "àáâãäåçèéêëìíîïñòóôõöøùúûüýÿāăąćčďđēėęěğģĩıİķłńňōőœřśşšťţũūůűųźżžơưạảấầẩẫậắằẳẵặßẞÅÉÖÜÑŁŞÇÎ"
MARKS = [
    chr(c) for c in (*range(0x300, 0x370), *range(0x483, 0x488), *range(0x591, 0x5C8), *range(0x64B, 0x660))
]
MARKS += "\u0334\u0345\u0321\u20d0\u20dd\u3099\u309a\u302a\u302e\ufe20\u1dc0\u093c\u094d\u0e38\u0f71\u0f72"
SPACING_MARKS = "\u0903\u093e\u09be\u0b57\u0bcb\u1b44\u302e\u302f\ua953\U0001d165\U0001d16d\U0001d166\U0001134d"
CONTROLS = [chr(c) for c in (*range(0x20), *range(0x7F, 0xA0))]
ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u034f\u061c\u200e\u200f\u2066\u2069\ufe0f\U000e0041"
SPACES = [*" \t\n\r\u00a0\u1680\u2000\u2003\u2009\u2028\u2029\u202f\u205f\u3000", "\r\n", "   "]
# pieces with a space between them, until LONE
EMOJI = (
    "😀 👩\u200d🚀 👨\u200d👩\u200d👧\u200d👦 🏳\ufe0f\u200d🌈 🇩🇪 🇯🇵🇫🇷 👍🏽 ❤\ufe0f ☺ 1\ufe0f⃣ "
    "🧑🏿\u200d🤝\u200d🧑🏻 🫠 \U0001fae8"
)
RIGHT_TO_LEFT = (
    "שלום עו\u05b9ל\u05b8ם مرحبا الع\u064eر\u064eب\u0650ي\u064e\u0651ة \u202bאבג\u202c ﷺ "
    "سلام\u200cعلیکم آأ ܫܠܡܐ"
)
WIDE = "Ｈｅｌｌｏ １２３ ，。！？ ﾊﾛｰ ｶﾞ Ａé （東京） ￥１００ \u3000"
IDEOGRAPHS = "東京 中国 北京大学 の カタカナ ひらがな が か\u3099 豈 㐀 𠀀 𪜀 𫝀 々 〇"
HANGUL = "한국어 서울 각 한 각 ㅎㅏㄴ 가 ꥠힰ"
SCRIPTS = (
    "हिन\u094dदी क\u093cिला বাংলা தமிழ\u0bcd ไทยน\u0e49ำ ລາວ བ\u0f7cད་ཡ\u0f72ག မြန\u103aမာ "
    "ខ\u17d2មែរ ქართული ᲥᲐᲠ Հայերեն አማርኛ Ελληνικά ΑΣΣΟΣ Ὀδυσσεύς ᾼ Русский й Ё Ꭰꭰᏸ ⲀⲂ 𐐀𐐨 𞤀 ＡＢ Ⓐ Ⅷ ǅ "
    "ﬁ ŉ ᵃ"
)
SYMBOLS = "½ ² № ™ € + = < > | ~ ^ ` $ ¬ ° × ∑ → ■ 𝐀𝑏 𝟙 ℃"
QUOTES = "“quoted” ‘it’s’ «là» — – … ‽ ¿qué? e.g. U.S.A. don't re-built 3.14 1,000 a/b @x"
SPECIAL = [
    *("[SEP]", "[CLS]", "[PAD]", "[MASK]", "[UNK]", "[SEP", "SEP]", "[sep]", "[ SEP ]", "[[SEP]]", "##ing"),
    *("[unused0]", "a[SEP]b", "[SEP][SEP]", "é[CLS]e\u0301"),
]
LONE = ["\ud800", "\udc00", "\udfff\ud800", "\ud83d", "a\udc00b"]
"""Halves of surrogate pairs: JavaScript's and Kotlin's strings can hold them, Swift's and Rust's cannot."""


def _one_of(draw: Draw, pieces: str) -> str:
    return draw.choice(pieces.split(" "))


def long_word(draw: Draw) -> str:
    """Around the 100 characters beyond which a word is unknown, counted after normalization."""
    length = draw.choice([50, 98, 99, 100, 101, 102, 150, 400])
    unit = draw.choice(["a", "ab", "é", "e\u0301", "É", "한", "\u200b", "x\u0301\u0316", "İ", "и", "𐐀"])
    return (unit * length)[:length]


def any_point(draw: Draw) -> str:
    """A code point of any kind, the first two planes preferred."""
    point = draw.randrange(draw.choice([0x100, 0x800, 0x3000, 0x10000, 0x20000, 0x110000]))
    return "\ufffe" if 0xD800 <= point <= 0xDFFF else chr(point)


def by_category() -> Iterator[tuple[str, str]]:
    """(category, some of its characters), at most 40, spread over all of them."""
    members: dict[str, list[str]] = {}
    for point in range(0x110000):
        category = unicodedata.category(chr(point))
        if category not in ("Cs", "Cn", "Co"):
            members.setdefault(category, []).append(chr(point))
    for category, all_of_it in sorted(members.items()):
        yield category, "".join(all_of_it[:: max(1, len(all_of_it) // 40)][:40])


def _recased(draw: Draw, word: str) -> str:
    return draw.choice([word.upper(), word.title(), word.swapcase()])


def _piled(draw: Draw) -> str:
    base: str = draw.choice([*"aeiouAEKn", "é", "か", "א", "ا", "क", "", "\U0001d157"])
    marks = draw.choices([*MARKS, *SPACING_MARKS], k=draw.randrange(1, 6))
    return base + "".join(marks)


def _either_form(draw: Draw) -> str:
    text = draw.choice(
        [
            *SCRIPTS.split(" "),
            *HANGUL.split(" "),
            "".join(draw.choices(ACCENTED, k=4)),
            "Ǖ",
            "ệ",
            "Å",
            "ﬁ",
            "\u0958",
            "\u2126",
        ]
    )
    return unicodedata.normalize(draw.choice(["NFC", "NFD", "NFKD"]), text)


FAMILIES: dict[str, Callable[[Draw, Sequence[str]], str]] = {
    "words": lambda draw, words: draw.choice(words),
    "case": lambda draw, words: _recased(draw, draw.choice(words)),
    "accents": lambda draw, words: "".join(draw.choices(ACCENTED + "aeiou", k=draw.randrange(1, 8))),
    "marks": lambda draw, words: _piled(draw),
    "forms": lambda draw, words: _either_form(draw),
    "emoji": lambda draw, words: _one_of(draw, EMOJI),
    "right-to-left": lambda draw, words: _one_of(draw, RIGHT_TO_LEFT),
    "full-width": lambda draw, words: _one_of(draw, WIDE),
    "controls": lambda draw, words: draw.choice(CONTROLS),
    "zero-width": lambda draw, words: draw.choice(ZERO_WIDTH),
    "spaces": lambda draw, words: draw.choice(SPACES),
    "ideographs": lambda draw, words: _one_of(draw, IDEOGRAPHS),
    "hangul": lambda draw, words: _one_of(draw, HANGUL),
    "scripts": lambda draw, words: _one_of(draw, SCRIPTS),
    "symbols": lambda draw, words: _one_of(draw, SYMBOLS),
    "punctuation": lambda draw, words: _one_of(draw, QUOTES),
    "special": lambda draw, words: draw.choice(SPECIAL),
    "long": lambda draw, words: long_word(draw),
    "any": lambda draw, words: any_point(draw),
    "halves": lambda draw, words: draw.choice(LONE),
}


def fuzz(draw: Draw, words: Sequence[str], family: str, pieces: int) -> str:
    """Pieces of one family among words and pieces of others, with and without spaces between."""
    text = ""
    for _ in range(pieces):
        chosen = family if draw.random() < 0.6 else draw.choice([*FAMILIES][:-2])
        text += draw.choice(["", "", " "]) + FAMILIES[chosen](draw, words)
    return text


def well_formed(text: str) -> str:
    """The text as UTF-16 holds it, with U+FFFD for every half of a surrogate pair that stands alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
