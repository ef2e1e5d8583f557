"""The TFLite exporter: names in the signature, the student's own integers, who runs what."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters import base
from exporters.base import INPUTS, PER_TOKEN, Lowered
from pipeline import numerics
from pipeline.types import Student
from tests.exporters.conftest import MAX_LENGTH, VOCABULARY

pytest.importorskip("litert_torch")


@pytest.fixture(scope="module")
def open_program(program: Callable[..., Lowered]) -> Callable[[bool], Any]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    def opened(kept: bool) -> Any:
        interpreter = Interpreter(
            model_path=str(program("tflite", kept).path),
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        return interpreter

    return opened


def weights_of(interpreter: Any, operation: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weight and scales (empty for float) of each such operation, which takes the weight as second input."""
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    for node in interpreter._get_ops_details():
        if node["op_name"] == operation:
            index = node["inputs"][1]
            yield interpreter.get_tensor(index), details[index]["quantization_parameters"]["scales"]


def test_the_signature_has_the_students_names(open_program: Callable[[bool], Any]) -> None:
    runner = open_program(False).get_signature_runner()
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
    assert set(inputs) == set(INPUTS)
    assert set(outputs) == set(PER_TOKEN)
    for details, dtype in ((inputs, np.int32), (outputs, np.float32)):
        for tensor in details.values():
            assert tuple(tensor["shape"]) == (1, MAX_LENGTH)
            assert tensor["dtype"] is dtype


@pytest.mark.parametrize("kept", [False, True])
def test_weights_are_those_of_the_student(
    kept: bool, open_program: Callable[[bool], Any], tiny: Student, tiny_kept: Student
) -> None:
    student, interpreter = (tiny_kept if kept else tiny), open_program(kept)
    for role, operation in (("linear", "FULLY_CONNECTED"), ("embedding", "EMBEDDING_LOOKUP")):
        stored = list(weights_of(interpreter, operation))
        plans = {name: plan for name, plan in student.quantization.tensors.items() if plan.role == role}
        for name, plan in plans.items():
            weight = student.module.get_parameter(name).detach()
            if plan.dtype == "int8":
                values, scale = (array.numpy() for array in numerics.quantize_rows(weight))
            else:
                values, scale = weight.numpy(), np.zeros(0, np.float32)
            assert any(
                table.dtype == values.dtype
                and np.array_equal(table, values)
                and np.array_equal(scales, scale.reshape(-1))
                for table, scales in stored
            ), name


def test_xnnpack_runs_the_linears(program: Callable[..., Lowered]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(program("tflite").path))
    interpreter.allocate_tensors()
    names = {node["op_name"] for node in interpreter._get_ops_details()}
    assert "DELEGATE" in names


LENGTHS = (8, 24, MAX_LENGTH)
METADATA = {"description": "Answers.", "version": "1", "author": "A", "licence": "L", "max_length": "64"}


@pytest.fixture(scope="module")
def tokenizer_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tokenizer")
    contents = {"vocab.txt": "[PAD]\n[CLS]\n", "tokenizer.json": "{}"}
    for name, text in contents.items():
        (folder / name).write_text(text)
    return {name: folder / name for name in contents}


@pytest.fixture(scope="module")
def several(
    tiny: Student, tokenizer_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Student, Path]:
    """A program of three lengths that carries metadata and files, and its student."""
    student = dataclasses.replace(tiny, lengths=LENGTHS, metadata=METADATA, files=tokenizer_files)
    return student, base.get("tflite").lower(student, tmp_path_factory.mktemp("several")).path


