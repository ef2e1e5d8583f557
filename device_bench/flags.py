"""From flags to what every device is asked: bundles checked, baselines found, queries made. Nothing is run."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rich.console import Console

from device_bench import queries
from device_bench.devices.base import KINDS, Contender, Device, Request, parse
from device_bench.measurement import Metric, Precision
from device_bench.protocol import LONG, STANDARD, Plan
from device_bench.records import check_length, check_pairs, precision_of, runs_at
from pipeline import bundles, console
from pipeline.bundles import Bundle
from pipeline.types import UsageError

RunnerKind = Literal["native", "python", "app"]
COUNTERS = ("arm64-emulator",)
"""Kinds of device that count instructions, and whose time means nothing."""
RUNNERS: dict[str, RunnerKind] = {"host": "python", "ios": "app", "ios-simulator": "app", "macos": "python"}
"""What a kind of device runs programs with where --runner is not given; all others natively."""
USUAL_LENGTH = 128
"""Tokens: in published figures the shorter of two usual lengths, and what an app meets more often than 384."""
COUNTING = Plan(warmup=1, runs=2)
"""For instructions, which repeat: the inference after the first, and one that has to say the same."""
PEAK = "linears"
"""The baseline shape of large linears alone."""
MEASUREMENTS = "measurements"
BASELINES = "baselines"
"""Below the cache."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One device, what it is asked, and where its measurement goes."""

    device: Device
    request: Request
    path: Path

    @property
    def kind(self) -> str:
        """The device's kind."""
        return kind_of(self.device)


def add(parser: argparse.ArgumentParser) -> None:
    """The flags that say what to measure and where."""
    parser.add_argument("--bundle", type=Path, required=True, help="what is measured")
    parser.add_argument(
        "--baseline",
        default="bert-base",
        help="what it is held against: bert-base (random weights, made here), a bundle folder, or none",
    )
    parser.add_argument(
        "--device",
        action="append",
        default=None,
        metavar="NAME",
        help=f"of {', '.join(KINDS)}, or a comma list (default: host)",
    )
    parser.add_argument(
        "--metric", choices=get_args(Metric), help="instructions on arm64-emulator, latency elsewhere"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--length", type=int, help=f"tokens of every window, none of them padding ({USUAL_LENGTH} where it can)"
    )
    length.add_argument("--lengths", choices=["squad"], help="windows whose lengths follow SQuAD v1.1's")
    parser.add_argument(
        "--long", action="store_true", help=f"at least {LONG.runs:,} queries and {LONG.seconds:g} s"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--runner",
        choices=get_args(RunnerKind),
        help="default: python on the host, app on Apple's devices, native elsewhere",
    )
    parser.add_argument("--cores", choices=["big", "little"], help="of a phone, which to be held to")
    parser.add_argument(
        "--peak",
        action=argparse.BooleanOptionalAction,
        help="also a program of large linears, for what the runtime can reach (default: on the host)",
    )
    parser.add_argument(
        "--out", type=Path, help=f"a folder for measurements ({MEASUREMENTS}/ beside the bundle's folder)"
    )


def kind_of(device: Device) -> str:
    """host, adb …"""
    return device.name.partition(":")[0]


def asked(flags: argparse.Namespace, screen: Console) -> tuple[Asked, ...]:
    """What the flags ask of each device. Raises UsageError or VerificationFailed before anything is run."""
    if flags.threads < 1:
        raise UsageError(f"--threads must be at least 1, got {flags.threads}")
    devices = parse(flags.device or ["host"], flags.cache)
    metrics = {device.name: metric_of(device, flags.metric) for device in devices}
    bundle = opened(flags.bundle)
    length = None if flags.lengths else flags.length or runs_at(bundle, min(USUAL_LENGTH, bundle.lengths[-1]))
    if length is not None:
        check_length(bundle, length)
    others = _baselines(flags, bundle, length, screen)
    wanted = _queries(length, [bundle, *(contender.bundle for contender in others)])
    peak: tuple[Contender, ...] = ()
    if flags.peak or (flags.peak is None and any(kind_of(d) == "host" for d in devices)):
        peak = tuple(
            Contender(role="peak", bundle=found)
            for found in _made(PEAK, bundle, (precision_of(bundle),), length, flags.cache, screen)
        )
    plan = LONG if flags.long else STANDARD
    chosen = []
    for device in devices:
        kind, metric = kind_of(device), metrics[device.name]
        takes_peak = flags.peak or (flags.peak is None and kind == "host")
        request = Request(
            contenders=(
                Contender(role="candidate", bundle=bundle),
                *others,
                *(peak if takes_peak and metric == "latency" else ()),
            ),
            metric=metric,
            plan=plan if metric == "latency" else COUNTING,
            queries=wanted,
            threads=flags.threads,
            runner=flags.runner or RUNNERS.get(kind, "native"),
            cpu=flags.cores,
            cache=flags.cache,
        )
        check_pairs(request.contenders, wanted)
        chosen.append(Asked(device, request, _folder(flags) / _file_name(device, request)))
    return tuple(chosen)


