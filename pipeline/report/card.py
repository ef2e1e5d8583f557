"""A bundle's model card: README.md as the Hugging Face hub reads it, YAML front matter with a model-index.

Scalars of the front matter are written as JSON strings, which YAML reads too: no name can break out of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.report import figures

RUNTIMES = {
    "coreml": "Core ML (iOS 17 and later)",
    "executorch": "ExecuTorch with XNNPACK",
    "tflite": "LiteRT (TFLite) with XNNPACK",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a bundle's reader should know. Accuracy in percent, sizes in bytes, lengths in tokens."""

    name: str
    target: str
    program: str
    """File or package name inside the bundle."""
    size_bytes: int
    max_length: int
    stride: int
    eval_source: str
    questions: int
    """How many the program itself answered."""
    em: float
    f1: float
    student_f1: float
    """Of the torch student on the same questions."""
    sqnr_db: float
    """Program's logits against the torch student's."""
    span_agreement: float
    """Share of questions, 0 to 1, where both pick the same characters."""
    note: str = ""
    """What such a verification proves and what it does not."""
    base_model: str | None = None
    """Hub id of the model it was distilled from."""
    dataset: str | None = None
    """Hub id of the training data."""
    licence: str = "apache-2.0"
    language: str = "en"


def render(card: Card) -> str:
    """The whole README.md; the same card gives the same text."""
    return "\n".join(["---", *_front_matter(card), "---", "", *_body(card)]) + "\n"


def _front_matter(card: Card) -> Iterator[str]:
    yield f"language: {_quoted(card.language)}"
    yield f"license: {_quoted(card.licence)}"
    yield f"library_name: {_quoted(card.target)}"
    yield f"pipeline_tag: {_quoted('question-answering')}"
    yield "tags:"
    for tag in ("question-answering", "distillation", "pruning", "int8", "on-device", card.target):
        yield f"- {_quoted(tag)}"
    if card.base_model:
        yield f"base_model: {_quoted(card.base_model)}"
    if card.dataset:
        yield "datasets:"
        yield f"- {_quoted(card.dataset)}"
    yield "model-index:"
    yield f"- name: {_quoted(card.name)}"
    yield "  results:"
    yield "  - task:"
    yield f"      type: {_quoted('question-answering')}"
    yield f"      name: {_quoted('Extractive question answering')}"
    yield "    dataset:"
    yield f"      type: {_quoted(card.eval_source)}"
    yield f"      name: {_quoted(card.eval_source)}"
    yield "    metrics:"
    for kind, name, value in (("exact_match", "Exact match", card.em), ("f1", "F1", card.f1)):
        yield f"    - type: {_quoted(kind)}"
        yield f"      name: {_quoted(name)}"
        yield f"      value: {round(value, 2)}"


def _body(card: Card) -> Iterator[str]:
    runtime = RUNTIMES.get(card.target, card.target)
    yield f"# {_plain(card.name)} for {runtime}"
    yield ""
    made = f", distilled from {_plain(card.base_model)}" if card.base_model else ""
    yield f"Answers a question with a span of a passage (extractive question answering){made}."
    yield "It was distilled, pruned and quantized to int8, then compared with the torch student it came from."
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| program | `{_plain(card.program)}`, {figures.megabytes(card.size_bytes)} (1 MB = 10⁶ bytes) |"
    yield f"| exact match, F1 | {card.em:.1f}, {card.f1:.1f} on {_plain(card.eval_source)} |"
    yield f"| questions answered by the program | {card.questions:,} |"
    yield f"| F1 of the torch student on the same | {card.student_f1:.1f} |"
    yield f"| logits against the torch student | SQNR {figures.number(round(card.sqnr_db, 1))} dB |"
    yield f"| same answer span as the torch student | {card.span_agreement * 100:.1f} % |"
    yield ""
    if card.note:
        yield f"**How it was verified.** {_plain(card.note)}"
        yield ""
    yield "## Use"
    yield ""
    yield f"The program takes one window of at most {card.max_length} tokens, batch 1:"
    yield ""
    yield "| name | type | shape | meaning |"
    yield "|---|---|---|---|"
    yield "| `input_ids` | int32 | (1, seq) | `[CLS]` question `[SEP]` passage `[SEP]` |"
    yield "| `attention_mask` | int32 | (1, seq) | 1 for a token, 0 for padding |"
    yield "| `start_logits` | float32 | (1, seq) | how well the answer starts at each token |"
    yield "| `end_logits` | float32 | (1, seq) | how well the answer ends at each token |"
    yield ""
    yield f"A longer passage is cut into windows that share {card.stride} tokens; the best span over all wins."
    yield "`tokenizer.json` and `vocab.txt` turn text into ids, `golden.json` holds inputs with the answers to"
    yield "expect, and `manifest.json` the hash of every file. On a desktop, from this folder:"
    yield ""
    yield "```sh"
    yield 'python -m pipeline.ask --bundle . --context passage.txt "When was the mill built?"'
    yield "```"
    yield ""
    yield "## Limits"
    yield ""
    yield "- The answer is a piece of the passage; where the passage has none, it is wrong, not empty."
    yield "- It is as biased as the text it learned from, and knows no other language than that text's."
    yield "- Figures above are of this program on a desktop; a phone's latency has to be measured on the phone."


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=True)


def _plain(text: str) -> str:
    """Text that Markdown and HTML show as it is: on one line, and no tag, table cell or code ends early."""
    flat = " ".join(text.split())
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("`", "'")
