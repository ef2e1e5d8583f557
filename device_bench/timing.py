"""Runners timed in turns: short starts for loading and first inferences, then the sessions that are timed.

Any device that can start a runner behind pipes uses this; where the runner works, and in which runtime, is the
device's own business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from device_bench.protocol import Plan, in_turns
from device_bench.queries import Queries
from device_bench.session import Ended, Loaded, Ran, Session
from pipeline.types import Progress

STARTS = 5
"""At least so many fresh processes of each program whose loading and first inference are kept."""

Start = Callable[[], Session]
"""Starts a runner and waits until it has loaded its program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What one program's runners said."""

    loaded: Loaded
    """Of the last session."""
    peak_resident_bytes: int | None
    """The highest of the timed sessions'."""
    load_ns: tuple[int, ...]
    first_ns: tuple[int, ...]
    runs: tuple[Ran, ...]
    runs_of: tuple[int, ...]
    """How many of them each session gave, in order."""


def warmed(plan: Plan, queries: Queries) -> int:
    """Warm-up rounds: the plan's, and every length once; a program of fixed shapes packs at the first call."""
    lengths = {len(window) for window in queries.windows}
    return plan.warmup if len(lengths) == 1 else max(plan.warmup, len(queries.windows))


class _Heard:
    """What one program's runners have said so far."""

    def __init__(self) -> None:
        self.load_ns: list[int] = []
        self.first_ns: list[int] = []
        self.runs: list[tuple[Ran, ...]] = []
        self.loaded: list[Loaded] = []
        self.ended: list[Ended] = []

    def first(self, session: Session) -> None:
        """Its loading, and its first inference."""
        self.load_ns.append(session.loaded.load_ns)
        self.first_ns.append(session.run(0).ns)

    def timed(self) -> Timed:
        """All of it."""
        peaks = [ended.peak_resident_bytes for ended in self.ended]
        return Timed(
            loaded=self.loaded[-1],
            peak_resident_bytes=max(filter(None, peaks), default=None),
            load_ns=tuple(self.load_ns),
            first_ns=tuple(self.first_ns),
            runs=tuple(ran for runs in self.runs for ran in runs),
            runs_of=tuple(len(runs) for runs in self.runs),
        )


def time_runners(
    starts: Mapping[str, Start],
    plan: Plan,
    queries: Queries,
    progress: Progress,
    *,
    fresh: int = STARTS,
    running: Callable[[str, Session], None] = lambda name, session: None,
) -> dict[str, Timed]:
    """Times every program, A B A B, each in processes of its own that no other program shares.

    `running` sees each timed session once, after its first inference. Raises DeviceError where a runner fails;
    no runner is left behind, however this ends.
    """
    heard = {name: _Heard() for name in starts}
    short = max(fresh - plan.processes, 0)
    for done in range(short):
        progress.update(done, short, "starting")
        for name, start in starts.items():
            with start() as session:
                heard[name].first(session)
                session.end()
    for done in range(plan.processes):

        def step(_: int, share: float, before: int = done) -> None:
            whole = (before + share) / plan.processes
            progress.update(whole, 1, "timing" if share else "warming up")

        _together(starts, plan, queries, heard, running, step)
    return {name: said.timed() for name, said in heard.items()}


def _together(
    starts: Mapping[str, Start],
    plan: Plan,
    queries: Queries,
    heard: Mapping[str, _Heard],
    running: Callable[[str, Session], None],
    step: Callable[[int, float], None],
) -> None:
    """One session of every program, all alive at once, running in turns."""
    count = len(queries.windows)
    varied = len({len(window) for window in queries.windows}) > 1

    def ask(session: Session) -> Callable[[int], Ran]:
        return lambda run: session.run(run % count)

    with ExitStack() as stack:
        sessions: dict[str, Session] = {}
        for name, start in starts.items():
            sessions[name] = stack.enter_context(start())
            heard[name].first(sessions[name])
            running(name, sessions[name])
        runs = in_turns(
            {name: ask(session) for name, session in sessions.items()},
            plan.dealt(warmed(plan, queries)),
            passes_of=count if varied else 1,
            step=step,
        )
        for name, session in sessions.items():
            heard[name].runs.append(runs[name])
            heard[name].loaded.append(session.loaded)
            heard[name].ended.append(session.end())
