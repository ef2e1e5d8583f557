"""What a .tflite file carries beside its graphs: names, metadata, the tokenizer's files, each constant once.

Layouts are those of two published schemas: tensorflow/tensorflow tensorflow/lite/schema/schema.fbs, and
tensorflow/tflite-support tensorflow_lite_support/metadata/metadata_schema.fbs (1.1.0), whose Python package
has no build for today's interpreters; its few tables are written here field by field.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.base import DESCRIPTIONS, INPUTS, PER_TOKEN
from pipeline.types import Student

if TYPE_CHECKING:
    import flatbuffers

METADATA = "TFLITE_METADATA"
"""Under this name a program holds its metadata; the others of `Student.metadata` have their own names."""
VOCABULARY = "vocab.txt"
_ALIGNMENT = 16
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every file inside, so that bytes repeat."""
_PARSER = "1.1.0"
_CLASS = re.compile(r"^(?:[\w<>]+\.)+[A-Za-z]+_?")
_IS_DESCRIPTION, _IS_VOCABULARY = 1, 5  # AssociatedFileType
_BERT_TOKENIZER = 4  # ProcessUnitOptions


def finished(program: bytes, student: Student) -> bytes:
    """The program with named tensors, metadata and files, and vectors that are alike stored once.

    The converter and the quantizer repeat scales and zero points in the graph of every signature: a third
    of a megabyte each for a vocabulary of 30,000.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(program, 0)
    constants = [_constant(buffer, program) for buffer in model.buffers]
    for graph in model.subgraphs:
        for names, places in ((INPUTS, graph.inputs), (student.outputs, graph.outputs)):
            for place in places:
                graph.tensors[place].name = _plain(graph.tensors[place].name.decode(), names)
        for tensor in graph.tensors:
            tensor.name = _short(tensor.name)
    entries = {METADATA: _metadata(student, len(model.subgraphs)), **_texts(student)}
    model.metadata = [entry for entry in model.metadata or [] if entry.name.decode() not in entries]
    for name, data in entries.items():
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, len(constants)
        model.metadata.append(entry)
        constants.append(data)
    model.buffers = [schema.BufferT() for _ in constants]
    return _with_files(_packed(model, constants), student.files)


def alone(program: bytes, number: int) -> bytes:
    """The program with one of its graphs and the signatures of that one, without metadata and files."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(program, 0)
    constants = [_constant(buffer, program) for buffer in model.buffers]
    model.subgraphs = [model.subgraphs[number]]
    model.signatureDefs = [each for each in model.signatureDefs or [] if each.subgraphIndex == number]
    for signature in model.signatureDefs:
        signature.subgraphIndex = 0
    model.metadata = model.metadataBuffer = None
    model.buffers = [schema.BufferT() for _ in constants]
    return _packed(model, constants)


def _constant(buffer: Any, program: bytes) -> bytes:
    """A buffer's bytes, which lie in its table or, by offset, behind all tables."""
    if buffer.offset > 1:  # 0 and 1 stand for none.
        return program[buffer.offset : buffer.offset + buffer.size]
    return np.asarray(buffer.data, np.uint8).tobytes() if buffer.data is not None else b""


def _plain(name: str, wanted: Sequence[str]) -> str:
    """The student's own name for a tensor that the converter calls, say, seq_64_input_ids."""
    return next((plain for plain in wanted if plain in name), name)


def _short(name: bytes | str) -> str:
    """A name without the converter's Python classes: a.b.Layer_0/a.b.Linear_query;1 becomes 0/query;1."""
    text = name if isinstance(name, str) else name.decode()
    paths = ([_CLASS.sub("", part) for part in path.split("/")] for path in text.split(";"))
    return ";".join("/".join(filter(None, path)) for path in paths)


