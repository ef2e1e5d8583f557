"""distil: where the student starts, what it is taught by, and that it learns."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForQuestionAnswering, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.models import checkpoint, student
from pipeline.models.student import StudentModel
from pipeline.recipe import Distil as Settings
from pipeline.recipe import Questions, StudentShape, Task
from pipeline.stages.distil import Distil
from pipeline.tasks.dataset import QuestionSet, collate
from pipeline.training import Batch
from pipeline.types import Artifact, RecipeError, Silent, UsageError

TASK = Task(max_length=96, stride=16)


def stage(teacher: Path, questions: Path, shape: StudentShape | None = None, **options: Any) -> Distil:
    return Distil(
        teacher=Artifact(kind="teach", path=teacher, key="t", sha256="t", parents=(), metrics={}),
        questions=QuestionSet(Questions(source=str(questions))),
        task=TASK,
        shape=shape or StudentShape(),
        options=Settings(**{"tokens_per_batch": 256, "dropout": 0.0, "learning_rate": 1e-3, **options}),
        seed=0,
    )


@pytest.fixture(scope="module")
def teacher(bert_qa_folder: Path) -> PreTrainedModel:
    return checkpoint.load_model(bert_qa_folder)


@pytest.fixture
def batch(question_file: Path, tokenizer: PreTrainedTokenizerBase) -> Batch:
    """All windows of all questions, the shorter ones padded."""
    windows = QuestionSet(Questions(source=str(question_file))).windows(tokenizer, TASK, Silent())
    made = collate(windows)
    assert not made["attention_mask"].all()
    return made


def initial(made: Distil, teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> StudentModel:
    return made.initial(teacher, tokenizer)


@pytest.mark.parametrize(("layers", "wanted"), [("alternate", (0, 2)), ((1, 3), (1, 3)), ((2,), (2,))])
def test_the_student_starts_as_layers_of_the_teacher(
    layers: Any,
    wanted: tuple[int, ...],
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    bert_qa_folder: Path,
    question_file: Path,
) -> None:
    made = stage(bert_qa_folder, question_file, StudentShape(layers=layers))
    ours, theirs = initial(made, teacher, tokenizer).state_dict(), teacher.state_dict()
    assert {name.split(".")[1] for name in ours if name.startswith("layers.")} == set(
        map(str, range(len(wanted)))
    )
    for mine, its in enumerate(wanted):
        for name, source in (
            ("attention.query.weight", "attention.self.query.weight"),
            ("attention.output.bias", "attention.output.dense.bias"),
            ("feed_forward.inner.weight", "intermediate.dense.weight"),
            ("feed_forward_norm.weight", "output.LayerNorm.weight"),
        ):
            assert torch.equal(ours[f"layers.{mine}.{name}"], theirs[f"bert.encoder.layer.{its}.{source}"])
    assert torch.equal(ours["embeddings.word.weight"], theirs["bert.embeddings.word_embeddings.weight"])
    assert torch.equal(ours["qa_outputs.weight"], theirs["qa_outputs.weight"])


def test_a_layer_the_teacher_lacks_is_refused(
    teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, bert_qa_folder: Path, question_file: Path
) -> None:
    made = stage(bert_qa_folder, question_file, StudentShape(layers=(0, 4)))
    with pytest.raises(UsageError, match="asks for layer 4, but the teacher has layers 0 to 3"):
        initial(made, teacher, tokenizer)


def test_a_student_of_its_own_starts_as_its_checkpoint(
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    bert_qa_folder: Path,
    distilbert_qa_folder: Path,
    question_file: Path,
) -> None:
    made = stage(bert_qa_folder, question_file, StudentShape(source=str(distilbert_qa_folder)))
    ours = initial(made, teacher, tokenizer).state_dict()
    theirs = checkpoint.load_model(distilbert_qa_folder).state_dict()
    for layer in range(4):
        wanted = theirs[f"distilbert.transformer.layer.{layer}.attention.q_lin.weight"]
        assert torch.equal(ours[f"layers.{layer}.attention.query.weight"], wanted)
    assert made.parents().keys() == {"teacher", "questions", "student"}
    wanted = stage(bert_qa_folder, question_file, StudentShape(source=str(bert_qa_folder)))
    assert made.parents()["student"] != wanted.parents()["student"]


def test_another_vocabulary_is_refused(
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    bert_qa_folder: Path,
    distilbert_qa_folder: Path,
    question_file: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(distilbert_qa_folder, folder)
    (folder / "vocab.txt").unlink()
    table = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    table["model"]["vocab"]["towel"] = table["model"]["vocab"].pop("tower")
    (folder / "tokenizer.json").write_text(json.dumps(table), encoding="utf-8")
    made = stage(bert_qa_folder, question_file, StudentShape(source=str(folder)))
    with pytest.raises(RecipeError, match="different vocabularies; soft targets need the same tokens"):
        initial(made, teacher, tokenizer)


@pytest.fixture(scope="module")
def narrow_folder(
    bert_qa_folder: Path, tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A student checkpoint half as wide as the teacher, with its tokenizer."""
    folder = tmp_path_factory.mktemp("narrow")
    config = BertConfig.from_pretrained(bert_qa_folder, hidden_size=16, num_hidden_layers=1)
    torch.manual_seed(4)
    BertForQuestionAnswering(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_cosine_needs_the_teachers_width(
    bert_qa_folder: Path, narrow_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    shape = StudentShape(source=str(narrow_folder))
    with pytest.raises(
        RecipeError, match=r"cosine needs a student as wide as the teacher, 32; this one is 16: set cosine to 0"
    ):
        stage(bert_qa_folder, question_file, shape).run(tmp_path, tmp_path, Silent())
    assert not list(tmp_path.iterdir())


def test_a_narrow_student_learns_from_logits_alone(
    bert_qa_folder: Path, narrow_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    made = stage(bert_qa_folder, question_file, StudentShape(source=str(narrow_folder)), cosine=0, epochs=1)
    made.run(out, tmp_path, Silent())
    assert student.load(out).config.hidden == 16


def log_softmax(row: np.ndarray) -> np.ndarray:
    shifted = row - row.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def closed_form(made: Distil, teacher: PreTrainedModel, model: StudentModel, batch: Batch) -> float:
    """The recipe's formula in float64, one question at a time, padding cut off beforehand."""
    options, rows = made.options, len(batch["input_ids"])
    real = int(batch["attention_mask"].sum())
    total = 0.0
    for row in range(rows):
        n = int(batch["attention_mask"][row].sum())
        one = {name: tensor[row : row + 1, :n] for name, tensor in batch.items() if tensor.dim() == 2}
        with torch.no_grad():
            theirs = teacher(**one, output_hidden_states=True)
            *ours, states = model(one["input_ids"], one["attention_mask"], with_states=True)
        wanted = theirs.hidden_states[-1][0].double().numpy()
        got = states[0].double().numpy()
        cosines = (got * wanted).sum(1) / (np.linalg.norm(got, axis=1) * np.linalg.norm(wanted, axis=1))
        total += options.cosine * float((1 - cosines).sum()) / real
        for place, target, given in (
            ("start_positions", theirs.start_logits, ours[0]),
            ("end_positions", theirs.end_logits, ours[1]),
        ):
            p, q = (log_softmax(x[0].double().numpy() / options.temperature) for x in (target, given))
            soft = options.temperature**2 * float((np.exp(p) * (p - q)).sum())
            hard = -float(log_softmax(given[0].double().numpy())[int(batch[place][row])])
            total += 0.5 * (options.soft * soft + options.hard * hard) / rows
    return total


@pytest.mark.parametrize(
    ("soft", "hard", "cosine", "temperature"),
    [(1, 0, 0, 1.0), (1, 0, 0, 4.0), (0, 1, 0, 2.0), (0, 0, 1, 2.0), (5, 2, 1, 2.0)],
)
def test_the_loss_is_the_recipes_formula(
    soft: float,
    hard: float,
    cosine: float,
    temperature: float,
    tokenizer: PreTrainedTokenizerBase,
    bert_qa_folder: Path,
    question_file: Path,
    batch: Batch,
) -> None:
    teacher = checkpoint.load_model(bert_qa_folder)
    made = stage(bert_qa_folder, question_file, soft=soft, hard=hard, cosine=cosine, temperature=temperature)
    model = initial(made, teacher, tokenizer).eval()
    loss = made._loss(teacher, model)(model, batch)
    assert loss.item() == pytest.approx(closed_form(made, teacher, model, batch), rel=1e-4)
    loss.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters()), "the teacher is not taught"
    gradient = model.embeddings.word.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_training_lowers_the_loss_and_leaves_the_teacher_alone(
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    bert_qa_folder: Path,
    question_file: Path,
    batch: Batch,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    before = (bert_qa_folder / "model.safetensors").read_bytes()
    made = stage(bert_qa_folder, question_file, epochs=8)
    start = closed_form(made, teacher, initial(made, teacher, tokenizer).eval(), batch)
    metrics = made.run(out, tmp_path, Silent())
    trained = student.load(out)
    end = closed_form(made, teacher, trained, batch)
    assert end < 0.8 * start
    assert metrics["parameters"] == sum(p.numel() for p in trained.parameters())
    assert checkpoint.load_tokenizer(out).get_vocab() == tokenizer.get_vocab()
    assert (bert_qa_folder / "model.safetensors").read_bytes() == before
