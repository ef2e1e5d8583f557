"""SQuAD v1.1 / v2.0: reading question sets, and EM and F1 as the SQuAD evaluation defines them."""

from __future__ import annotations

import gzip
import hashlib
import json
import operator
import re
import string
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.types import DataError

SHIPPED = Path(__file__).parents[1] / "data"


@dataclass(frozen=True, slots=True)
class Answer:
    """A gold span: `text` stands at character `start` of the passage."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Question:
    """One question on one passage; no answers means that it cannot be answered (v2.0)."""

    id: str
    text: str
    passage: str
    answers: tuple[Answer, ...]


def read(source: str, split: str = "train", limit: int | None = None) -> list[Question]:
    """Questions of a shipped set's name, a SQuAD JSON path (plain or gzipped) or a hub data set.

    Raises DataError with one sentence when the data cannot be read or an answer is not where it says.
    """
    path = locate(source)
    questions = read_file(path) if path else _read_hub(source, split)
    if not questions:
        raise DataError(f"{source} holds no questions")
    return questions[:limit]


def locate(source: str) -> Path | None:
    """The file behind a source, or None when it names a hub data set."""
    shipped = SHIPPED / f"{source}.json"
    if re.fullmatch(r"[a-z]+", source) and shipped.is_file():
        return shipped
    path = Path(source)
    if path.exists():
        return path
    if path.suffix in {".json", ".gz"} or path.is_absolute() or source.startswith((".", "~")):
        raise DataError(f"data file {source} does not exist; check the path")
    return None


def read_file(path: Path) -> list[Question]:
    """Questions of one SQuAD JSON file, in file order."""
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        document = json.loads(raw.decode("utf-8-sig"))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{path} is a damaged or truncated gzip file; fetch it again") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid JSON (truncated?): {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return [
            _question(entry, paragraph["context"], str(path))
            for article in document["data"]
            for paragraph in article["paragraphs"]
            for entry in paragraph["qas"]
        ]
    except (KeyError, TypeError, AttributeError):
        raise DataError(
            f"{path} is not in the SQuAD layout (data / paragraphs / context, qas / id, question, answers)"
        ) from None


def _question(entry: Mapping[str, Any], passage: str, where: str) -> Question:
    if not (isinstance(entry["question"], str) and isinstance(passage, str)):
        raise TypeError
    answers = tuple(Answer(a["text"], operator.index(a["answer_start"])) for a in entry["answers"])
    question = Question(str(entry["id"]), entry["question"], passage, answers)
    for answer in answers:
        if answer.start < 0 or not passage.startswith(answer.text, answer.start):
            found = passage[max(answer.start, 0) : max(answer.start, 0) + len(answer.text)]
            raise DataError(
                f"{where}: question {question.id}: answer {answer.text!r} is not at character "
                f"{answer.start} of its passage (there stands {found!r}); correct answer_start"
            )
    return question


def _read_hub(source: str, split: str) -> list[Question]:
    try:
        from datasets import load_dataset

        rows = load_dataset(source, split=split)
    except Exception as error:  # the hub client raises many kinds; each means the same to the user
        raise DataError(
            f"data set {source!r} is neither a file here nor to be had from the Hugging Face hub "
            f"({type(error).__name__}); give a SQuAD JSON file with --train-data or --eval-data"
        ) from None
    try:
        return [_question({**row, "answers": _pairs(row["answers"])}, row["context"], source) for row in rows]
    except (KeyError, TypeError, AttributeError):
        raise DataError(
            f"data set {source!r} does not have SQuAD's columns (id, context, question, answers)"
        ) from None


def _pairs(answers: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The hub's two columns → the file format's list of answers."""
    return [
        {"text": text, "answer_start": start}
        for text, start in zip(answers["text"], answers["answer_start"], strict=True)
    ]


def fingerprint(questions: Iterable[Question]) -> str:
    """SHA-256 over passages, questions and answers in order; ids, titles and file layout do not count."""
    digest = hashlib.sha256()
    for question in questions:
        record = [question.passage, question.text, [[a.text, a.start] for a in question.answers]]
        digest.update(json.dumps(record, ensure_ascii=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def normalize(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces (the SQuAD evaluation's normalisation)."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


def exact_match(prediction: str, gold: str) -> float:
    """1.0 when both are the same after normalisation."""
    return float(normalize(prediction) == normalize(gold))


def f1(prediction: str, gold: str) -> float:
    """Harmonic mean of word precision and recall, words counted with multiplicity."""
    predicted, expected = normalize(prediction).split(), normalize(gold).split()
    if not predicted or not expected:
        return float(predicted == expected)
    shared = sum((Counter(predicted) & Counter(expected)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(expected)
    return 2 * precision * recall / (precision + recall)


def score(questions: Sequence[Question], predictions: Mapping[str, str]) -> dict[str, float]:
    """EM and F1 in percent: best over a question's gold answers, mean over questions.

    A question without a prediction counts zero. One without gold answers wants the empty string.
    """
    totals = {"em": 0.0, "f1": 0.0}
    for question in questions:
        golds = [a.text for a in question.answers if normalize(a.text)] or [""]
        given = predictions.get(question.id)
        if given is not None:
            totals["em"] += _best(exact_match, given, golds)
            totals["f1"] += _best(f1, given, golds)
    return {name: 100.0 * total / max(len(questions), 1) for name, total in totals.items()}


def _best(metric: Callable[[str, str], float], given: str, golds: Sequence[str]) -> float:
    return max(metric(given, gold) for gold in golds)
