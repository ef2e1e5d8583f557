"""Cases of bundles: folders that are read, and folders that are refused with one sentence on every platform."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.store import SEAL
from pipeline.suite.folders import FILES, TASKS, Drop, Given, Put, manifest, outcome, put, written

LEAVING = (
    *("../x", "/etc/hostname", "a/../../x", "..", "", ".", "a\\..\\x", "/", 'a"/../ö', "model.bin/.."),
    "../\u0301x",
)
LISTED = {"sha256": "0" * 64, "size_bytes": 0}


def cases() -> dict[str, Any]:
    """The content of bundles.json: the files of a good folder, and each case's differences from it."""
    with tempfile.TemporaryDirectory() as scratch:
        given = [*_good(), *_files(), *_raw(), *_headed(), *_altered(), *_fields(), *_settings()]
        made = [outcome(Path(scratch) / str(number), one) for number, one in enumerate(given)]
    return {"files": FILES, "cases": made}


def _good() -> Iterator[Given]:
    for task in TASKS:
        yield Given(name=f"good-{task.kind}", manifest=manifest(task=task))
        yield Given(name=f"good-{task.kind}-wanted", manifest=manifest(task=task), wanted=task.kind)
    unverified = put(False, "verified"), put("nothing here runs it", "why_not_verified"), put({}, "metrics")
    odd = {"blue": [1.5, -2e-07, True, None, "ü\u2028\U0001f600\x7f"]}
    good: dict[str, list[Put | Drop]] = {
        "package": [put("package", "program")],
        "range": [put({"shortest": 2, "longest": 5}, "lengths")],
        "one-length": [put({"fixed": [384]}, "lengths")],
        "unverified": list(unverified),
        "older": [Drop(("verified",)), Drop(("precision",))],
        "unknown-key": [put(odd, "colour")],
        "numbers": [put({"a": 1e22, "b": 1e-05, "c": 0.1, "d": -0.0, "e": 5e-324}, "metrics")],
        "infinite": [put({"a": float("inf"), "b": float("nan"), "c": -float("inf")}, "metrics")],
        "order-of-keys": [put({"\U0001f600": 1, "\uff5e": 2, "Z": 3, "é": 5, "": 6}, "metrics")],
        "escapes": [put('quotes " \\ / \b\f\n\r\t\x01\x1f é', "name")],
    }
    for name, changes in good.items():
        yield Given(name=f"good-{name}", manifest=manifest(*changes))


def _files() -> Iterator[Given]:
    """The manifest is that of a good bundle; the folder differs."""
    good = manifest()
    for name in FILES:
        yield Given(name=f"missing-{name}", files={name: None}, manifest=good)
        yield Given(name=f"altered-{name}", files={name: FILES[name] + " "}, manifest=good)
        yield Given(name=f"emptied-{name}", files={name: ""}, manifest=good)
    more = ("extra.txt", ".hidden", "package/extra.bin", "package/manifest.json", "new/a", "Ünï.txt")
    for name in more:
        yield Given(name=f"extra-{name}", files={name: ""}, manifest=good)
    several: list[dict[str, str | None]] = [
        {"vocab.txt": None, "golden.json": "x", "zz": ""},
        {"vocab.txt": None, "aa": ""},
    ]
    for number, files in enumerate(several):
        yield Given(name=f"several-{number}", files=files, manifest=good)
    for target in ("golden.json", "/etc/hostname", "nowhere", "."):
        yield Given(
            name=f"link-{target}", files={"README.md": None}, links={"README.md": target}, manifest=good
        )
    yield Given(name="link-folder", links={"package/more": "inner"}, manifest=good)
    yield Given(name="link-and-missing", files={"README.md": None}, links={"zz": "golden.json"}, manifest=good)


def _raw() -> Iterator[Given]:
    """No manifest, or bytes that are none."""
    yield Given(name="no-manifest", manifest=None)
    short = [b"", b" ", b"{", b"[]", b"3", b"null", b"\xff\xfe", b"{}", b'{"format": 1}']
    for number, content in enumerate([*short, b"\xef\xbb\xbf{}", b"{'format': 1}"]):
        yield Given(name=f"damaged-{number}", manifest=content)
    good = json.dumps(json.loads(manifest()))
    for name, text in {
        "comma": good[:-1] + ",}",
        "comment": good + " // made by hand",
        "twice": good[:-1] + ', "format": 1}',
        "twice-inside": good.replace('"fixed"', '"fixed": [1], "fixed"'),
        "half-a-character": good.replace('"small"', '"\\ud83d"'),
        "other-half": good.replace('"small"', '"\\ude00\\ud83d"'),
        "control": good.replace('"small"', '"a\nb"'),
        "escape": good.replace('"small"', '"\\x41"'),
        "short-escape": good.replace('"small"', '"\\u12"'),
        "number": good.replace("384", "0384", 1),
        "point": good.replace("384", "384.", 1),
        "plus": good.replace("384", "+384", 1),
        "deep": "[" * 3000,
        "deep-inside": good[:-1] + ', "x": ' + "[" * 3000 + "]" * 3000 + "}",
        "word": good.replace("true", "True"),
    }.items():
        yield Given(name=f"damaged-{name}", manifest=text.encode())
    yield Given(name="damaged-utf8", manifest=good.replace("small", "sm\xe4ll").encode("latin-1"))
    for name, content in {"overlong": b"\xc0\xafsmall", "surrogate-bytes": b"\xed\xa0\x80"}.items():
        yield Given(name=f"damaged-{name}", manifest=good.encode().replace(b"small", content))


