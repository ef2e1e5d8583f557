"""One summary with everything in it: measured, emulated, failed, reused, and hostile names."""

from __future__ import annotations

import dataclasses

import pytest

from pipeline.report.summary import (
    Agreement,
    Check,
    Compared,
    Latency,
    Pair,
    Row,
    RunSummary,
    StageRecord,
    Verdict,
)

HOSTILE = "<script>alert('&\"x\"')</script>"
TOML = """
name = "pocket"
[data.train]
source = "rajpurkar/squad"
[teacher]
source = "some/teacher"
[student]
layers = [0, 2]
[prune]
keep_heads = 1.0
keep_neurons = 0.92
[quantize]
linears = "int8"
embeddings = "float32"
"""


def latency(runtime: str, fp32: tuple[float, float, float], same: tuple[float, float, float] | None) -> Latency:
    return Latency(
        runtime=runtime,
        length=384,
        threads=2,
        median_ms=39.64,
        times_faster_fp32=fp32,
        times_faster_same=same,
    )


def row(label: str, kind: str, f1: float, size_bytes: int, timed: Latency | None, note: str = "") -> Row:
    return Row(
        label=label,
        kind=kind,
        parameters=18_260_000 if kind != "teacher" else None,
        scores={"em": f1 - 9.25, "f1": f1},
        questions=500 if label != "coreml" else 184,
        size_bytes=size_bytes,
        latency=timed,
        note=note,
    )


def stage(name: str, origin: str, seconds: float, made_in: float) -> StageRecord:
    return StageRecord(
        name=name,
        origin=origin,
        seconds=seconds,
        made_in_seconds=made_in,
        key=f"{len(name):064x}",
        sha256=f"{len(name) + 99:064x}",
        metrics={"parameters": 22565762.0, "loss": 1.25},
    )


def verdict(target: str, sqnr_db: float, note: str) -> Verdict:
    checks = (
        Check(name="sqnr_db", value=sqnr_db, relation="≥", limit=15.0),
        Check(name="span_agreement", value=0.981, relation="≥", limit=0.95),
        Check(name="f1_drop", value=0.12, relation="≤", limit=1.0),
        Check(name="adversarial_sqnr_db", value=21.0, relation="≥", limit=15.0, on="one-token question"),
    )
    return Verdict(target=target, questions=1184, checks=checks, note=note)


@pytest.fixture
def agreement() -> Agreement:
    """Two torch students, a program that ran, and one that did not."""

    def compared(name: str, em: float) -> Compared:
        return Compared(name=name, about=f"About {name}.", questions=500, scores={"em": em, "f1": em + 11.07})

    def pair(one: str, other: str, agreed: float, sqnr_db: float) -> Pair:
        return Pair(
            one=one,
            other=other,
            questions=500,
            sqnr_db=sqnr_db,
            max_error=0.2471,
            mean_error=0.01234,
            cosine=0.999984,
            agreement=agreed,
        )

    phone = Compared(name="phone", about="needs <a phone>", questions=0, scores={}, not_run=True)
    return Agreement(
        same="answer span",
        compared=(
            compared("torch float32", 69.2),
            compared("torch int8", 68.9),
            compared("tflite", 68.8),
            phone,
        ),
        pairs=(
            pair("torch float32", "torch int8", 0.971, 31.4),
            pair("torch float32", "tflite", 0.968, 31.2),
            pair("torch int8", "tflite", 0.984, 46.9),
        ),
    )


@pytest.fixture
def summary(agreement: Agreement) -> RunSummary:
    """A run of two targets, one failed, and of one that could not run."""
    return RunSummary(
        recipe_name="pocket",
        recipe_description="A description",
        recipe_toml=TOML,
        eval_source="dev-v1.1.json.gz",
        primary="f1",
        asked="questions",
        baseline="BERT-base",
        rows=(
            row("teacher", "teacher", 81.04, 90_263_048, latency("torch", (6.314, 6.02, 6.55), None)),
            row("student", "student", 77.36, 73_040_000, None, "a note on the student"),
            row("coreml", "artifact", 76.81, 18_520_000, None, "Evaluated op by op; not latency."),
            row(
                "tflite", "artifact", 77.24, 18_400_000, latency("tflite", (27.41, 26.8, 28.1), (0.8, 0.7, 0.9))
            ),
            dataclasses.replace(
                row("phone", "artifact", 0.0, 18_500_000, None, "not run: needs <a phone>"), scores={}
            ),
        ),
        stages=(
            stage("teach", "shipped", 0.4, 5210.0),
            stage("prune", "reused", 0.1, 64.0),
            stage("export tflite", "made", 67.0, 67.0),
        ),
        verdicts=(
            verdict("coreml", float("inf"), "Evaluated op by op; not latency."),
            verdict("tflite", 12.5, ""),
            Verdict(target="phone", questions=0, checks=(), not_run="needs <a phone>"),
        ),
        agreement=agreement,
        bundles={"tflite": "bundles/pocket-tflite"},
        provenance={
            "git": {"commit": "1a8d7d0c", "dirty": True},
            "machine": {"processor": "arm64", "cpus": 8},
            "time": None,
        },
        tools={"torch": "2.13.0"},
    )
