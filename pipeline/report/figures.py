"""How figures are written, the same in the printed table, the report and the model card."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from device_bench import paper
from pipeline.report.summary import Check, Latency, RunSummary

MISSING = "–"
METRIC_TITLES = {
    "em": "EM",
    "f1": "F1",
    "accuracy": "Accuracy",
    "matthews": "Matthews",
    "pearson": "Pearson",
    "spearman": "Spearman",
}
"""What a task's metrics are called; all are shown times 100, as GLUE and SQuAD do."""
MB = 1e6
"""Bytes in a megabyte, everywhere: 10⁶, as app stores count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A figure from the literature, shown for orientation; F1 on SQuAD 1.1 dev."""

    label: str
    megabytes: float
    f1: float


PUBLISHED = (
    Published(label="BERT-base, float32", megabytes=438.0, f1=88.5),
    Published(label="DistilBERT, float32", megabytes=265.5, f1=86.9),
    Published(label="DistilBERT, int8", megabytes=74.7, f1=86.1),
)
"""DistilBERT paper, tables 2 and 3 (sizes: parameters × 4 bytes); Intel neural-compressor for int8."""


def comparable(summary: RunSummary) -> tuple[Published, ...]:
    """The published figures, where a run was evaluated on SQuAD too; none where its questions are others."""
    on_squad = re.search(r"squad|dev-v1\.1", summary.eval_source, re.IGNORECASE)
    return PUBLISHED if on_squad and summary.primary == "f1" else ()


PAPER_MEGABYTES = paper.MEGABYTES
PAPER_TIMES_FASTER = paper.TIMES_FASTER

_CHECKS = {  # each against the torch student
    "sqnr_db": "Logits, SQNR",
    "span_agreement": "Same answer span",
    "label_agreement": "Same label",
    "value_agreement": "Same value",
    "quantized_agreement": "Same as torch quantized alike",
    "float_agreement": "Same as before quantization",
    "adversarial_sqnr_db": "Hostile windows, worst SQNR",
    "padding_sqnr_db": "Padded to full length, worst SQNR",
    **{f"{name}_drop": f"{title} lost" for name, title in METRIC_TITLES.items()},
}


def megabytes(size_bytes: float) -> str:
    """18.4 MB; two digits below 1 MB, none from 100 MB."""
    size = size_bytes / MB
    return f"{size:.{2 if size < 1 else 1 if size < 100 else 0}f} MB"


def millions(count: int | None) -> str:
    """22.7 M parameters as `22.7 M`."""
    return MISSING if count is None else f"{count / 1e6:.{2 if count < 1e6 else 1}f} M"


def milliseconds(value: float) -> str:
    """41.3 ms; two digits below 10 ms, none from 100 ms."""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f} ms"


def times(value: float) -> str:
    """5.23×, 14.2×, 120×"""
    return f"{_ratio(value)}×"


def interval(ratio: tuple[float, float, float]) -> str:
    """The interval's ends: 5.10–5.31."""
    return f"{_ratio(ratio[1])}–{_ratio(ratio[2])}"


def less_time(value: float) -> str:
    """The other convention for the same ratio: 1.71× is 42 % less time."""
    share = 1 - 1 / value
    return f"{abs(share) * 100:.0f} % {'less' if share >= 0 else 'more'} time"


def percent_points(value: float | None) -> str:
    """EM, F1 and the other metrics are percentages already: 77.1; a dash where nothing was run."""
    return MISSING if value is None else f"{value:.1f}"


def metrics(names: Iterable[str]) -> list[str]:
    """Metrics as headings."""
    return [METRIC_TITLES.get(name, name) for name in names]


def joined(words: Sequence[str]) -> str:
    """EM and F1; a, b and c."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def conditions(latency: Latency) -> str:
    """Batch 1, 384 tokens, 1 thread."""
    return f"batch 1, {latency.length} tokens, {latency.threads} thread{'s' * (latency.threads != 1)}"


def check(one: Check) -> tuple[str, str, str]:
    """What is checked, the measured value, the limit with its relation."""
    units = {"db": (1.0, " dB"), "agreement": (100.0, " %"), "drop": (1.0, " points")}
    scale, unit = units.get(one.name, units.get(one.name.rpartition("_")[2], (1.0, "")))
    limit = number(one.limit * scale)
    rounded = number(round(one.value * scale, 2))
    value = number(one.value * scale) if rounded == limit else rounded  # 14.999 must not read as 15
    return _CHECKS.get(one.name, one.name), f"{value}{unit}", f"{one.relation} {limit}{unit}"


def number(value: float) -> str:
    """Any figure: whole ones with thousands separated, others with at most four digits after the point."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    shown = f"{value:,.0f}" if value == int(value) else f"{value:,.4f}".rstrip("0").rstrip(".")
    return (f"{value:.2e}" if float(shown.replace(",", "")) == 0 != value else shown).replace("-", "−")


def _ratio(value: float) -> str:
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"
