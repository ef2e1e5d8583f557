"""The Core ML exporter: what is in the package, that its bytes repeat, and that it answers as torch does."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from exporters.base import PER_TOKEN, quiet
from exporters.coreml import EXPORTER, CoreMLRunner
from pipeline import numerics
from pipeline.models.student import AnsweringStudent, LayerShape, StudentConfig
from pipeline.types import PipelineError, Quantization, Student, TensorPlan, UsageError

pytest.importorskip("coremltools")

from exporters import mil

MAX_LENGTH = 64
KEPT = ("qa_outputs", "embeddings.position")


def make_student(kept: tuple[str, ...] = KEPT) -> Student:
    """2 layers × 32, every matrix on the int8 grid but those of `kept`."""
    torch.manual_seed(5)
    shapes = (LayerShape(heads=2, neurons=48), LayerShape(heads=1, neurons=64))
    model = AnsweringStudent(
        StudentConfig(vocabulary=200, positions=MAX_LENGTH, hidden=32, head_size=16, layers=shapes)
    ).eval()
    plans = {}
    with torch.no_grad():
        for path, module in model.named_modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
                module.weight.mul_(2.0)
                if path not in kept:
                    module.weight.copy_(numerics.on_grid(module.weight))
                plans[f"{path}.weight"] = TensorPlan(
                    role="linear" if isinstance(module, torch.nn.Linear) else "embedding",
                    dtype="float32" if path in kept else "int8",
                )
    return Student(
        name="tiny",
        module=model,
        quantization=Quantization(tensors=plans),
        max_length=MAX_LENGTH,
        metadata={
            "author": "A. Uthor",
            "licence": "Apache-2.0",
            "description": "A tiny student",
            "version": "7",
            "task": "question-answering",
            "vocabulary_sha256": "ab" * 32,
            "f1": "80.6 (student in torch, 5801 questions of dev-v1.1-half)",
            "max_length": str(MAX_LENGTH),
            "commit": "0123456789ab+dirty",
        },
    )


@pytest.fixture(scope="module")
def student() -> Student:
    return make_student()


@pytest.fixture(scope="module")
def package(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return EXPORTER.lower(student, tmp_path_factory.mktemp("coreml")).path


@pytest.fixture(scope="module")
def program(package: Path) -> mil.Program:
    return mil.Program(package)


def window(length: int, tokens: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Random ids, (1, length) int32, of which the first `tokens` count."""
    ids = np.random.default_rng(length).integers(0, 200, (1, length)).astype(np.int32)
    mask = (np.arange(length) < (tokens or length))[None].astype(np.int32)
    return ids * mask, mask


