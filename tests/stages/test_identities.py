"""What the keys of pocket's trained stages cover: shipped weights are found by exactly this."""

from __future__ import annotations

from pathlib import Path

from pipeline import recipe as recipes
from pipeline import stages
from pipeline.tasks.corpus import CorpusText
from pipeline.tasks.methods import methods_of
from pipeline.types import Artifact

QUESTIONS = "2a44bbdc2818033cdd6741490dda10eee946ccb14284ec6a8da928ee609d0744"
ENCODER = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TRAINING = {
    "epochs",
    "learning_rate",
    "warmup",
    "weight_decay",
    "tokens_per_batch",
    "accumulate",
    "dropout",
    "precision",
    "train_word_embeddings",
    "storage",
}
PRETRAINING = {
    "length",
    "layout",
    "mask",
    "temperature",
    "soft",
    "mlm",
    "cosine",
    "soft_positions",
    "cosine_positions",
}


def made(letter: str) -> Artifact:
    return Artifact(kind="", path=Path(), key="", sha256=letter * 64, parents=(), metrics={})


def test_the_keys_of_pockets_training_cover_what_they_did() -> None:
    recipe = recipes.load("pocket")
    questions = methods_of(recipe.task).examples(recipe.data.train)
    assert recipe.pretrain is not None
    corpus = CorpusText(recipe.pretrain.corpus)
    teach = stages.Teach(
        encoder=recipe.teacher, questions=questions, task=recipe.task, options=recipe.teach, seed=0
    )
    pretrain = stages.Pretrain(
        encoder=recipe.teacher, corpus=corpus, shape=recipe.student, options=recipe.pretrain, seed=0
    )
    distil = stages.Distil(
        teacher=made("a"),
        questions=questions,
        task=recipe.task,
        shape=recipe.student,
        options=recipe.distil,
        seed=0,
        general=made("b"),
    )
    assert [(stage.name, stage.version) for stage in (teach, pretrain, distil)] == [
        ("teach", 1),
        ("pretrain", 1),
        ("distil", 2),
    ]
    assert all(stage.tools() == ("torch", "transformers") for stage in (teach, pretrain, distil))
    assert teach.parents() == {"encoder": ENCODER, "questions": QUESTIONS}
    assert pretrain.parents() == {"encoder": ENCODER, "corpus": recipe.pretrain.corpus.fingerprint}
    assert distil.parents() == {"teacher": "a" * 64, "questions": QUESTIONS, "student": "b" * 64}
    windows = {"max_length": 384, "stride": 128}
    told = dict(teach.settings())
    assert set(told.pop("training")) == TRAINING
    assert told == windows
    told = dict(pretrain.settings())
    assert set(told.pop("training")) == TRAINING | PRETRAINING
    assert told == {"student": {"layers": [0, 2, 3, 5], "hidden": None, "initial": "teacher"}}
    told = dict(distil.settings())
    assert set(told.pop("training")) == TRAINING | {"temperature", "soft", "hard", "cosine"}
    assert told == {"student": None, **windows}


def test_the_question_answering_record_is_as_it_was() -> None:
    assert recipes.Task().model_dump(mode="json") == {
        "kind": "question-answering",
        "max_length": 384,
        "stride": 128,
        "n_best": 20,
        "max_answer_length": 30,
    }
