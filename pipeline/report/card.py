"""A bundle's model card: README.md as the Hugging Face hub reads it, YAML front matter with a model-index.

Scalars of the front matter are written as JSON strings, which YAML reads too: no name can break out of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.report import figures

RUNTIMES = {
    "coreml": "Core ML (iOS 17 and later)",
    "executorch": "ExecuTorch with XNNPACK",
    "tflite": "LiteRT (TFLite) with XNNPACK",
    "onnx": "ONNX Runtime",
    "executorch-coreml": "ExecuTorch with Core ML (iOS 17 and later)",
    "coreai": "Core AI (OS 27 and later), experimental",
}
STEPS = ("distilled", "pruned", "quantized to int8")
"""What a run does to its teacher, in order."""
TAGS = {"distilled": "distillation", "pruned": "pruning", "quantized to int8": "int8"}
"""Step → the hub's tag for it."""
HUB_METRICS = {
    "em": ("exact_match", "Exact match"),
    "matthews": ("matthews_correlation", "Matthews correlation"),
    "pearson": ("pearsonr", "Pearson correlation"),
    "spearman": ("spearmanr", "Spearman correlation"),
}
"""Metric → the hub's type for it, and its name in full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a bundle's reader should know. Accuracy in percent, sizes in bytes, lengths in tokens."""

    name: str
    target: str
    program: str
    """File or package name inside the bundle."""
    size_bytes: int
    max_length: int
    eval_source: str
    questions: int
    """How many the program itself answered."""
    scores: Mapping[str, float]
    """The task's metrics of the program; none where it was not run, and then `note` says why."""
    primary: str
    """The one of them that the student is compared by."""
    student_score: float
    """Of the torch student on the same examples."""
    sqnr_db: float
    """Program's logits against the torch student's."""
    agreement: float
    """Share of examples, 0 to 1, where both give the same answer."""
    kind: str = "question-answering"
    title: str = "Extractive question answering"
    does: str = "Answers a question with a span of a passage (extractive question answering)"
    asked: str = "questions"
    same: str = "answer span"
    input_ids: str = "`[CLS]` question `[SEP]` passage `[SEP]`"
    stride: int | None = None
    """Tokens that neighbouring windows share, where a text is cut into several."""
    labels: tuple[str, ...] = ()
    """Of a classifier, in the order of its logits."""
    note: str = ""
    """What such a verification proves and what it does not."""
    steps: tuple[str, ...] = STEPS
    """What was done to that model; nothing to one exported in float."""
    base_model: str | None = None
    """Hub id of the model it was made from."""
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
    yield f"pipeline_tag: {_quoted(card.kind)}"
    yield "tags:"
    for tag in (card.kind, *(TAGS[step] for step in card.steps), "on-device", card.target):
        yield f"- {_quoted(tag)}"
    if card.base_model:
        yield f"base_model: {_quoted(card.base_model)}"
    if card.dataset:
        yield "datasets:"
        yield f"- {_quoted(card.dataset)}"
    if not card.scores:
        return
    yield "model-index:"
    yield f"- name: {_quoted(card.name)}"
    yield "  results:"
    yield "  - task:"
    yield f"      type: {_quoted(card.kind)}"
    yield f"      name: {_quoted(card.title)}"
    yield "    dataset:"
    yield f"      type: {_quoted(card.eval_source)}"
    yield f"      name: {_quoted(card.eval_source)}"
    yield "    metrics:"
    for metric, value in card.scores.items():
        kind, name = HUB_METRICS.get(metric, (metric, figures.metrics([metric])[0]))
        yield f"    - type: {_quoted(kind)}"
        yield f"      name: {_quoted(name)}"
        yield f"      value: {round(value, 2)}"


