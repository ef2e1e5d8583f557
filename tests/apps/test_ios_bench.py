"""The iOS app's benchmark mode, with a program that only passes time, driven as device_bench drives a phone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_bench.apple import sample_app
from device_bench.apple.sample_app import Asked
from device_bench.protocol import Plan
from device_bench.queries import Queries
from device_bench.records import footprint, multiply_adds, program_sha256
from device_bench.session import DeviceError
from device_bench.toolchain import suites
from device_bench.validity import judge
from pipeline import bundles
from pipeline.bundles import Bundle
from pipeline.types import Silent
from tests.device_bench.apple.conftest import make_request

WHO = "dry"


@pytest.fixture(scope="session")
def documents(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


@pytest.fixture(scope="session")
def app(cache: Path, documents: Path) -> list[str]:
    return suites.swift_dry_bench(cache, documents)


def asked(tmp_path: Path, plan: Plan) -> Asked:
    request = make_request(tmp_path)
    contenders = tuple(
        replace(one, bundle=changed(one.bundle.path, multiply_adds={"per_token": 300, "per_pair": 7}))
        for one in request.contenders
    )
    return sample_app.ask(replace(request, plan=plan, contenders=contenders), "cpu-and-ne", ("coreml",))


class Seen(Silent):
    """What the app says of how far it is."""

    def __init__(self) -> None:
        self.rounds: list[float] = []

    def update(self, done: float, total: float, note: str = "") -> None:
        self.rounds.append(done)


def changed(folder: Path, **fields: Any) -> Bundle:
    """The bundle with other fields in its manifest, sealed again."""
    old = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in old.items() if key not in ("seal", "files", "format")}
    (folder / "manifest.json").unlink()
    bundles.write_manifest(folder, {**kept, **fields})
    return bundles.read(folder)


def test_device_bench_reads_what_the_app_measures(app: list[str], documents: Path, tmp_path: Path) -> None:
    asking = asked(tmp_path, Plan(warmup=5, runs=50, seconds=0.05))
    folder = asking.stage(documents)
    left = documents / "bench-left"
    left.mkdir()
    wanted = [
        (program_sha256(one.bundle), footprint(one.bundle), multiply_adds(one.bundle, [64]))
        for one in asking.request.contenders
    ]

    sample_app.follow([*app, *asking.arguments()], WHO, Silent())

    found = sample_app.read(documents / asking.result, WHO, asking, "ios")
    assert [(one.program_sha256, one.footprint, one.multiply_adds) for one in found.programs] == wanted
    assert {one.lengths for one in found.programs} == {(64,) * len(found.candidate.samples_ns)}
    assert all(ns > 64_000 for one in found.programs for ns in one.samples_ns)
    assert found.protocol.processes == "app"
    assert found.before.thermal == "nominal"
    # on a busy machine its times vary, too, and then both say so
    judged = judge(found.place, found.protocol, found.programs, found.before, found.after)
    assert "asked for 0.05 s; 10 s are the least" in found.validity.reasons
    assert set(found.validity.reasons) == {one for one in judged.reasons if not one.startswith("the ratio")}
    assert [file.name for file in folder.iterdir() if file.is_dir()] == []
    assert not left.exists()


def test_one_program_alone(app: list[str], documents: Path, tmp_path: Path) -> None:
    request = make_request(tmp_path)
    folder = request.contenders[0].bundle.path
    shutil.copy(suites.APPS.parent / "pipeline" / "pretrained" / "pocket-general" / "tokenizer.json", folder)
    logits = {"start_logits": [0.0] * 128, "end_logits": [0.0] * 128}
    case = {"question": "Who came?", "passage": "Anna and Bert came.", "windows": [logits]}
    (folder / "golden.json").write_text(json.dumps({"cases": [case]}), encoding="utf-8")
    alone = replace(request.contenders[0], bundle=changed(folder))
    queries = Queries(source="squad", windows=tuple((5,) * tokens for tokens in (20, 64, 100)))
    asking = sample_app.ask(
        replace(request, plan=Plan(warmup=1, runs=4), contenders=(alone,), queries=queries), "all", ("coreml",)
    )
    asking.stage(documents)
    seen = Seen()

    sample_app.follow([*app, *asking.arguments()], WHO, seen)

    found = sample_app.read(documents / asking.result, WHO, asking, "ios").candidate
    # windows of several lengths come in whole passes of all of them
    assert found.lengths == (64, 64, 128) * 2
    assert found.peak_resident_bytes == 1 << 20  # what the dry device says of its process
    assert (len(found.tokenize_ns), len(found.decode_ns)) == (50, 50)
    assert seen.rounds == sorted(seen.rounds)
    assert seen.rounds


def test_an_altered_bundle_fails_with_the_contracts_sentence(
    app: list[str], documents: Path, tmp_path: Path
) -> None:
    asking = asked(tmp_path, Plan(warmup=1, runs=1))
    folder = asking.stage(documents)
    (folder / "baseline-1" / "vocab.txt").write_text("other", encoding="utf-8")
    with pytest.raises(DeviceError, match=r"baseline-1: vocab\.txt was altered; make the bundle again"):
        sample_app.follow([*app, *asking.arguments()], WHO, Silent())
    assert not (documents / asking.result).exists()


def test_programs_of_other_lengths_are_no_pair(app: list[str], documents: Path, tmp_path: Path) -> None:
    asking = asked(tmp_path, Plan(warmup=1, runs=1))
    changed(asking.stage(documents) / "baseline-1", lengths={"fixed": [128]})
    with pytest.raises(DeviceError, match=r"64 tokens run at 64 in .* and at 128 in .*: no pair"):
        sample_app.follow([*app, *asking.arguments()], WHO, Silent())