def window(length: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.random.default_rng(length).integers(0, VOCABULARY, (1, length)).astype(np.int32)
    return ids, np.ones_like(ids)


def schema_of(program: Path) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(program.read_bytes(), 0)


@pytest.mark.parametrize("length", [1, 8, 9, 24, 25, MAX_LENGTH])
def test_a_window_runs_in_its_bucket_and_gives_what_the_longest_gives(
    length: int, several: tuple[Student, Path], program: Callable[..., Lowered]
) -> None:
    exporter = base.get("tflite")
    buckets, whole = exporter.runner(several[1]), exporter.runner(program("tflite").path)
    assert buckets.lengths == LENGTHS
    assert whole.lengths == (MAX_LENGTH,)
    for got, wanted in zip(buckets(*window(length)), whole(*window(length)), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_the_interpreter_gives_the_same(several: tuple[Student, Path]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(several[1]))
    runner = base.get("tflite").runner(several[1])
    for length in LENGTHS:
        given = dict(zip(INPUTS, window(length), strict=True))
        outputs = interpreter.get_signature_runner(f"seq_{length}")(**given)
        for name, wanted in zip(PER_TOKEN, runner(*window(length)), strict=True):
            np.testing.assert_allclose(outputs[name], wanted, atol=1e-5)


def test_several_lengths_cost_one_copy_of_weights_and_scales(several: tuple[Student, Path]) -> None:
    student, path = several
    model, data = schema_of(path), path.read_bytes()
    assert [graph.name.decode() for graph in model.subgraphs] == [f"seq_{length}" for length in LENGTHS]
    constants = [data[b.offset : b.offset + b.size] for b in model.buffers if b.size >= 1000]
    assert constants
    assert len(set(constants)) == len(constants)
    tables = data[: min(b.offset for b in model.buffers if b.size)]
    (embedding,) = (n for n in student.quantization.tensors if "word" in n)
    _, scale = numerics.quantize_rows(student.module.get_parameter(embedding).detach())
    assert tables.count(scale.numpy().tobytes()) == 1


def test_tensors_have_the_students_names_and_constants_are_aligned(several: tuple[Student, Path]) -> None:
    model = schema_of(several[1])
    for graph in model.subgraphs:
        assert [graph.tensors[place].name.decode() for place in graph.inputs] == list(INPUTS)
        assert {graph.tensors[place].name.decode() for place in graph.outputs} == set(PER_TOKEN)
    assert all(buffer.offset % 16 == 0 for buffer in model.buffers)


def test_files_follow_the_program_uncompressed(
    several: tuple[Student, Path], tokenizer_files: dict[str, Path]
) -> None:
    with zipfile.ZipFile(several[1]) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == set(tokenizer_files)
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert archive.read(entry) == tokenizer_files[entry.filename].read_bytes()


def metadata_of(program: Path) -> dict[str, bytes]:
    model, data = schema_of(program), program.read_bytes()
    buffers = {entry.name.decode(): model.buffers[entry.buffer] for entry in model.metadata}
    return {name: data[buffer.offset : buffer.offset + buffer.size] for name, buffer in buffers.items()}


def test_metadata_can_be_read_by_its_published_schema(several: tuple[Student, Path]) -> None:
    from flatbuffers import encode, number_types, table

    entries = metadata_of(several[1])
    assert {name: entries[name].decode() for name in METADATA} == METADATA
    data = bytearray(entries["TFLITE_METADATA"])
    assert data[4:8] == b"M001"

    def at(owner: Any, field: int) -> int:
        offset = int(owner.Offset(4 + 2 * field))
        assert offset, f"field {field} is missing"
        return int(owner.Pos) + offset

    def text(owner: Any, field: int) -> str:
        return str(owner.String(at(owner, field)).decode())

    def tables(owner: Any, field: int) -> list[Any]:
        offset = at(owner, field) - owner.Pos
        begin = owner.Vector(offset)
        return [table.Table(data, owner.Indirect(begin + 4 * i)) for i in range(owner.VectorLen(offset))]

    root = table.Table(data, encode.Get(number_types.UOffsetTFlags.packer_type, data, 0))
    assert text(root, 0) == several[0].name
    assert [text(root, field) for field in (1, 2, 4, 5)] == ["Answers.", "1", "A", "L"]
    assert [text(file, 0) for file in tables(root, 6)] == ["tokenizer.json"]
    graphs = tables(root, 3)
    assert len(graphs) == len(LENGTHS)
    for graph in graphs:
        assert [text(tensor, 0) for tensor in tables(graph, 2)] == list(INPUTS)
        assert [text(tensor, 0) for tensor in tables(graph, 3)] == list(PER_TOKEN)
        (unit,) = tables(graph, 5)
        assert data[at(unit, 0)] == 4  # BertTokenizerOptions
        options = table.Table(data, unit.Indirect(at(unit, 1)))
        (vocabulary,) = tables(options, 0)
        assert text(vocabulary, 0) == "vocab.txt"
        assert data[at(vocabulary, 2)] == 5  # VOCABULARY


def test_the_same_student_gives_the_same_bytes(several: tuple[Student, Path], tmp_path: Path) -> None:
    again = base.get("tflite").lower(several[0], tmp_path).path
    assert again.read_bytes() == several[1].read_bytes()
