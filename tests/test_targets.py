"""Teacher outputs computed once: the same as computed anew, whatever was killed, and only where it pays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from pipeline import targets
from pipeline.models import checkpoint, student
from pipeline.recipe import Distil as Settings
from pipeline.recipe import Launch, Questions, StudentShape, Task
from pipeline.schedule import Schedule
from pipeline.stages.distil import Distil
from pipeline.store import key_of
from pipeline.targets import Costs, Outputs, Source, Stored
from pipeline.tasks.dataset import QuestionSet, Windows
from pipeline.training import NUMBERS, Batch, Feed
from pipeline.types import Artifact, PipelineError, Silent

TASK = Task(max_length=96, stride=16)


class Heard(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def stage(teacher: Path, questions: Path, **options: Any) -> Distil:
    return Distil(
        teacher=Artifact(kind="teach", path=teacher, key="t", sha256="t", parents=(), metrics={}),
        questions=QuestionSet(Questions(source=str(questions))),
        task=TASK,
        shape=StudentShape(),
        options=Settings(**{"tokens_per_batch": 256, "dropout": 0.0, "learning_rate": 1e-3, **options}),
        seed=0,
    )


@dataclasses.dataclass
class Setting:
    feed: Feed
    source: Source
    stored: Stored


def setting(made: Distil, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Setting:
    teacher = checkpoint.load_model(made.teacher.path)
    source = made._outputs(teacher, made.initial(teacher, tokenizer))
    feed = made.questions.feed(tokenizer, TASK, made.options, 0, Silent())
    assert isinstance(feed.examples, Windows)
    lengths = [len(window.ids) for window in feed.examples.windows]
    order = Schedule(lengths, made.options.tokens_per_batch, 1.0, 0).batches
    extents: list[targets.Extent] = ["tokens"] * (3 if made.options.cosine else 2)
    return Setting(feed, source, Stored(folder, source, feed, lengths, order, extents))


def batches(feed: Feed) -> list[Batch]:
    return [numbered(feed, batch) for batch in feed.batches]


def numbered(feed: Feed, indices: Sequence[int]) -> Batch:
    """A batch as training sees it."""
    return {**feed.collate([feed.examples[i] for i in indices]), NUMBERS: torch.tensor(indices)}


def real(outputs: Outputs, mask: torch.Tensor) -> list[torch.Tensor]:
    """Without padding, in float32."""
    return [tensor[mask.bool()].float() for tensor in outputs]


@pytest.mark.parametrize(
    ("precision", "cosine", "tolerance"), [("float32", 1, 1e-6), ("float32", 0, 1e-6), ("bfloat16", 1, 0.1)]
)
def test_kept_and_recomputed_outputs_are_the_same(
    precision: str,
    cosine: float,
    tolerance: float,
    bert_qa_folder: Path,
    question_file: Path,
    tokenizer: PreTrainedTokenizerBase,
    tmp_path: Path,
) -> None:
    made = stage(bert_qa_folder, question_file, precision=precision, cosine=cosine, epochs=2.5)
    found = setting(made, tokenizer, tmp_path)
    found.stored.fill(Silent())
    seen = batches(found.feed)
    first = len(found.stored.order)
    for number, batch in enumerate(seen):
        ours, theirs = found.stored(batch), found.source(batch)
        assert [t.dtype for t in ours] == [t.dtype for t in theirs]
        assert [t.shape for t in ours] == [t.shape for t in theirs]
        for mine, its in zip(*(real(o, batch["attention_mask"]) for o in (ours, theirs)), strict=True):
            if number < first:
                assert torch.equal(mine, its), "the first epoch's batches are those that were kept"
            scale = max(1.0, float(its.abs().max()))
            assert float((mine - its).abs().max()) <= tolerance * scale
    sizes = int(found.stored.sizes.sum())
    assert (tmp_path / targets.FILE).stat().st_size == sizes == found.stored.size


def test_the_loss_and_its_gradient_do_not_notice(
    bert_qa_folder: Path, question_file: Path, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    made = stage(bert_qa_folder, question_file)
    found = setting(made, tokenizer, tmp_path)
    found.stored.fill(Silent())
    teacher = checkpoint.load_model(bert_qa_folder)
    model = made.initial(teacher, tokenizer)
    batch = numbered(found.feed, range(4))
    assert not batch["attention_mask"].all()
    values, gradients = [], []
    for taught in (None, found.stored):
        model.zero_grad()
        loss = made._loss(teacher, model, taught)(model, batch)
        loss.backward()
        values.append(float(loss))
        gradient = model.embeddings.word.weight.grad
        assert gradient is not None
        gradients.append(gradient.clone())
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_outputs_for_an_example_need_no_tokens(question_file: Path, tokenizer: Any, tmp_path: Path) -> None:
    """A classifier's logits, (batch, labels), beside the hidden states of every token."""
    feed = QuestionSet(Questions(source=str(question_file))).feed(tokenizer, TASK, Settings(), 0, Silent())
    assert isinstance(feed.examples, Windows)
    lengths = [len(window.ids) for window in feed.examples.windows]

    def source(batch: Batch) -> Outputs:
        ids = batch["input_ids"].double()
        return ids.sum(1)[:, None] * torch.tensor([1.0, 2.0, 3.0]), ids[..., None].expand(-1, -1, 2)

    order = [[i] for i in range(len(lengths))]
    stored = Stored(tmp_path, source, feed, lengths, order, ["example", "tokens"])
    stored.fill(Silent())
    for batch in batches(feed):
        mask = batch["attention_mask"].bool()
        ours, theirs = stored(batch), source(batch)
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1][mask], theirs[1][mask])


