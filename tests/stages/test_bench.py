"""bench and baseline with a runtime of our own, whose programs take exactly the time they are told to."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from device_bench.stats import paired_ratio
from exporters.base import Lowered
from pipeline import recipe
from pipeline.models import compressed, student
from pipeline.numerics import on_grid
from pipeline.recipe import Bench as Settings
from pipeline.recipe import Quantize
from pipeline.stages import bench
from pipeline.stages.baseline import SHAPES, Baseline, Shape, build, precision_of
from pipeline.stages.bench import Bench, BenchTorch
from pipeline.store import key_of
from pipeline.types import Activations, Artifact, Quantization, Silent, Student, UsageError

OPTIONS = Settings(length=16, threads=2, warmup=1, runs=6)
TIMES_NS = {"candidate": 2_000_000, "int8": 6_000_000, "float32": 20_000_000}
MACHINE = {"processor": "Some CPU", "cpus": 4, "system": "Linux"}


class Clock:
    """Nanoseconds that pass only when a fake program works."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class FakeRunner:
    """Works as long as its program file says, on a clock of its own or by sleeping."""

    note = "A fake runtime."

    def __init__(self, owner: FakeExporter, program: Path, threads: int) -> None:
        self.owner, self.threads, self.takes_ns = owner, threads, int(program.read_text())
        self.emulated, self.lengths = owner.emulated, owner.lengths

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert input_ids.dtype == attention_mask.dtype == np.int32
        assert attention_mask.all(), "every position is a real token"
        self.owner.windows.append(input_ids)
        if self.owner.clock:
            self.owner.clock.now += self.takes_ns
        else:
            time.sleep(self.takes_ns / 1e9)
        return input_ids.astype(np.float32), input_ids.astype(np.float32)


class FakeExporter:
    """An exporter that keeps what it was given and loads programs that only take time."""

    target, suffix = "fake", ".fake"
    packages: tuple[str, ...] = ("numpy",)
    activations: Activations = "float"

    def __init__(self, *, clock: Clock | None = None, emulated: bool = False) -> None:
        self.clock, self.emulated = clock, emulated
        self.lengths: tuple[int, ...] = (16, 384)
        self.lowered: list[Student] = []
        self.loaded: list[FakeRunner] = []
        self.windows: list[np.ndarray] = []

    def why_unavailable(self) -> str | None:
        return None

    def why_not_run(self) -> str | None:
        return None

    def lower(self, student: Student, out: Path) -> Lowered:
        self.lowered.append(student)
        path = out / f"{student.name}{self.suffix}"
        path.write_text("1")
        return Lowered(target=self.target, path=path, size_bytes=1)

    def runner(self, program: Path, *, threads: int = 1) -> FakeRunner:
        self.loaded.append(FakeRunner(self, program, threads))
        return self.loaded[-1]


def artifact(path: Path, name: str) -> Artifact:
    return Artifact(kind="export", path=path, key=name, sha256=f"sha256 of {name}", parents=(), metrics={})


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, Artifact]:
    made = {}
    for name, takes in TIMES_NS.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "program.fake").write_text(str(takes))
        (folder / "manifest.json").write_text("{}")
        made[name] = artifact(folder, name)
    return made


def make(programs: Mapping[str, Artifact], exporter: FakeExporter, student_folder: Path, **given: Any) -> Bench:
    whole: dict[str, Any] = {
        "exported": programs["candidate"],
        "quantized": artifact(student_folder, "student"),
        "exporter": exporter,
        "baselines": {"float32": programs["float32"], "int8": programs["int8"]},
        "options": OPTIONS,
        "machine": MACHINE,
        **({"clock": exporter.clock} if exporter.clock else {}),
    }
    return Bench(**{**whole, **given})


def test_known_times_give_the_known_ratios(
    programs: dict[str, Artifact], encoder_folder: Path, tmp_path: Path
) -> None:
    exporter = FakeExporter(clock=Clock())
    metrics = make(programs, exporter, encoder_folder).run(tmp_path, tmp_path, Silent())
    assert metrics["candidate_median_ms"] == 2.0
    assert metrics["bert_base_int8_median_ms"] == 6.0
    assert metrics["bert_base_float32_median_ms"] == 20.0
    assert metrics["candidate_coefficient_of_variation"] == 0.0
    for end in ("", "_low", "_high"):
        assert metrics[f"candidate_times_faster_float32{end}"] == 10.0
        assert metrics[f"candidate_times_faster_same{end}"] == 3.0
    latency = bench.latency_of(tmp_path, bench.CANDIDATE)
    assert latency is not None
    assert (latency.runtime, latency.length, latency.threads, latency.median_ms) == ("fake", 16, 2, 2.0)
    assert latency.times_faster_fp32 == (10.0, 10.0, 10.0)
    assert latency.times_faster_same == (3.0, 3.0, 3.0)
    assert bench.latency_of(tmp_path, "somebody else") is None
    assert {runner.threads for runner in exporter.loaded} == {2}


