"""Whole training runs on a tiny encoder: it learns, repeats bit by bit, and goes on after a kill."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertForQuestionAnswering

from pipeline import checkpoints
from pipeline.recipe import Checkpoint, Questions, Task
from pipeline.recipe import Teach as Settings
from pipeline.stages.teach import Teach
from pipeline.tasks import question_answering, squad
from pipeline.tasks.dataset import QuestionSet
from pipeline.types import Silent

TASK = Task(max_length=96, stride=16)
SETTINGS = Settings(epochs=15, learning_rate=4e-3, tokens_per_batch=256, dropout=0.1)

KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from transformers import Trainer
from pipeline.recipe import Checkpoint, Launch, Questions, Task, Teach as Settings
from pipeline.stages.teach import Teach
from pipeline.tasks.dataset import QuestionSet

encoder, questions, task, settings, work, last_step = sys.argv[1:]

class Killer:
    def update(self, done, total, note=""):
        if note != "reading questions" and done == abs(int(last_step)):
            if int(last_step) > 0:
                os.kill(os.getpid(), signal.SIGKILL)
            Trainer._save_rng_state = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
    def say(self, sentence): pass

torch.set_num_threads(1)
Teach(
    encoder=Checkpoint(source=encoder),
    questions=QuestionSet(Questions(source=questions)),
    task=Task.model_validate_json(task),
    options=Settings.model_validate_json(settings),
    seed=0,
    launch=Launch(save_steps=10),
).run(Path(work) / "out", Path(work), Killer())
"""


class Heard(Silent):
    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.steps: list[float] = []

    def update(self, done: float, total: float, note: str = "") -> None:
        if note != "reading questions":
            self.steps.append(done)

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


@dataclass(frozen=True)
class Result:
    metrics: Mapping[str, float]
    weights: dict[str, torch.Tensor]
    folder: Path
    heard: Heard


