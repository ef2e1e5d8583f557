"""adopt: a fine-tuned checkpoint as the export-ready graph, compared with the Hugging Face model it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.models import adopt, checkpoint, student
from pipeline.models.answerer import TorchStudent
from pipeline.models.student import StudentConfig, StudentModel
from pipeline.models.teacher import run_teacher
from pipeline.recipe import AnyTask, Classification, Questions, Task
from pipeline.store import sha256_file
from pipeline.tasks import sentences, squad
from pipeline.tasks.base import answer_all
from pipeline.tasks.dataset import ExampleSet, SentenceSet
from pipeline.tasks.methods import methods_of
from pipeline.tasks.sentences import Sentence
from pipeline.types import Progress, UsageError, VerificationFailed

MAX_RELATIVE_ERROR = 1e-4
"""Of graph and Hugging Face model in float32: the largest difference as a share of the largest logit."""
OWN_ANSWERS = "the checkpoint's own answers to shipped texts"
ASKED = {"validation": "passages", "train": "practice"}
"""Split of `OwnAnswers` → the shipped questions and passages that are its texts."""
PAIRS = 30
"""Of a shipped set, questions that also appear paired with their passage."""
TEXTS = 8
"""Shipped questions, alone and with their passage, on which graph and model are compared."""
SHORT = (1, 2, 3, 7, 16)


@dataclass(frozen=True, kw_only=True)
class Adopt:
    """Nothing is trained: what comes out computes what went in, or VerificationFailed says by how much not."""

    folder: Path
    task: AnyTask

    name = "adopt"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        methods = methods_of(self.task)
        return {"task": methods.kind} if isinstance(self.task, Task) else methods.shaping()

    def parents(self) -> Mapping[str, str]:
        files = [self.folder / "config.json", self.folder / checkpoint.WEIGHTS]
        files += checkpoint.tokenizer_files(self.folder)
        return {file.name: sha256_file(file) for file in files}

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers")

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        described = adopt.describe(self.folder)
        tokenizer = checkpoint.load_tokenizer(self.folder)
        model = checkpoint.load_model(self.folder, described.head, whole=True)
        known, vocabulary = max(tokenizer.get_vocab().values()) + 1, int(model.config.vocab_size)
        if known > vocabulary:
            raise UsageError(f"{self.folder}: its tokenizer has {known} ids, its model only {vocabulary}")
        graph = adopt.adopted(model, tokenizer, described)
        kinds = getattr(model.config, "type_vocab_size", 1)
        windows = list(comparison_windows(tokenizer, graph.config, kinds))
        metrics = compared(model, graph, windows, progress)
        if not metrics["max_relative_error"] <= MAX_RELATIVE_ERROR:
            raise VerificationFailed(
                f"the graph made of {self.folder} differs from the Hugging Face model by "
                f"{metrics['max_relative_error']:.1e} of the largest logit, at most {MAX_RELATIVE_ERROR:g} is "
                "allowed; nothing was exported"
            )
        student.save(graph, out)
        checkpoint.save_tokenizer(tokenizer, out)
        if not isinstance(self.task, Task):
            for split in ASKED:
                self._write_answers(graph, tokenizer, out / f"{split}.jsonl", split)
        return {**metrics, "parameters": float(sum(p.numel() for p in graph.parameters()))}

    def _write_answers(
        self, graph: StudentModel, tokenizer: PreTrainedTokenizerBase, file: Path, split: str
    ) -> None:
        """The checkpoint's label or value of every shipped text, a JSON line each."""
        texts = list(_texts(split))
        given = answer_all(methods_of(self.task), texts, TorchStudent(graph), tokenizer)
        lines = [
            json.dumps({"text": one.text, "pair": one.pair, "label": given[one.id]}, ensure_ascii=False)
            for one in texts
        ]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class OwnAnswers(SentenceSet):
    """Shipped texts with the gold that a classifier itself gave them: for checkpoints that come without data.

    Accuracy on them says how often an artifact answers as the checkpoint does, and nothing else.
    """

    adopted: Path = Path()
    """The result of `Adopt`."""

    def _is_here(self) -> bool:
        return True

    def _read(self) -> list[Sentence]:
        file = self.adopted / f"{self.entry.split}.jsonl"
        return sentences.read(str(file), self.entry.split, self.entry.limit, self.labels)