def test_raw_samples_and_conditions_are_kept(
    programs: dict[str, Artifact], encoder_folder: Path, tmp_path: Path
) -> None:
    make(programs, FakeExporter(clock=Clock()), encoder_folder).run(tmp_path, tmp_path, Silent())
    record = json.loads((tmp_path / bench.RESULT).read_text())
    assert record["samples_ns"] == {
        "candidate": [2_000_000] * 6,
        "bert-base float32": [20_000_000] * 6,
        "bert-base int8": [6_000_000] * 6,
    }
    assert record["asked"] == {"baseline": "bert-base", "length": 16, "threads": 2, "warmup": 1, "runs": 6}
    assert record["machine"].items() >= MACHINE.items()
    assert record["versions"]["numpy"] == np.__version__
    assert record["emulated"] is False
    assert record["notes"][0] == "A fake runtime."
    assert "BERT-base has random weights" in record["notes"][1]


def test_all_programs_see_the_same_full_window(
    programs: dict[str, Artifact], encoder_folder: Path, tmp_path: Path
) -> None:
    exporter = FakeExporter(clock=Clock())
    make(programs, exporter, encoder_folder).run(tmp_path, tmp_path, Silent())
    assert len(exporter.windows) == 3 * 7
    first = exporter.windows[0]
    assert first.shape == (1, 16)
    assert all(np.array_equal(first, window) for window in exporter.windows)
    assert first.min() >= 5, "no padding, no [CLS], [SEP], [MASK] or [UNK]"


def test_real_time_gives_about_the_ratio(
    programs: dict[str, Artifact], encoder_folder: Path, tmp_path: Path
) -> None:
    """Sleeping is inexact and the machine may be busy: only the order of magnitude is asked for."""
    made = make(programs, FakeExporter(), encoder_folder)
    metrics = made.run(tmp_path, tmp_path, Silent())
    assert 3 < metrics["candidate_times_faster_float32"] < 15
    samples = json.loads((tmp_path / bench.RESULT).read_text())["samples_ns"]
    expected = paired_ratio(samples["bert-base float32"], samples["candidate"])
    latency = bench.latency_of(tmp_path, bench.CANDIDATE)
    assert latency is not None
    assert latency.times_faster_fp32 == expected.as_tuple()


def test_an_emulated_program_has_no_latency(
    programs: dict[str, Artifact], encoder_folder: Path, tmp_path: Path
) -> None:
    exporter = FakeExporter(clock=Clock(), emulated=True)
    assert bench.is_emulated(exporter, programs["candidate"])
    made = make(programs, exporter, encoder_folder, baselines={})
    assert made.run(tmp_path, tmp_path, Silent()) == {}
    record = json.loads((tmp_path / bench.RESULT).read_text())
    assert record["emulated"] is True
    assert record["samples_ns"] == {}
    assert bench.latency_of(tmp_path, bench.CANDIDATE) is None
    assert exporter.windows == []


def test_float32_is_compared_with_float32_alone(
    programs: dict[str, Artifact], encoder_folder: Path, tmp_path: Path
) -> None:
    exporter = FakeExporter(clock=Clock())
    baselines = {"float32": programs["float32"]}
    made = make(programs, exporter, encoder_folder, baselines=baselines, precision="float32")
    made.run(tmp_path, tmp_path, Silent())
    latency = bench.latency_of(tmp_path, bench.CANDIDATE)
    assert latency is not None
    assert latency.times_faster_same is None


def test_a_program_that_pads_is_not_compared(
    programs: dict[str, Artifact], encoder_folder: Path, tmp_path: Path
) -> None:
    exporter = FakeExporter(clock=Clock())
    exporter.lengths = (384,)
    with pytest.raises(UsageError, match=r"bench\.length is 16, but candidate runs at 384 .* = 384"):
        make(programs, exporter, encoder_folder).run(tmp_path, tmp_path, Silent())


def test_the_key_knows_the_machine_and_everything_measured(
    programs: dict[str, Artifact], encoder_folder: Path
) -> None:
    made = make(programs, FakeExporter(), encoder_folder)
    key = key_of(made, 0)
    assert key == key_of(make(programs, FakeExporter(emulated=True), encoder_folder, clock=Clock()), 0)
    changes: tuple[dict[str, Any], ...] = (
        {"machine": {**MACHINE, "processor": "Another CPU"}},
        {"machine": {**MACHINE, "cpus": 8}},
        {"options": OPTIONS.model_copy(update={"threads": 1})},
        {"options": OPTIONS.model_copy(update={"baseline": "bert-tiny"})},
        {"precision": "float32"},
        {"exported": programs["int8"]},
        {"baselines": {"float32": programs["float32"]}},
    )
    keys = {key_of(dataclasses.replace(made, **change), 0) for change in changes}
    assert len(keys | {key}) == len(changes) + 1


