"""python -m pipeline.run: a recipe → stages → a bundle per target and a report. The only loop."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline import recipe as recipes
from pipeline.recipe import Checkpoint, Recipe
from pipeline.stages.teach import Teach
from pipeline.store import Store
from pipeline.tasks.dataset import QuestionSet


class _Print:
    def update(self, done: float, total: float, note: str = "") -> None:
        if int(done) % 50 == 0:
            print(f"{done:.0f}/{total:.0f} {note}", flush=True)

    def say(self, sentence: str) -> None:
        print(sentence, flush=True)


class _Nothing:
    def manifest(self, key: str) -> None:
        return None

    def unpack(self, key: str, out: Path) -> None:
        raise AssertionError


def main() -> int:
    parser = argparse.ArgumentParser()
    for flag in ("recipe", "target", "store", "teacher", "train-data"):
        parser.add_argument(f"--{flag}")
    given = parser.parse_args()
    recipe: Recipe = recipes.load(given.recipe)
    teacher = Checkpoint(source=given.teacher) if given.teacher else recipe.teacher
    train = recipe.data.train.model_copy(update={"source": given.train_data, "fingerprint": None})
    teach = Teach(
        encoder=teacher,
        questions=QuestionSet(train),
        task=recipe.task,
        options=recipe.teach,
        seed=recipe.seed,
    )
    print(Store(Path(given.store), seed=recipe.seed, shipped=_Nothing()).make(teach, _Print()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