def metric_of(device: Device, given: Metric | None) -> Metric:
    """What is measured there. Raises UsageError for what the device cannot tell."""
    counts = kind_of(device) in COUNTERS
    if given == "latency" and counts:
        raise UsageError(f"{device.name} is emulated, and its milliseconds mean nothing; leave --metric out")
    if given == "instructions" and not counts:
        raise UsageError(f"{device.name} does not count instructions; {', '.join(COUNTERS)} does")
    return "instructions" if counts else "latency"


def opened(folder: Path) -> Bundle:
    """A checked bundle that may be measured: verified, or of random weights and meant for nothing else.

    Raises UsageError or VerificationFailed.
    """
    bundle = bundles.read(folder)
    if bundle.why_not_verified and not bundle.random_weights:
        why = bundle.why_not_verified
        raise UsageError(f"{folder} is not verified ({why}); what is not known to be right is not measured")
    precision_of(bundle)
    return bundle


def _baselines(
    flags: argparse.Namespace, bundle: Bundle, length: int | None, screen: Console
) -> tuple[Contender, ...]:
    """In the candidate's precision and in float32; a folder is taken as it is."""
    if flags.baseline == "none":
        return ()
    if Path(flags.baseline).is_dir():
        found: tuple[Bundle, ...] = (opened(Path(flags.baseline)),)
        if found[0].target != bundle.target:
            raise UsageError(f"{flags.baseline} is for {found[0].target}, {bundle.path} for {bundle.target}")
    else:
        precisions: tuple[Precision, ...] = tuple(dict.fromkeys((precision_of(bundle), "float32")))
        found = _made(flags.baseline, bundle, precisions, length, flags.cache, screen)
    return tuple(Contender(role="baseline", bundle=one) for one in found)


def _made(
    name: str,
    like: Bundle,
    precisions: tuple[Precision, ...],
    length: int | None,
    cache: Path,
    screen: Console,
) -> tuple[Bundle, ...]:
    """For one length a baseline of that length alone: smaller, sooner loaded and made than one of all."""
    from device_bench import baselines

    with console.bar(screen, name) as bar:
        return baselines.find(name, like, precisions, cache / BASELINES, bar, length=length)


def _queries(length: int | None, programs: Sequence[Bundle]) -> queries.Queries:
    """Of tokens that all have, at one length or, with None, at SQuAD's."""
    vocabularies = [_vocabulary(one) for one in programs]
    shared = min(map(len, vocabularies))
    ordinary = [i for i, token in enumerate(vocabularies[0][:shared]) if not re.fullmatch(r"\[.*\]", token)]
    if not ordinary:
        raise UsageError(f"{programs[0].path} has no ordinary tokens that its baseline has too")
    source = "squad" if length is None else f"fixed:{length}"
    return queries.make(source, ordinary, programs[0].lengths[-1])


def _vocabulary(bundle: Bundle) -> list[str]:
    try:
        return (bundle.path / "vocab.txt").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{bundle.path}/vocab.txt cannot be read: {error.strerror}") from None


def _folder(flags: argparse.Namespace) -> Path:
    folder = flags.out or flags.bundle.resolve().parent / MEASUREMENTS
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; give a folder")
    return Path(folder)


def _file_name(device: Device, request: Request) -> str:
    """Target, device, metric and queries, and whatever is not as usual."""
    bundle = request.contenders[0].bundle
    unusual = [
        "long" if request.plan.mode == "long" else "",
        f"{request.threads}threads" if request.threads > 1 else "",
        request.runner if request.runner != RUNNERS.get(kind_of(device), "native") else "",
        request.cpu or "",
    ]
    parts = [bundle.target, device.name, request.metric, request.queries.source, *filter(None, unusual)]
    return re.sub(r"[^\w.-]+", "-", "-".join(parts)) + ".json"