def teach(encoder: Path, questions: Path, folder: Path, settings: Settings = SETTINGS, seed: int = 0) -> Result:
    out, heard = folder / "out", Heard()
    out.mkdir(parents=True, exist_ok=True)
    stage = Teach(
        encoder=Checkpoint(source=str(encoder)),
        questions=QuestionSet(Questions(source=str(questions))),
        task=TASK,
        options=settings,
        seed=seed,
    )
    metrics = stage.run(out, folder, heard)
    return Result(metrics, load_file(out / "model.safetensors"), out, heard)


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    assert one.keys() == two.keys()
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def taught(encoder_folder: Path, question_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One run without interruption."""
    torch.set_num_threads(1)
    return teach(encoder_folder, question_file, tmp_path_factory.mktemp("taught"))


def loss_of(folder: Path, questions: Path) -> float:
    """Mean cross-entropy of the gold start and end, one question at a time, without the code under test."""
    model = BertForQuestionAnswering.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    total, count = 0.0, 0
    for question in squad.read(str(questions)):
        for window in question_answering.windows(question, tokenizer, TASK):
            ids, types = (torch.tensor(t[None].astype("int64")) for t in (window.ids, window.types))
            with torch.no_grad():
                result = model(input_ids=ids, token_type_ids=types)
            places = ((result.start_logits[0], window.start), (result.end_logits[0], window.end))
            for logits, gold in places:
                total -= float(torch.log_softmax(logits, dim=0)[gold])
                count += 1
    return total / count


def test_training_lowers_the_loss(
    taught: Result, bert_qa_folder: Path, question_file: Path, encoder_folder: Path
) -> None:
    before, after = loss_of(bert_qa_folder, question_file), loss_of(taught.folder, question_file)
    assert before > 3
    assert after < 0.5 * before
    assert taught.metrics["final_loss"] < 0.6 * before
    assert taught.metrics["steps"] == taught.heard.steps[-1] == len(taught.heard.steps)
    assert taught.metrics["tokens_per_second"] > 0
    assert taught.metrics["parameters"] == sum(t.numel() for t in taught.weights.values())
    assert "bert.embeddings.word_embeddings.weight" in taught.weights
    assert not same(
        {"word": load_file(encoder_folder / "model.safetensors")["embeddings.word_embeddings.weight"]},
        {"word": taught.weights["bert.embeddings.word_embeddings.weight"]},
    )


def test_the_same_seed_gives_the_same_bits(
    taught: Result, encoder_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    assert same(teach(encoder_folder, question_file, tmp_path / "same").weights, taught.weights)
    assert not same(teach(encoder_folder, question_file, tmp_path / "other", seed=1).weights, taught.weights)


def kill(encoder: Path, questions: Path, work: Path, last_step: int) -> None:
    """A run with a checkpoint every 10 steps, killed at the end of `last_step`; of −20, while saving it."""
    (work / "out").mkdir(parents=True)
    arguments = [encoder, questions, TASK.model_dump_json(), SETTINGS.model_dump_json(), work, last_step]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, arguments)], cwd=Path(__file__).parents[1], check=False
    )
    assert done.returncode == -signal.SIGKILL
    shutil.rmtree(work / "out")


@pytest.fixture(scope="module")
def killed(encoder_folder: Path, question_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of a run killed at step 23, with checkpoints of steps 10 and 20."""
    work = tmp_path_factory.mktemp("killed")
    shutil.rmtree(work)
    kill(encoder_folder, question_file, work, 23)
    assert sorted(os.listdir(work / "checkpoints")) == ["checkpoint-10", "checkpoint-20"]
    return work


def test_a_killed_run_goes_on_to_the_same_bits(
    killed: Path, taught: Result, encoder_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    shutil.copytree(killed, tmp_path / "work")
    resumed = teach(encoder_folder, question_file, tmp_path / "work")
    assert resumed.heard.sentences == ["going on from checkpoint-20"]
    assert resumed.heard.steps[0] == 21
    assert same(resumed.weights, taught.weights)
    assert resumed.metrics["final_loss"] == pytest.approx(taught.metrics["final_loss"], rel=1e-6)


FILES = (
    "model.safetensors",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "whole.json",
)


@pytest.mark.parametrize("lost", FILES)
def test_a_checkpoint_with_a_file_cut_short_is_passed_over(lost: str, killed: Path, tmp_path: Path) -> None:
    shutil.copytree(killed, tmp_path / "work")
    folder = tmp_path / "work" / "checkpoints"
    cut = folder / "checkpoint-20" / lost
    os.truncate(cut, cut.stat().st_size - 1)
    assert checkpoints.last_whole(folder) == folder / "checkpoint-10"
    assert sorted(os.listdir(folder)) == ["checkpoint-10"]


@pytest.mark.parametrize("kept", [(), ("model.safetensors",), ("model.safetensors", "optimizer.pt")])
def test_a_run_goes_on_from_the_checkpoint_before_the_one_cut_short(
    kept: tuple[str, ...],
    killed: Path,
    taught: Result,
    encoder_folder: Path,
    question_file: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(killed, tmp_path / "work")
    cut = tmp_path / "work" / "checkpoints" / "checkpoint-20"
    for file in cut.iterdir():
        if file.name not in kept:
            file.unlink()
    if kept:
        os.truncate(cut / kept[-1], 1000)
    resumed = teach(encoder_folder, question_file, tmp_path / "work")
    assert resumed.heard.sentences[-1] == "going on from checkpoint-10"
    assert same(resumed.weights, taught.weights)


def test_a_run_killed_while_it_saves_goes_on_from_the_checkpoint_before(
    taught: Result, encoder_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    kill(encoder_folder, question_file, work, -20)
    half = set(os.listdir(work / "checkpoints" / "checkpoint-20"))
    assert {"model.safetensors", "optimizer.pt"} <= half
    assert "trainer_state.json" not in half
    resumed = teach(encoder_folder, question_file, work)
    assert resumed.heard.sentences == ["going on from checkpoint-10"]
    assert same(resumed.weights, taught.weights)


def test_a_run_killed_after_its_last_step_keeps_its_metrics(
    taught: Result, encoder_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    first = teach(encoder_folder, question_file, tmp_path / "work")
    again = teach(encoder_folder, question_file, tmp_path / "work")
    assert same(again.weights, taught.weights)
    assert math.isfinite(again.metrics["final_loss"])
    assert again.metrics["final_loss"] == first.metrics["final_loss"]


def test_frozen_word_embeddings_and_int8_storage(
    encoder_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(
        update={"epochs": 2.0, "precision": "bfloat16", "train_word_embeddings": False, "storage": "int8"}
    )
    weights = teach(encoder_folder, question_file, tmp_path, settings).weights
    words = load_file(encoder_folder / "model.safetensors")["embeddings.word_embeddings.weight"]
    kept = weights["bert.embeddings.word_embeddings.weight"]
    torch.testing.assert_close(kept, words, atol=float(words.abs().max()) / 250, rtol=0)
    for name, weight in weights.items():
        if weight.dim() == 2:
            steps = weight / (weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-30) / 127)
            assert float((steps - steps.round()).abs().max()) < 1e-3, name


def test_a_checkpoint_with_a_head_is_kept_as_it_is(
    bert_qa_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    kept = teach(bert_qa_folder, question_file, tmp_path)
    assert same(kept.weights, load_file(bert_qa_folder / "model.safetensors"))
    assert kept.heard.sentences == [f"{bert_qa_folder} already answers questions; used as it is"]