def ask(student: Student, ids: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        start, end = student.module(torch.from_numpy(ids), torch.from_numpy(mask))
    return start.numpy(), end.numpy()


def digests(package: Path) -> dict[str, str]:
    files = sorted(path for path in package.rglob("*") if path.is_file())
    return {str(f.relative_to(package)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_importing_the_exporter_loads_no_heavy_package() -> None:
    code = "import sys, exporters.coreml; print([m for m in ('torch', 'coremltools') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_package_is_a_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EXPORTER.why_unavailable() is None
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "coremltools" else find(name))
    reason = EXPORTER.why_unavailable()
    assert reason is not None
    assert "coremltools" in reason
    assert "pip install" in reason


def test_inputs_and_outputs_are_what_an_app_expects(package: Path) -> None:
    specification = mil.read_specification(package)
    kinds = specification.description.input[0].type.multiArrayType
    assert [f.name for f in specification.description.input] == ["input_ids", "attention_mask"]
    assert [f.name for f in specification.description.output] == ["start_logits", "end_logits"]
    for feature in specification.description.input:
        array = feature.type.multiArrayType
        assert array.dataType == kinds.INT32
        assert list(array.shape) == [1, MAX_LENGTH]
        ranges = [(r.lowerBound, r.upperBound) for r in array.shapeRange.sizeRanges]
        assert ranges == [(1, 1), (1, MAX_LENGTH)]
    for feature in specification.description.output:
        assert feature.type.multiArrayType.dataType == kinds.FLOAT32
        assert feature.shortDescription
    assert specification.specificationVersion == 8  # iOS 17


def test_weights_are_int8_exactly_where_the_record_says(student: Student, program: mil.Program) -> None:
    wanted = {
        f"{name.replace('.', '_')}_cast_fp16": name
        for name, plan in student.quantization.tensors.items()
        if plan.dtype == "int8"
    }
    assert set(program.compressed) == set(wanted)
    parameters = dict(student.module.named_parameters())
    for stored, name in wanted.items():
        values, scale = numerics.quantize_rows(parameters[name])
        kept = program.compressed[stored]
        assert kept.operation == "constexpr_affine_dequantize"
        data, scales, zeros = (kept.inputs[key] for key in ("quantized_data", "scale", "zero_point"))
        assert isinstance(data, torch.Tensor)
        assert isinstance(scales, torch.Tensor)
        assert isinstance(zeros, torch.Tensor)
        assert data.dtype == torch.int8
        assert torch.equal(data, values)
        assert torch.equal(scales, scale.flatten())
        assert not zeros.any()


def test_modules_kept_in_float_are_float16(student: Student, program: mil.Program) -> None:
    parameters = dict(student.module.named_parameters())
    for path in KEPT:
        weight = program.constants[f"{path.replace('.', '_')}_weight_to_fp16"]
        assert isinstance(weight, torch.Tensor)
        assert torch.equal(weight, parameters[f"{path}.weight"].half().float())


def test_metadata_is_the_students_and_carries_no_date(package: Path) -> None:
    metadata = mil.read_specification(package).description.metadata
    assert metadata.author == "A. Uthor"
    assert metadata.license == "Apache-2.0"
    assert metadata.shortDescription == "A tiny student"
    assert metadata.versionString == "7"
    told = dict(metadata.userDefined)
    assert told.pop("com.github.apple.coremltools.version")
    assert {key: value for key, value in told.items() if not key.startswith("com.github.apple")} == {
        "task": "question-answering",
        "vocabulary_sha256": "ab" * 32,
        "f1": "80.6 (student in torch, 5801 questions of dev-v1.1-half)",
        "max_length": "64",
        "commit": "0123456789ab+dirty",
        "layout": "plain",
        "activations": "float16",
    }
    assert not any("date" in key for key in metadata.userDefined)


def test_the_same_student_gives_the_same_bytes(package: Path, tmp_path: Path) -> None:
    again = EXPORTER.lower(make_student(), tmp_path)
    assert digests(again.path) == digests(package)
    assert again.size_bytes == sum(f.stat().st_size for f in package.rglob("*") if f.is_file())
    assert set(again.tools) == set(EXPORTER.packages)


def test_lowering_leaves_the_student_alone(student: Student, package: Path) -> None:
    assert package.is_dir()
    assert not [name for name in student.module.state_dict() if "_COREML_" in name]


def test_coremltools_reads_the_package_and_its_weights(package: Path, program: mil.Program) -> None:
    with quiet():
        import coremltools as ct
        from coremltools.converters.mil.frontend.milproto.load import load

        model = ct.models.MLModel(str(package), skip_model_load=True)
        specification = model.get_spec()
        read = load(specification, specification.specificationVersion, model.weights_dir)
        theirs = {
            operation.outputs[0].name: operation.materialized_val_inference()
            for operation in read.functions["main"].operations
            if operation.op_type.startswith("constexpr_")
        }
    assert set(theirs) == set(program.compressed)
    for name, dense in theirs.items():
        ours = program.constants[name]
        assert isinstance(ours, torch.Tensor)
        np.testing.assert_array_equal(ours.numpy(), dense.astype(np.float32))
    manifest = json.loads((package / "Manifest.json").read_text())
    assert manifest["rootModelIdentifier"] in manifest["itemInfoEntries"]


@pytest.mark.parametrize(("length", "tokens"), [(1, 1), (2, 2), (17, 17), (40, 23), (64, 64)])
def test_the_evaluation_agrees_with_torch(length: int, tokens: int, student: Student, package: Path) -> None:
    runner = EXPORTER.runner(package)
    ids, mask = window(length, tokens)
    for got, expected in zip(runner(ids, mask), ask(student, ids, mask), strict=True):
        assert got.dtype == np.float32
        assert got.shape == (1, length)
        np.testing.assert_allclose(got, expected, atol=1e-2)
        assert np.abs(got - expected).mean() < 2e-3


def test_the_runner_says_what_it_is(package: Path) -> None:
    runner = EXPORTER.runner(package)
    assert runner.lengths == tuple(range(1, MAX_LENGTH + 1))
    assert runner.emulated
    assert "not Apple's runtime" in runner.note
    with pytest.raises(UsageError, match="65 tokens are more than the program's 64"):
        runner(*window(65))


def test_the_runner_puts_the_number_of_threads_back(package: Path) -> None:
    before = torch.get_num_threads()
    EXPORTER.runner(package, threads=before + 1)(*window(9))
    assert torch.get_num_threads() == before


def test_a_student_without_layers_can_be_lowered(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = StudentConfig(vocabulary=50, positions=16, hidden=32, head_size=16, layers=())
    bare = Student(
        name="bare", module=AnsweringStudent(config).eval(), quantization=Quantization(), max_length=16
    )
    runner = EXPORTER.runner(EXPORTER.lower(bare, tmp_path).path)
    ids, mask = (array[:, :9] % 50 for array in window(16))
    for got, expected in zip(runner(ids, mask), ask(bare, ids, mask), strict=True):
        np.testing.assert_allclose(got, expected, atol=4e-3)


@pytest.mark.parametrize(
    ("name", "plan", "sentence"),
    [
        (
            "layers.9.weight",
            TensorPlan(role="linear", dtype="int8"),
            "names layers.9.weight, which the student",
        ),
        ("qa_outputs.weight", TensorPlan(role="linear", dtype="int8", axis=1), "takes scales along axis 0"),
    ],
)
def test_a_record_that_does_not_fit_is_one_sentence(
    name: str, plan: TensorPlan, sentence: str, student: Student, tmp_path: Path
) -> None:
    wrong = dataclasses.replace(student, quantization=Quantization(tensors={name: plan}))
    with pytest.raises(UsageError, match=sentence):
        EXPORTER.lower(wrong, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_package_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no Core ML package"):
        EXPORTER.runner(tmp_path)


def test_the_runner_takes_core_mls_own_prediction() -> None:
    """On a Mac `predict` is Core ML's: arrays by name in, arrays by name out."""
    asked: list[dict[str, np.ndarray]] = []

    def predict(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        asked.append(feeds)
        return {"start_logits": feeds["input_ids"] + 0.5, "end_logits": feeds["attention_mask"] * 2.0}

    runner = CoreMLRunner(lengths=(4, 8), outputs=PER_TOKEN, emulated=False, note="", predict=predict)
    ids, mask = np.arange(6, dtype=np.int64)[None], np.ones((1, 6), np.int64)
    start, end = runner(ids, mask)
    assert asked[0]["input_ids"].dtype == np.int32
    assert asked[0]["attention_mask"].tolist() == [[1] * 6 + [0] * 2]
    assert start.tolist() == (ids + 0.5).tolist()
    assert end.tolist() == [[2.0] * 6]
    assert start.dtype == end.dtype == np.float32


def test_a_weight_that_coremltools_left_in_float_stops_the_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """coremltools only logs when it ignores the compression marks; here they are not even set."""
    monkeypatch.setattr("exporters.coreml._with_int8_marks", lambda student: student.module)
    with pytest.raises(PipelineError, match=r"kept embeddings\.word\.weight in float"):
        EXPORTER.lower(make_student(), tmp_path)
    assert not list(tmp_path.iterdir())
