"""Narrower, random and headless students, against the teacher they come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    PreTrainedModel,
)

from pipeline.models import checkpoint, inherit, student
from pipeline.models.student import AnsweringStudent, GeneralStudent, MaskedLanguageStudent
from pipeline.models.teacher import run_general
from pipeline.recipe import StudentShape
from pipeline.types import RecipeError, UsageError

VOCABULARY, WIDTH = 50, 24


def bert_general() -> PreTrainedModel:
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=32,
        initializer_range=0.3,
    )
    return _stirred(BertForMaskedLM(config))


def distilbert_general() -> PreTrainedModel:
    torch.manual_seed(6)
    config = DistilBertConfig(
        vocab_size=VOCABULARY,
        dim=WIDTH,
        n_layers=3,
        n_heads=4,
        hidden_dim=40,
        max_position_embeddings=32,
        initializer_range=0.3,
    )
    return _stirred(DistilBertForMaskedLM(config))


def _stirred(model: PreTrainedModel) -> PreTrainedModel:
    """Biases and gains away from 0 and 1, so that a forgotten one shows; one token type for both segments."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            if "token_type" in name:
                parameter.copy_(parameter[:1].expand_as(parameter))
    model.train(mode=False)
    return model


TEACHERS = pytest.mark.parametrize(
    "teacher", [bert_general(), distilbert_general()], ids=["bert", "distilbert"]
)


def batch() -> dict[str, torch.Tensor]:
    ids = torch.arange(20).reshape(2, 10) + 1
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    return {"input_ids": ids, "attention_mask": mask}