def _body(card: Card) -> Iterator[str]:
    runtime = RUNTIMES.get(card.target, card.target)
    yield f"# {_plain(card.name)} for {runtime}"
    yield ""
    first = card.steps[0] if "distilled" in card.steps else "exported"
    made = f", {first} from {_plain(card.base_model)}" if card.base_model else ""
    yield f"{card.does}{made}."
    done = [figures.joined(card.steps)] if card.steps else []
    if card.scores:
        done.append("compared with the torch student it came from")
    if done:
        yield f"It was {', then '.join(done)}."
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| program | `{_plain(card.program)}`, {figures.megabytes(card.size_bytes)} (1 MB = 10⁶ bytes) |"
    if card.scores:
        yield from _measured(card)
    yield ""
    if card.note:
        yield f"**{'How it was verified' if card.scores else 'It was not run'}.** {_plain(card.note)}"
        yield ""
    if not card.scores:
        yield "What `golden.json` expects of it was recorded from the torch student; accuracy was not measured."
        yield ""
    yield from _use(card)


def _measured(card: Card) -> Iterator[str]:
    named = [HUB_METRICS.get(metric, ("", figures.metrics([metric])[0]))[1] for metric in card.scores]
    first, *others = named
    named = [first[0].lower() + first[1:] if first.isascii() and " " in first else first, *others]
    values = ", ".join(f"{value:.1f}" for value in card.scores.values())
    yield f"| {', '.join(named)} | {values} on {_plain(card.eval_source)} |"
    yield f"| {card.asked} answered by the program | {card.questions:,} |"
    primary = figures.metrics([card.primary])[0]
    yield f"| {primary} of the torch student on the same | {card.student_score:.1f} |"
    yield f"| logits against the torch student | SQNR {figures.number(round(card.sqnr_db, 1))} dB |"
    yield f"| same {card.same} as the torch student | {card.agreement * 100:.1f} % |"


def _use(card: Card) -> Iterator[str]:
    yield "## Use"
    yield ""
    yield f"The program takes one window of at most {card.max_length} tokens, batch 1:"
    yield ""
    yield "| name | type | shape | meaning |"
    yield "|---|---|---|---|"
    yield f"| `input_ids` | int32 | (1, seq) | {card.input_ids} |"
    yield "| `attention_mask` | int32 | (1, seq) | 1 for a token, 0 for padding |"
    yield from _use_for_questions(card) if card.kind == "question-answering" else _use_for_texts(card)
    yield "- It is as biased as the text it learned from, and knows no other language than that text's."
    desktop = "Figures above are of this program on a desktop; a" if card.scores else "A"
    yield f"- {desktop} phone's latency has to be measured on the phone."


def _use_for_questions(card: Card) -> Iterator[str]:
    yield "| `start_logits` | float32 | (1, seq) | how well the answer starts at each token |"
    yield "| `end_logits` | float32 | (1, seq) | how well the answer ends at each token |"
    yield ""
    yield f"A longer passage is cut into windows that share {card.stride} tokens; the best span over all wins."
    yield from _files(
        card, 'python -m pipeline.ask --bundle . --context passage.txt "When was the mill built?"'
    )
    yield "- The answer is a piece of the passage; where the passage has none, it is wrong, not empty."


def _use_for_texts(card: Card) -> Iterator[str]:
    width = len(card.labels) or 1
    meaning = f"a score for each of {_plain(', '.join(card.labels))}" if card.labels else "the value itself"
    yield f"| `logits` | float32 | (1, {width}) | {meaning} |"
    yield ""
    yield (
        "A longer text loses its end. The largest score is the answer."
        if card.labels
        else "A longer text loses its end."
    )
    yield from _files(card, "python -m pipeline.verify .")
    if card.labels:
        yield "- It gives every text one of its labels, also one that fits none of them."


def _files(card: Card, command: str) -> Iterator[str]:
    """What lies beside the program, how to run it where that can be, and the next heading."""
    yield "`tokenizer.json` and `vocab.txt` turn text into ids, `golden.json` holds inputs with the answers to"
    on_a_desktop = " On a desktop, from this folder:" if card.scores else ""
    yield f"expect, and `manifest.json` the hash of every file.{on_a_desktop}"
    yield ""
    if card.scores:
        yield from ("```sh", command, "```", "")
    yield from ("## Limits", "")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=True)


def _plain(text: str) -> str:
    """Text that Markdown and HTML show as it is: on one line, and no tag, table cell or code ends early."""
    flat = " ".join(text.split())
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("`", "'")
