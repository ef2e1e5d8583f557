"""Whether a browser answers as Python does: the same bundle, the same questions, the same characters.

`python -m device_bench.toolchain.web_agreement BUNDLE --questions SQUAD.json …` builds the web app's engine,
asks in headless Chromium, and compares with the answers of the bundle's own program here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from device_bench.toolchain import chromium, web
from device_bench.toolchain.suites import APPS, CACHE
from pipeline import bundles, console
from pipeline.types import DataError, UsageError, VerificationFailed

SHOWN = 10
"""Questions that differ, of which both answers are printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A best answer: the passage's code points [start, end)."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One question's two answers, and the logits' sum that decided in Python."""

    id: str
    here: Place
    browser: Place | None
    """None: refused."""
    margin: float
    """How far Python's best score is above its second best."""

    @property
    def agrees(self) -> bool:
        """Whether both are the same characters."""
        return self.here == self.browser


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that one run in the browser said."""

    compared: tuple[Compared, ...]
    milliseconds: tuple[float, ...]
    """Of each question, tokenizing and decoding included."""
    windows_ms: dict[int, tuple[float, ...]]
    """By window length, of one window."""
    opened_ms: float
    """From the page's start to a model that is warm: building aside, everything."""
    runtime: str
    browser: str
    complaints: tuple[str, ...]
    """What the page wrote on its console."""

    @property
    def share(self) -> float:
        """Of answers that are the same."""
        return sum(one.agrees for one in self.compared) / len(self.compared)


def compare(bundle: Path, questions: Sequence[Any], cache: Path, apps: Path = APPS) -> Report:
    """Asks all questions (`squad.Question`) here and in the browser.

    Raises MissingTool where Node.js, its packages or Chromium are not there, VerificationFailed where the
    browser did not come through.
    """
    folder, program = web.here(apps / "web"), chromium.here(cache)
    expected = _expected(bundle, questions)
    said = asked(folder, program, bundle, questions)
    found = {one["id"]: one for one in said["answers"]}
    compared = []
    for question, (place, margin) in zip(questions, expected, strict=True):
        best = found[question.id].get("answers", [None])[0]
        there = best and Place(text=best["text"], start=best["start"], end=best["end"])
        compared.append(Compared(id=question.id, here=place, browser=there, margin=margin))
    return Report(
        compared=tuple(compared),
        milliseconds=tuple(one["milliseconds"]["total"] for one in said["answers"] if "milliseconds" in one),
        windows_ms={int(length): tuple(times) for length, times in said["times"].items()},
        opened_ms=said["opened"],
        runtime=said["model"]["runtime"],
        browser=f"Chromium {said['browser']}",
        complaints=tuple(said["errors"]),
    )


def _expected(bundle: Path, questions: Sequence[Any]) -> list[tuple[Place, float]]:
    from transformers import AutoTokenizer

    from pipeline.tasks import question_answering

    opened = bundles.read(bundle, "question-answering")
    runner = opened.runner()
    tokenizer = AutoTokenizer.from_pretrained(bundle, local_files_only=True)
    places = []
    for question in questions:
        found = question_answering.answer(question, runner, tokenizer, opened.task)  # type: ignore[arg-type]
        best = found[0]
        margin = best.score - found[1].score if len(found) > 1 else float("inf")
        places.append((Place(text=best.text, start=best.start, end=best.end), margin))
    return places


def asked(folder: Path, program: Path, bundle: Path, questions: Sequence[Any]) -> dict[str, Any]:
    """What tests/agreement/ask.mjs of the web app says. Raises VerificationFailed with its first error."""
    with tempfile.TemporaryDirectory(prefix="pocket-web-") as scratch:
        given, answers = Path(scratch) / "questions.json", Path(scratch) / "answers.json"
        listed = [{"id": q.id, "question": q.text, "passage": q.passage} for q in questions]
        given.write_text(json.dumps(listed), encoding="utf-8")
        arguments = [str(path.resolve()) for path in (program, bundle, given, answers)]
        ran = web.run(folder, ["node", "tests/agreement/ask.mjs", *arguments])
        if ran.returncode or not answers.is_file():
            lines = [line.strip() for line in ran.stdout.splitlines() if line.strip()]
            telling = next(
                (line for line in lines if line.startswith("error:")), lines[-1] if lines else "no word of it"
            )
            raise VerificationFailed(f"the browser did not come through: {telling.removeprefix('error: ')}")
        said: dict[str, Any] = json.loads(answers.read_text(encoding="utf-8"))
        return said


def main() -> None:
    """Parses the flags, compares, prints. Raises VerificationFailed below the least share."""
    parser = argparse.ArgumentParser(
        prog="python -m device_bench.toolchain.web_agreement",
        description="Compares a browser's answers with Python's, from one bundle.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, help="a verified tflite bundle that answers questions")
    parser.add_argument(
        "--questions", required=True, nargs="+", metavar="SQUAD", help="SQuAD files or built-in sets, in turn"
    )
    parser.add_argument("--limit", type=int, default=500, help="questions in all (default: 500)")
    parser.add_argument("--least", type=float, default=0.99, help="share that has to agree (default: 0.99)")
    given = parser.parse_args()
    if given.limit < 1:
        raise UsageError(f"--limit must be at least 1, got {given.limit}")
    from pipeline.tasks import squad

    questions = [question for source in given.questions for question in squad.read(source)][: given.limit]
    if len({question.id for question in questions}) < len(questions):
        raise DataError("two questions have the same id; give files that do not overlap")
    report = compare(given.bundle, questions, CACHE)
    screen = Console(highlight=False, soft_wrap=True)
    agreed = sum(one.agrees for one in report.compared)
    screen.print(f"{report.runtime} in {report.browser}: {agreed} of {len(questions)} answers are Python's")
    for one in [one for one in report.compared if not one.agrees][:SHOWN]:
        screen.print(f"  {one.id}: {one.browser}, here {one.here}, by {one.margin:.4f}", markup=False)
    asking = statistics.median(report.milliseconds)
    screen.print(f"a question {asking:.1f} ms (median); opening {report.opened_ms:.0f} ms")
    for length, times in report.windows_ms.items():
        screen.print(f"  a window of {length} tokens: {statistics.median(times):.1f} ms (median)")
    for line in report.complaints[:SHOWN]:
        screen.print(f"  console: {line}", markup=False)
    if report.share < given.least:
        raise VerificationFailed(f"{report.share:.2%} of the answers agree, {given.least:.0%} are wanted")


if __name__ == "__main__":
    sys.exit(console.run(main))