def _packed(model: Any, constants: Sequence[bytes]) -> bytes:
    """The flatbuffer, and the constants behind it where its buffers say they are."""

    def tables(offsets: Sequence[int]) -> bytes:
        for buffer, data, offset in zip(model.buffers, constants, offsets, strict=True):
            buffer.offset, buffer.size = (offset, len(data)) if data else (0, 0)
        builder = _sharing_builder()
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    begin = _aligned(len(tables([1] * len(constants))))  # Offsets are as wide whatever their value.
    offsets, at = [], begin
    for data in constants:
        offsets.append(at)
        at = _aligned(at + len(data))
    whole = bytearray(at)
    head = tables(offsets)
    whole[: len(head)] = head
    for offset, data in zip(offsets, constants, strict=True):
        whole[offset : offset + len(data)] = data
    return bytes(whole)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _sharing_builder() -> Any:
    """A flatbuffer builder that writes equal vectors of numbers once."""
    import flatbuffers

    class Sharing(flatbuffers.Builder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(1 << 20)
            self._written: dict[tuple[str, bytes], int] = {}

        def CreateNumpyVector(self, x: np.ndarray) -> int:
            key = (x.dtype.str, x.tobytes())
            if key not in self._written:
                self._written[key] = int(super().CreateNumpyVector(x))
            return self._written[key]

    return Sharing()


def _texts(student: Student) -> dict[str, bytes]:
    return {name: text.encode() for name, text in sorted(student.metadata.items())}


def _metadata(student: Student, graphs: int) -> bytes:
    """The table ModelMetadata, with an entry SubGraphMetadata for each graph."""
    import flatbuffers

    builder = flatbuffers.Builder(4096)
    facts = student.metadata
    files = [_file(builder, name) for name in student.files if name != VOCABULARY]
    subgraphs = _list(builder, [_graph(builder, student) for _ in range(graphs)])
    root = _table(
        builder,
        {
            0: builder.CreateString(student.name),
            1: builder.CreateString(facts.get("description", "")),
            2: builder.CreateString(facts.get("version", "")),
            3: subgraphs,
            4: builder.CreateString(facts.get("author", "")),
            5: builder.CreateString(facts.get("licence", "")),
            6: _list(builder, files),
            7: builder.CreateString(_PARSER),
        },
        8,
    )
    builder.Finish(root, b"M001")
    return bytes(builder.Output())


def _graph(builder: flatbuffers.Builder, student: Student) -> int:
    """SubGraphMetadata: what goes in, by which tokenizer, and what comes out."""
    inputs = _list(builder, [_tensor(builder, name) for name in INPUTS])
    outputs = _list(builder, [_tensor(builder, name) for name in student.outputs])
    fields = {0: builder.CreateString(student.name), 2: inputs, 3: outputs}
    if VOCABULARY in student.files:
        vocabulary = _list(builder, [_file(builder, VOCABULARY, _IS_VOCABULARY)])
        options = _table(builder, {0: vocabulary}, 1)
        fields[5] = _list(builder, [_process_unit(builder, options)])
    return _table(builder, fields, 7)


def _process_unit(builder: flatbuffers.Builder, options: int) -> int:
    builder.StartObject(2)
    builder.PrependUint8Slot(0, _BERT_TOKENIZER, 0)
    builder.PrependUOffsetTRelativeSlot(1, options, 0)
    return int(builder.EndObject())


def _tensor(builder: flatbuffers.Builder, name: str) -> int:
    """TensorMetadata."""
    axes = ("batch", "sequence" if name in (*INPUTS, *PER_TOKEN) else "label")
    fields = {
        0: builder.CreateString(name),
        1: builder.CreateString(DESCRIPTIONS[name]),
        2: _list(builder, [builder.CreateString(axis) for axis in axes]),
    }
    return _table(builder, fields, 7)


def _file(builder: flatbuffers.Builder, name: str, kind: int = _IS_DESCRIPTION) -> int:
    """AssociatedFile."""
    at = builder.CreateString(name)
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(0, at, 0)
    builder.PrependInt8Slot(2, kind, 0)
    return int(builder.EndObject())


def _table(builder: flatbuffers.Builder, fields: Mapping[int, int], slots: int) -> int:
    """A table whose fields, by number, are all references."""
    builder.StartObject(slots)
    for slot, reference in fields.items():
        builder.PrependUOffsetTRelativeSlot(slot, reference, 0)
    return int(builder.EndObject())


def _list(builder: flatbuffers.Builder, references: Sequence[int]) -> int:
    """A vector of references."""
    builder.StartVector(4, len(references), 4)
    for reference in reversed(references):
        builder.PrependUOffsetTRelative(reference)
    return int(builder.EndVector())


def _with_files(program: bytes, files: Mapping[str, Path]) -> bytes:
    """The program, and behind it a zip archive of the files, uncompressed as readers on phones want them."""
    whole = io.BytesIO(program)
    if files:
        with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
            for name, path in sorted(files.items()):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), path.read_bytes())
    return whole.getvalue()
