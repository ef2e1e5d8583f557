"""--dry-run's figures: real steps of real stages, nothing left behind, and a reason where there are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline import stages
from pipeline.estimate import UNMADE, Calibration, Estimate
from pipeline.recipe import Checkpoint, Distil, Launch, Questions, StudentShape, Task, Teach
from pipeline.rehearsal import Cost
from pipeline.store import key_of
from pipeline.targets import Stored
from pipeline.tasks.dataset import QuestionSet
from pipeline.types import Artifact, Silent

TASK = Task(max_length=96, stride=16)


@pytest.fixture
def teach(encoder_folder: Path, question_file: Path) -> stages.Teach:
    return stages.Teach(
        encoder=Checkpoint(source=str(encoder_folder)),
        questions=QuestionSet(Questions(source=str(question_file))),
        task=TASK,
        options=Teach(epochs=40, tokens_per_batch=256),
        seed=0,
    )


def unmade(stage: stages.Teach) -> Artifact:
    return Artifact(kind="teach", path=Path(), key=key_of(stage, 0), sha256=UNMADE, parents=(), metrics={})


def distil(teach: stages.Teach) -> stages.Distil:
    return stages.Distil(
        teacher=unmade(teach),
        questions=teach.questions,
        task=TASK,
        shape=StudentShape(),
        options=Distil(epochs=40, tokens_per_batch=256),
        seed=0,
    )


def test_a_stage_and_the_next_one_are_rehearsed(teach: stages.Teach, tmp_path: Path) -> None:
    calibration = Calibration(tmp_path)
    first = calibration.estimate(teach, key_of(teach, 0))
    assert first.cost is not None
    assert first.cost.steps > first.cost.tried > 0
    assert 0 < first.cost.tokens_per_step <= 256
    parameters = 44866  # of the tests' BERT with its head
    assert first.cost.weights_bytes == first.cost.gradients_bytes == 4 * parameters
    assert first.cost.optimizer_bytes == 8 * parameters
    assert first.cost.peak_bytes is None or first.cost.peak_bytes > first.cost.weights_bytes
    assert first.stand_ins == ()

    stage = distil(teach)
    second = calibration.estimate(stage, key_of(stage, 0))
    assert second.cost is not None
    assert second.stand_ins == ("teach",)
    assert "untrained stand-in for teach" in "; ".join(second.sentences())


@pytest.mark.parametrize("choice", ["auto", "once"])
def test_the_teacher_is_not_asked_about_all_data(
    choice: str, teach: stages.Teach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stored, "fill", lambda *given: pytest.fail("a pass over all data"))
    calibration = Calibration(tmp_path)
    calibration.estimate(teach, key_of(teach, 0))
    launch = Launch.model_validate({"teacher_outputs": choice})
    stage = replace(distil(teach), launch=launch)
    assert calibration.estimate(stage, key_of(stage, 0)).cost is not None


def test_what_is_not_here_is_said(teach: stages.Teach, tmp_path: Path) -> None:
    gone = replace(teach, encoder=Checkpoint(source=str(tmp_path / "nothing")))
    calibration = Calibration(tmp_path)
    missing = calibration.estimate(gone, key_of(teach, 0))
    assert missing.cost is None
    assert "nothing" in missing.why_not
    stage = distil(teach)
    after = calibration.estimate(stage, key_of(stage, 0))
    assert list(after.sentences()) == ["not calibrated: it needs the result of teach, which is not here either"]


def test_the_sentences_carry_units() -> None:
    cost = Cost(
        steps=10_000,
        tried=5,
        seconds_per_step=1.44,
        tokens_per_step=6000.0,
        weights_bytes=90_000_000,
        gradients_bytes=43_000_000,
        optimizer_bytes=86_000_000,
        peak_bytes=2_350_000_000,
        device="a device",
    )
    assert list(Estimate(cost=cost).sentences()) == [
        "10,000 steps, 60.0 million tokens, about 4 h 00 min at 4,167 tokens/s",
        "peak memory about 2.4 GB (weights 90 MB, gradients 43 MB, optimizer 86 MB; "
        "the rest is activations, the teacher and libraries)",
        "from 5 steps on a device",
    ]


def test_a_rehearsal_does_not_disturb_the_random_state_of_a_later_run(
    teach: stages.Teach, tmp_path: Path
) -> None:
    """Every run is seeded when it begins."""
    short = replace(teach, options=Teach(epochs=2, tokens_per_batch=256))

    def weights(folder: Path) -> bytes:
        out = folder / "out"
        out.mkdir(parents=True)
        short.run(out, folder, Silent())
        return (out / "model.safetensors").read_bytes()

    torch.set_num_threads(1)
    before = weights(tmp_path / "before")
    Calibration(tmp_path).estimate(teach, "key")
    assert weights(tmp_path / "after") == before
