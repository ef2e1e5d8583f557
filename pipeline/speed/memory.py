"""Does memory grow with a corpus? One process packs a text and goes through it once, as pretraining does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MB = 10**6
LENGTH = 128


def write_text(path: Path, size: int, passages: Sequence[str]) -> None:
    """A text file of about `size` bytes: the passages over and over, each line told apart by its number."""
    written = number = 0
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            line = f"{number}: {passages[number % len(passages)]}\n"
            file.write(line)
            written, number = written + len(line.encode()), number + 1


def stream(text: Path) -> int:
    """In the child: packs the text beside itself and makes every batch of an epoch. Returns its tokens."""
    from pipeline.models import checkpoint
    from pipeline.recipe import Corpus
    from pipeline.schedule import PooledSchedule
    from pipeline.tasks.corpus import CorpusText
    from pipeline.tasks.masking import MaskedSequences, collate
    from pipeline.types import Silent

    tokenizer = checkpoint.load_tokenizer(checkpoint.SHIPPED / "pocket-teacher")
    packed = CorpusText(Corpus(source=str(text))).pack(
        text.with_suffix(".packed"), tokenizer, length=LENGTH, layout="packed", progress=Silent()
    )
    sequences = MaskedSequences(packed, 0.15, seed=0)
    tokens = 0
    for batch in PooledSchedule(packed, 4096, 1.0, seed=0):
        tokens += int(collate([sequences[place] for place in batch])["attention_mask"].sum())
    return tokens
