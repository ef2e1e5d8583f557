"""python -m pipeline.evaluate: official metrics of checkpoints, the timed pass, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerBase,
)

from pipeline import benchmarks, evaluate
from pipeline.tasks.question_answering import Window
from pipeline.types import Answerer
from tests.test_run import call
from tests.test_run_refusals import refusal

ROWS = [("the old mill", "the mill", 1), ("a tower", "the river", 0), ("it is light", "light it is", 1)] * 5


@pytest.fixture(scope="module")
def pair_classifier(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights that gives pairs of texts one of two labels."""
    folder = tmp_path_factory.mktemp("classifier")
    tokenizer = AutoTokenizer.from_pretrained(encoder_folder)
    torch.manual_seed(4)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.4,
    )
    config.num_labels = 2
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def paraphrases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in MRPC's layout."""
    folder = tmp_path_factory.mktemp("MRPC")
    lines = [f"{label}\t{i}\t{i + 900}\t{one}\t{two} {i}" for i, (one, two, label) in enumerate(ROWS)]
    text = "\n".join(["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", *lines]) + "\n"
    for name in ("train", "dev"):
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")
    return folder


def test_a_checkpoints_metrics_are_those_of_its_own_model(
    pair_classifier: Path, paraphrases: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "predictions.json"
    flags = ["--model", pair_classifier, "--task", "mrpc", "--data", paraphrases, "--out", out]
    assert call(evaluate.main, *flags) == 0
    model = BertForSequenceClassification.from_pretrained(pair_classifier).eval()
    tokenizer = AutoTokenizer.from_pretrained(pair_classifier)
    wanted = []
    for i, (one, two, _) in enumerate(ROWS):
        with torch.no_grad():
            wanted.append(int(model(**tokenizer(one, f"{two} {i}", return_tensors="pt")).logits.argmax()))
    gold = [label for *_, label in ROWS]
    assert 0 < sum(wanted) < len(wanted), "the random model must not be of one opinion"
    accuracy, f1 = (100 * metric(gold, wanted) for metric in (accuracy_score, f1_score))
    shown = capfd.readouterr().out
    assert f"Accuracy {accuracy:.2f}" in shown
    assert f"F1 {f1:.2f}" in shown
    assert "mrpc, 15 texts" in shown
    assert len(json.loads(out.read_text())) == len(ROWS)


def test_questions_are_scored_as_squad_does(
    bert_qa_folder: Path, question_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", bert_qa_folder, "--task", "squad", "--data", question_file, "--limit", 3]
    # The tiny checkpoint has 128 positions, SQuAD's windows 384 tokens: the passages here are shorter.
    assert call(evaluate.main, *flags) == 0
    shown = capfd.readouterr().out
    assert re.search(r"EM \d+\.\d\d  F1 \d+\.\d\d  \(squad, 3 questions\)", shown)
    assert "parameters" in shown
    assert "on disk" in shown


def test_the_timed_pass_takes_turns_and_keeps_its_samples(
    pair_classifier: Path, paraphrases: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "samples.json"
    flags = ["--model", pair_classifier, "--task", "mrpc", "--data", paraphrases, "--threads", 1, "--out", out]
    assert call(evaluate.main, *flags, "--time", "--against", "bert-tiny") == 0
    shown = capfd.readouterr().out
    assert "mrpc: 15 windows of" in shown
    assert "as fast as bert-tiny" in shown
    samples = json.loads(out.read_text())["samples_ns"]
    assert {len(one) for one in samples.values()} == {len(ROWS)}
    assert all(sample > 0 for one in samples.values() for sample in one)


def test_a_pass_sees_every_window_once_after_the_warm_up(tokenizer: PreTrainedTokenizerBase) -> None:
    import numpy as np

    windows = [Window(np.arange(n), np.zeros(n), np.zeros((n, 2))) for n in range(3, 12)]
    seen: dict[str, list[int]] = {"one": [], "two": []}
    order: list[str] = []

    def model(name: str) -> Answerer:
        def run(input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
            assert attention_mask.shape == input_ids.shape
            seen[name].append(input_ids.shape[1])
            order.append(name)
            return (input_ids,)

        return run

    taken = benchmarks.passes({name: model(name) for name in seen}, windows, 1)
    lengths = [len(window.ids) for window in windows]
    for name in seen:
        assert seen[name] == [*lengths[: benchmarks.WARMUP], *lengths]
        assert len(taken[name].samples_ns) == len(windows)
    assert set(order[::2]) | set(order[1::2]) == {"one", "two"}
    assert all({a, b} == {"one", "two"} for a, b in zip(order[::2], order[1::2], strict=True)), "in turns"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--task", "squad"), "has a head for text-classification, the task needs question-answering"),
        (("--task", "sts-b"), "has a head for 2 labels, the task has 1"),
        (("--task", "mrpc", "--against", "bert-tiny"), "--against is what --time compares with"),
        (("--task", "mrpc", "--limit", 0), "--threads and --limit must be at least 1"),
        (("--task", "mrpc", "--out", "nowhere/at/all.json"), "cannot be written"),
    ],
)
def test_what_cannot_be_evaluated(
    flags: tuple[object, ...],
    sentence: str,
    pair_classifier: Path,
    paraphrases: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert call(evaluate.main, "--model", pair_classifier, "--data", paraphrases, *flags) == 2
    assert sentence in refusal(capfd)


def test_a_bad_line_of_data_is_named(
    pair_classifier: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dev.tsv").write_text("Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t2\t3\tone\n")
    assert call(evaluate.main, "--model", pair_classifier, "--task", "mrpc", "--data", tmp_path) == 2
    assert re.search(r"dev\.tsv.*line 2", refusal(capfd))
