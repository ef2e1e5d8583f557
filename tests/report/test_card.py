"""The model card as the Hub's own library reads it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from huggingface_hub import ModelCard

from pipeline.report import card
from pipeline.report.card import Card

HOSTILE = '"]\nlicense: evil\n---\n# <script>x</script> | `a'


def read(text: str) -> Any:
    """The front matter, parsed: its attributes are those of the Hub's ModelCardData."""
    return ModelCard(text).data


@pytest.fixture
def filled() -> Card:
    return Card(
        name="pocket",
        target="tflite",
        program="pocket_qa_seq384_int8_tflite.tflite",
        size_bytes=18_400_000,
        max_length=384,
        stride=128,
        eval_source="passages",
        questions=1500,
        scores={"em": 68.44, "f1": 77.239},
        primary="f1",
        student_score=77.36,
        sqnr_db=25.61,
        agreement=0.981,
        note="LiteRT's interpreter with the XNNPACK delegate.",
        base_model="some/teacher",
        dataset="rajpurkar/squad",
    )


def test_the_front_matter_is_what_the_hub_expects(filled: Card) -> None:
    data = read(card.render(filled))
    assert (data.language, data.license, data.library_name) == ("en", "apache-2.0", "tflite")
    assert data.pipeline_tag == "question-answering"
    assert data.base_model == "some/teacher"
    assert data.datasets == ["rajpurkar/squad"]
    assert {"int8", "distillation", "tflite"} <= set(data.tags or [])
    assert data.model_name == "pocket"
    results = {result.metric_type: result.metric_value for result in data.eval_results or []}
    assert results == {"exact_match": 68.44, "f1": 77.24}
    assert {result.dataset_name for result in data.eval_results or []} == {"passages"}
    assert {result.task_type for result in data.eval_results or []} == {"question-answering"}


def test_the_text_says_what_the_record_says(filled: Card) -> None:
    text = card.render(filled)
    for said in (
        "`pocket_qa_seq384_int8_tflite.tflite`, 18.4 MB",
        "| exact match, F1 | 68.4, 77.2 on passages |",
        "1,500",
        "SQNR 25.6 dB",
        "98.1 %",
        "at most 384 tokens",
        "share 128 tokens",
        "LiteRT's interpreter",
        "a phone's latency has to be measured on the phone",
    ):
        assert said in text
    assert text.endswith("\n")
    assert text == card.render(filled)


def test_what_is_not_known_is_left_out(filled: Card) -> None:
    text = card.render(dataclasses.replace(filled, base_model=None, dataset=None, note=""))
    data = read(text)
    assert data.base_model is None
    assert data.datasets is None
    assert "None" not in text
    assert "How it was verified" not in text


def test_names_cannot_break_out(filled: Card) -> None:
    hostile = dataclasses.replace(
        filled, name=HOSTILE, eval_source=HOSTILE, base_model=HOSTILE, note=HOSTILE, program=HOSTILE
    )
    text = card.render(hostile)
    data = read(text)
    assert data.license == "apache-2.0"
    assert data.model_name == HOSTILE
    body = text.split("---\n", 2)[2]
    assert "<script" not in body
    assert "\nlicense" not in body
    assert body.count("\n# ") == 1


def test_a_program_without_any_error_has_no_finite_ratio(filled: Card) -> None:
    text = card.render(dataclasses.replace(filled, sqnr_db=float("inf")))
    assert read(text).license == "apache-2.0"
    assert "SQNR ∞ dB" in text
