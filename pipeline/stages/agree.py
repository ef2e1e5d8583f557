"""agree: every program of a run and the torch students they came from, each compared with each.

Arithmetic alone: stages reference and verify kept what torch and the programs said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline import comparison
from pipeline.models import checkpoint
from pipeline.recipe import AnyTask
from pipeline.report.summary import Agreement, Compared, Pair
from pipeline.stages import reference, verify
from pipeline.tasks.dataset import ExampleSet
from pipeline.tasks.methods import methods_of
from pipeline.types import Artifact, Progress

RESULT = "agreement.json"


@dataclass(frozen=True, kw_only=True)
class Agree:
    """`references` and `verified` are results of those stages, by name and by target, in the order shown."""

    quantized: Artifact
    references: Mapping[str, Artifact]
    verified: Mapping[str, Artifact]
    questions: ExampleSet[Any]
    task: AnyTask

    name = "agree"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        return {
            "task": self.task.model_dump(mode="json"),
            "order": [*self.references, *self.verified],
        }

    def parents(self) -> Mapping[str, str]:
        return {
            "student": self.quantized.sha256,
            "questions": self.questions.identity(),
            **{name: made.sha256 for name, made in self.references.items()},
            **{target: made.sha256 for target, made in self.verified.items()},
        }

    def tools(self) -> tuple[str, ...]:
        return ("numpy", "transformers")

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        methods = methods_of(self.task)
        described = list(self._described())
        said = {name: comparison.load(made.path) for name, made, _, not_run in described if not not_run}
        longest = max(map(len, said.values()))
        examples = self.questions.examples[:longest]
        windows = comparison.windows_of(methods, examples, checkpoint.load_tokenizer(self.quantized.path))
        found = {name: comparison.answers(methods, examples, windows, one) for name, one in said.items()}
        compared = tuple(
            Compared(
                name=name,
                about=about,
                questions=len(said.get(name, ())),
                scores=comparison.scores(methods, examples, found[name]) if name in said else {},
                not_run=not_run,
            )
            for name, _, about, not_run in described
        )
        names = list(said)
        pairs = []
        for place, one in enumerate(names):
            for other in names[place + 1 :]:
                pairs.append(
                    Pair(
                        one=one,
                        other=other,
                        questions=min(len(said[one]), len(said[other])),
                        **comparison.apart(said[one], said[other]),
                        agreement=comparison.agreement(methods, found[one], found[other]),
                    )
                )
            progress.update(place + 1, len(names), "comparing")
        whole = Agreement(same=methods.words.same, compared=compared, pairs=tuple(pairs))
        (out / RESULT).write_text(json.dumps(asdict(whole), ensure_ascii=False, indent=1), encoding="utf-8")
        return {
            "programs": float(len(names)),
            "lowest_agreement": min(pair.agreement for pair in pairs),
            "lowest_sqnr_db": min(pair.sqnr_db for pair in pairs),
        }

    def _described(self) -> Iterator[tuple[str, Artifact, str, bool]]:
        """Name, result, what it is or why it was not run, and whether that is so."""
        for name, made in self.references.items():
            yield name, made, reference.EXPLAINED[name], False
        for target, made in self.verified.items():
            record = json.loads((made.path / verify.RESULT).read_text(encoding="utf-8"))
            yield target, made, record["note"], "not_run" in record


def read(agreed: Artifact) -> Agreement:
    """The record that the stage wrote."""
    table = json.loads((agreed.path / RESULT).read_text(encoding="utf-8"))
    return Agreement(
        same=table["same"],
        compared=tuple(Compared(**entry) for entry in table["compared"]),
        pairs=tuple(Pair(**entry) for entry in table["pairs"]),
    )
