"""python -m pipeline.ask: one question on one passage, answered by a bundle's own program."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from pipeline import console
from pipeline.types import DataError

SHOWN_AROUND = 160
"""Characters of the passage shown on either side of the answer."""


def main() -> None:
    """Parses the flags, answers, prints the answer and where it stands."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.ask",
        description="Answers one question with a span of a passage.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("question")
    parser.add_argument("--bundle", type=Path, required=True, help="a bundle or a checkpoint folder")
    parser.add_argument("--context", required=True, help="a UTF-8 text file with the passage, or - for stdin")
    given = parser.parse_args()
    passage = _passage(given.context)
    if not given.question.strip():
        raise DataError("the question is empty; ask something")

    from pipeline.answerers import for_questions
    from pipeline.tasks import question_answering
    from pipeline.tasks.squad import Question

    opened, task = for_questions(given.bundle)
    question = Question("your question", given.question, passage, ())
    began = time.perf_counter()
    best = question_answering.answer(question, opened.model, opened.tokenizer, task)[0]
    spent = time.perf_counter() - began
    screen = Console()
    screen.print(Text(best.text, style="bold"))
    left, right = max(0, best.start - SHOWN_AROUND), best.end + SHOWN_AROUND
    around = Text("…" if left else "", style="dim")
    around.append(passage[left : best.start])
    around.append(best.text, style="bold reverse")
    around.append(passage[best.end : right] + ("…" if right < len(passage) else ""))
    screen.print(around)
    screen.print(
        Text(
            f"confidence {best.confidence:.0%} · {spent * 1000:.0f} ms on this machine · {opened.description}"
        ),
        style="dim",
    )


def _passage(source: str) -> str:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(f"passage {source} is not UTF-8 text; convert it") from None
    except OSError as error:
        raise DataError(f"passage {source} cannot be read: {error.strerror}") from None
    if not text.strip():
        raise DataError(f"passage {source} is empty; give some text")
    return text


if __name__ == "__main__":
    sys.exit(console.run(main))