@TEACHERS
def test_a_general_student_of_all_layers_is_the_masked_language_model(teacher: PreTrainedModel) -> None:
    made = inherit.from_teacher(teacher, head="masked-language-modelling").eval()
    assert isinstance(made, MaskedLanguageStudent)
    given, real = batch(), batch()["attention_mask"].bool()
    with torch.no_grad():
        states, scores = made(given["input_ids"], given["attention_mask"], real)
        wanted = teacher(**given, output_hidden_states=True)
        their_states, their_scores = run_general(teacher, given, real)
    torch.testing.assert_close(scores, wanted.logits[real], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(states[real], wanted.hidden_states[-1][real], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(their_scores, wanted.logits[real], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(their_states[real], wanted.hidden_states[-1][real], atol=1e-5, rtol=1e-5)


@TEACHERS
def test_scores_are_only_of_the_tokens_asked_about(teacher: PreTrainedModel) -> None:
    made = inherit.from_teacher(teacher, (0, 2), head="masked-language-modelling").eval()
    given = batch()
    everywhere = torch.ones(2, 10, dtype=torch.bool)
    some = torch.zeros_like(everywhere)
    some[0, 3] = some[1, 5] = True
    with torch.no_grad():
        _, full = made(given["input_ids"], given["attention_mask"], everywhere)
        _, few = made(given["input_ids"], given["attention_mask"], some)
        _, none = made(given["input_ids"], given["attention_mask"], torch.zeros_like(some))
    torch.testing.assert_close(few, full[[3, 15]])
    assert none.shape == (0, VOCABULARY)


WRITTEN = ("output.dense.weight", "out_lin.weight", "lin2.weight")
READ = ("query", "key", "value", "q_lin", "k_lin", "v_lin", "intermediate.dense", "lin1", "word_embeddings")


def silence(teacher: PreTrainedModel, dead: list[int]) -> None:
    """Leaves some hidden dimensions that no word has, nothing writes and nothing reads."""
    with torch.no_grad():
        for name, weight in teacher.named_parameters():
            if name.endswith(WRITTEN):
                weight[dead] = 0.0
            elif name.removesuffix(".weight").endswith(READ):
                weight[:, dead] = 0.0


@pytest.mark.parametrize("make", [bert_general, distilbert_general])
def test_slicing_keeps_the_dimensions_that_matter(make: Callable[[], PreTrainedModel]) -> None:
    teacher, dead = make(), [1, 7, 8, 20]
    silence(teacher, dead)
    kept = inherit.important_dimensions(teacher, WIDTH - len(dead))
    assert kept.tolist() == [i for i in range(WIDTH) if i not in dead]
    made = inherit.from_teacher(teacher, hidden=WIDTH - len(dead), head="masked-language-modelling")
    assert made.config.hidden == WIDTH - len(dead)
    assert made.config.teacher_dimensions == tuple(kept.tolist())
    whole = inherit.from_teacher(teacher, head="masked-language-modelling")
    for name, tensor in made.state_dict().items():
        theirs = whole.state_dict()[name]
        if "word" in name or "position" in name or name.endswith(("query.weight", "inner.weight")):
            assert torch.equal(tensor, theirs[:, kept])
        elif name.endswith(("attention.output.weight", "outer.weight")):
            assert torch.equal(tensor, theirs[kept])
        elif name == "vocabulary.dense.weight":
            assert torch.equal(tensor, theirs[kept][:, kept])
        elif name.endswith(("query.bias", "inner.bias", "vocabulary.bias")):
            assert torch.equal(tensor, theirs)


def test_heads_and_neurons_survive_where_their_count_is_the_width() -> None:
    """Every size equal: the axes must be told apart by what they mean, not by how long they are."""
    config = BertConfig(
        vocab_size=16,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    made = inherit.from_teacher(BertForMaskedLM(config), hidden=12, head="masked-language-modelling")
    shapes = {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    assert shapes["embeddings.word.weight"] == shapes["embeddings.position.weight"] == (16, 12)
    assert shapes["layers.0.attention.query.weight"] == shapes["layers.0.feed_forward.inner.weight"] == (16, 12)
    assert (
        shapes["layers.0.attention.output.weight"] == shapes["layers.0.feed_forward.outer.weight"] == (12, 16)
    )
    assert shapes["layers.0.attention.query.bias"] == shapes["vocabulary.bias"] == (16,)
    ids = torch.arange(8)[None]
    states, scores = made(ids, torch.ones_like(ids), torch.ones(1, 8, dtype=torch.bool))
    assert (states.shape, scores.shape) == ((1, 8, 12), (8, 16))


def test_a_random_start_has_the_shape_alone() -> None:
    teacher = bert_general()
    torch.manual_seed(0)
    made = inherit.shaped(teacher, StudentShape(layers=(0, 2), initial="random"), "none")
    inherited = inherit.shaped(teacher, StudentShape(layers=(0, 2)), "none")
    for name, tensor in made.state_dict().items():
        if tensor.dim() == 2:
            assert tensor.std().item() == pytest.approx(0.02, rel=0.3)
            assert not torch.equal(tensor, inherited.state_dict()[name])
        else:
            assert torch.equal(tensor, torch.full_like(tensor, 1.0 if "norm.weight" in name else 0.0))


def test_a_task_head_on_a_general_student(bert_qa: PreTrainedModel, tmp_path: Path) -> None:
    general = inherit.from_teacher(bert_qa, (1, 3), head="none")
    assert isinstance(general, GeneralStudent)
    student.save(general, tmp_path)
    made = inherit.with_head(student.load(tmp_path), "question-answering", task_teacher=bert_qa)
    assert isinstance(made, AnsweringStudent)
    for name, tensor in made.state_dict().items():
        theirs = bert_qa.state_dict() if name.startswith("qa_outputs") else general.state_dict()
        assert torch.equal(tensor, theirs[name])


@pytest.fixture
def bert_qa(bert_qa_folder: Path) -> PreTrainedModel:
    return checkpoint.load_model(bert_qa_folder)


def test_a_sliced_student_keeps_its_dimensions_on_disk(bert_qa: PreTrainedModel, tmp_path: Path) -> None:
    made = inherit.from_teacher(bert_qa, (0,), hidden=20)
    student.save(made, tmp_path)
    loaded = student.load(tmp_path)
    assert loaded.config == made.config
    assert inherit.teacher_dimensions(loaded, bert_qa) == list(made.config.teacher_dimensions or ())
    assert inherit.teacher_dimensions(inherit.from_teacher(bert_qa, (0,)), bert_qa) == slice(None)


def test_what_cannot_be_had(bert_qa: PreTrainedModel) -> None:
    with pytest.raises(UsageError, match=r"student.hidden is 64, but the teacher is only 32 wide"):
        inherit.from_teacher(bert_qa, hidden=64)
    stranger = inherit.from_teacher(bert_general(), (0,))
    with pytest.raises(RecipeError, match="cosine needs a student as wide as the teacher, 32; this one is 24"):
        inherit.teacher_dimensions(stranger, bert_qa)