def test_a_killed_pass_goes_on_after_its_last_whole_batch(
    bert_qa_folder: Path,
    question_file: Path,
    tokenizer: PreTrainedTokenizerBase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = setting(stage(bert_qa_folder, question_file), tokenizer, tmp_path)
    found.stored.fill(Silent())
    whole = (tmp_path / targets.FILE).read_bytes()
    (tmp_path / targets.RECORD).unlink()
    computed: list[Sequence[int]] = []

    def counted(compute: Callable[[Sequence[int]], Outputs]) -> Callable[[Sequence[int]], Outputs]:
        def one(indices: Sequence[int]) -> Outputs:
            computed.append(indices)
            return compute(indices)

        return one

    ends = found.stored.batch_ends
    assert len(ends) > 2
    for left in (int(ends[1]) + 5, int(ends[0]), 3, len(whole)):
        (tmp_path / targets.FILE).write_bytes(whole[:left])
        again = setting(stage(bert_qa_folder, question_file), tokenizer, tmp_path).stored
        assert again.begun
        assert not again.complete
        computed.clear()
        monkeypatch.setattr(again, "compute", counted(again.compute))
        again.fill(Silent())
        assert len(computed) == len(ends) - int(np.searchsorted(ends, left, side="right"))
        assert (tmp_path / targets.FILE).read_bytes() == whole
        assert again.complete
        (tmp_path / targets.RECORD).unlink()


def test_a_file_that_lost_its_end_is_not_read_as_zeros(
    bert_qa_folder: Path, question_file: Path, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    found = setting(stage(bert_qa_folder, question_file), tokenizer, tmp_path)
    found.stored.fill(Silent())
    (tmp_path / targets.FILE).write_bytes(b"\0" * 8)
    assert not found.stored.complete
    with pytest.raises(PipelineError, match="shorter than it was"):
        [found.stored(batch) for batch in batches(found.feed)]


COSTS = Costs(forward=2e-3, write=5e-4, read=1e-4, tokens=1000, epochs=2.0, size=100, free=1000)


def test_the_cheaper_way_is_taken_where_the_disk_has_room() -> None:
    assert COSTS.recompute_seconds == pytest.approx(4.0)
    assert COSTS.once_seconds == pytest.approx(2.7)
    assert COSTS.once
    assert not dataclasses.replace(COSTS, epochs=1.2).once
    assert not dataclasses.replace(COSTS, read=1e-3).once
    full = dataclasses.replace(COSTS, free=120)
    assert not full.once
    assert "anew for every batch" in full.sentence()
    assert "the disk has no room" in full.sentence()
    assert "computed once and kept: over 2 epochs of 1,000 tokens" in COSTS.sentence()
    assert "forward 2000.00, write 500.00, read 100.00 ms" in COSTS.sentence()


def test_who_decides(
    bert_qa_folder: Path,
    question_file: Path,
    tokenizer: PreTrainedTokenizerBase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = setting(stage(bert_qa_folder, question_file), tokenizer, tmp_path)

    def never() -> Stored:
        raise AssertionError("nothing needs to be prepared")

    heard = Heard()
    for epochs, choice in ((1.0, "once"), (0.3, "auto"), (3.0, "recompute")):
        assert targets.chosen(never, found.source, epochs, cast(targets.Choice, choice), heard) is found.source
    assert heard.said == []
    for forward, taken in ((1e-9, found.source), (1.0, found.stored)):
        costs = dataclasses.replace(COSTS, forward=forward, free=10**9)
        monkeypatch.setattr(found.stored, "costs", lambda epochs, costs=costs: costs)
        assert targets.chosen(lambda: found.stored, found.source, 2.0, "auto", heard) is taken
    assert targets.chosen(lambda: found.stored, found.source, 2.0, "auto", heard) is found.stored
    assert [said.split(":")[0].split(",")[0] for said in heard.said] == [
        "teacher outputs are computed anew for every batch",
        "teacher outputs are computed once and kept",
        "teacher outputs were computed before and are read back",
    ]


def test_the_costs_are_measured(
    bert_qa_folder: Path, question_file: Path, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    found = setting(stage(bert_qa_folder, question_file), tokenizer, tmp_path)
    costs = found.stored.costs(3.0)
    assert costs.forward > 0
    assert costs.write > 0
    assert costs.read > 0
    assert costs.tokens == found.stored.tokens
    assert costs.size == found.stored.size
    assert list(tmp_path.iterdir()) == [], "the probe is taken away"


def test_training_is_the_same_either_way_and_so_is_its_key(
    bert_qa_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    made = stage(bert_qa_folder, question_file, epochs=2)
    weights, keys = [], []
    choices: tuple[targets.Choice, ...] = ("recompute", "once")
    for choice in choices:
        one = dataclasses.replace(made, launch=Launch(teacher_outputs=choice))
        out, work = tmp_path / choice, tmp_path / f"{choice}-work"
        out.mkdir()
        work.mkdir()
        one.run(out, work, Silent())
        assert (work / "teacher" / targets.RECORD).is_file() == (choice == "once")
        weights.append(student.load(out).state_dict())
        keys.append(key_of(one, 0))
    assert keys[0] == keys[1]
    for name in weights[0]:
        assert torch.allclose(weights[0][name], weights[1][name], atol=2e-4), name
