"""measurement.json: what one device measured, complete enough for a sceptic. The apps write the same file.

Raw samples are kept; every figure anybody prints is computed from them. Times are nanoseconds, sizes bytes.
`measurement.schema.json` is this file's JSON schema, for writers in other languages.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from device_bench.stats import Ratio, paired_ratio
from pipeline.types import UsageError

FORMAT = 1
SCHEMA = Path(__file__).with_name("measurement.schema.json")

Count = Annotated[int, Field(ge=0)]
Nanoseconds = Annotated[int, Field(gt=0)]
Metric = Literal["latency", "instructions"]
Precision = Literal["int8", "float32"]
Role = Literal["candidate", "baseline", "peak"]
"""peak: a program of large linears only, whose rate is taken for what this runtime can reach on the device."""


class Record(BaseModel):
    """Frozen; unknown keys are refused, and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Place(Record):
    """The device, and whether its milliseconds mean anything."""

    kind: Literal["host", "arm64-emulator", "adb", "ios", "ios-simulator", "macos", "browser"]
    name: str
    """As people call it: Pixel 8, iPhone 15 Pro, `qemu-arm64 (emulated)`."""
    emulated: bool
    """True: instructions and sizes count, times do not, and nobody prints them as latency."""
    trend_only: bool = False
    """True for a virtual phone on another processor (an x86 Android emulator, a simulator)."""
    processor: str
    cores: Count
    system: str
    """Operating system and version."""
    cpu: str | None = None
    """The core that an emulator stands for: cortex-a76, or max,sve=off,sme=off for one with i8mm."""


class State(Record):
    """What may disturb a measurement, before it or after it; None where the device does not tell."""

    temperature_celsius: float | None = None
    thermal: str | None = None
    """In the device's own words: none, light, moderate, severe …; nominal, fair, serious, critical."""
    battery_percent: float | None = None
    charging: bool | None = None
    governor: str | None = None
    pinned_to: tuple[int, ...] | None = None
    """CPU numbers that the runner was held to."""
    load_average: float | None = None


class Protocol(Record):
    """How it was measured. Batch is 1 everywhere."""

    metric: Metric
    mode: Literal["standard", "long"] = "standard"
    """standard: at least 50 runs and 10 s; long: at least 1,024 and 60 s, over ten processes."""
    warmup: Count
    runs: Count
    """At least so many, after warm-up."""
    seconds: float
    """And at least for so long; 0 where instructions are counted."""
    queries: str
    """fixed:128, or squad: windows whose lengths follow SQuAD v1.1's."""
    threads: Count
    interleaved: bool
    """Whether the programs took turns, A B A B; only then are ratios of times made of pairs."""
    processes: Literal["one each", "shared", "app"] = "one each"


class Wish(Record):
    """Something asked for, and what the runtime then did; `got` is None where it does not tell."""

    asked: str
    got: str | None


class Instructions(Record):
    """Guest instructions, by class; `other` makes up the total."""

    total: Count
    dot_product: Count
    """SDOT, UDOT, USDOT, and the matrix forms SMMLA, UMMLA, USMMLA."""
    fma: Count
    load_store: Count
    branch: Count
    other: Count


class Counted(Record):
    """Instructions of each inference after the first, in the order of the runs, and of getting there."""

    loading: Instructions
    """From the process's start to the end of the first inference."""
    inferences: Annotated[tuple[Instructions, ...], Field(min_length=1)]


class Likeness(Record):
    """This device's logits beside the host's, for the same program and windows."""

    windows: Count
    max_error: float
    sqnr_db: float | None
    """None where they are equal to the last bit."""


class Footprint(Record):
    """What the model takes. `runtime_bytes` are the libraries that have to be there to run it."""

    program_bytes: Count
    bundle_bytes: Count
    runtime_bytes: Count | None = None
    on_device_bytes: Count | None = None
    """What the device itself says the files take there."""


class Measured(Record):
    """One program on the device."""

    role: Role
    name: str
    target: str
    precision: Precision
    random_weights: bool = False
    """True: for size and latency only; its answers mean nothing."""
    parameters: Count | None = None
    bundle_seal: str
    program_sha256: str
    runner: Literal["native", "python", "app"]
    runtime: str
    """With its version: LiteRT 2.3.0."""
    threads: Wish
    delegate: Wish
    compute_unit: Wish | None = None
    footprint: Footprint
    load_ns: tuple[Nanoseconds, ...] = ()
    """From the call that loads the program until it can be run."""
    first_ns: tuple[Nanoseconds, ...] = ()
    """The first inference, which packs weights."""
    samples_ns: tuple[Nanoseconds, ...] = ()
    """Inference alone, in steady state, one a run."""
    lengths: tuple[Count, ...] = ()
    """Tokens of each run's window, padding of a fixed-length program included."""
    runs_of: tuple[Count, ...] = ()
    """How many of the samples each process gave, in order; empty where one gave all."""
    tokenize_ns: tuple[Nanoseconds, ...] = ()
    decode_ns: tuple[Nanoseconds, ...] = ()
    peak_resident_bytes: Count | None = None
    instructions: Counted | None = None
    likeness: Likeness | None = None
    multiply_adds: Count | None = None
    """Of one inference, mean over its windows; by formula, matrix products alone."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.runs_of and sum(self.runs_of) != len(self.samples_ns):
            raise ValueError(f"runs_of adds up to {sum(self.runs_of)}, samples are {len(self.samples_ns)}")
        return self

    def faster_than(self, baseline: Measured) -> Ratio:
        """How many times, where both took turns. Raises ValueError where their samples are no pairs."""
        return paired_ratio(baseline.samples_ns, self.samples_ns, self.runs_of)


class Validity(Record):
    """Whether the figures may be used, and if not, why: a sentence each."""

    valid: bool
    reasons: tuple[str, ...] = ()


class Measurement(Record):
    """One device, one protocol, one candidate and what it is held against."""

    format: Literal[1] = 1
    place: Place
    before: State = State()
    after: State = State()
    protocol: Protocol
    programs: Annotated[tuple[Measured, ...], Field(min_length=1)]
    validity: Validity
    made: Mapping[str, Any]
    """When, with which command, commit and tool versions."""

    @property
    def candidate(self) -> Measured:
        """The program that the measurement is about."""
        return next(program for program in self.programs if program.role == "candidate")

    def baseline(self, precision: Precision) -> Measured | None:
        """What the candidate is held against, in that precision."""
        found = (p for p in self.programs if p.role == "baseline" and p.precision == precision)
        return next(found, None)


def speedups(protocol: Protocol, programs: Sequence[Measured]) -> Iterator[tuple[Measured, Ratio]]:
    """Each baseline with how many times faster the candidate is; none where there are no pairs of samples."""
    candidate = next((program for program in programs if program.role == "candidate"), None)
    if candidate is None or not candidate.samples_ns or not protocol.interleaved:
        return
    for program in programs:
        if program.role == "baseline" and len(program.samples_ns) == len(candidate.samples_ns):
            yield program, candidate.faster_than(program)


def read(path: Path) -> Measurement:
    """A measurement from its file. Raises UsageError where it is none, and says what is wrong with it."""
    try:
        return Measurement.model_validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(f"{path} is no measurement.json of format {FORMAT}: {where}: {first['msg']}") from None


def write(measurement: Measurement, path: Path) -> None:
    """The file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(measurement.model_dump(mode="json"), indent=1, ensure_ascii=False)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def schema() -> str:
    """The JSON schema's text, as SCHEMA holds it."""
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Measurement.model_json_schema()}
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
