"""Core AI: what an asset must hold, checked on the real thing and on spoilt copies of it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from exporters import coreai
from exporters.base import Lowered, int8_rows, int8_weights
from pipeline.types import PipelineError, Student, UsageError
from tests.exporters.conftest import MAX_LENGTH, make_student


@pytest.fixture
def asset(program: Callable[..., Lowered], tmp_path: Path) -> Path:
    """A copy, the test's own to spoil."""
    return shutil.copytree(program("coreai").path, tmp_path / "tiny.aimodel")


def rewrite(asset: Path, content: bytes) -> None:
    (asset / "main.mlirb").write_bytes(content)
    (asset / "main.hash").write_bytes(hashlib.sha256(content).digest())


def test_inputs_outputs_lengths_and_weights_are_the_students(asset: Path, tiny: Student) -> None:
    found = coreai.structure(asset)
    assert found.inputs == {"input_ids": "int32", "attention_mask": "int32"}
    assert found.outputs == {"start_logits": "float32", "end_logits": "float32"}
    assert found.lengths == tuple(range(2, MAX_LENGTH + 1))
    int8 = sum(w.numel() for role in ("embedding", "linear") for w in int8_weights(tiny, role).values())
    assert found.stored["int8"] >= int8
    size = (asset / "main.mlirb").stat().st_size
    assert int8 < size < 2 * int8
    coreai.check(asset, tiny)


def test_a_classifiers_output(tmp_path: Path) -> None:
    student = make_student(head="text-classification", labels=3)
    lowered = coreai.EXPORTER.lower(student, tmp_path)
    assert coreai.structure(lowered.path).outputs == {"logits": "float32"}


def test_metadata_is_the_students_without_date_or_source_files(asset: Path, tiny: Student) -> None:
    table = json.loads((asset / "metadata.json").read_text(encoding="utf-8"))
    assert table["creationDate"] == "19700101T000000Z"
    assert table["creatorDefinedMetadata"] == {"max_length": str(MAX_LENGTH)}
    assert b"student.py" not in (asset / "main.mlirb").read_bytes()


def test_every_integer_is_looked_for(asset: Path, tiny: Student) -> None:
    rows, _ = int8_rows(int8_weights(tiny, "linear")["layers.0.attention.query"])
    content = bytearray((asset / "main.mlirb").read_bytes())
    content[content.index(rows.numpy().tobytes())] ^= 1
    rewrite(asset, bytes(content))
    with pytest.raises(
        PipelineError, match=r"does not hold the integers of layers\.0\.attention\.query\.weight"
    ):
        coreai.check(asset, tiny)


def test_other_inputs_outputs_lengths_or_bytes_are_found(asset: Path, tiny: Student) -> None:
    with pytest.raises(PipelineError, match=r"gives start_logits \(float32\), end_logits .*, not logits"):
        coreai.check(asset, replace(tiny, outputs=("logits",)))
    with pytest.raises(PipelineError, match="takes 64 tokens, not 32"):
        coreai.check(asset, replace(tiny, max_length=32))
    (asset / "main.hash").write_bytes(bytes(32))
    with pytest.raises(PipelineError, match="another hash"):
        coreai.check(asset, tiny)


def test_another_students_asset_is_found(asset: Path) -> None:
    other = make_student()
    with torch.no_grad():
        other.module.get_parameter("qa_outputs.weight").mul_(2)
    with pytest.raises(PipelineError, match=r"does not hold the scales of qa_outputs\.weight"):
        coreai.check(asset, other)


def test_what_is_no_asset_is_one_sentence(tmp_path: Path, asset: Path) -> None:
    (asset / "main.mlirb").write_bytes(b"nothing")
    for folder in (asset, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match="is no Core AI asset that can be read"):
            coreai.structure(folder)
