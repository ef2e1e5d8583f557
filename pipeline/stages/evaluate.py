"""evaluate: a torch model's answers to held-out examples, and the task's metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.models import answerer
from pipeline.recipe import AnyTask
from pipeline.tasks.base import answer_all
from pipeline.tasks.dataset import ExampleSet
from pipeline.tasks.methods import methods_of
from pipeline.types import Artifact, Progress

PREDICTIONS = "predictions.json"


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Held-out accuracy of a teacher or student; predictions are kept by example id (the official layout)."""

    model: Artifact
    questions: ExampleSet[Any]
    task: AnyTask

    name = "evaluate"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        return self.task.model_dump(mode="json")

    def parents(self) -> Mapping[str, str]:
        return {"model": self.model.sha256, "questions": self.questions.identity()}

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers")

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        model, tokenizer = answerer.load_checkpoint(self.model.path)
        methods, examples = methods_of(self.task), self.questions.examples
        predictions = answer_all(
            methods,
            examples,
            model,
            tokenizer,
            step=lambda done: progress.update(done, len(examples), "answering"),
        )
        (out / PREDICTIONS).write_text(json.dumps(predictions, ensure_ascii=False, indent=1), encoding="utf-8")
        return {**methods.score(examples, predictions), "questions": float(len(examples))}
