"""Why a verification failed: the first operation, or else the first layer, whose output leaves tolerance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline.bisection import Window, first_bad_operation
from pipeline.models import checkpoint
from pipeline.models.answerer import TorchStudent
from pipeline.models.student import StudentModel, first_layers
from pipeline.numerics import sqnr_db
from pipeline.report.summary import Check
from pipeline.stages.export import Export, program_of
from pipeline.stages.verify import Verify
from pipeline.tasks.methods import methods_of
from pipeline.types import Progress, Quantization

PROBES = 4
"""Examples on which the cause is looked for."""


def cause_of(export: Export, check: Verify, failed: Check, progress: Progress) -> str:
    """The first operation, with the module it came from and both values; a sentence where there is none."""
    windows = probes(check, failed)
    limit = check.tolerance.min_sqnr_db
    try:
        fault = first_bad_operation(
            export.student(), check.exporter, windows, limit, lambda doing: progress.update(0, 1, doing)
        )
    except Exception as error:  # a converter may refuse half a student in any way; the verdict stands
        reason = str(error).partition("\n")[0] or type(error).__name__
        layer = first_bad_layer(export, check, windows, progress)
        return f"{layer}; no operation can be named, since the student cannot be observed: {reason}"
    return str(fault) if fault else "no single operation: the error builds up over all of them"


def probes(check: Verify, failed: Check) -> list[Window]:
    """Real windows, and the hostile one that failed."""
    methods, tokenizer = methods_of(check.task), checkpoint.load_tokenizer(check.quantized.path)
    real = [w for example in check.questions.spread(PROBES) for w in methods.windows(example, tokenizer)]
    windows = [(w.ids[None], np.ones_like(w.ids)[None]) for w in real]
    if failed.on:
        hostile = check.feeds(check.exporter.runner(program_of(check.exported)))
        windows += [feed.padded(feed.length) for feed in hostile if feed.name == failed.on]
    return windows


def first_bad_layer(export: Export, check: Verify, windows: list[Window], progress: Progress) -> str:
    """The first part of the student whose output leaves tolerance, read out by the head.

    Lowers the student cut after 0, 1, 2 … layers: what every exporter takes, however it rebuilds a student.
    """
    student, limit = export.student(), check.tolerance.min_sqnr_db
    assert isinstance(student.module, StudentModel)
    names = ["embeddings or the head", *(f"layers.{i}" for i in range(len(student.module.layers)))]
    for depth, name in enumerate(names):
        progress.update(depth, len(names), f"looking for the layer that goes wrong: {name}")
        module = first_layers(student.module, depth)
        kept = {f"{path}.weight" for path, _ in module.named_modules()}
        plans = {n: p for n, p in student.quantization.tensors.items() if n in kept}
        cut = replace(student, module=module, quantization=Quantization(tensors=plans))
        with TemporaryDirectory() as scratch:
            runner = check.exporter.runner(check.exporter.lower(cut, Path(scratch)).path)
            pairs = [(TorchStudent(module)(*window), runner(*window)) for window in windows]
        wanted, got = (
            np.concatenate([output.ravel() for outputs in side for output in outputs])
            for side in zip(*pairs, strict=True)
        )
        measured = sqnr_db(wanted, got)
        if not measured >= limit:
            return f"{name} (SQNR {measured:.1f} dB after it, {limit:g} wanted)"
    return "no single layer: the error builds up over all of them"
