"""The report is one file that needs nothing else, says what the record says, and lets no name break out."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.report import page
from pipeline.report.summary import Curve, RunSummary
from tests.report.conftest import HOSTILE

VOID = {"meta", "link", "img", "br", "hr", "input"}
LOADING = {"src", "href", "srcset", "data", "poster", "action", "xlink:href"}


class Reader(HTMLParser):
    """Tags with attributes, the visible text, and whether elements close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def read(summary: RunSummary, folder: Path) -> Reader:
    path = page.render(summary, folder)
    assert path == folder / "report.html"
    reader = Reader(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def test_nothing_is_loaded_from_anywhere(summary: RunSummary, tmp_path: Path) -> None:
    reader = read(summary, tmp_path)
    for tag, attributes in reader.tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed"}
        assert not LOADING & set(attributes), f"<{tag}> refers to something outside"
        assert not [name for name in attributes if name.startswith("on")]
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "url(" not in html
    assert "@import" not in html
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_figures_are_those_of_the_record(summary: RunSummary, tmp_path: Path) -> None:
    text = read(summary, tmp_path).text
    for row in summary.rows[:-1]:
        cells = f"{row.scores['em']:.1f} {row.scores['f1']:.1f} {row.questions} {row.size_bytes / 1e6:.1f} MB"
        assert f"{row.label} " in text
        assert cells in text
    assert "39.6 ms in tflite 27.4× 26.8–28.1 96 % less time 0.80× 0.70–0.90 25 % more time" in text
    assert "6.31× 6.02–6.55 84 % less time – is float32" in text
    assert "not measured – –" in text
    assert "batch 1, 384 tokens, 2 threads" in text


def test_it_says_what_was_made_from_what(summary: RunSummary, tmp_path: Path) -> None:
    text = read(summary, tmp_path).text
    assert "Teacher some/teacher Trained on rajpurkar/squad Student layers 0, 2 of the teacher" in text
    assert "Pruned to 92 % of the neurons Linears in int8 Embeddings in float32" in text
    assert "Bundle for tflite bundles/pocket-tflite" in text
    assert 'source = "rajpurkar/squad"' in text
    for said in (
        "git commit 1a8d7d0c",
        "git dirty yes",
        "machine cpus 8",
        "torch 2.13.0",
        "parameters 22,565,762",
    ):
        assert said in text
    for stage in summary.stages:
        assert stage.key in text
        assert stage.sha256 in text
    assert "shipped; 0.4 s in this run, 86 min 50 s when it was made" in text


def test_it_is_honest_about_what_the_figures_are(summary: RunSummary, tmp_path: Path) -> None:
    text = read(summary, tmp_path).text
    for said in (
        "not of a phone",
        "BERT-base has random weights here: it stands for size and latency only",
        "published figures on SQuAD 1.1 dev, not measured here",
        "Evaluated op by op; not latency.",
        "a note on the student",
    ):
        assert said in text


def test_published_f1_stands_only_beside_f1_on_the_same_questions(summary: RunSummary, tmp_path: Path) -> None:
    text = read(dataclasses.replace(summary, eval_source="passages"), tmp_path).text
    assert "no published F1 stands beside them" in text
    assert "DistilBERT, int8" not in text


def test_another_baseline_is_never_called_bert_base(summary: RunSummary, tmp_path: Path) -> None:
    text = read(dataclasses.replace(summary, baseline="BERT-tiny (2 layers)"), tmp_path).text
    assert "× BERT-tiny (2 layers), float32 × BERT-tiny (2 layers), same precision" in text
    assert "BERT-tiny (2 layers) has random weights here" in text
    assert "Speed against BERT-tiny (2 layers)" in text
    assert "1× = BERT-tiny (2 layers)" in text
    # What is left are the published points of the first figure, in both widths: mark and label.
    assert text.count("BERT-base") == text.count("BERT-base, float32") == 4


def test_every_check_is_shown_with_its_limit_and_outcome(summary: RunSummary, tmp_path: Path) -> None:
    text = read(summary, tmp_path).text
    assert "Logits, SQNR ∞ dB within ≥ 15 dB" in text
    assert "Logits, SQNR 12.5 dB outside ≥ 15 dB" in text
    assert "Same answer span 98.1 % within ≥ 95 %" in text
    assert "F1 lost 0.12 points within ≤ 1 points" in text
    assert "coreml passed 1,184 questions" in text
    assert "tflite failed 1,184 questions" in text
    assert "Hostile windows, worst SQNR one-token question 21 dB within ≥ 15 dB" in text
    assert "Verified 1 of 2 artifacts within tolerance; 1 not run here" in text


def test_what_cannot_run_here_has_no_figures_and_no_verdict(summary: RunSummary, tmp_path: Path) -> None:
    text = read(summary, tmp_path).text
    assert "phone not run needs <a phone>" in text
    assert "– – not run 18.5 MB" in text


def test_the_matrix_of_agreement(summary: RunSummary, tmp_path: Path) -> None:
    text = read(summary, tmp_path).text
    assert "tflite 68.8 79.9 500 96.8 % 31.2 dB max 0.25 mean 0.012 cos 0.99998 n 500 98.4 % 46.9 dB" in text
    assert "phone: not run: needs <a phone>" in text
    bare = read(dataclasses.replace(summary, agreement=None), tmp_path).text
    assert "Agreement" not in bare


def test_hostile_names_stay_text(summary: RunSummary, tmp_path: Path) -> None:
    hostile = dataclasses.replace(
        summary,
        recipe_name=HOSTILE,
        recipe_description=HOSTILE,
        recipe_toml=f"description = '''{HOSTILE}'''\n",
        eval_source=HOSTILE,
        rows=tuple(dataclasses.replace(row, label=HOSTILE, note=HOSTILE) for row in summary.rows),
        stages=tuple(
            dataclasses.replace(stage, name=HOSTILE, metrics={HOSTILE: 1.0}) for stage in summary.stages
        ),
        verdicts=tuple(dataclasses.replace(v, target=HOSTILE, note=HOSTILE) for v in summary.verdicts),
        bundles={HOSTILE: HOSTILE},
        provenance={HOSTILE: {HOSTILE: HOSTILE}},
        tools={HOSTILE: HOSTILE},
    )
    reader = read(hostile, tmp_path)
    assert reader.count("script") == 0
    assert reader.text.count("<script>alert") > 20


def test_it_can_be_read_without_seeing_it(summary: RunSummary, tmp_path: Path) -> None:
    reader = read(summary, tmp_path)
    tags = dict(reader.tags)
    assert tags["html"] == {"lang": "en"}
    assert reader.count("h1") == 1
    assert (
        reader.count("table") == reader.count("caption") == 2 + len(summary.verdicts)
    )  # one of them not run, the matrix and the footprint
    drawings = [attributes for tag, attributes in reader.tags if tag == "svg"]
    identifiers = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(drawings) == 8  # four figures, each for a wide and a narrow screen
    assert len(identifiers) == len(set(identifiers))
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert set(str(drawing["aria-labelledby"]).split()) <= set(identifiers)
    for _, attributes in reader.tags:
        assert set(str(attributes.get("aria-labelledby", "results")).split()) <= set(identifiers)
    assert any(attributes.get("name") == "viewport" for _, attributes in reader.tags)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in html
    assert "tabular-nums" in html


def test_a_run_without_latency_says_so(summary: RunSummary, tmp_path: Path) -> None:
    rows = tuple(dataclasses.replace(row, latency=None) for row in summary.rows)
    text = read(dataclasses.replace(summary, rows=rows), tmp_path).text
    assert "No latency was measured in this run." in text
    assert "not of a phone" not in text


def test_an_almost_empty_run_still_has_a_page(summary: RunSummary, tmp_path: Path) -> None:
    bare = dataclasses.replace(summary, rows=(), stages=(), verdicts=(), bundles={}, provenance={}, tools={})
    assert "Nothing was verified in this run." in read(bare, tmp_path).text


@pytest.mark.parametrize("size_bytes", [1, 430_000, 18_400_000, 2_000_000_000])
def test_marks_stay_inside_the_figure(summary: RunSummary, tmp_path: Path, size_bytes: int) -> None:
    rows = tuple(
        dataclasses.replace(row, size_bytes=size_bytes, scores={"em": 3.0, "f1": 3.2}) for row in summary.rows
    )
    width = 0.0
    for tag, attributes in read(dataclasses.replace(summary, rows=rows), tmp_path).tags:
        if tag == "svg":
            width = float(str(attributes["width"]))
        for name in ("cx", "x", "x1", "x2"):
            assert -1 <= float(attributes.get(name) or 0) <= width or not width


def test_loss_curves_are_drawn_for_what_was_trained_here(summary: RunSummary, tmp_path: Path) -> None:
    assert 'id="curves-heading"' not in page.render(summary, tmp_path).read_text(encoding="utf-8")
    curve = Curve(stage="distil", steps=(20, 40, 60), losses=(9.5, 4.25, 2.125))
    html = page.render(dataclasses.replace(summary, curves=(curve,)), tmp_path).read_text(encoding="utf-8")
    assert "distil: loss 2.12 at the end" in html
    assert "60 steps" in html
    points = re.findall(r'<polyline points="([^"]+)"', html)
    assert len(points) == 2  # wide and narrow
    heights = [float(pair.split(",")[1]) for pair in points[0].split()]
    assert heights == sorted(heights)  # the loss falls, so the curve goes down the page
