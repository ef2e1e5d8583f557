"""Runners timed in turns: several short starts for loading and first inferences, then one long session each.

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
"""Fresh processes of each program whose loading and first inference are kept; the long session is the last."""

Start = Callable[[], Session]
"""Starts a runner and waits until it has loaded its program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What one program's runners said."""

    loaded: Loaded
    """Of the long session."""
    ended: Ended
    load_ns: tuple[int, ...]
    first_ns: tuple[int, ...]
    runs: tuple[Ran, ...]


def warmed(plan: Plan, queries: Queries) -> int:
    """Warm-up rounds: the plan's, and every length once; a program of fixed shapes packs at the first call."""
    lengths = {len(window) for window in queries.windows}
    return plan.warmup if len(lengths) == 1 else max(plan.warmup, len(queries.windows))


def time_runners(
    starts: Mapping[str, Start],
    plan: Plan,
    queries: Queries,
    progress: Progress,
    *,
    fresh: int = STARTS,
    running: Callable[[str, Session], None] = lambda name, session: None,
) -> dict[str, Timed]:
    """Times every program, A B A B, each in a process of its own that no other program shares.

    `running` sees each long session once, after its first inference. Raises DeviceError where a runner fails;
    no runner is left behind, however this ends.
    """
    load: dict[str, list[int]] = {name: [] for name in starts}
    first: dict[str, list[int]] = {name: [] for name in starts}
    for done in range(fresh - 1):
        progress.update(done, fresh, "starting")
        for name, start in starts.items():
            with start() as session:
                load[name].append(session.loaded.load_ns)
                first[name].append(session.run(0).ns)
                session.end()
    with ExitStack() as stack:
        sessions: dict[str, Session] = {}
        for name, start in starts.items():
            sessions[name] = stack.enter_context(start())
            load[name].append(sessions[name].loaded.load_ns)
            first[name].append(sessions[name].run(0).ns)
            running(name, sessions[name])
        count = len(queries.windows)
        varied = len({len(window) for window in queries.windows}) > 1

        def ask(session: Session) -> Callable[[int], Ran]:
            return lambda run: session.run(run % count)

        runs = in_turns(
            {name: ask(session) for name, session in sessions.items()},
            Plan(warmup=warmed(plan, queries), runs=plan.runs, seconds=plan.seconds),
            passes_of=count if varied else 1,
            step=lambda _, share: progress.update(share, 1, "timing" if share else "warming up"),
        )
        return {
            name: Timed(
                loaded=session.loaded,
                ended=session.end(),
                load_ns=tuple(load[name]),
                first_ns=tuple(first[name]),
                runs=runs[name],
            )
            for name, session in sessions.items()
        }
