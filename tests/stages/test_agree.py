"""agree and reference: every figure by an independent statement, from what the stages before them kept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipeline import comparison
from pipeline.models import checkpoint, student
from pipeline.models.answerer import TorchStudent
from pipeline.recipe import Task
from pipeline.stages.agree import RESULT, Agree, read
from pipeline.stages.reference import FLOAT32, WEIGHTS, Reference
from pipeline.stages.verify import Verify
from pipeline.tasks import question_answering, squad
from pipeline.types import Artifact, Silent
from tests.stages.conftest import Chain, FakeExporter


def artifact(folder: Path) -> Artifact:
    return Artifact(kind="", path=folder, key="k", sha256="s", parents=(), metrics={})


def ran(stage: Agree | Verify, folder: Path) -> Artifact:
    folder.mkdir()
    stage.run(folder, folder, Silent())
    return artifact(folder)


@pytest.fixture
def agree(chain: Chain) -> Agree:
    stage = chain.stages["agree"]
    assert isinstance(stage, Agree)
    return stage


def logits(folder: Path) -> np.ndarray:
    found: np.ndarray = load_file(str(folder / comparison.FILE))["logits"].astype(np.float64)
    return found


def test_pairs_are_what_the_kept_logits_say(agree: Agree, chain: Chain) -> None:
    table = read(chain.made["agree"])
    assert [one.name for one in table.compared] == [FLOAT32, WEIGHTS, "fake"]
    assert [(pair.one, pair.other) for pair in table.pairs] == [
        (FLOAT32, WEIGHTS),
        (FLOAT32, "fake"),
        (WEIGHTS, "fake"),
    ]
    kept = {name: logits(made.path) for name, made in {**agree.references, **agree.verified}.items()}
    for pair in table.pairs:
        one, other = kept[pair.one], kept[pair.other]
        error = one - other
        assert pair.questions == 5
        assert pair.max_error == pytest.approx(np.abs(error).max())
        assert pair.mean_error == pytest.approx(np.abs(error).mean())
        assert pair.sqnr_db == pytest.approx(10 * np.log10((one**2).sum() / (error**2).sum()))
        wanted = (one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum())
        assert pair.cosine == pytest.approx(wanted)
    assert table.pair("fake", WEIGHTS) == table.pairs[2]
    written = json.loads((chain.made["agree"].path / RESULT).read_text())
    assert written == json.loads(json.dumps(dataclasses.asdict(table)))


def test_what_torch_said_is_kept_in_order(chain: Chain) -> None:
    made = chain.stages["reference"]
    assert isinstance(made, Reference)
    assert made.activations == "int8-row"
    task, folder = chain.recipe.task, chain.made["prune"].path
    assert isinstance(task, Task)
    model, tokenizer = TorchStudent(student.load(folder)), checkpoint.load_tokenizer(folder)
    stage = chain.stages["agree"]
    assert isinstance(stage, Agree)
    said = comparison.load(stage.references[FLOAT32].path)
    questions = squad.read(chain.recipe.data.eval.source)[:5]
    assert len(said) == 5
    for question, parts in zip(questions, said, strict=True):
        windows = question_answering.windows(question, tokenizer, task)
        assert len(windows) == len(parts)
        for window, outputs in zip(windows, parts, strict=True):
            wanted = model(window.ids[None], np.ones_like(window.ids)[None])
            assert all(np.array_equal(a[0], b) for a, b in zip(wanted, outputs, strict=True))
    assert logits(chain.made["reference"].path).shape == logits(stage.references[WEIGHTS].path).shape
    assert not np.array_equal(logits(chain.made["reference"].path), logits(stage.references[WEIGHTS].path))


def test_shares_of_answers_and_metrics(chain: Chain) -> None:
    table = read(chain.made["agree"])
    (fake,) = [one for one in table.compared if one.name == "fake"]
    metrics = chain.made["verify"].metrics
    assert fake.scores == {name: metrics[name] for name in ("em", "f1")}
    against = {pair.one: pair.agreement for pair in table.pairs if pair.other == "fake"}
    assert against == {FLOAT32: metrics["float_agreement"], WEIGHTS: metrics["span_agreement"]}


def test_programs_asked_fewer_are_compared_on_those(agree: Agree, chain: Chain, tmp_path: Path) -> None:
    check = chain.stages["verify"]
    assert isinstance(check, Verify)
    fewer = check.tolerance.model_copy(update={"questions": 2})
    few = ran(dataclasses.replace(check, tolerance=fewer), tmp_path / "few")
    made = ran(dataclasses.replace(agree, verified={**agree.verified, "few": few}), tmp_path / "agree")
    table = read(made)
    asked = {one.name: one.questions for one in table.compared}
    assert asked == {FLOAT32: 5, WEIGHTS: 5, "fake": 5, "few": 2}
    pair = table.pair("fake", "few")
    assert pair is not None
    assert (pair.questions, pair.agreement, pair.max_error) == (2, 1.0, 0.0)
    assert pair.sqnr_db == comparison.EXACT_DB


def test_what_was_not_run_says_so_and_why(agree: Agree, chain: Chain, tmp_path: Path) -> None:
    check, exporter = chain.stages["verify"], FakeExporter()
    assert isinstance(check, Verify)
    exporter.not_run = "needs a phone"
    phone = ran(dataclasses.replace(check, exporter=exporter), tmp_path / "phone")
    table = read(
        ran(dataclasses.replace(agree, verified={**agree.verified, "phone": phone}), tmp_path / "agree")
    )
    last = table.compared[-1]
    assert (last.name, last.not_run, last.about, last.scores) == ("phone", True, "needs a phone", {})
    assert table.pair("fake", "phone") is None
    assert len(table.pairs) == 3
