"""python -m pipeline.answer: a bundle's or checkpoint's answers to a SQuAD file, in the official layout."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from rich.console import Console

from pipeline import console
from pipeline.types import UsageError


def main() -> None:
    """Parses the flags, answers every question, writes {id: text}."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.answer",
        description="Answers every question of a SQuAD file and writes the predictions, {id: text}.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bundle", type=Path, required=True, help="a bundle or a checkpoint folder")
    parser.add_argument("--squad", required=True, help="a SQuAD JSON file, plain or gzipped")
    parser.add_argument("--out", type=Path, required=True, help="where the predictions go")
    parser.add_argument("--score", action="store_true", help="print EM and F1 as well")
    given = parser.parse_args()

    from pipeline.answerers import for_questions
    from pipeline.tasks import squad
    from pipeline.tasks.base import answer_all
    from pipeline.tasks.methods import QuestionAnswering

    screen = Console(stderr=True)
    questions = squad.read(given.squad)
    if given.out.is_dir() or not given.out.absolute().parent.is_dir():
        raise UsageError(f"--out {given.out} cannot be written: give a file in a folder that exists")
    opened, task = for_questions(given.bundle, threads=os.cpu_count() or 1)
    with console.bar(screen, opened.description) as bar:
        written = answer_all(
            QuestionAnswering(task),
            questions,
            opened.model,
            opened.tokenizer,
            step=lambda done: bar.update(done, len(questions), f"{done} of {len(questions)} questions"),
        )
    predictions = {id: str(text) for id, text in written.items()}
    partial = given.out.with_name(given.out.name + ".partial")
    partial.write_text(json.dumps(predictions, ensure_ascii=False), encoding="utf-8")
    partial.replace(given.out)
    screen.print(f"{len(predictions)} answers by {opened.description} in {given.out}", highlight=False)
    if given.score:
        scored = squad.score(questions, predictions)
        print(f"EM {scored['em']:.2f}  F1 {scored['f1']:.2f}  ({len(questions)} questions)")


if __name__ == "__main__":
    sys.exit(console.run(main))
