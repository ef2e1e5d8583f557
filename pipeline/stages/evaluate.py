"""evaluate: a torch model's answers to a question set, and their EM and F1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.models import answerer
from pipeline.recipe import Task
from pipeline.tasks import question_answering, squad
from pipeline.tasks.dataset import QuestionSet
from pipeline.types import Artifact, Progress

PREDICTIONS = "predictions.json"


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Held-out accuracy of a teacher or student; predictions are kept in the official layout."""

    model: Artifact
    questions: QuestionSet
    task: Task

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
        questions = self.questions.questions
        predictions = question_answering.answer_all(
            questions,
            model,
            tokenizer,
            self.task,
            step=lambda done: progress.update(done, len(questions), "answering"),
        )
        (out / PREDICTIONS).write_text(json.dumps(predictions, ensure_ascii=False, indent=1), encoding="utf-8")
        return {**squad.score(questions, predictions), "questions": float(len(questions))}
