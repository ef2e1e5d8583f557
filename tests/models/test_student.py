"""The student graph against Hugging Face's models, pruned shapes, padding, and torch.export."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from transformers import BertForQuestionAnswering, DistilBertForQuestionAnswering, PreTrainedModel

from pipeline.models import inherit, student
from pipeline.models.student import AnsweringStudent, LayerShape, StudentConfig, StudentModel
from pipeline.types import UsageError

Pair = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def bert(bert_qa_folder: Path) -> PreTrainedModel:
    loaded: PreTrainedModel = BertForQuestionAnswering.from_pretrained(bert_qa_folder)
    return loaded


@pytest.fixture(scope="module")
def distilbert(distilbert_qa_folder: Path) -> PreTrainedModel:
    loaded: PreTrainedModel = DistilBertForQuestionAnswering.from_pretrained(distilbert_qa_folder)
    return loaded


@pytest.fixture
def inputs() -> Pair:
    """Two rows of 40 tokens, the second with 15 of padding."""
    ids = torch.randint(5, 190, (2, 40), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    ids[1, 25:], mask[1, 25:] = 0, 0
    return ids, mask


def answers(model: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Start and end logits of a Hugging Face model where the mask is 1, (2, tokens)."""
    with torch.no_grad():
        result = model(input_ids=ids, attention_mask=mask)
    return torch.stack((result.start_logits, result.end_logits))[:, mask == 1]


