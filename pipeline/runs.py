"""One run: makes stages through the store, says what happened to each, and remembers it for the report."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import tomli_w
from rich.console import Console

from exporters.base import Exporter
from pipeline import apps, console, distributed, stages
from pipeline.estimate import UNMADE, calibration
from pipeline.recipe import Recipe
from pipeline.report import devices, page, saved, table
from pipeline.report.figures import METRIC_TITLES
from pipeline.report.summary import (
    Agreement,
    BaselineSize,
    Curve,
    Row,
    RunSummary,
    StageRecord,
    Verdict,
)
from pipeline.stages.agree import RESULT as AGREEMENT
from pipeline.stages.agree import read as read_agreement
from pipeline.stages.baseline import TITLES, Precision
from pipeline.stages.bench import CANDIDATE, is_emulated, latency_of, timing_of
from pipeline.stages.bundle import FOLDER
from pipeline.stages.cause import cause_of
from pipeline.stages.export import BESIDE
from pipeline.stages.verify import judge
from pipeline.store import Stage, Store, key_of, provenance, tool_version
from pipeline.tasks.methods import methods_of
from pipeline.types import Artifact, VerificationFailed


class Run:
    """Calls are stages; with `dry` they are only looked up, and nothing is written."""

    def __init__(self, recipe: Recipe, store: Store, screen: Console, *, dry: bool) -> None:
        self.recipe, self.store, self.screen, self.dry = recipe, store, screen, dry
        self.records: list[StageRecord] = []
        self.rows: list[Row] = []
        self.verdicts: list[Verdict] = []
        self.timings: dict[str, Artifact] = {}
        self.bundles: dict[str, str] = {}
        self.curves: list[Curve] = []
        self.baselines: list[BaselineSize] = []
        self.agreement: Agreement | None = None
        self.to_train: list[tuple[str, Stage]] = []
        self.asked = methods_of(recipe.task).words.examples

    def __call__(self, stage: Stage, about: str = "") -> Artifact:
        """The stage's artifact. `about` says which one, where a stage is run more than once."""
        title = f"{stage.name} {about}".strip()
        return self._plan(stage, title) if self.dry else self._make(stage, title)

    def _plan(self, stage: Stage, title: str) -> Artifact:
        found = self.store.peek(stage)
        self.screen.print(f"  {title:32}{found.origin if found else 'to be made'}")
        if not found and isinstance(stage, stages.TRAINED):
            self.to_train.append((title, stage))
        return found or Artifact(
            kind=stage.name,
            path=Path(),
            key=key_of(stage, self.store.seed),
            sha256=UNMADE,
            parents=(),
            metrics={},
        )

    def _make(self, stage: Stage, title: str) -> Artifact:
        with console.stopwatch() as spent, console.bar(self.screen, title) as bar:
            artifact = self.store.make(stage, bar)
        took = spent()
        self.screen.print(f"  {title:32}{artifact.origin:8}{console.seconds(took):>12}   {_figures(artifact)}")
        self.records.append(
            StageRecord(
                name=title,
                origin=artifact.origin,
                seconds=took,
                made_in_seconds=artifact.seconds,
                key=artifact.key,
                sha256=artifact.sha256,
                metrics=artifact.metrics,
            )
        )
        if isinstance(stage, stages.Baseline):
            target, size = stage.exporter.target, int(artifact.metrics["size_bytes"])
            self.baselines.append(BaselineSize(target=target, precision=stage.precision, size_bytes=size))
        if history := self.store.history(artifact.key):
            steps, losses = zip(*((int(at["step"]), at["loss"]) for at in history), strict=True)
            self.curves.append(Curve(stage=title, steps=steps, losses=losses))
        return artifact

    def _estimate(self) -> None:
        """Says what training will need on this device. Nothing is written into the store."""
        if self.to_train:
            self.screen.print("what training needs here, from a few steps of each:")
        with calibration() as calibrated:
            for title, stage in self.to_train:
                with console.bar(self.screen, title):
                    estimate = calibrated.estimate(stage, key_of(stage, self.store.seed))
                for number, sentence in enumerate(estimate.sentences()):
                    self.screen.print(f"  {'' if number else title:12}{sentence}", markup=False)

    def goes_on_alone(self) -> bool:
        """Ends the work that several processes do together; whether this one is to do the rest."""
        first = distributed.is_first()
        distributed.leave()
        return first

    def evaluated(self, who: str, model: Artifact, score: Artifact) -> None:
        """Remembers a torch model's line of the result table."""
        if self.dry:
            return
        parameters = int(model.metrics["parameters"])
        self.rows.append(
            Row(
                label=who,
                kind="teacher" if who == "teacher" else "student",
                parameters=parameters,
                scores=self._scores(score),
                questions=int(score.metrics["questions"]),
                size_bytes=4 * parameters,
                latency=None,
                note="float32 in torch",
            )
        )

    def _scores(self, measured: Artifact) -> dict[str, float]:
        """The task's metrics among an artifact's."""
        return {name: measured.metrics[name] for name in methods_of(self.recipe.task).metrics}

    def timed(self, runtime: str, bench: Artifact) -> None:
        """Remembers a bench result; torch's belongs to the teacher's and student's lines."""
        if self.dry:
            return
        self.timings[runtime] = bench
        if runtime == "torch":
            self.rows = [replace(row, latency=latency_of(bench.path, row.label)) for row in self.rows]

    def peers(self, exporter: Exporter, program: Artifact) -> tuple[Precision, ...]:
        """The precisions of the baseline that a program is timed against; none where it is not timed here."""
        if program.sha256 == UNMADE or exporter.why_not_run() or is_emulated(exporter, program):
            return ()
        return tuple(dict.fromkeys(("float32", stages.precision_of(self.recipe.quantize))))

    def judge(self, export: stages.Export, check: stages.Verify, verified: Artifact) -> None:
        """Holds a verification against the recipe's tolerance; what could not be run has no verdict.

        Raises VerificationFailed, naming the check and the first operation that goes wrong.
        """
        if self.dry:
            return
        verdict = judge(verified, self.recipe.verify, check.exporter.activations)
        self.verdicts.append(verdict)
        if verdict.not_run:
            self.screen.print(f"  {verdict.target}: not run: {verdict.not_run}", markup=False)
        failed = [c for c in verdict.checks if not c.passed]
        if failed:
            first = failed[0]
            with console.bar(self.screen, "looking for the cause") as bar:
                where = cause_of(export, check, first, bar)
            on = f"feed '{first.on}'" if first.on else f"{verdict.questions} {self.asked}"
            raise VerificationFailed(
                f"{verdict.target}: {first.name} is {first.value:.4g}, wanted {first.relation} {first.limit:g} "
                f"on {on}; no bundle was made; first to go wrong: {where}"
            )

    def compared(self, agreed: Artifact, out: Path) -> None:
        """Puts agreement.json into the run's folder and remembers it for the report."""
        if self.dry:
            return
        self.agreement = read_agreement(agreed)
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(agreed.path / AGREEMENT, out / AGREEMENT)

    def deliver(self, target: str, program: Artifact, verified: Artifact, bundle: Artifact, out: Path) -> None:
        """Puts a target's bundle into the run's folder and remembers its line of the result table."""
        if self.dry:
            return
        replace_folder(bundle.path / FOLDER, out / target)
        self.bundles[target] = target
        if (program.path / BESIDE).is_dir():
            replace_folder(program.path / BESIDE, out / BESIDE / target)
        timing = self.timings.get(target)
        latency = latency_of(timing.path, CANDIDATE) if timing else None
        not_run = next(verdict.not_run for verdict in self.verdicts if verdict.target == target)
        untimed = "evaluated op by op; this machine has no runtime for it to time"
        note = untimed if timing and not latency else ""
        self.rows.append(
            Row(
                label=target,
                kind="artifact",
                parameters=None,
                scores={} if not_run else self._scores(verified),
                questions=int(verified.metrics["questions"]),
                size_bytes=int(program.metrics["size_bytes"]),
                latency=latency,
                note=f"not run: {not_run}" if not_run else note,
            )
        )

    def drop(self, drops: Sequence[apps.Drop], bundles: Mapping[str, Artifact]) -> None:
        """Gives apps their bundles, by target, and says where they went and what to do next."""
        for drop in drops:
            if self.dry:
                self.screen.print(f"  app {drop.app:28}would get {drop.target} in {drop.place}", markup=False)
                continue
            apps.put(drop, bundles[drop.target].path / FOLDER)
            self.screen.print(f"app     {drop.app:18}{drop.place}", markup=False)
            self.screen.print(f"next    {drop.app:18}{drop.then}", markup=False)

    def finish(self, out: Path) -> None:
        """Writes the report, prints the table and says where everything is."""
        if self.dry:
            self._estimate()
            return
        summary = RunSummary(
            recipe_name=self.recipe.name,
            recipe_description=self.recipe.description,
            recipe_toml=tomli_w.dumps(self.recipe.model_dump(mode="json", exclude_none=True)),
            eval_source=self.recipe.data.eval.source,
            primary=methods_of(self.recipe.task).primary,
            asked=self.asked,
            baseline=TITLES[self.recipe.bench.baseline],
            rows=tuple(self.rows),
            stages=tuple(self.records),
            verdicts=tuple(self.verdicts),
            bundles=self.bundles,
            provenance=provenance(),
            agreement=self.agreement,
            curves=tuple(self.curves),
            timings=tuple(timing for made in self.timings.values() if (timing := timing_of(made.path))),
            baselines=tuple(self.baselines),
            tools={name: tool_version(name) for name in ("torch", "transformers", "numpy")},
        )
        out.mkdir(parents=True, exist_ok=True)
        saved.write(summary, out)
        page.render(summary, out, devices.found(summary, out))
        self.screen.print()
        self.screen.print(table.result_table(summary))
        for target, folder in self.bundles.items():
            self.screen.print(f"bundle  {target:18}{out / folder}")
        self.screen.print(f"report                    {out / page.REPORT}")


