"""summary.json: a run's summary beside its report, so that the report can be written again."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline.report.summary import RunSummary
from pipeline.types import UsageError

SUMMARY = "summary.json"


def write(summary: RunSummary, out: Path) -> None:
    """summary.json in the run's folder."""
    text = json.dumps(asdict(summary), indent=1, ensure_ascii=False)
    (out / SUMMARY).write_text(text, encoding="utf-8")


def read(out: Path) -> RunSummary:
    """The summary of the run in that folder. Raises UsageError where there is none or it is damaged."""
    path = out / SUMMARY
    try:
        summary = TypeAdapter(RunSummary).validate_json(path.read_bytes(), strict=True)
        _check(summary)
    except FileNotFoundError:
        raise UsageError(
            f"{out} has no {SUMMARY}; give the folder that a python -m pipeline.run left"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(f"{path} is damaged: {where}: {first['msg']}; run the recipe again") from None
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {error}; run the recipe again") from None
    return summary


def _check(summary: RunSummary) -> None:
    """What the types do not say. Raises ValueError."""
    tomllib.loads(summary.recipe_toml)
    for timing in summary.timings:
        counts = {len(samples) for samples in timing.samples_ns.values()}
        named = {*timing.peers, *(name for peers in timing.peers.values() for name in peers.values())}
        if len(counts) != 1 or 0 in counts or not named <= set(timing.samples_ns):
            raise ValueError(f"timings of {timing.runtime} are not one sample a round and program")