def ours(model: StudentModel, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        start, end = model(ids.int(), mask.int())
    assert start.dtype == end.dtype == torch.float32
    assert start.shape == end.shape == ids.shape
    return torch.stack((start, end))[:, mask == 1]


def test_all_layers_of_a_distilbert_are_the_distilbert(distilbert: PreTrainedModel, inputs: Pair) -> None:
    made = inherit.from_teacher(distilbert)
    torch.testing.assert_close(ours(made, *inputs), answers(distilbert, *inputs), atol=1e-5, rtol=0)


def test_all_layers_of_a_bert_are_the_bert_once_token_types_are_one(
    bert: PreTrainedModel, inputs: Pair
) -> None:
    made = inherit.from_teacher(bert)
    assert isinstance(bert, BertForQuestionAnswering)
    types = bert.bert.embeddings.token_type_embeddings.weight
    before = types.detach().clone()
    mean = before.mean(dim=0)
    with torch.no_grad():
        apart = (ours(made, *inputs) - answers(bert, *inputs)).abs().max()
        types.copy_(mean.expand_as(before))
        torch.testing.assert_close(ours(made, *inputs), answers(bert, *inputs), atol=1e-5, rtol=0)
        types.copy_(before)
    assert apart > 1e-3  # and token types do matter to this BERT


def test_last_states_are_the_teachers(distilbert: PreTrainedModel, inputs: Pair) -> None:
    ids, mask = inputs
    with torch.no_grad():
        _, _, states = inherit.from_teacher(distilbert)(ids, mask, with_states=True)
        wanted = distilbert(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(states[mask == 1], wanted[mask == 1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("chosen", [(0, 2), (1,), (0, 1, 3)])
def test_chosen_layers_are_the_teachers(bert: PreTrainedModel, chosen: tuple[int, ...]) -> None:
    made = inherit.from_teacher(bert, chosen)
    weights = bert.state_dict()
    assert len(made.layers) == len(chosen)
    for place, layer in enumerate(chosen):
        mine = {n: w for n, w in made.state_dict().items() if n.startswith(f"layers.{place}.")}
        theirs = {n: w for n, w in weights.items() if n.startswith(f"bert.encoder.layer.{layer}.")}
        # Names differ and tensors do not: each of one side stands once on the other.
        assert len(mine) == len(theirs) == 16
        left = list(theirs.values())
        for weight in mine.values():
            matches = [i for i, t in enumerate(left) if t.shape == weight.shape and torch.equal(t, weight)]
            assert matches
            left.pop(matches[0])
    assert torch.equal(made.embeddings.word.weight, weights["bert.embeddings.word_embeddings.weight"])


def test_alternate_layers() -> None:
    assert inherit.alternate(12) == (0, 2, 4, 6, 8, 10)
    assert inherit.alternate(6) == (0, 2, 4)
    assert inherit.alternate(5) == (0, 2, 4)
    assert inherit.alternate(1) == (0,)


def test_the_student_owns_its_weights(bert: PreTrainedModel) -> None:
    made = inherit.from_teacher(bert, (0,))
    assert isinstance(made, AnsweringStudent)
    before = bert.state_dict()["qa_outputs.weight"].clone()
    with torch.no_grad():
        made.qa_outputs.weight.add_(1.0)
    assert torch.equal(bert.state_dict()["qa_outputs.weight"], before)


@pytest.mark.parametrize("chosen", [(4,), (0, 2, 9)])
def test_a_layer_the_teacher_does_not_have(bert: PreTrainedModel, chosen: tuple[int, ...]) -> None:
    sentence = f"student.layers asks for layer {chosen[-1]}, but the teacher has layers 0 to 3"
    with pytest.raises(UsageError, match=sentence):
        inherit.from_teacher(bert, chosen)


def pruned() -> StudentModel:
    torch.manual_seed(0)
    shapes = (LayerShape(3, 40), LayerShape(1, 7), LayerShape(4, 64))
    config = StudentConfig(vocabulary=200, positions=64, hidden=32, head_size=8, layers=shapes)
    model = AnsweringStudent(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_layers_of_different_sizes_run(inputs: Pair) -> None:
    model = pruned()
    assert [model.state_dict()[f"layers.{i}.attention.query.weight"].shape[0] for i in range(3)] == [24, 8, 32]
    assert torch.isfinite(ours(model, *inputs)).all()


def test_a_head_and_neurons_that_add_nothing_can_be_taken_out(
    distilbert: PreTrainedModel, inputs: Pair
) -> None:
    """Zeroing a head's output columns in the Hugging Face model equals not having the head."""
    whole = inherit.from_teacher(distilbert)
    state = {name: weight.clone() for name, weight in whole.state_dict().items()}
    for name in ("query", "key", "value"):
        for kind in ("weight", "bias"):
            state[f"layers.1.attention.{name}.{kind}"] = state[f"layers.1.attention.{name}.{kind}"][16:]
    state["layers.1.attention.output.weight"] = state["layers.1.attention.output.weight"][:, 16:]
    state["layers.2.feed_forward.inner.weight"] = state["layers.2.feed_forward.inner.weight"][:50]
    state["layers.2.feed_forward.inner.bias"] = state["layers.2.feed_forward.inner.bias"][:50]
    state["layers.2.feed_forward.outer.weight"] = state["layers.2.feed_forward.outer.weight"][:, :50]
    shapes = (LayerShape(2, 64), LayerShape(1, 64), LayerShape(2, 50), LayerShape(2, 64))
    config = whole.config
    small = AnsweringStudent(
        StudentConfig(
            vocabulary=config.vocabulary,
            positions=config.positions,
            hidden=config.hidden,
            head_size=config.head_size,
            layers=shapes,
        )
    ).eval()
    small.load_state_dict(state)

    changed = copy.deepcopy(distilbert)
    theirs = {name: weight.clone() for name, weight in distilbert.state_dict().items()}
    theirs["distilbert.transformer.layer.1.attention.out_lin.weight"][:, :16] = 0
    theirs["distilbert.transformer.layer.2.ffn.lin2.weight"][:, 50:] = 0
    changed.load_state_dict(theirs)
    torch.testing.assert_close(ours(small, *inputs), answers(changed, *inputs), atol=1e-5, rtol=0)


def test_padding_changes_no_logit(inputs: Pair) -> None:
    ids, mask = inputs
    model = pruned()
    other = torch.where(mask == 1, ids, 77)
    found = ours(model, ids, mask)
    assert torch.equal(ours(model, other, mask), found)
    alone = ours(model, ids[1:, :25], mask[1:, :25])
    torch.testing.assert_close(alone, found[:, 40:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pruned_model", [True, False])
def test_saved_and_loaded(pruned_model: bool, bert: PreTrainedModel, inputs: Pair, tmp_path: Path) -> None:
    model = pruned() if pruned_model else inherit.from_teacher(bert, (0, 3))
    student.save(model, tmp_path / "deep" / "student")
    loaded = student.load(tmp_path / "deep" / "student")
    assert loaded.config == model.config
    assert not loaded.training
    assert torch.equal(ours(loaded, *inputs), ours(model.eval(), *inputs))


def test_it_exports_with_a_dynamic_length() -> None:
    model = pruned()
    example = torch.ones(1, 24, dtype=torch.int32), torch.ones(1, 24, dtype=torch.int32)
    length = torch.export.Dim("length", min=2, max=64)
    shapes = {"input_ids": {1: length}, "attention_mask": {1: length}, "with_states": None}
    program = torch.export.export(model, (*example, False), dynamic_shapes=shapes)
    for tokens in (2, 7, 24, 64):
        ids = torch.arange(5, 5 + tokens, dtype=torch.int32)[None]
        mask = torch.ones_like(ids)
        found = program.module()(ids, mask, False)
        with torch.no_grad():
            wanted = model(ids, mask)
        for one, two in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)
