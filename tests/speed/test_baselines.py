"""What ours is timed against computes what ours computes: losses, gradients, the whole trajectory."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from pipeline.models import checkpoint
from pipeline.recipe import Distil, Task
from pipeline.speed import data, general, models, plain, published, qa
from pipeline.speed.rounds import Meter
from pipeline.stages.pretrain import general_loss
from pipeline.tasks.dataset import Windows
from pipeline.tasks.dataset import collate as collate_windows
from pipeline.tasks.masking import MaskedSequences, collate

TASK = Task(max_length=200, stride=16)


@pytest.fixture(scope="module")
def shipped() -> PreTrainedTokenizerBase:
    return checkpoint.load_tokenizer(checkpoint.SHIPPED / "pocket-teacher")


@pytest.fixture
def setup(shipped: PreTrainedTokenizerBase, tmp_path: Path) -> qa.Setup:
    return qa.Setup(
        pair=models.pair("tiny"),
        windows=data.windows(None, 24, TASK, shipped),
        tokenizer=shipped,
        options=Distil(dropout=0.0, tokens_per_batch=256, precision="bfloat16"),
        task=TASK,
        folder=tmp_path,
    )


def test_the_plain_loss_is_ours_and_so_is_its_gradient(setup: qa.Setup) -> None:
    teacher, model = setup.models("eager")
    loss = setup.stage(setup.options.model_copy(update={"precision": "float32"}))._loss(teacher, model)
    examples = Windows(setup.windows)
    batch = collate_windows([examples[i] for i in range(5)])
    assert not batch["attention_mask"].all()
    found = []
    for one in (loss(model, batch), plain.distillation_loss(model, teacher, batch, setup.options)):
        model.zero_grad()
        one.backward()
        gradient = model.embeddings.word.weight.grad
        assert gradient is not None
        found.append((one.item(), gradient.clone()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-3, atol=1e-7)


def test_the_published_loss_is_ours_and_so_is_its_gradient(
    shipped: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "OUR_TEXT", 3000)
    packed = data.packed(None, 24, shipped, tmp_path)
    options = general.options("float32", 256, 1)
    sequences = MaskedSequences(packed, options.mask, 0)
    by_length = np.argsort(packed.lengths(0, len(packed)))
    batch = collate([sequences[0, int(i)] for i in (*by_length[:3], *by_length[-3:])])
    assert not batch["attention_mask"].all()
    teacher = models.pair("tiny").teacher(words=True, attention="eager")
    model = models.pair("tiny").student(teacher, train_word_embeddings=True)
    found = []
    for one in (
        general_loss(teacher, model, options)(model, batch),
        published.losses(model, teacher, batch, options),
    ):
        model.zero_grad()
        one.backward()
        gradient = model.embeddings.word.weight.grad
        assert gradient is not None
        found.append((one.item(), gradient.clone()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-3, atol=1e-6)


def test_both_follow_the_same_trajectory(setup: qa.Setup) -> None:
    curves = qa.trajectory(setup, batch=4, steps=5)
    assert len(curves.plain) == 5
    assert curves.worst < 1e-5
    assert 0 < curves.worst_low < 0.05


def test_the_published_loop_learns(
    shipped: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "OUR_TEXT", 3000)
    made = general.Setup(
        pair=models.pair("tiny"),
        packed=data.packed(None, 24, shipped, tmp_path),
        options=general.options("float32", 256, 1),
        device=torch.device("cpu"),
        folder=tmp_path,
    )
    teacher = made.pair.teacher(words=True, attention="eager")
    model = made.pair.student(teacher, train_word_embeddings=True)
    sequences = MaskedSequences(made.packed, 0.15, 0)
    batch = collate([sequences[0, i] for i in range(8)])
    heard: list[torch.Tensor] = []
    ticks: list[int] = []
    published.train(
        model,
        teacher,
        iter([batch] * 24),
        made.options.model_copy(update={"accumulate": 2, "learning_rate": 1e-3}),
        steps=12,
        device=made.device,
        heard=heard,
        tick=lambda: ticks.append(1),
    )
    assert (len(ticks), len(heard)) == (12, 24)
    assert float(heard[-1]) < float(heard[0])


def test_length_groups_hold_every_sequence_once() -> None:
    lengths = [5, 90, 7, 40, 41, 6, 88, 39, 8]
    groups = published.length_groups(lengths, 2, seed=0)
    assert sorted(i for group in groups for i in group) == list(range(9))
    assert len(groups) == math.ceil(9 / 2)
    spread = [max(lengths[i] for i in g) - min(lengths[i] for i in g) for g in groups]
    assert sorted(spread)[-2] <= 50
    assert published.length_groups(lengths, 2, 1) != groups


def test_a_meter_counts_real_tokens(setup: qa.Setup) -> None:
    meter = Meter()
    qa_loss = meter.on(lambda model, batch: torch.tensor(2.0))
    batch = collate_windows(setup.windows[:3])
    qa_loss(torch.nn.Identity(), batch)
    assert meter.tokens == sum(setup.lengths[:3]) < batch["input_ids"].numel()
    assert meter.losses == [torch.tensor(2.0)]


def test_our_windows_are_as_long_as_squads(shipped: PreTrainedTokenizerBase) -> None:
    made = data.our_windows(400, Task(), shipped)
    lengths = data.Lengths.of("ours", [len(window.ids) for window in made])
    assert lengths.mean == pytest.approx(171, abs=3)
    assert lengths.deciles[5] == pytest.approx(data.SQUAD[3], abs=3)
    for window in made:
        assert window.types[window.start] == window.types[window.end] == 1
        assert window.start <= window.end < len(window.ids) - 1
        assert len(window.ids) == len(window.types) == len(window.offsets)
