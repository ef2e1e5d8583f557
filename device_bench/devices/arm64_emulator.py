"""Emulated arm64 cores, for what does not depend on a clock: instructions of an inference, by class.

QEMU's user mode runs the native runner, and our plugin (native/count.c) counts between two marks. A count does
not depend on how busy this machine is, and two runs agree to the instruction, because of what is held fixed:

- one guest thread, on a machine that says it has one processor (toolchain/counter.py);
- the same window each time where all are of one length: what a window holds moves a few instructions;
- the environment (none), paths (relative) and AT_RANDOM (-seed). They move loading alone, by some hundreds;
  so do runtimes that print the time of day. The address layout was found to move nothing.

Within a run, inferences of one window may differ by an instruction or a hundred, the same ones in every run:
the allocator hands the blocks of the one before back in another order.

Milliseconds under emulation mean nothing and are not kept; neither is the memory, which is QEMU's.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from device_bench import native_runners
from device_bench.agreement import likeness, unlike
from device_bench.devices.base import Contender, Request
from device_bench.measurement import (
    Counted,
    Instructions,
    Likeness,
    Measured,
    Measurement,
    Place,
    State,
    Validity,
    Wish,
)
from device_bench.native_runners import NativeRunner
from device_bench.python_runner import XNNPACK
from device_bench.records import (
    check_pairs,
    footprint,
    identity,
    made,
    multiply_adds,
    precision_of,
    protocol_of,
)
from device_bench.session import DeviceError, Loaded, Session
from device_bench.toolchain import counter, tools
from device_bench.toolchain.counter import CORES, Core
from device_bench.validity import judge
from pipeline.types import Progress, UsageError

HEAVY = 1_500_000_000
"""Instructions of a first inference from which one more has to do: QEMU runs about 10⁸ a second."""
MARKS = (5000, 5001)


@dataclass(frozen=True, slots=True)
class Emulator:
    """One core."""

    core: Core
    cache: Path

    @property
    def name(self) -> str:
        return f"arm64-emulator:{self.core.name}"

    def why_unavailable(self) -> str | None:
        """A sentence that names the command that sets everything up, or None."""
        return counter.why_unavailable(self.cache)

    def measure(self, request: Request, progress: Progress) -> Measurement:
        """Counts every contender's instructions, several at a time. Raises PipelineError in a sentence."""
        _check(request)
        runners = [
            native_runners.runner(contender.bundle.target, "arm64", self.cache)
            for contender in request.contenders
        ]
        self._prepare()
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            jobs = [
                pool.submit(self._program, contender, runner, request)
                for contender, runner in zip(request.contenders, runners, strict=True)
            ]
            done: list[Measured] = []
            for job in jobs:
                progress.update(len(done), len(jobs), "counting instructions")
                done.append(job.result())
        programs = tuple(done)
        place, protocol = self._place(), protocol_of(request, warmup=1, interleaved=False)
        protocol = protocol.model_copy(update={"seconds": 0.0, "processes": "one each"})
        verdict = judge(place, protocol, programs, State(), State())
        reasons = (*verdict.reasons, *(reason for program in programs for reason in unlike(program)))
        return Measurement(
            place=place,
            protocol=protocol,
            programs=programs,
            validity=Validity(valid=not reasons, reasons=reasons),
            made={**made(), "tools": self._tools(runners)},
        )

    def _prepare(self) -> None:
        """Builds what is built once, before several threads want it."""
        counter.plugin(self.cache)
        counter.root(self.core, self.cache)

    def _place(self) -> Place:
        return Place(
            kind="arm64-emulator",
            name=f"qemu-arm64 {self.core.name} (emulated)",
            emulated=True,
            processor=self.core.called,
            cores=1,
            system=f"Linux, QEMU {tools.here(self.cache).qemu} user mode",
            cpu=self.core.cpu,
        )

    def _tools(self, runners: Sequence[NativeRunner]) -> dict[str, str]:
        """What a count depends on beside the program."""
        return {
            "qemu": tools.here(self.cache).qemu,
            "runner": ", ".join(sorted({runner.binary.parent.name for runner in runners})),
        }

    def _program(self, contender: Contender, runner: NativeRunner, request: Request) -> Measured:
        bundle, windows = contender.bundle, request.queries.windows
        who = f"{bundle.name} ({contender.role}) on {self.name}"
        with tempfile.TemporaryDirectory(prefix="device-bench-") as name:
            folder = Path(name)
            request.queries.write(folder / "queries")
            (folder / "program").symlink_to(bundle.program.resolve())
            (folder / "r").symlink_to(runner.binary.parent)
            with Session(self._command(folder, runner, request), who, self._environment()) as session:
                asked, lengths = self._ask(session, folder, request)
                session.end()
                loaded = session.loaded
            marks = _read(folder / "counts", who)
            alike = likeness(bundle, [windows[i] for i in asked], folder / "outputs")
        if len(marks) != 2 * len(asked):
            raise DeviceError(f"{who}: {len(marks)} marks were counted for {len(asked)} inferences")
        each = [_difference(before, after) for before, after in zip(marks[::2], marks[1::2], strict=True)]
        return _measured(
            contender,
            request,
            runner,
            loaded,
            Counted(loading=_instructions(marks[1]), inferences=tuple(each[1:])),
            lengths[1:],
            alike,
        )

    def _command(self, folder: Path, runner: NativeRunner, request: Request) -> list[str]:
        here = tools.here(self.cache)
        guest = (
            "-L",
            str(counter.root(self.core, self.cache)),
            "-U",
            "LD_LIBRARY_PATH,LC_ALL,PATH",
            "-seed",
            "1",
        )
        plugin = f"{counter.plugin(self.cache)},out=counts"
        flags = ("--program", "program", "--queries", "queries", "--outputs", "outputs", "--marks")
        return [
            *("env", "-C", str(folder)),
            *(here.program("qemu-aarch64"), "-cpu", self.core.cpu, *guest, "-plugin", plugin),
            *(*runner.command("r"), *flags, "--threads", str(request.threads)),
        ]

    def _environment(self) -> dict[str, str]:
        return tools.here(self.cache).environment

    def _ask(self, session: Session, folder: Path, request: Request) -> tuple[list[int], list[int]]:
        """Runs the first inference and those that count; which windows, and the lengths they ran at."""
        asked, lengths = [0], [session.run(0).length]
        first = _difference(*_read(folder / "counts", session.who)[:2])
        if request.queries.source.startswith("fixed:"):
            queries = [0] * (1 if first.total >= HEAVY else request.plan.runs)
        else:
            queries = list(range(len(request.queries.windows)))
        for query in queries:
            lengths.append(session.run(query).length)
            asked.append(query)
        return asked, lengths