def _texts(split: str) -> Iterator[Sentence]:
    """The questions of a shipped set alone, some of them with their passage after them."""
    for number, question in enumerate(squad.read(ASKED[split])):
        yield Sentence(question.id, question.text, None, 0.0)
        if number < PAIRS:
            yield Sentence(f"{question.id}-pair", question.text, question.passage, 0.0)


Window = Mapping[str, torch.Tensor]
"""input_ids, attention_mask, token_type_ids: int64 (1, seq)."""


def _asked(ids: np.ndarray, types: np.ndarray, padding: int = 0, pad: int = 0) -> Window:
    mask = np.ones_like(ids)
    arrays = {"input_ids": (ids, pad), "attention_mask": (mask, 0), "token_type_ids": (types, 0)}
    return {
        name: torch.from_numpy(np.pad(array, (0, padding), constant_values=fill).astype(np.int64)[None])
        for name, (array, fill) in arrays.items()
    }


def comparison_windows(
    tokenizer: PreTrainedTokenizerBase, config: StudentConfig, kinds: int
) -> Iterator[Window]:
    """Texts and pairs with the tokenizer's own token types, and random ids of lengths from 1 to the longest.

    A random window has [CLS] first and separators in its middle and at its end where it has room for them.
    `kinds`: how many token types the model knows.
    """
    longest, vocabulary, mark = config.positions, config.vocabulary, config.separator
    if longest >= max(SHORT):
        for question in squad.read("practice", limit=TEXTS):
            for pair in (None, question.passage):
                encoded = tokenizer(question.text, pair, truncation="longest_first", max_length=longest)
                ids = np.array(encoded["input_ids"])
                types = np.array(encoded.get("token_type_ids", np.zeros_like(ids)))
                yield _asked(ids, np.minimum(types, kinds - 1))
    pad = tokenizer.pad_token_id or 0
    for length in sorted({*SHORT, longest // 2, longest - 1, longest}):
        if not 1 <= length <= longest:
            continue
        ids = np.random.default_rng(length).integers(0, vocabulary, length)
        ends = tokenizer.sep_token_id
        if ends is not None:
            ids[ids == ends] = (ends + 1) % vocabulary
            if length > 4:
                ids[[length // 3, length - 1]] = ends
        if tokenizer.cls_token_id is not None:
            ids[0] = tokenizer.cls_token_id
        types = np.zeros_like(ids) if mark is None else adopt.types_of(ids, mark)
        yield _asked(ids, types, padding=min(longest - length, 5), pad=pad)


def _run(model: PreTrainedModel, window: Window) -> tuple[torch.Tensor, ...]:
    with torch.inference_mode():
        return run_teacher(model, dict(window))[0]


def compared(
    model: PreTrainedModel, graph: StudentModel, windows: Sequence[Window], progress: Progress
) -> dict[str, float]:
    """Both in float32 on the same windows: the largest difference of logits of tokens, and as a share of the
    largest logit."""
    error = peak = 0.0
    for done, window in enumerate(windows, start=1):
        ids, mask = window["input_ids"], window["attention_mask"]
        with torch.inference_mode():
            found = graph(ids.int(), mask.int())
        for got, wanted in zip(found, _run(model, window), strict=True):
            real = mask == 1 if wanted.shape == mask.shape else torch.ones_like(wanted, dtype=torch.bool)
            # In this order, a NaN stays.
            error = float(torch.maximum((got - wanted)[real].abs().max(), torch.tensor(error)))
            peak = max(peak, float(wanted[real].abs().max()))
        progress.update(done, len(windows), "comparing with the Hugging Face model")
    return {
        "max_error": error,
        "max_relative_error": error / (peak or 1.0),
        "compared_windows": float(len(windows)),
    }


def examples_of(entry: Questions, task: AnyTask, adopted: Path) -> ExampleSet[Any]:
    """A set of examples, not yet read; of `OWN_ANSWERS` those that the result of `Adopt` holds."""
    if entry.source != OWN_ANSWERS:
        return methods_of(task).examples(entry)
    return OwnAnswers(entry, task.labels if isinstance(task, Classification) else (), adopted)
