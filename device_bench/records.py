"""From what a device saw to the records of measurement.json: what every device fills in the same way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from device_bench.devices.base import Contender, Request
from device_bench.measurement import (
    Footprint,
    Measured,
    Measurement,
    Place,
    Precision,
    Protocol,
    State,
    Validity,
    Wish,
)
from device_bench.queries import Queries
from device_bench.timing import Timed, warmed
from device_bench.validity import judge
from pipeline import store
from pipeline.bundles import Bundle
from pipeline.types import UsageError

NOTHING_TOLD = State()


def made() -> dict[str, Any]:
    """When, with which command and commit, where."""
    return store.provenance()


def assembled(
    place: Place,
    protocol: Protocol,
    programs: Sequence[Measured],
    before: State = NOTHING_TOLD,
    after: State = NOTHING_TOLD,
    *,
    also: Iterable[str] = (),
    **known: Any,
) -> Measurement:
    """The whole record, judged. `also`: reasons that only the device sees; `known`: what else `made` says."""
    reasons = (*judge(place, protocol, programs, before, after).reasons, *also)
    return Measurement(
        place=place,
        before=before,
        after=after,
        protocol=protocol,
        programs=tuple(programs),
        validity=Validity(valid=not reasons, reasons=reasons),
        made={**made(), **known},
    )


def runs_at(bundle: Bundle, tokens: int) -> int:
    """The length at which the program runs a window of so many tokens, padding included.

    Raises UsageError where that is more than it takes.
    """
    for length in bundle.lengths:
        if length >= tokens:
            return length
    raise UsageError(f"{bundle.path} takes at most {bundle.lengths[-1]} tokens, not {tokens}")


def precision_of(bundle: Bundle) -> Precision:
    """Raises UsageError for a bundle that does not say: nothing could be paired with it."""
    if bundle.precision is None:
        raise UsageError(f"{bundle.path} was made before bundles said their precision; make it again")
    return bundle.precision


def program_sha256(bundle: Bundle) -> str:
    """Of the program's file, or of a package's files together."""
    if bundle.program.is_dir():
        return store.tree_digest(store.hash_tree(bundle.program))
    return store.sha256_file(bundle.program)


def tree_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(
        file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()
    )


def footprint(
    bundle: Bundle, runtime_bytes: int | None = None, on_device_bytes: int | None = None
) -> Footprint:
    """What the bundle takes, with what its device says."""
    return Footprint(
        program_bytes=tree_bytes(bundle.program),
        bundle_bytes=tree_bytes(bundle.path),
        runtime_bytes=runtime_bytes,
        on_device_bytes=on_device_bytes,
    )


def multiply_adds(bundle: Bundle, lengths: Sequence[int]) -> int | None:
    """Of one inference, mean over windows that ran at these lengths; None where the bundle does not say."""
    if bundle.multiply_adds is None:
        return None
    return round(sum(bundle.multiply_adds.of(length) for length in lengths) / len(lengths))


def protocol_of(request: Request, *, warmup: int | None = None, interleaved: bool = True) -> Protocol:
    """What was asked for; `warmup` is what came of it."""
    plan = request.plan
    return Protocol(
        metric=request.metric,
        mode=plan.mode,
        warmup=warmed(plan, request.queries) if warmup is None else warmup,
        runs=plan.runs,
        seconds=plan.seconds,
        queries=request.queries.source,
        threads=request.threads,
        interleaved=interleaved,
    )


def identity(contender: Contender, request: Request) -> Mapping[str, Any]:
    """The fields of Measured that follow from the bundle alone."""
    bundle = contender.bundle
    return {
        "role": contender.role,
        "name": bundle.name,
        "target": bundle.target,
        "precision": precision_of(bundle),
        "random_weights": bundle.random_weights,
        "parameters": bundle.parameters,
        "bundle_seal": bundle.seal,
        "program_sha256": program_sha256(bundle),
        "runner": request.runner,
    }


def timed_program(
    contender: Contender, request: Request, timed: Timed, *, delegate: str, size: Footprint, **more: Any
) -> Measured:
    """One program that `time_runners` has timed. `delegate`: asked for; `more`: further fields."""
    lengths = tuple(ran.length for ran in timed.runs)
    got = timed.loaded.threads
    return Measured(
        **identity(contender, request),
        runtime=timed.loaded.runtime,
        threads=Wish(asked=str(request.threads), got=None if got is None else str(got)),
        delegate=Wish(asked=delegate, got=timed.loaded.delegate),
        footprint=size,
        load_ns=timed.load_ns,
        first_ns=timed.first_ns,
        samples_ns=tuple(ran.ns for ran in timed.runs),
        lengths=lengths,
        runs_of=timed.runs_of,
        peak_resident_bytes=timed.peak_resident_bytes,
        multiply_adds=multiply_adds(contender.bundle, lengths),
        **more,
    )


def check_length(bundle: Bundle, length: int) -> None:
    """Raises UsageError unless the program runs at exactly this length: padding is work of another one."""
    if length not in bundle.lengths:
        lengths = bundle.lengths
        taken = ", ".join(map(str, lengths)) if len(lengths) < 9 else f"{lengths[0]} to {lengths[-1]}"
        raise UsageError(f"{bundle.path} runs at {taken} tokens, not at exactly {length}; give one of these")


def check_pairs(contenders: Sequence[Contender], queries: Queries) -> None:
    """Raises UsageError where a baseline would run a window at another length than the candidate."""
    candidate = contenders[0].bundle
    for tokens in sorted({len(window) for window in queries.windows}):
        if queries.source.startswith("fixed:"):
            check_length(candidate, tokens)
        length = runs_at(candidate, tokens)
        for contender in contenders[1:]:
            theirs = runs_at(contender.bundle, tokens)
            if theirs != length and contender.role == "baseline":
                raise UsageError(
                    f"{tokens} tokens run at {length} in {candidate.path} and at {theirs} in "
                    f"{contender.bundle.path}: no pair; give a baseline of the same lengths"
                )