def test_the_machine_in_the_key_is_this_one_unless_told(
    programs: dict[str, Artifact], encoder_folder: Path
) -> None:
    made = Bench(
        exported=programs["candidate"],
        quantized=artifact(encoder_folder, "student"),
        exporter=FakeExporter(),
        baselines={},
        options=OPTIONS,
    )
    machine = made.settings()["machine"]
    assert machine["processor"]
    assert machine["cpus"] >= 1
    json.dumps(made.settings())


def test_torch_models_are_measured_against_bert_base(
    bert_qa_folder: Path, encoder_folder: Path, tmp_path: Path
) -> None:
    """Teacher and student are a thousand times smaller than BERT-base; both must come out faster."""
    folder, out = tmp_path / "student", tmp_path / "out"
    out.mkdir()
    torch.manual_seed(0)
    config = dataclasses.replace(SHAPES["bert-base"], vocabulary=300, hidden=16, head_size=8, layers=())
    student.save(student.build(config), folder)
    for path in encoder_folder.glob("tokenizer*"):
        (folder / path.name).write_bytes(path.read_bytes())
    made = BenchTorch(
        teacher=artifact(bert_qa_folder, "teacher"),
        student=artifact(folder, "student"),
        options=Settings(length=16, warmup=1, runs=3),
    )
    threads = torch.get_num_threads()
    metrics = made.run(out, tmp_path, Silent())
    assert torch.get_num_threads() == threads
    samples = json.loads((out / bench.RESULT).read_text())["samples_ns"]
    assert {name: len(taken) for name, taken in samples.items()} == {
        "teacher": 3,
        "student": 3,
        "bert-base float32": 3,
    }
    for name in (bench.TEACHER, bench.STUDENT):
        latency = bench.latency_of(out, name)
        assert latency is not None
        assert latency.runtime == "torch"
        assert latency.times_faster_same is None
        assert latency.times_faster_fp32[0] == metrics[f"{name}_times_faster_float32"] > 1
    assert made.settings()["machine"]["cpus"] >= 1
    assert key_of(made, 0) != key_of(dataclasses.replace(made, machine=MACHINE), 0)


@pytest.mark.parametrize("precision", ["int8", "float32"])
@pytest.mark.parametrize("shape", ["bert-base", "bert-tiny"])
def test_the_baseline_is_made_by_the_same_rules(shape: Shape, precision: Any, tmp_path: Path) -> None:
    exporter, out = FakeExporter(), tmp_path / "out"
    out.mkdir()
    made = Baseline(shape=shape, exporter=exporter, precision=precision, length=384)
    metrics = made.run(out, tmp_path, Silent())
    assert [path.name for path in out.iterdir()] == [f"{shape}_seq384_{precision}_fake.fake"]
    (lowered,) = exporter.lowered
    assert lowered.max_length == 384
    assert "random weights" in lowered.metadata["description"]
    # Embeddings, so many layers of attention, feed-forward and two norms, and the head.
    layers, e, n, total = {"bert-base": (12, 768, 3072, 108_891_650), "bert-tiny": (2, 128, 512, 4_369_410)}[
        shape
    ]
    layer = 4 * (e * e + e) + (e * n + n) + (n * e + e) + 4 * e
    assert metrics["parameters"] == (30522 + 512) * e + 2 * e + layers * layer + 2 * e + 2 == total
    weights = {
        name: lowered.module.get_parameter(name) for name in compressed.plan(build(shape), Quantize()).tensors
    }
    if precision == "int8":
        assert set(lowered.quantization.tensors) == set(weights)
        assert {plan.dtype for plan in lowered.quantization.tensors.values()} == {"int8"}
        name = f"layers.{layers - 1}.feed_forward.outer.weight"
        assert torch.equal(on_grid(weights[name]), weights[name].detach())
    else:
        assert lowered.quantization == Quantization()


def test_only_the_tiny_recipe_is_compared_with_a_tiny_bert() -> None:
    shapes = {name: recipe.load(name).bench.baseline for name in recipe.shipped_names()}
    assert shapes.pop("tiny") == "bert-tiny"
    assert set(shapes.values()) == {"bert-base"}


def test_the_baseline_repeats_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build("bert-tiny").state_dict()["qa_outputs.weight"]
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, build("bert-tiny").state_dict()["qa_outputs.weight"])


def test_the_baseline_depends_on_shape_runtime_precision_and_length_alone() -> None:
    made = Baseline(shape="bert-base", exporter=FakeExporter(), precision="int8", length=384)
    assert made.settings() == {"shape": "bert-base", "target": "fake", "precision": "int8", "length": 384}
    assert made.parents() == {}
    assert precision_of(Quantize()) == "int8"
    assert precision_of(Quantize(linears="float32")) == "float32"