def find(kind: str, which: str, cache: Path) -> tuple[Emulator, ...]:
    """One core, or all of them. Raises UsageError for one that there is not."""
    chosen = tuple(core for core in CORES if which in ("", core.name))
    if not chosen:
        names = " and ".join(core.name for core in CORES)
        raise UsageError(f"{kind} has no core {which!r}; its cores are {names}")
    return tuple(Emulator(core, cache) for core in chosen)


def _check(request: Request) -> None:
    if request.metric != "instructions":
        raise UsageError("an emulator's milliseconds mean nothing; give --metric instructions")
    if request.threads != 1:
        raise UsageError("instructions are counted on one thread: several share the work anew each time")
    if request.runner != "native":
        raise UsageError("the emulator runs native runners only; leave --runner out")
    if request.cpu:
        raise UsageError("an emulated core has no big and little ones beside it; leave --cores out")
    for contender in request.contenders:
        precision_of(contender.bundle)
    check_pairs(request.contenders, request.queries)


def _read(file: Path, who: str) -> list[tuple[int, ...]]:
    """The plugin's lines, without the marks' numbers. Raises DeviceError where marks do not take turns."""
    try:
        lines = [tuple(map(int, line.split())) for line in file.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError):
        raise DeviceError(f"{who}: the instruction counter wrote nothing that can be read") from None
    if any(line[0] != MARKS[i % 2] or len(line) != 6 for i, line in enumerate(lines)):
        raise DeviceError(f"{who}: the runner's marks did not take turns")
    return [line[1:] for line in lines]


def _instructions(counts: Sequence[int]) -> Instructions:
    dot_product, fma, load_store, branch, other = counts
    return Instructions(
        total=sum(counts), dot_product=dot_product, fma=fma, load_store=load_store, branch=branch, other=other
    )


def _difference(before: Sequence[int], after: Sequence[int]) -> Instructions:
    return _instructions([b - a for a, b in zip(before, after, strict=True)])


def _measured(
    contender: Contender,
    request: Request,
    runner: NativeRunner,
    loaded: Loaded,
    counted: Counted,
    lengths: Sequence[int],
    alike: Likeness | None,
) -> Measured:
    got = loaded.threads
    return Measured(
        **identity(contender, request),
        runtime=loaded.runtime,
        threads=Wish(asked=str(request.threads), got=None if got is None else str(got)),
        delegate=Wish(asked=XNNPACK, got=loaded.delegate),
        footprint=footprint(contender.bundle, runner.runtime_bytes),
        lengths=tuple(lengths),
        instructions=counted,
        likeness=alike,
        multiply_adds=multiply_adds(contender.bundle, lengths),
    )
