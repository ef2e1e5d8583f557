"""GLUE's tasks: their original TSV files, their names on the hub, and the metrics that GLUE reports for each.

A file's layout is told by its header, CoLA's by having none. Quotes mean nothing in these files: a line is
split at tabs. https://gluebenchmark.com/tasks has the files, Wang et al. 2018 (table 1) the metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.types import DataError

Row = tuple[int, str, str | None, str]
"""Line number from 1, text, second text where there is one, label as written."""

FILES: Mapping[str, tuple[str, ...]] = {
    "train": ("train.tsv",),
    "validation": ("dev.tsv", "dev_matched.tsv"),
    "validation_matched": ("dev_matched.tsv",),
    "validation_mismatched": ("dev_mismatched.tsv",),
}
"""Split → the file that holds it, the first that exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Names of the columns that matter. `gaps`: published with broken lines, which GLUE's own reader skips."""

    text: str
    pair: str | None
    label: str
    gaps: bool = False


LAYOUTS = (
    Layout(text="#1 String", pair="#2 String", label="Quality"),  # MRPC
    Layout(text="sentence1", pair="sentence2", label="score"),  # STS-B
    Layout(text="sentence1", pair="sentence2", label="gold_label"),  # MNLI
    Layout(text="sentence1", pair="sentence2", label="label"),  # RTE, WNLI
    Layout(text="question", pair="sentence", label="label"),  # QNLI
    Layout(text="question1", pair="question2", label="is_duplicate", gaps=True),  # QQP
    Layout(text="sentence", pair=None, label="label"),  # SST-2, after QNLI, which has its columns too
)
COLA_COLUMNS = 4
"""Source, label, the author's star, sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What one task is called and how GLUE scores it; no labels: its gold values are numbers.

    Labels are in the hub's order, which is that of published checkpoints.
    """

    name: str
    subset: str
    """On the hub, of nyu-mll/glue."""
    labels: tuple[str, ...]
    metrics: tuple[Literal["accuracy", "f1", "matthews", "pearson", "spearman"], ...]


_ENTAILS = ("entailment", "not_entailment")
BENCHMARKS: Mapping[str, Benchmark] = {
    one.name.lower(): one
    for one in (
        Benchmark(name="SST-2", subset="sst2", labels=("negative", "positive"), metrics=("accuracy",)),
        Benchmark(name="STS-B", subset="stsb", labels=(), metrics=("pearson", "spearman")),
        Benchmark(
            name="MRPC", subset="mrpc", labels=("not_equivalent", "equivalent"), metrics=("accuracy", "f1")
        ),
        Benchmark(name="RTE", subset="rte", labels=_ENTAILS, metrics=("accuracy",)),
        Benchmark(name="CoLA", subset="cola", labels=("unacceptable", "acceptable"), metrics=("matthews",)),
        Benchmark(name="QQP", subset="qqp", labels=("not_duplicate", "duplicate"), metrics=("accuracy", "f1")),
        Benchmark(name="QNLI", subset="qnli", labels=_ENTAILS, metrics=("accuracy",)),
        Benchmark(
            name="MNLI",
            subset="mnli",
            labels=("entailment", "neutral", "contradiction"),
            metrics=("accuracy",),
        ),
        Benchmark(name="WNLI", subset="wnli", labels=("not_entailment", "entailment"), metrics=("accuracy",)),
    )
}


def file_of(folder: Path, split: str) -> Path:
    """The file of a folder that holds a split.

    Raises DataError when there is none.
    """
    names = FILES.get(split, (f"{split}.tsv",))
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise DataError(f"{folder} has no {' or '.join(names)}; give a folder with GLUE's original files")
    return found


def rows(path: Path) -> Iterator[Row]:
    """The examples of one TSV file, in file order.

    Raises DataError naming the file and the line when it cannot be read as any of the layouts.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); convert it") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    parts = [line.removesuffix("\r").split("\t") for line in lines]
    header = parts[0]
    layout = next((one for one in LAYOUTS if {one.text, one.pair or one.text, one.label} <= set(header)), None)
    if layout is None and not (len(header) == COLA_COLUMNS and header[1] in ("0", "1")):
        raise DataError(
            f"{path}: line 1 is no header of a GLUE task (sentence, label; sentence1, sentence2, score; …), "
            "and CoLA's four columns without one it is not either"
        )
    for number, columns in enumerate(parts, start=1):
        if (layout and number == 1) or columns == [""]:
            continue
        if len(columns) != len(header):
            if layout and layout.gaps:
                continue
            raise DataError(
                f"{path}: line {number} has {len(columns)} columns, the first has {len(header)}; correct it"
            )
        if layout is None:
            yield number, columns[3], None, columns[1]
            continue
        cell = dict(zip(header, columns, strict=True))
        yield number, cell[layout.text], cell[layout.pair] if layout.pair else None, cell[layout.label]
