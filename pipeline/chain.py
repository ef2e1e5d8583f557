"""From a recipe to its distilled student: the stages that run, ablate and bench have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import stages
from pipeline.models import checkpoint
from pipeline.recipe import Recipe
from pipeline.tasks.corpus import CorpusText
from pipeline.tasks.dataset import ExampleSet
from pipeline.tasks.methods import methods_of
from pipeline.types import Artifact

if TYPE_CHECKING:
    from pipeline.runs import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """A recipe's data."""

    train: ExampleSet[Any]
    held_out: ExampleSet[Any]
    calibration: ExampleSet[Any]
    corpus: CorpusText | None

    @classmethod
    def of(cls, recipe: Recipe) -> Sets:
        """Named, not yet read."""
        data, read = recipe.data, methods_of(recipe.task).examples
        return cls(
            train=read(data.train),
            held_out=read(data.eval),
            calibration=read(data.calibration),
            corpus=CorpusText(recipe.pretrain.corpus) if recipe.pretrain else None,
        )


def checked(recipe: Recipe) -> Sets:
    """The recipe's data; what is here is read now, so that a bad file is refused before anything is trained.

    Raises UsageError for data or a checkpoint that cannot be used.
    """
    sets = Sets.of(recipe)
    if sets.corpus:
        sets.corpus.identity()
    for examples in (sets.train, sets.held_out, sets.calibration):
        examples.identity()
    for reference in (recipe.teacher, recipe.student):
        checkpoint.check(reference, recipe.task.max_length)
    return sets


def distilled(run: Run, sets: Sets) -> tuple[Artifact, Artifact]:
    """teach → pretrain, where the recipe has it → distil: the teacher and the distilled student."""
    recipe, task, seed, launch = run.recipe, run.recipe.task, run.recipe.seed, run.recipe.launch
    teach = stages.Teach(
        encoder=recipe.teacher,
        questions=sets.train,
        task=task,
        options=recipe.teach,
        seed=seed,
        launch=launch,
    )
    teacher = run(teach)
    general = None
    if recipe.pretrain and sets.corpus:
        pretrain = stages.Pretrain(
            encoder=recipe.teacher,
            corpus=sets.corpus,
            shape=recipe.student,
            options=recipe.pretrain,
            seed=seed,
            launch=launch,
        )
        general = run(pretrain)
    distil = stages.Distil(
        teacher=teacher,
        questions=sets.train,
        task=task,
        shape=recipe.student,
        options=recipe.distil,
        seed=seed,
        general=general,
        launch=launch,
    )
    return teacher, run(distil)