def _headed() -> Iterator[Given]:
    """What is read before the seal is compared: format and task."""
    formats: list[Any] = [0, -1, 1.0, True, None, "1", [1], {}, 2, 3, 10**15]
    for value in formats:
        yield Given(name=f"format-{json.dumps(value)}", manifest=manifest(put(value, "format")))
    tasks: list[Any] = ["translation", "Question-Answering", "", 'a "task" \\ ü😀\n', None, 3, ["regression"]]
    for value in [*tasks, {"b": 1, "a": [True, "é"]}]:
        yield Given(name=f"task-{json.dumps(value)}", manifest=manifest(put(value, "task")))
    for wanted in ("text-classification", "regression"):
        yield Given(name=f"other-task-{wanted}", manifest=manifest(), wanted=wanted)
    for key in ("format", "task", "files"):
        yield Given(name=f"without-{key}", manifest=manifest(Drop((key,))))


def _altered() -> Iterator[Given]:
    """A manifest whose bytes are not those that were sealed."""
    good = manifest()
    fields = json.loads(good)
    unsealed = {key: value for key, value in fields.items() if key != SEAL}
    for name, content in {
        "line-feed": good + b"\n",
        "space": good.replace(b'"name"', b'"name" ', 1),
        "digit": good.replace(b"71.25", b"71.26"),
        "longer-number": good.replace(b"71.25", b"71.250"),
        "escaped": good.replace(b'"small"', b'"sm\\u0061ll"'),
        "order": good.replace(b' "format": 1,\n', b"").replace(b"{\n", b'{\n "format": 1,\n', 1),
        "seal": good.replace(b'"seal": "', b'"seal": "0'),
        "compact": json.dumps(fields, separators=(",", ":"), sort_keys=True).encode(),
        "no-seal": written(unsealed),
        "seal-number": written({**unsealed, SEAL: 3}),
    }.items():
        yield Given(name=f"altered-manifest-{name}", manifest=content)
    listed: dict[str, Any] = {"list": [], "text": {"README.md": "hash"}, "null": None}
    for name, files in listed.items():
        yield Given(name=f"altered-files-{name}", manifest=manifest(put(files, "files")))


def _fields() -> Iterator[Given]:
    """Sealed manifests that say something no bundle may say."""
    for name in LEAVING:
        yield Given(name=f"outside-{name}", manifest=manifest(put(LISTED, "files", name)))
        yield Given(name=f"outside-program-{name}", manifest=manifest(put(name, "program")))
    for name in ("./README.md", "package//weights.bin", "package", "manifest.json", "nothing"):
        yield Given(name=f"listed-{name}", manifest=manifest(put(LISTED, "files", name)))
    for name in ("./README.md", "package//weights.bin", "manifest.json", "nothing"):
        yield Given(name=f"program-{name}", manifest=manifest(put(name, "program")))
    composed, apart = "\u00e9.txt", "e\u0301.txt"
    listed = manifest(put(LISTED, "files", apart))
    yield Given(name="listed-in-another-form", files={composed: ""}, manifest=listed)
    for value in (None, 3, "0" * 63, "A" * 64):
        yield Given(name=f"hash-{value}", manifest=manifest(put(value, "files", "vocab.txt", "sha256")))
    yield Given(name="hash-none", manifest=manifest(Drop(("files", "vocab.txt", "sha256"))))
    for key in ("name", "target", "program", "windows", "metrics", "lengths"):
        yield Given(name=f"without-{key}", manifest=manifest(Drop((key,))))
        yield Given(name=f"number-{key}", manifest=manifest(put(3, key)))
    yield Given(name="list-metrics", manifest=manifest(put([], "metrics")))
    fixed: list[Any] = [[], [3, 2], [0], ["3"], [True], [128, 128], 3, None]
    ranges = [{"shortest": 3}, {"shortest": 5, "longest": 3}, {"shortest": 1, "longest": 2.0}]
    for lengths in [{}, *({"fixed": value} for value in fixed), *ranges]:
        yield Given(name=f"lengths-{json.dumps(lengths)}", manifest=manifest(put(lengths, "lengths")))


def _settings() -> Iterator[Given]:
    """Every setting of every task: wrong, and left out."""
    for task in TASKS:
        for key in type(task).model_fields:
            for value in _WRONG[key]:
                name = f"{task.kind}-{key}-{json.dumps(value)}"
                yield Given(name=name, manifest=manifest(put(value, "windows", key), task=task))
            without = manifest(Drop(("windows", key)), task=task)
            yield Given(name=f"{task.kind}-no-{key}", manifest=without)
        yield Given(name=f"{task.kind}-extra", manifest=manifest(put(1, "windows", "extra"), task=task))


_WRONG: Mapping[str, tuple[Any, ...]] = {
    "kind": ("question answering", None, "regression-"),
    "max_length": (7, 513, "384", 384.0, True, None, -1),
    "stride": (0, 376, "1"),
    "n_best": (0, 1.5),
    "max_answer_length": (0, None),
    "labels": (["yes"], [], ["yes", "yes"], ["a", "b", "c"], [1, 2], "no yes"),
    "metrics": ([], ["accuracy", "em"], "accuracy", None),
    "agree_within": (0, -0.5, "0.25", None),
}
