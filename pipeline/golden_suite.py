"""python -m pipeline.golden_suite: what every app must give again, made from what is used here."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline import console
from pipeline.types import VerificationFailed

APPS = Path(__file__).parents[1] / "apps"
SEED = 20261121
TABLES = "unicode.txt"
COPIES = (
    "ios/Sources/PocketText/Resources/unicode.txt",
    "android/text/src/main/resources/pocket/text/unicode.txt",
)
"""Each app has the tables inside of it, so that its folder can be copied alone."""


def main() -> None:
    """Makes the files, or compares them with what is there."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.golden_suite",
        description="Makes apps/golden and the apps' tables of Unicode.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--apps", type=Path, default=APPS, help="where the apps are (default: here)")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    given = parser.parse_args()
    files = make()
    stale = bring_up_to_date(files, given.apps, check=given.check)
    size = sum(len(content) for content in files.values())
    Console(highlight=False).print(f"{len(files)} files, {size / 1e6:.1f} MB, {len(stale)} of them new")


def bring_up_to_date(files: Mapping[str, bytes], apps: Path, *, check: bool = False) -> list[str]:
    """Writes the files that differ and returns their names; with `check` raises VerificationFailed instead."""
    stale = [name for name, content in files.items() if _content(apps / name) != content]
    if check and stale:
        raise VerificationFailed(f"stale in {apps}: {', '.join(stale)}; run python -m pipeline.golden_suite")
    for name in stale:
        (apps / name).parent.mkdir(parents=True, exist_ok=True)
        (apps / name).write_bytes(files[name])
    return stale


def make() -> dict[str, bytes]:
    """Name below apps → content."""
    from pipeline.suite import configurations, labels, refusals, spans, texts, tokens, unicode_tables
    from pipeline.tasks import squad

    shipped = squad.read_file(Path(__file__).parent / "data" / "passages.json")
    asked = [(question.text, question.passage) for question in shipped]
    passages = list(dict.fromkeys(passage for _, passage in asked))
    sentences = [sentence for passage in passages for sentence in passage.split(". ")]
    words = sorted({word for passage in passages for word in passage.split()})
    drawn = tokens.drawn(words, sentences, SEED)
    vocabulary = configurations.small_vocabulary([*passages, *(texts.well_formed(text) for _, text in drawn)])
    tokenizers = configurations.load(vocabulary)
    tables = unicode_tables.make().encode()
    small = {name: made for name, made in tokenizers.items() if name != "pocket"}
    described = {
        "pocket": {"file": "pipeline/pretrained/pocket-general/tokenizer.json"},
        **{name: {"vocabulary": "vocab.txt", **flags} for name, flags in configurations.FLAGS.items()},
    }
    golden = {
        "tokenizers.json": _document(described),
        "vocab.txt": "".join(f"{piece}\n" for piece in vocabulary).encode(),
        "tokenization.json": _lines(tokens.case(name, text, tokenizers) for name, text in drawn),
        "code_points.json": _document(tokens.every_code_point(small)),
        "windows.json": _lines(spans.windows(asked, tokenizers, SEED)),
        "answers.json": _lines(spans.answers(asked, tokenizers, SEED)),
        "texts.json": _lines(labels.cases(sentences, tokenizers, SEED)),
        "bundles.json": _document(refusals.cases()),
        TABLES: tables,
    }
    return {**{f"golden/{name}": content for name, content in golden.items()}, **dict.fromkeys(COPIES, tables)}


def _lines(cases: Iterable[Any]) -> bytes:
    """A JSON array, one case a line, in ASCII: no editor can normalize what is compared."""
    return ("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n").encode()


def _document(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


if __name__ == "__main__":
    sys.exit(console.run(main))
