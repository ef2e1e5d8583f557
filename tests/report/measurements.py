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
    Protocol,
    Role,
    State,
    Validity,
    Wish,
)

HOST = Place(
    kind="host", name="this machine", emulated=False, processor="Some CPU", cores=2, system="Linux 6.1"
)
EMULATED = Place(
    kind="arm64-emulator",
    name="qemu-arm64",
    emulated=True,
    processor="arm64",
    cores=1,
    system="QEMU 7.2",
    cpu="cortex-a76",
)
PHONE = Place(kind="adb", name="Pixel 8", emulated=False, processor="Tensor G3", cores=9, system="Android 14")
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
    fields: dict[str, Any] = {
        "role": role,
        "name": name,
        "target": target,
        "precision": precision,
        "random_weights": role != "candidate",
        "bundle_seal": seal,
        "program_sha256": "0" * 64,
        "runner": "native",
        "runtime": "LiteRT 2.3.0",
        "threads": Wish(asked="1", got="1"),
        "delegate": Wish(asked="xnnpack", got="xnnpack"),
        "footprint": Footprint(program_bytes=size, bundle_bytes=size + 1_000_000, runtime_bytes=5_400_000),
        "multiply_adds": MULTIPLY_ADDS[role],
        **changed,
    }
    return Measured(**fields)


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
    return Measurement(
        place=place.model_copy(update={"trend_only": trend_only}),
        before=State(load_average=0.4, governor="performance"),
        after=State(load_average=1.2, governor="performance"),
        protocol=Protocol(
            metric=metric,
            warmup=5,
            runs=50,
            seconds=10.0,
            queries="fixed:384",
            threads=1,
            interleaved=interleaved,
        ),
        programs=tuple(programs),
        validity=Validity(valid=not reasons, reasons=reasons),
        made={"time": time},
    )
