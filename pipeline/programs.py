"""From a quantized student to one target's verified bundle: what run, export and bench have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporters.linting import inspection
from pipeline import stages
from pipeline.report import card
from pipeline.tasks.dataset import ExampleSet
from pipeline.types import Activations, Artifact

if TYPE_CHECKING:
    from exporters.base import Exporter
    from pipeline.runs import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What the programs of all targets are made from and held against."""

    pruned: Artifact
    """The student in float32, before quantization."""
    quantized: Artifact
    score: Artifact
    """What `pruned` scores on the held-out examples, which programs say of themselves."""
    held_out: ExampleSet[Any]
    calibration: ExampleSet[Any]
    steps: tuple[str, ...] = card.STEPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One target's results."""

    program: Artifact
    verified: Artifact
    bundle: Artifact


def references(run: Run, kinds: Iterable[Activations], of: Material) -> Mapping[str, Artifact]:
    """What torch says of the held-out examples, once for all programs with these kinds of activations."""
    wanted = stages.references_of(kinds, of.pruned, of.quantized)
    return {
        name: run(
            stages.Reference(
                model=model,
                quantized=is_quantized,
                activations=activations,
                questions=of.held_out,
                task=run.recipe.task,
                tolerance=run.recipe.verify,
            ),
            name,
        )
        for name, (model, is_quantized, activations) in wanted.items()
    }


def export(run: Run, exporter: Exporter, of: Material) -> stages.Export:
    """The stage that lowers the student for this target."""
    recipe = run.recipe
    return stages.Export(
        quantized=of.quantized,
        exporter=exporter,
        model_name=recipe.name,
        precision=stages.precision_of(recipe.quantize),
        task=recipe.task,
        options=recipe.export,
        calibration=of.calibration,
        score=of.score,
        scored_on=recipe.data.eval.source,
    )


def made(run: Run, exporter: Exporter, of: Material, against: Mapping[str, Artifact]) -> Made:
    """export → lint → verify → bundle; `against` are the references.

    Raises VerificationFailed where a rule finds an error or the program misses the recipe's tolerance.
    """
    recipe, task, target = run.recipe, run.recipe.task, exporter.target
    lowering = export(run, exporter, of)
    program = run(lowering, target)
    lint = stages.Lint(
        exported=program,
        quantized=of.quantized,
        exporter=exporter,
        calibration=of.calibration,
        task=task,
        linter=inspection,
    )
    stages.refuse_errors(run(lint, target))
    check = stages.Verify(
        exported=program,
        quantized=of.quantized,
        references=against,
        exporter=exporter,
        questions=of.held_out,
        task=task,
        tolerance=recipe.verify,
    )
    verified = run(check, target)
    run.judge(lowering, check, verified)
    bundle = stages.MakeBundle(
        model_name=recipe.name,
        exported=program,
        quantized=of.quantized,
        verified=verified,
        exporter=exporter,
        golden=of.held_out,
        task=task,
        golden_cases=recipe.verify.golden_cases,
        data=recipe.data,
        teacher=recipe.teacher,
        steps=of.steps,
    )
    return Made(program=program, verified=verified, bundle=run(bundle, target))


def timed(run: Run, exporter: Exporter, of: Material, program: Artifact, now: Run | None = None) -> Artifact:
    """The program beside the baselines, which are made where they are not stored; timed by `now`, if given."""
    options, target = run.recipe.bench, exporter.target
    precision = stages.precision_of(run.recipe.quantize)
    baselines = {
        peer: run(
            stages.Baseline(shape=options.baseline, exporter=exporter, precision=peer, length=options.length),
            f"{target} {peer}",
        )
        for peer in run.peers(exporter, program)
    }
    bench = stages.Bench(
        exported=program,
        quantized=of.quantized,
        exporter=exporter,
        baselines=baselines,
        options=options,
        precision=precision,
    )
    return (now or run)(bench, target)
