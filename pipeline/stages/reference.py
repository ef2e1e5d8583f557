"""reference: what torch says of the questions on which programs are compared, once for all targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import comparison
from pipeline.models import checkpoint, compressed, student
from pipeline.models.answerer import TorchStudent
from pipeline.models.dynamic import quantized_alike
from pipeline.recipe import AnyTask
from pipeline.recipe import Verify as Tolerance
from pipeline.tasks.dataset import ExampleSet
from pipeline.tasks.methods import methods_of
from pipeline.types import Activations, Artifact, Progress

FLOAT32 = "torch float32"
"""The student before quantization."""
WEIGHTS = "torch int8 weights"
CALLED: Mapping[Activations, str] = {
    "float": WEIGHTS,
    "int8-row": "torch int8",
    "int8-tensor": "torch int8 per tensor",
}
"""The student quantized as a runtime computes."""
EXPLAINED = {
    FLOAT32: "The student before quantization.",
    WEIGHTS: "Weights on the int8 grid, activations in float32.",
    CALLED["int8-row"]: "Activations of linears rounded to int8 too, a scale a token, as XNNPACK does.",
    CALLED["int8-tensor"]: "Activations of linears rounded to int8 too, one scale a tensor.",
}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Logits of the pruned student (`quantized` false), or of the quantized one with these activations."""

    model: Artifact
    quantized: bool
    activations: Activations
    questions: ExampleSet[Any]
    task: AnyTask
    tolerance: Tolerance

    name = "reference"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        return {
            "quantized": self.quantized,
            "activations": self.activations,
            "task": self.task.model_dump(mode="json"),
            "questions": self._count(),
        }

    def parents(self) -> Mapping[str, str]:
        return {"student": self.model.sha256, "questions": self.questions.identity()}

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers")

    def _count(self) -> int:
        return max(self.tolerance.questions, self.tolerance.emulated_questions)

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        methods, examples = methods_of(self.task), self.questions.examples[: self._count()]
        if self.quantized:
            made = compressed.load(self.model.path, "student", self.task.max_length, {})
            module = quantized_alike(made.module, made.quantization, self.activations)
        else:
            module = student.load(self.model.path)
        windows = comparison.windows_of(methods, examples, checkpoint.load_tokenizer(self.model.path))
        said = comparison.ask(
            TorchStudent(module), windows, lambda done: progress.update(done, len(examples), "asking torch")
        )
        comparison.save(said, out)
        found = comparison.answers(methods, examples, windows, said)
        return {"questions": float(len(examples)), **comparison.scores(methods, examples, found)}


def references_of(
    kinds: Iterable[Activations], pruned: Artifact, quantized: Artifact
) -> dict[str, tuple[Artifact, bool, Activations]]:
    """Name → model, whether it is quantized, and activations, of all that programs of these kinds need."""
    wanted: dict[str, tuple[Artifact, bool, Activations]] = {FLOAT32: (pruned, False, "float")}
    for kind in dict.fromkeys(("float", *kinds)):
        wanted[CALLED[kind]] = (quantized, True, kind)
    return wanted
