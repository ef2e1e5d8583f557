"""The tasks as stages see them: question answering, classification, regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from transformers import PreTrainedTokenizerBase

from pipeline import losses
from pipeline.models.student import Head
from pipeline.recipe import AnyTask, Classification, Questions, Regression, Task
from pipeline.tasks import question_answering, squad, text_classification
from pipeline.tasks.base import Decoder, Extent, Logits, Methods, Tensors, Words
from pipeline.tasks.dataset import QuestionSet, SentenceSet
from pipeline.tasks.metrics import METRICS
from pipeline.tasks.question_answering import Span, Window
from pipeline.tasks.sentences import Sentence
from pipeline.tasks.squad import Question
from pipeline.tasks.text_classification import Label, Text
from pipeline.training import Batch


def methods_of(task: AnyTask) -> Methods:
    """What there is to know of a recipe's task."""
    if isinstance(task, Task):
        return QuestionAnswering(task)
    if isinstance(task, Classification):
        return TextClassification(task)
    return TextRegression(task)


class QuestionAnswering:
    """Spans of passages."""

    words = Words(
        code="qa",
        title="Extractive question answering",
        does="Answers a question with a span of a passage (extractive question answering)",
        already="answers questions",
        examples="questions",
        input_ids="`[CLS]` question `[SEP]` passage `[SEP]`",
        same="answer span",
    )
    kind: str = "question-answering"
    head: Head = "question-answering"
    labels = 2
    outputs: tuple[str, ...] = ("start_logits", "end_logits")
    extents: tuple[Extent, ...] = ("tokens", "tokens")
    metrics: tuple[str, ...] = ("em", "f1")
    primary = "f1"
    is_mean = True
    agreement = "span_agreement"

    def __init__(self, task: Task) -> None:
        self.task, self.max_length = task, task.max_length

    def shaping(self) -> dict[str, Any]:
        return {"max_length": self.task.max_length, "stride": self.task.stride}

    def examples(self, entry: Questions) -> QuestionSet:
        return QuestionSet(entry)

    def windows(self, example: Question, tokenizer: PreTrainedTokenizerBase) -> list[Window]:
        return question_answering.windows(example, tokenizer, self.task)

    def hard(self, logits: Tensors, batch: Batch) -> Tensors:
        golds, mask = (batch["start_positions"], batch["end_positions"]), batch["attention_mask"]
        return tuple(losses.hard(given, gold, mask) for given, gold in zip(logits, golds, strict=True))

    def soft(self, logits: Tensors, targets: Tensors, batch: Batch, temperature: float) -> Tensors:
        mask = batch["attention_mask"]
        pairs = zip(logits, targets, strict=True)
        return tuple(losses.soft(given, target, mask, temperature) for given, target in pairs)

    def decoder(self, examples: Sequence[Question]) -> Decoder:
        may_be_empty = any(not question.answers for question in examples)

        def decode(question: Question, parts: Sequence[Window], logits: Sequence[Logits]) -> Span:
            pairs = [(start, end) for start, end in logits]
            return question_answering.decode(
                question.passage, parts, pairs, self.task, may_be_empty=may_be_empty
            )[0]

        return decode

    def agree(self, one: Span, other: Span) -> bool:
        return (one.start, one.end) == (other.start, other.end)

    def written(self, answer: Span) -> str:
        return answer.text

    def score(self, examples: Sequence[Question], predictions: Mapping[str, str]) -> dict[str, float]:
        return squad.score(examples, predictions)

    def case(self, example: Question, windows: Sequence[Window], answer: Span) -> dict[str, Any]:
        return {
            "id": example.id,
            "question": example.text,
            "passage": example.passage,
            "windows": [{"offsets": window.offsets.tolist()} for window in windows],
            "answer": {
                "text": answer.text,
                "start": answer.start,
                "end": answer.end,
                "score": round(answer.score, 4),
            },
        }

    def example_of(self, case: Mapping[str, Any]) -> Question:
        return Question(case["id"], case["question"], case["passage"], ())

    def shown(self, answer: Mapping[str, Any]) -> tuple[Any, str]:
        exact = tuple(answer[part] for part in ("text", "start", "end"))
        return exact, f"{answer['text']!r} at {answer['start']}"


