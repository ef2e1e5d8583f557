"""Constructed measurements: samples drawn from a seed, so that every figure of a page can be computed anew."""

from __future__ import annotations

from typing import Any

import numpy as np

from device_bench.measurement import (
    Counted,
    Footprint,
    Instructions,
    Measured,
    Measurement,
    Metric,
    Place,
    Precision,
    Role,
    State,
)
from tests.device_bench import measurements as made_up
from tests.device_bench.measurements import EMULATOR as EMULATED
from tests.device_bench.measurements import HOST, PHONE

__all__ = ["EMULATED", "HOST", "PHONE", "measurement", "samples"]

LOADS = {"before": 0.4, "after": 1.2}
MULTIPLY_ADDS = {"candidate": 2_000_000_000, "baseline": 11_000_000_000, "peak": 5_000_000_000}


def samples(milliseconds: float, runs: int, seed: int) -> tuple[int, ...]:
    """Nanoseconds with a tail to the slow side, as machines have it."""
    random = np.random.default_rng(seed)
    tail = random.exponential(0.03, runs) + random.normal(0, 0.008, runs)
    return tuple(int(milliseconds * 1e6 * (1 + part)) for part in tail)


def counts(total: int, share: float) -> Instructions:
    """Instructions with `share` of them dot products."""
    dot, fma = int(total * share), int(total * 0.06)
    memory, branch = int(total * 0.3), int(total * 0.04)
    return Instructions(
        total=total,
        dot_product=dot,
        fma=fma,
        load_store=memory,
        branch=branch,
        other=total - dot - fma - memory - branch,
    )


def program(
    role: Role, name: str, precision: Precision, seal: str, *, target: str = "tflite", **changed: Any
) -> Measured:
    """A program without samples."""
    size = 20_256_868 if role == "candidate" else 110_022_688 if precision == "int8" else 435_619_056
    return made_up.program(
        role,
        precision,
        **{
            "name": name,
            "target": target,
            "bundle_seal": seal,
            "footprint": Footprint(program_bytes=size, bundle_bytes=size + 1_000_000, runtime_bytes=5_400_000),
            "multiply_adds": MULTIPLY_ADDS[role],
            "samples_ns": (),
            "load_ns": (),
            "first_ns": (),
            "lengths": (),
            **changed,
        },
    )


def measurement(
    seal: str,
    *,
    metric: Metric = "latency",
    place: Place = HOST,
    target: str = "tflite",
    runs: int = 60,
    scale: float = 1.0,
    reasons: tuple[str, ...] = (),
    trend_only: bool = False,
    interleaved: bool = True,
    time: str = "2026-01-01",
) -> Measurement:
    """pocket in int8 beside BERT-base in both precisions and the peaks, `scale` times as slow as usual."""
    named: tuple[tuple[Role, str, Precision, float, int, float], ...] = (
        ("candidate", "pocket", "int8", 18.3, 240_000_000, 0.42),
        ("baseline", "BERT-base", "int8", 113.5, 2_190_000_000, 0.55),
        ("baseline", "BERT-base", "float32", 602.0, 11_800_000_000, 0.0),
        ("peak", "peak", "int8", 26.0, 0, 0.0),
        ("peak", "peak", "float32", 104.0, 0, 0.0),
    )
    programs = []
    for place_in_round, (role, name, precision, ms, total, share) in enumerate(named):
        if metric == "instructions" and role == "peak":
            continue
        measured: dict[str, Any] = {"samples_ns": samples(ms * scale, runs, place_in_round)}
        measured |= {"lengths": (384,) * runs, "load_ns": (40_000_000,), "first_ns": (int(ms * 3e6),)}
        if metric == "instructions":
            taken = counts(int(total * scale), share)
            measured["instructions"] = Counted(loading=taken, inferences=(taken,) * 3)
        programs.append(program(role, name, precision, seal, target=target, **measured))
    make = made_up.latency if metric == "latency" else made_up.counts
    whole = make(*programs, place=place.model_copy(update={"trend_only": trend_only}), reasons=reasons)
    protocol = whole.protocol.model_copy(update={"queries": "fixed:384", "interleaved": interleaved})
    states = {name: State(load_average=load, governor="performance") for name, load in LOADS.items()}
    return whole.model_copy(update={"protocol": protocol, "made": {"time": time}, **states})
