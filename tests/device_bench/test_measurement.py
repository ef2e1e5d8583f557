"""measurement.json: its published schema says what the records say, and a damaged file is one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from device_bench import measurement
from device_bench.measurement import SCHEMA, Counted, Measurement, Place, read, write
from pipeline.types import UsageError
from tests.device_bench import measurements as made_up

EXAMPLES = {
    "latency": made_up.latency(),
    "counts": made_up.counts(),
    "invalid": made_up.latency(reasons=("the candidate's spread is 0.31",)),
    "alone": made_up.latency(made_up.program()),
    "as a phone's app writes it": made_up.latency(
        made_up.program(
            runner="app",
            parameters=None,
            likeness=None,
            multiply_adds=None,
            tokenize_ns=(90_000,),
            decode_ns=(20_000,),
            compute_unit={"asked": "ALL", "got": None},
        ),
        before={"temperature_celsius": 31.5, "thermal": "none", "battery_percent": 80, "pinned_to": [4, 5]},
    ),
}


def example(name: str = "latency") -> dict[str, Any]:
    table: dict[str, Any] = EXAMPLES[name].model_dump(mode="json")
    return table


def test_the_schema_is_up_to_date() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == measurement.schema(), "run: python -m device_bench.measurement"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text(encoding="utf-8")))


def accepted_by_schema(table: Any) -> bool:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return bool(jsonschema.Draft202012Validator(schema).is_valid(table))


def accepted_by_us(table: Any) -> bool:
    try:
        Measurement.model_validate_json(json.dumps(table), strict=True)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_accepted_by_both(name: str) -> None:
    assert accepted_by_schema(example(name))
    assert Measurement.model_validate(example(name)) == EXAMPLES[name]


SPOILT: dict[str, Callable[[dict[str, Any]], object]] = {
    "another format": lambda m: m.update(format=2),
    "no programs": lambda m: m.update(programs=[]),
    "an unknown key": lambda m: m.update(score=3),
    "an unknown key deep inside": lambda m: m["programs"][0]["footprint"].update(apk_bytes=3),
    "no place": lambda m: m.pop("place"),
    "a device that nobody knows": lambda m: m["place"].update(kind="toaster"),
    "a negative size": lambda m: m["programs"][0]["footprint"].update(program_bytes=-1),
    "a time of nothing": lambda m: m["programs"][0].update(samples_ns=[0]),
    "half a nanosecond": lambda m: m["programs"][0].update(samples_ns=[1.5]),
    "an unknown role": lambda m: m["programs"][0].update(role="rival"),
    "a precision that is none": lambda m: m["programs"][0].update(precision="int4"),
    "text for a number": lambda m: m["protocol"].update(warmup="many"),
    "digits for a number": lambda m: m["protocol"].update(warmup="5"),
    "a number for yes": lambda m: m["place"].update(emulated=1),
    "no verdict": lambda m: m["validity"].pop("valid"),
    "counts of no inference": lambda m: m["programs"][0].update(
        instructions={**made_up.counted(1.0).model_dump(), "inferences": []}
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_is_refused_by_both(name: str, tmp_path: Path) -> None:
    table = example()
    SPOILT[name](table)
    assert not accepted_by_schema(table)
    assert not accepted_by_us(table)
    file = tmp_path / "measurement.json"
    file.write_text(json.dumps(table), encoding="utf-8")
    said = refused(file)
    assert said.startswith(f"{file} is no measurement.json of format 1: ")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": 1}', b'{"format": 1, "seconds": NaN}']
)
def test_a_damaged_file_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "measurement.json"
    file.write_bytes(content)
    assert str(file) in refused(file)


def test_every_truncation_of_a_file_is_one_sentence(tmp_path: Path) -> None:
    write(EXAMPLES["alone"], tmp_path / "whole.json")
    whole = (tmp_path / "whole.json").read_bytes()
    file = tmp_path / "measurement.json"
    for end in range(0, len(whole) - 2, 97):
        file.write_bytes(whole[:end])
        refused(file)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.json") == f"{tmp_path}/none.json cannot be read: No such file or directory"
    assert refused(tmp_path) == f"{tmp_path} cannot be read: Is a directory"


def refused(file: Path) -> str:
    """Why a file is not read: one sentence."""
    with pytest.raises(UsageError) as caught:
        read(file)
    said = str(caught.value)
    assert said
    assert "\n" not in said
    return said


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / "runs" / "measurements" / "one.json"
    write(EXAMPLES[name], file)
    assert read(file) == EXAMPLES[name]
    assert accepted_by_schema(json.loads(file.read_text(encoding="utf-8")))
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in file.parent.iterdir()] == ["one.json"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    write(EXAMPLES["alone"], file)
    before = file.read_bytes()
    unwritable = EXAMPLES["alone"].model_copy(update={"made": {"when": object()}})
    with pytest.raises(Exception, match="serialize"):
        write(unwritable, file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


def test_a_write_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """Where the new name is a folder, the last step of all fails: the draft goes too."""
    (tmp_path / "one.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        write(EXAMPLES["alone"], tmp_path / "one.json")
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


def test_records_are_frozen_and_finite() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        EXAMPLES["latency"].programs[0].name = "another"
    with pytest.raises(ValidationError, match="finite"):
        made_up.latency(before={"load_average": float("nan")})


def test_candidate_and_baselines_are_found_by_role() -> None:
    whole = EXAMPLES["latency"]
    assert whole.candidate.role == "candidate"
    same, full = whole.baseline("int8"), whole.baseline("float32")
    assert same is not None
    assert full is not None
    assert (same.role, same.precision, full.precision) == ("baseline", "int8", "float32")
    assert EXAMPLES["alone"].baseline("int8") is None


def test_classes_add_up_in_what_is_made_up() -> None:
    table = made_up.instructions(125.0).model_dump()
    assert table.pop("total") == sum(table.values())
    assert isinstance(made_up.counted(1.0), Counted)
    assert isinstance(made_up.EMULATOR, Place)