class _Texts:
    """What classification and regression have in common."""

    head: Head = "text-classification"
    outputs: tuple[str, ...] = ("logits",)
    extents: tuple[Extent, ...] = ("example",)

    def __init__(self, task: Classification | Regression, labels: tuple[str, ...]) -> None:
        self.names, self.kind = labels, str(task.kind)
        self.labels, self.max_length = max(len(labels), 1), task.max_length
        self.metrics: tuple[str, ...] = task.metrics
        self.primary: str = self.metrics[0]
        self.is_mean = self.primary == "accuracy"

    def shaping(self) -> dict[str, Any]:
        return {"task": self.kind, "max_length": self.max_length, "labels": list(self.names)}

    def examples(self, entry: Questions) -> SentenceSet:
        return SentenceSet(entry, self.names)

    def windows(self, example: Sentence, tokenizer: PreTrainedTokenizerBase) -> list[Text]:
        return text_classification.windows(example, tokenizer, self.max_length)

    def _score(self, examples: Sequence[Sentence], given: Sequence[float]) -> dict[str, float]:
        gold, found = np.array([one.gold for one in examples]), np.array(given)
        return {name: 100.0 * METRICS[name](gold, found) for name in self.metrics}

    def _case(self, example: Sentence, answer: dict[str, Any]) -> dict[str, Any]:
        pair = {} if example.pair is None else {"pair": example.pair}
        return {"id": example.id, "text": example.text, **pair, "windows": [{}], "answer": answer}

    def example_of(self, case: Mapping[str, Any]) -> Sentence:
        return Sentence(case["id"], case["text"], case.get("pair"), 0.0)


class TextClassification(_Texts):
    """Labels of texts and of pairs of texts."""

    words = Words(
        code="classify",
        title="Text classification",
        does="Gives a text, or a pair of texts, one of its labels (text classification)",
        already="classifies texts",
        examples="texts",
        input_ids="`[CLS]` text `[SEP]`, or two texts with a `[SEP]` after each",
        same="label",
    )
    agreement = "label_agreement"

    def __init__(self, task: Classification) -> None:
        super().__init__(task, task.labels)

    def hard(self, logits: Tensors, batch: Batch) -> Tensors:
        """Cross-entropy, in nats."""
        return (F.cross_entropy(logits[0].float(), batch["gold"]),)

    def soft(self, logits: Tensors, targets: Tensors, batch: Batch, temperature: float) -> Tensors:
        """T² · KL over the labels (Hinton et al. 2015, section 2)."""
        return (losses.soft_words(logits[0], targets[0], temperature),)

    def decoder(self, examples: Sequence[Sentence]) -> Decoder:
        return lambda example, parts, logits: text_classification.label(logits[0][0], self.names)

    def agree(self, one: Label, other: Label) -> bool:
        return one.number == other.number

    def written(self, answer: Label) -> str:
        return answer.name

    def score(self, examples: Sequence[Sentence], predictions: Mapping[str, str]) -> dict[str, float]:
        return self._score(examples, [self.names.index(predictions[one.id]) for one in examples])

    def case(self, example: Sentence, windows: Sequence[Text], answer: Label) -> dict[str, Any]:
        return self._case(example, {"label": answer.name, "confidence": round(answer.confidence, 4)})

    def shown(self, answer: Mapping[str, Any]) -> tuple[Any, str]:
        return answer["label"], repr(answer["label"])


class TextRegression(_Texts):
    """Values of texts and of pairs of texts. A value has no softmax, so the soft loss has no temperature."""

    words = Words(
        code="regress",
        title="Text regression",
        does="Gives a text, or a pair of texts, a number (regression)",
        already="gives texts numbers",
        examples="texts",
        input_ids="`[CLS]` text `[SEP]`, or two texts with a `[SEP]` after each",
        same="value, within the tolerance",
    )
    agreement = "value_agreement"

    def __init__(self, task: Regression) -> None:
        super().__init__(task, ())
        self.tolerance = task.agree_within

    def hard(self, logits: Tensors, batch: Batch) -> Tensors:
        """Mean squared error, in the gold's unit squared."""
        return (F.mse_loss(logits[0].float().squeeze(-1), batch["gold"]),)

    def soft(self, logits: Tensors, targets: Tensors, batch: Batch, temperature: float) -> Tensors:
        """Mean squared error to the teacher's value."""
        return (F.mse_loss(logits[0].float(), targets[0].float()),)

    def decoder(self, examples: Sequence[Sentence]) -> Decoder:
        return lambda example, parts, logits: float(logits[0][0][0])

    def agree(self, one: float, other: float) -> bool:
        return abs(one - other) <= self.tolerance

    def written(self, answer: float) -> float:
        return round(answer, 5)

    def score(self, examples: Sequence[Sentence], predictions: Mapping[str, float]) -> dict[str, float]:
        return self._score(examples, [float(predictions[one.id]) for one in examples])

    def case(self, example: Sentence, windows: Sequence[Text], answer: float) -> dict[str, Any]:
        return self._case(example, {"value": round(answer, 4)})

    def shown(self, answer: Mapping[str, Any]) -> tuple[Any, str]:
        """Nothing to the letter: the logits, which are compared, are the value."""
        return None, f"{answer['value']:g}"
