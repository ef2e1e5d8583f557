"""Classification and regression as stages see them: losses by their formulas, answers, agreement, metrics."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from pipeline.recipe import Classification, Questions, Regression, Task
from pipeline.tasks.base import answer_all
from pipeline.tasks.methods import QuestionAnswering, TextClassification, TextRegression, methods_of
from pipeline.tasks.sentences import Sentence
from pipeline.types import DataError, Silent

COLOURS = Classification(kind="text-classification", max_length=24, labels=("red", "green", "blue"))
MARKS = Regression(kind="regression", max_length=24, agree_within=0.5)
LOGITS = torch.tensor([[0.3, -1.2, 2.0], [1.0, 0.5, -0.5]])
TARGETS = torch.tensor([[1.3, 0.2, 0.0], [-1.0, 2.5, -0.5]])


def test_each_kind_has_its_methods() -> None:
    assert isinstance(methods_of(Task()), QuestionAnswering)
    assert isinstance(methods_of(COLOURS), TextClassification)
    assert isinstance(methods_of(MARKS), TextRegression)
    assert (methods_of(COLOURS).labels, methods_of(MARKS).labels) == (3, 1)


def test_what_shapes_training_is_all_in_the_key() -> None:
    assert methods_of(Task(max_length=96, stride=16)).shaping() == {"max_length": 96, "stride": 16}
    renamed = COLOURS.model_copy(update={"labels": ("green", "red", "blue")})
    assert methods_of(renamed).shaping() != methods_of(COLOURS).shaping()
    scored = COLOURS.model_copy(update={"metrics": ("accuracy", "accuracy")})
    assert methods_of(scored).shaping() == methods_of(COLOURS).shaping()


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_classifiers_losses_are_their_formulas(temperature: float) -> None:
    methods, batch = TextClassification(COLOURS), {"gold": torch.tensor([2, 1])}
    hard = soft = 0.0
    for row, (given, target) in enumerate(zip(LOGITS.tolist(), TARGETS.tolist(), strict=True)):
        hard -= math.log(math.exp(given[int(batch["gold"][row])]) / sum(map(math.exp, given))) / 2
        p, q = ([math.exp(x / temperature) for x in one] for one in (target, given))
        p, q = ([x / sum(one) for x in one] for one in (p, q))
        soft += temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / 2
    assert methods.hard((LOGITS,), batch)[0].item() == pytest.approx(hard, rel=1e-5)
    assert methods.soft((LOGITS,), (TARGETS,), batch, temperature)[0].item() == pytest.approx(soft, rel=1e-5)
    assert methods.soft((TARGETS,), (TARGETS,), batch, temperature)[0].item() == pytest.approx(0, abs=1e-6)


def test_a_regressions_losses_are_mean_squares_at_any_temperature() -> None:
    methods, batch = TextRegression(MARKS), {"gold": torch.tensor([1.0, 4.0])}
    given, target = torch.tensor([[2.0], [3.5]]), torch.tensor([[2.5], [1.5]])
    assert methods.hard((given,), batch)[0].item() == pytest.approx((1.0 + 0.25) / 2)
    for temperature in (1.0, 4.0):
        found = methods.soft((given,), (target,), batch, temperature)[0].item()
        assert found == pytest.approx((0.25 + 4.0) / 2)


def test_answers_and_when_they_agree() -> None:
    one = Sentence("1", "a", None, 0.0)
    decode = TextClassification(COLOURS).decoder([one])
    first, second, tied = (
        decode(one, [], [(np.array(row, np.float32),)]) for row in ([0.1, 3.0, 3.0], [9, 8, 7], [1000.0, 0, 0])
    )
    assert (first.name, first.number) == ("green", 1), "the first of equal scores"
    assert second.confidence == pytest.approx(math.exp(9) / sum(map(math.exp, (9, 8, 7))))
    assert tied.confidence == 1.0
    colours, marks = TextClassification(COLOURS), TextRegression(MARKS)
    assert not colours.agree(first, second)
    assert colours.agree(second, tied)
    assert marks.agree(1.0, 1.5)
    assert not marks.agree(1.0, 1.51)
    assert not marks.agree(1.0, float("nan"))


def test_scores_are_percentages_of_the_recipes_metrics() -> None:
    asked = [Sentence(str(i), "a", None, gold) for i, gold in enumerate((0.0, 1.0, 1.0, 0.0))]
    two = Classification(kind="text-classification", labels=("no", "yes"), metrics=("f1", "accuracy"))
    methods = TextClassification(two)
    assert methods.primary == "f1"
    found = methods.score(asked, {"0": "no", "1": "yes", "2": "no", "3": "no"})
    assert found == {"f1": pytest.approx(200 / 3), "accuracy": 75.0}
    numbers = TextRegression(MARKS).score(asked, {"0": 0.5, "1": 2.0, "2": 2.5, "3": 0.0})
    assert list(numbers) == ["pearson", "spearman"]
    assert numbers["pearson"] == pytest.approx(100 * 2 / math.sqrt(4.25 * 1.0), rel=0.02)


class Lengths:
    """A model whose logits say how long the window is."""

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        long = input_ids.shape[1] > 6
        return (np.array([[0.0, float(long), 0.5]], np.float32),)


def test_windows_are_those_of_the_published_layout(tokenizer: PreTrainedTokenizerBase) -> None:
    methods = TextClassification(COLOURS)
    ids = tokenizer.get_vocab()
    (single,) = methods.windows(Sentence("1", "the river", None, 2.0), tokenizer)
    assert single.ids.tolist() == [ids[t] for t in ("[CLS]", "the", "river", "[SEP]")]
    (pair,) = methods.windows(Sentence("2", "the river", "old mill", 1.0), tokenizer)
    assert pair.ids.tolist() == [ids[t] for t in ("[CLS]", "the", "river", "[SEP]", "old", "mill", "[SEP]")]
    assert pair.types.tolist() == [0, 0, 0, 0, 1, 1, 1]
    (long,) = methods.windows(Sentence("3", "the " * 90, "old mill", 0.0), tokenizer)
    assert len(long.ids) == 24
    assert long.ids.tolist()[-3:] == [ids["old"], ids["mill"], ids["[SEP]"]], "the longer text is cut"
    for empty in (Sentence("4", " ", None, 0.0), Sentence("4", "a", "", 0.0)):
        with pytest.raises(DataError, match="text 4 is empty"):
            methods.windows(empty, tokenizer)


def test_a_set_becomes_batches_and_predictions(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\nthe river\tblue\nthe old mill by the river\tred\n")
    methods = TextClassification(COLOURS)
    entry = methods.examples(Questions(source=str(tmp_path), split="validation"))
    windows = entry.windows(tokenizer, COLOURS, Silent())
    batch = entry.collate(windows)
    assert batch["gold"].tolist() == [2, 0]
    assert batch["gold"].dtype == torch.int64
    assert batch["attention_mask"].sum(dim=1).tolist() == [4, 8]
    assert batch["input_ids"][0, 4:].tolist() == [0] * 4
    steps: list[int] = []
    found = answer_all(methods, entry.examples, Lengths(), tokenizer, steps.append)
    assert found == {"2": "blue", "3": "green"}, "ids are the file's line numbers"
    assert steps == [1, 2]
    with pytest.raises(DataError, match="line 2 has the gold value 'blue', which is no number"):
        TextRegression(MARKS).examples(Questions(source=str(tmp_path), split="validation")).identity()
