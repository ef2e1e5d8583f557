"""Every rule against a Core ML package with that fault, edited into a package of our own exporter."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters import mil
from exporters.base import Lowered
from exporters.linting import coreml
from exporters.linting.checks import RULES
from exporters.linting.inspection import inspect
from pipeline.types import Student, UsageError
from tests.exporters.linting.given import Seed, Seeds, float_matrices, found, look

pytest.importorskip("coremltools")
TARGET = "coreml"


def edited(change: Callable[[Any, Any], None]) -> Seed:
    """A copy of the package with `change(specification, block)` made to it."""

    def seed(whole: Path, out: Path) -> Path:
        path = out / "edited.mlpackage"
        shutil.copytree(whole, path)
        specification = mil.read_specification(path)
        function = specification.mlProgram.functions["main"]
        change(specification, function.block_specializations[function.opset])
        (path / mil.DATA / "model.mlmodel").write_bytes(specification.SerializeToString())
        return path

    return seed


def consts(block: Any, kind: str, size: int) -> Iterator[Any]:
    """The values of constants of this type and this many numbers."""
    for operation in block.operations:
        if operation.type == "const":
            value = operation.attributes["val"]
            shape = [each.constant.size for each in value.type.tensorType.dimensions]
            if mil._kind(operation.outputs[0]) == kind and int(np.prod(shape)) == size:
                yield value


def scalars(value: float) -> Seed:
    """Every float16 scalar beyond 1000, which the mask is, becomes this."""

    def change(specification: Any, block: Any) -> None:
        changed = 0
        for each in consts(block, "FLOAT16", 1):
            if abs(np.frombuffer(each.immediateValue.tensor.bytes.values, np.float16)[0]) > 1000:
                each.immediateValue.tensor.bytes.values = np.float16(value).tobytes()
                changed += 1
        assert changed

    return edited(change)


def added(kind: str, numbers: np.ndarray, copies: int = 1) -> Seed:
    """Constants that nothing needs, inside the program."""

    def change(specification: Any, block: Any) -> None:
        from coremltools.proto import MIL_pb2

        for number in range(copies):
            operation = block.operations.add(type="const")
            operation.outputs.add(name=f"table_{number}")
            types = [operation.outputs[0].type.tensorType, operation.attributes["val"].type.tensorType]
            for tensor in types:
                tensor.dataType = MIL_pb2.DataType.Value(kind)
                tensor.rank = 1
                tensor.dimensions.add().constant.size = numbers.size
            tensor = operation.attributes["val"].immediateValue.tensor
            if kind == "INT64":
                tensor.longInts.values.extend(numbers.tolist())
            elif kind == "FLOAT32":
                tensor.floats.values.extend(numbers.tolist())
            else:
                tensor.bytes.values = numbers.tobytes()

    return edited(change)


def bounds(upper: int) -> Seed:
    """Another longest window."""

    def change(specification: Any, block: Any) -> None:
        for feature in specification.description.input:
            feature.type.multiArrayType.shapeRange.sizeRanges[-1].upperBound = upper

    return edited(change)


@edited
def enumerated(specification: Any, block: Any) -> None:
    specification.specificationVersion = 8
    for feature in specification.description.input:
        array = feature.type.multiArrayType
        array.ClearField("shapeRange")
        for length in (16, 64):
            array.enumeratedShapes.shapes.add().shape.extend([1, length])


@edited
def doubles(specification: Any, block: Any) -> None:
    from coremltools.proto import FeatureTypes_pb2

    specification.description.output[
        0
    ].type.multiArrayType.dataType = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.Value("DOUBLE")


@edited
def loud(specification: Any, block: Any) -> None:
    """A layer norm's weight of 60000."""
    (value, *_) = consts(block, "FLOAT16", 32)
    value.ClearField("blobFileValue")
    value.immediateValue.tensor.bytes.values = np.full(32, 60000, np.float16).tobytes()


@edited
def unnamed(specification: Any, block: Any) -> None:
    for number, feature in enumerate(specification.description.output):
        feature.name = f"var_{number}"


@edited
def crossed(specification: Any, block: Any) -> None:
    """Right names, wrong values."""
    other = {"start_logits": "end_logits", "end_logits": "start_logits"}
    for operation in block.operations:
        for output in operation.outputs:
            output.name = other.get(output.name, output.name)


@edited
def bare(specification: Any, block: Any) -> None:
    specification.description.ClearField("metadata")


SEEDS: Seeds = {
    "infinite-constant": ("error", scalars(float("-inf"))),
    "fp16-overflow": ("error", added("FLOAT32", np.array([np.finfo(np.float32).min]))),
    "float64": ("error", doubles),
    "wide-constant": ("note", added("INT64", np.arange(200))),
    "activation-range": ("error", loud),
    "duplicated-constant": ("warning", added("INT8", np.ones(2048, np.int8), 2)),
    "unbounded-shape": ("error", bounds(-1)),
    "unsupported-shape": ("error", enumerated),
    "beyond-positions": ("error", bounds(128)),
    "interface-names": ("error", unnamed),
    "outputs-swapped": ("error", crossed),
    "missing-metadata": ("warning", bare),
}


@pytest.mark.parametrize("rule", SEEDS)
def test_it_is_caught(rule: str, program: Callable[..., Lowered], tiny: Student, tmp_path: Path) -> None:
    severity, seed = SEEDS[rule]
    findings = found(look(seed(program(TARGET).path, tmp_path), tiny, TARGET), rule)
    assert findings, f"{rule} finds nothing"
    assert findings[0].severity == severity
    assert findings[0].sentence.endswith(RULES[rule].advice)
    assert findings[0].where


def test_a_package_of_ours_has_no_errors(program: Callable[..., Lowered], tiny: Student) -> None:
    inspection = look(program(TARGET).path, tiny, TARGET)
    assert not [finding for finding in inspection.findings if finding.severity == "error"]
    assert set(inspection.skipped) == {"int64-interface", "outside-delegate"}


def test_float_matrices_are_errors_unless_the_record_keeps_them(
    program: Callable[..., Lowered], tiny_kept: Student
) -> None:
    path = program(TARGET, kept=True).path
    left = found(inspect(path), "left-float")
    assert {finding.severity for finding in left} == {"error"}
    assert len(left) == 2  # KEPT's feed-forward and positions; the others are too small to matter
    assert not found(inspect(path, kept=float_matrices(tiny_kept)), "left-float")
    assert not found(inspect(path, precision="float32"), "left-float")


def test_a_value_near_the_end_of_float16_is_a_warning(
    program: Callable[..., Lowered], tiny: Student, tmp_path: Path
) -> None:
    path = scalars(-60000.0)(program(TARGET).path, tmp_path)
    near = found(look(path, tiny, TARGET), "activation-range")
    assert {finding.severity for finding in near} == {"warning"}
    assert "92% of float16's range" in near[0].sentence


def test_positions_are_found_by_what_looks_them_up(program: Callable[..., Lowered]) -> None:
    table = coreml.read(program(TARGET).path).position_table()
    assert table is not None
    assert table.array.shape == (64, 32)
    assert table.dtype == "int8"


def test_a_damaged_package_is_one_sentence(program: Callable[..., Lowered], tmp_path: Path) -> None:
    path = tmp_path / "broken.mlpackage"
    shutil.copytree(program(TARGET).path, path)
    weights = path / mil.DATA / "weights" / "weight.bin"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"weight\.bin is damaged: .*export the model again"):
        inspect(path)
    (path / mil.DATA / "model.mlmodel").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="is damaged: it cannot be decoded"):
        inspect(path)
