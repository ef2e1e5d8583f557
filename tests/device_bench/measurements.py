"""Measurements made up for tests: small, valid, and every figure of them known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from device_bench.measurement import (
    Counted,
    Footprint,
    Instructions,
    Likeness,
    Measured,
    Measurement,
    Place,
    Precision,
    Protocol,
    Role,
    Validity,
    Wish,
)

MILLISECOND = 1_000_000
RUNS = 50
PROGRAM_BYTES = {"candidate": 20_000_000, "baseline": 110_000_000, "peak": 42_000_000}
MILLISECONDS = {("candidate", "int8"): 10.0, ("baseline", "int8"): 80.0, ("baseline", "float32"): 250.0}
"""Median latency of a program where a test says nothing else, by role and precision."""
MILLIONS = {("candidate", "int8"): 125.0, ("baseline", "int8"): 2_200.0, ("baseline", "float32"): 5_900.0}
"""Instructions of an inference, likewise."""


def times(
    milliseconds: float,
    count: int = RUNS,
    noise: float = 0.01,
    seed: int = 0,
    drift: Sequence[float] | np.ndarray = (),
) -> tuple[int, ...]:
    """`count` samples in nanoseconds, log-normal about a median with a relative spread of `noise`.

    `drift` are factors, one a sample, of what else went on at the time: give two programs the same.
    """
    random = np.random.default_rng(seed)
    samples = milliseconds * MILLISECOND * np.exp(noise * random.standard_normal(count))
    return tuple(int(t) for t in samples * (np.asarray(drift) if len(drift) else 1.0))


def instructions(millions: float) -> Instructions:
    """A plausible mixture that adds up to so many million."""
    total = round(millions * 1e6)
    parts = {"dot_product": total // 4, "fma": total // 20, "load_store": total // 3, "branch": total // 25}
    return Instructions(total=total, **parts, other=total - sum(parts.values()))


def counted(millions: float, inferences: int = 3) -> Counted:
    """The same for each inference; loading takes three times as many."""
    return Counted(loading=instructions(3 * millions), inferences=(instructions(millions),) * inferences)


def program(role: Role = "candidate", precision: Precision = "int8", **changed: Any) -> Measured:
    """A program with latency samples; a test changes what it is about."""
    name = {"candidate": "pocket", "baseline": "bert-base", "peak": "linears"}[role]
    scale = 4 if precision == "float32" else 1
    size = PROGRAM_BYTES[role] * scale
    fields: dict[str, Any] = {
        "role": role,
        "name": name,
        "target": "tflite",
        "precision": precision,
        "random_weights": role != "candidate",
        "parameters": {"candidate": 18_300_000, "baseline": 108_891_650, "peak": 42_300_000}[role],
        "bundle_seal": role[0] * 64,
        "program_sha256": f"{role}-{precision}".encode().hex().ljust(64, "0")[:64],
        "runner": "native",
        "runtime": "LiteRT 2.3.0",
        "threads": Wish(asked="1", got="1"),
        "delegate": Wish(asked="xnnpack", got="xnnpack"),
        "footprint": Footprint(program_bytes=size, bundle_bytes=size + 1_000_000, runtime_bytes=4_000_000),
        "load_ns": (5 * MILLISECOND,),
        "first_ns": (40 * MILLISECOND,),
        "samples_ns": times(MILLISECONDS.get((role, precision), 20.0), seed=len(role) + scale),
        "lengths": (128,) * RUNS,
        "peak_resident_bytes": size * 2,
        "likeness": Likeness(windows=3, max_error=1e-5, sqnr_db=90.0),
        "multiply_adds": {"candidate": 700_000_000, "baseline": 11_200_000_000, "peak": 2_400_000_000}[role],
    }
    return Measured(**{**fields, **changed})


def counting(role: Role = "candidate", precision: Precision = "int8", **changed: Any) -> Measured:
    """The same program as an emulator sees it: instructions and no times."""
    made = counted(changed.pop("millions", MILLIONS.get((role, precision), 500.0)))
    timeless: dict[str, Any] = {"samples_ns": (), "load_ns": (), "first_ns": (), "instructions": made}
    return program(role, precision, **{**timeless, "lengths": (128,) * len(made.inferences), **changed})


PHONE = Place(
    kind="adb", name="Pixel 8", emulated=False, processor="Tensor G3", cores=9, system="Android 15 (API 35)"
)
HOST = Place(
    kind="host", name="this machine", emulated=False, processor="Some CPU", cores=2, system="Linux 6.1"
)
EMULATOR = Place(
    kind="arm64-emulator",
    name="qemu-arm64 (emulated)",
    emulated=True,
    processor="Cortex-A76",
    cores=1,
    system="QEMU 7.2.22, Debian 12",
    cpu="cortex-a76",
)


def latency(
    *programs: Measured, place: Place = PHONE, reasons: Sequence[str] = (), **changed: Any
) -> Measurement:
    """A measurement of times: the candidate and both baselines, unless others are given."""
    return _measurement(
        programs or (program(), program("baseline"), program("baseline", "float32")),
        place,
        Protocol(
            metric="latency",
            warmup=5,
            runs=RUNS,
            seconds=10.0,
            queries="fixed:128",
            threads=1,
            interleaved=True,
        ),
        reasons,
        changed,
    )


def counts(
    *programs: Measured, place: Place = EMULATOR, reasons: Sequence[str] = (), **changed: Any
) -> Measurement:
    """A measurement of instructions, likewise."""
    return _measurement(
        programs or (counting(), counting("baseline"), counting("baseline", "float32")),
        place,
        Protocol(
            metric="instructions",
            warmup=1,
            runs=3,
            seconds=0.0,
            queries="fixed:128",
            threads=1,
            interleaved=False,
        ),
        reasons,
        changed,
    )


def _measurement(
    programs: Sequence[Measured],
    place: Place,
    protocol: Protocol,
    reasons: Sequence[str],
    changed: dict[str, Any],
) -> Measurement:
    fields: dict[str, Any] = {
        "place": place,
        "protocol": protocol,
        "programs": tuple(programs),
        "validity": Validity(valid=not reasons, reasons=tuple(reasons)),
        "made": {
            "time": "2026-11-21T12:00:00+00:00",
            "command": "device_bench run",
            "tools": {"qemu": "7.2.22"},
        },
    }
    return Measurement(**{**fields, **changed})


def with_candidate(measurement: Measurement, change: Callable[[Measured], Measured]) -> Measurement:
    """The same measurement, its candidate changed."""
    programs = tuple(change(p) if p.role == "candidate" else p for p in measurement.programs)
    return measurement.model_copy(update={"programs": programs})
