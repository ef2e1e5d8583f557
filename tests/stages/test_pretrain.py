"""Task-agnostic distillation: its loss against the formula in float64, and a run from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from pipeline.losses import NOT_MASKED
from pipeline.models import checkpoint, inherit, student
from pipeline.models.student import GeneralStudent, MaskedLanguageStudent
from pipeline.recipe import Checkpoint, Corpus, StudentShape
from pipeline.recipe import Pretrain as Settings
from pipeline.stages.pretrain import Pretrain, general_loss
from pipeline.tasks.corpus import CorpusText
from pipeline.training import Batch
from pipeline.types import DataError, RecipeError, Silent

TEXT = "The old mill was built in 1858.\nIt stands by the river.\nThe tower is lit by the keepers.\n" * 12


@pytest.fixture(scope="module", params=["bert", "distilbert"])
def general_folder(
    request: pytest.FixtureRequest, encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A checkpoint with a masked-language-modelling head, in the tests' vocabulary."""
    folder = tmp_path_factory.mktemp("general")
    tokenizer = checkpoint.load_tokenizer(encoder_folder)
    torch.manual_seed(9)
    model: PreTrainedModel
    if request.param == "bert":
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
            initializer_range=0.2,
        )
        model = BertForMaskedLM(config)
    else:
        distil = DistilBertConfig(
            vocab_size=len(tokenizer),
            dim=32,
            n_layers=4,
            n_heads=2,
            hidden_dim=64,
            max_position_embeddings=128,
            initializer_range=0.2,
        )
        model = DistilBertForMaskedLM(distil)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def stage(encoder: Path, text: Path, shape: StudentShape | None = None, **changed: Any) -> Pretrain:
    table: dict[str, Any] = {
        "corpus": {"source": str(text)},
        "length": 24,
        "epochs": 2,
        "learning_rate": 2e-3,
        "tokens_per_batch": 256,
        "dropout": 0.0,
        **changed,
    }
    options = Settings.model_validate(table)
    return Pretrain(
        encoder=Checkpoint(source=str(encoder)),
        corpus=CorpusText(Corpus(source=str(text))),
        shape=shape or StudentShape(),
        options=options,
        seed=0,
    )


def batch(vocabulary: int, masked: bool = True) -> Batch:
    """Three sequences, one of them shorter, one of them with nothing masked."""
    random = torch.Generator().manual_seed(3)
    ids = torch.randint(5, vocabulary, (3, 12), generator=random)
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    words = torch.full_like(ids, NOT_MASKED)
    if masked:
        words[0, [2, 5, 9]] = ids[0, [2, 5, 9]]
        words[1, 3] = ids[1, 3]
        ids = torch.where(words != NOT_MASKED, torch.tensor(4), ids)
    return {"input_ids": ids, "attention_mask": mask, "words": words}


def log_softmax(row: np.ndarray) -> np.ndarray:
    shifted = row - row.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def formula(teacher: PreTrainedModel, model: MaskedLanguageStudent, given: Batch, options: Settings) -> float:
    """The three losses of Sanh et al. 2019, token by token in float64, each sequence without its padding."""
    softs: dict[str, list[float]] = {"tokens": [], "masked": []}
    angles: dict[str, list[float]] = {"tokens": [], "masked": []}
    words: list[float] = []
    for row in range(len(given["input_ids"])):
        n = int(given["attention_mask"][row].sum())
        ids, mask = given["input_ids"][row : row + 1, :n], given["attention_mask"][row : row + 1, :n]
        with torch.no_grad():
            theirs = teacher(input_ids=ids, attention_mask=mask, output_hidden_states=True)
            states, scores = model(ids, mask, torch.ones_like(mask).bool())
        assert scores is not None
        for at in range(n):
            word = int(given["words"][row, at])
            p, q = (
                log_softmax(x.double().numpy() / options.temperature)
                for x in (theirs.logits[0, at], scores[at])
            )
            a, b = states[0, at].double().numpy(), theirs.hidden_states[-1][0, at].double().numpy()
            soft = options.temperature**2 * float((np.exp(p) * (p - q)).sum())
            angle = 1 - float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
            for name in ("tokens", "masked") if word != NOT_MASKED else ("tokens",):
                softs[name].append(soft)
                angles[name].append(angle)
            if word != NOT_MASKED:
                words.append(-float(log_softmax(scores[at].double().numpy())[word]))

    def mean(values: list[float]) -> float:
        return float(np.mean(values)) if values else 0.0

    return (
        options.soft * mean(softs[options.soft_positions])
        + options.mlm * mean(words)
        + options.cosine * mean(angles[options.cosine_positions])
    )


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"soft": 1, "mlm": 0, "cosine": 0, "temperature": 1.0},
        {"soft": 1, "mlm": 0, "cosine": 0, "soft_positions": "masked"},
        {"soft": 0, "mlm": 1, "cosine": 0},
        {"soft": 0, "mlm": 0, "cosine": 1},
        {"soft": 0, "mlm": 0, "cosine": 1, "cosine_positions": "masked"},
        {"soft_positions": "masked", "cosine_positions": "masked", "temperature": 4.0},
        {"soft": 3, "mlm": 1, "soft_positions": "masked"},
    ],
    ids=str,
)
def test_the_loss_is_the_papers(changed: dict[str, Any], general_folder: Path, text_file: Path) -> None:
    options = stage(general_folder, text_file, **changed).options
    teacher = checkpoint.load_general(general_folder)
    model = inherit.from_teacher(teacher, (0, 2), head="masked-language-modelling").eval()
    assert isinstance(model, MaskedLanguageStudent)
    given = batch(model.config.vocabulary)
    loss = general_loss(teacher, model, options)(model, given)
    assert loss.item() == pytest.approx(formula(teacher, model, given, options), rel=2e-5)
    loss.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters()), "the teacher is not taught"
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_a_batch_with_nothing_masked_teaches_what_is_left(general_folder: Path, text_file: Path) -> None:
    options = stage(general_folder, text_file, soft_positions="masked").options
    teacher = checkpoint.load_general(general_folder)
    model = inherit.from_teacher(teacher, (0, 2), head="masked-language-modelling").eval()
    assert isinstance(model, MaskedLanguageStudent)
    given = batch(model.config.vocabulary, masked=False)
    loss = general_loss(teacher, model, options)(model, given)
    assert loss.item() == pytest.approx(formula(teacher, model, given, options), rel=2e-5)
    loss.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_defaults_are_the_papers_training_command(text_file: Path) -> None:
    options = Settings(corpus=Corpus(source=str(text_file)))
    assert (options.soft, options.mlm, options.cosine, options.temperature) == (5.0, 2.0, 1.0, 2.0)
    assert (options.mask, options.soft_positions, options.epochs) == (0.15, "tokens", 3.0)
    assert options.learning_rate == 5e-4