_SHOWN = {
    **{name: f"{title} {{:.1f}}" for name, title in METRIC_TITLES.items()},
    "final_loss": "loss {:.2f}",
    "parameters": "{:,.0f} parameters",
    "worst_weight_sqnr_db": "worst weight {:.0f} dB",
    "size_bytes": "{:,.0f} bytes",
    "sqnr_db": "SQNR {:.1f} dB",
    "span_agreement": "same span {:.1%}",
    "label_agreement": "same label {:.1%}",
    "value_agreement": "same value {:.1%}",
    "quantized_agreement": "as torch quantized alike {:.1%}",
    "adversarial_sqnr_db": "hostile windows {:.0f} dB",
    "lowest_agreement": "lowest agreement {:.1%}",
    "lowest_sqnr_db": "lowest SQNR {:.1f} dB",
    "golden_cases": "{:.0f} golden cases",
}


def _figures(artifact: Artifact) -> str:
    shown = [text.format(artifact.metrics[name]) for name, text in _SHOWN.items() if name in artifact.metrics]
    return ", ".join(shown)


def replace_folder(source: Path, target: Path) -> None:
    """Copies a folder beside its target, then swaps it in by renaming: what stands there is always whole.

    A kill between the two renames leaves nothing there; the next run puts it back.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = (target.with_name(f".{target.name}.{part}") for part in ("new", "old"))
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(source, fresh)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)