@pytest.mark.parametrize("layout", ["packed", "grouped"])
def test_a_run_lowers_the_loss(layout: str, general_folder: Path, text_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    made = stage(general_folder, text_file, layout=layout, epochs=6)
    teacher = checkpoint.load_general(general_folder)
    metrics = made.run(out, tmp_path, Silent())
    trained = student.load(out)
    assert isinstance(trained, MaskedLanguageStudent)
    before = inherit.from_teacher(teacher, (0, 2), head="masked-language-modelling").eval()
    assert isinstance(before, MaskedLanguageStudent)
    given = batch(trained.config.vocabulary)
    assert formula(teacher, trained, given, made.options) < 0.9 * formula(teacher, before, given, made.options)
    assert metrics["parameters"] == sum(p.numel() for p in trained.parameters())
    assert metrics["corpus_tokens"] > len(TEXT.split())
    assert checkpoint.load_tokenizer(out).get_vocab() == checkpoint.load_tokenizer(general_folder).get_vocab()


def test_an_encoder_without_a_head_teaches_by_its_states(
    encoder_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    stage(encoder_folder, text_file, soft=0, mlm=0, mask=0.0).run(out, tmp_path, Silent())
    assert isinstance(student.load(out), GeneralStudent)
    assert not any("vocabulary" in name for name in student.load(out).state_dict())


def test_a_narrow_student_learns_the_teachers_dimensions(
    general_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    stage(general_folder, text_file, StudentShape(layers=(0, 3), hidden=20)).run(out, tmp_path, Silent())
    config = student.load(out).config
    assert (config.hidden, len(config.layers), len(config.teacher_dimensions or ())) == (20, 2, 20)


def test_a_frozen_word_embedding_stays_the_teachers(
    general_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    stage(general_folder, text_file, train_word_embeddings=False).run(out, tmp_path, Silent())
    table = checkpoint.load_general(general_folder).get_input_embeddings().weight
    assert isinstance(table, torch.Tensor)
    assert torch.equal(student.load(out).state_dict()["embeddings.word.weight"], table)


def test_what_cannot_work_is_said_before_anything_is_spent(
    encoder_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(RecipeError, match=r"pretrain\.soft needs a teacher that scores masked words"):
        stage(encoder_folder, text_file).run(out, tmp_path, Silent())
    with pytest.raises(RecipeError, match=r"pretrain\.length is 512, but .* has only 128 positions; lower it"):
        stage(encoder_folder, text_file, soft=0, length=512).run(out, tmp_path, Silent())
    (tmp_path / "bad.txt").write_bytes(b"fine\n\xff\n")
    with pytest.raises(DataError, match=r"bad\.txt, line 2 is not valid UTF-8"):
        stage(encoder_folder, tmp_path / "bad.txt", soft=0).run(out, tmp_path, Silent())
    assert not (tmp_path / "corpus" / "packed.json").exists()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"soft": 0, "mlm": 0, "cosine": 0}, "soft, mlm and cosine are all 0"),
        ({"mask": 0.0}, "mask is 0, but a loss covers masked tokens"),
        ({"mask": 0.0, "mlm": 0, "cosine_positions": "masked"}, "mask is 0, but a loss covers masked tokens"),
    ],
)
def test_settings_that_teach_nothing(changed: dict[str, Any], sentence: str, text_file: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        Settings.model_validate({"corpus": {"source": str(text_file)}, **changed})


def test_the_key_does_not_depend_on_where_the_text_is(
    encoder_folder: Path, text_file: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    copied = tmp_path / "elsewhere.txt"
    copied.write_text(TEXT, encoding="utf-8")
    one, other = stage(encoder_folder, text_file), stage(encoder_folder, copied)
    assert json.dumps(one.settings()) == json.dumps(other.settings())
    assert one.parents() == other.parents()
    changed = stage(encoder_folder, text_file, StudentShape(initial="random"))
    assert changed.settings() != one.settings()
