"""Cases of bundles: folders that are read, and folders that are refused with one sentence on every platform."""

from __future__ import annotations

import base64
import copy
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline import bundles
from pipeline.recipe import AnyTask, Classification, Regression, Task
from pipeline.store import MANIFEST, SEAL, seal
from pipeline.types import PipelineError

Manifest = dict[str, Any]
Change = Callable[[Manifest], object]

FILES = {
    "README.md": "A small bundle.\n",
    "golden.json": "{}",
    "model.bin": "not a model",
    "package/weights.bin": "weights",
    "package/inner/manifest.json": "{}",
    "tokenizer.json": "{}",
    "vocab.txt": "[PAD]\n[UNK]\n",
}
TASKS: tuple[AnyTask, ...] = (
    Task(),
    Classification(kind="text-classification", labels=("no", "yes"), metrics=("accuracy", "f1")),
    Regression(kind="regression", agree_within=0.25),
)
LEAVING = (
    "../x",
    "/etc/hostname",
    "a/../../x",
    "..",
    "",
    ".",
    "a\\..\\x",
    "/",
    'a"/../ö',
    "model.bin/..",
    "../\u0301x",
)


def cases() -> dict[str, Any]:
    """The content of bundles.json: the files of a good folder, and each case's differences from it."""
    with tempfile.TemporaryDirectory() as scratch:
        made = [
            _case(Path(scratch) / str(number), *parts)
            for number, parts in enumerate([*_good(), *_files(), *_raw(), *_altered(), *_fields()])
        ]
    return {"files": FILES, "cases": made}


Parts = tuple[str, Mapping[str, str | None], Mapping[str, str], bytes | None, str | None]
"""Name; files put or (None) taken away; symbolic links; manifest, or none; the task that is wanted."""


def _good() -> Iterator[Parts]:
    for task in TASKS:
        yield f"good-{task.kind}", {}, {}, _manifest(task=task), None
        yield f"good-{task.kind}-wanted", {}, {}, _manifest(task=task), task.kind
    for name, change in {
        "package": lambda m: m.update(program="package"),
        "range": lambda m: m.update(lengths={"shortest": 2, "longest": 5}),
        "one-length": lambda m: m.update(lengths={"fixed": [384]}),
        "unverified": lambda m: m.update(verified=False, why_not_verified="nothing here runs it", metrics={}),
        "older": lambda m: [m.pop(key) for key in ("verified", "precision")],
        "unknown-key": lambda m: m.update(colour={"blue": [1.5, -2e-07, True, None, "ü\u2028\U0001f600\x7f"]}),
        "numbers": lambda m: m["metrics"].update(a=1e22, b=1e-05, c=0.1, d=-0.0, e=5e-324),
        "infinite": lambda m: m["metrics"].update(a=float("inf"), b=float("nan"), c=-float("inf")),
        "order-of-keys": lambda m: m["metrics"].update({"\U0001f600": 1, "\uff5e": 2, "Z": 3, "é": 5, "": 6}),
        "escapes": lambda m: m.update(name='quotes " \\ / \b\f\n\r\t\x01\x1f é'),
    }.items():  # fmt: skip
        yield f"good-{name}", {}, {}, _manifest(change), None


def _files() -> Iterator[Parts]:
    """The manifest is that of a good bundle; the folder differs."""
    good = _manifest()
    for name in FILES:
        yield f"missing-{name}", {name: None}, {}, good, None
        yield f"altered-{name}", {name: FILES[name] + " "}, {}, good, None
        yield f"emptied-{name}", {name: ""}, {}, good, None
    for name in (
        "extra.txt",
        ".hidden",
        "package/extra.bin",
        "package/manifest.json",
        "new/a",
        "Ünï.txt",
    ):
        yield f"extra-{name}", {name: ""}, {}, good, None
    yield "several-1", {"vocab.txt": None, "golden.json": "x", "zz": ""}, {}, good, None
    yield "several-2", {"vocab.txt": None, "aa": ""}, {}, good, None
    for target in ("golden.json", "/etc/hostname", "nowhere", "."):
        yield f"link-{target}", {"README.md": None}, {"README.md": target}, good, None
    yield "link-folder", {}, {"package/more": "inner"}, good, None
    yield "link-and-missing", {"README.md": None}, {"zz": "golden.json"}, good, None


def _raw() -> Iterator[Parts]:
    """No manifest, or bytes that are none."""
    yield "no-manifest", {}, {}, None, None
    for number, content in enumerate(
        [
            b"",
            b" ",
            b"{",
            b"[]",
            b"3",
            b"null",
            b"\xff\xfe",
            b"{}",
            b'{"format": 1}',
            b"\xef\xbb\xbf{}",
            b"{'format': 1}",
        ]
    ):
        yield f"damaged-{number}", {}, {}, content, None
    good = json.dumps(json.loads(_manifest()))
    for name, content in {
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
        yield f"damaged-{name}", {}, {}, content.encode(), None
    yield "damaged-utf8", {}, {}, good.replace("small", "sm\xe4ll").encode("latin-1"), None
    yield "damaged-overlong", {}, {}, good.encode().replace(b"small", b"\xc0\xafsmall"), None
    yield "damaged-surrogate-bytes", {}, {}, good.encode().replace(b"small", b"\xed\xa0\x80"), None
    for value in (0, -1, 1.0, True, None, "1", [1], {}):
        yield f"format-{json.dumps(value)}", {}, {}, _manifest(lambda m, v=value: m.update(format=v)), None
    for number in (2, 3, 10**15):
        yield f"format-{number}", {}, {}, _manifest(lambda m, v=number: m.update(format=v)), None
    for task in (
        "translation",
        "Question-Answering",
        "",
        'a "task" \\ ü😀\n',
        None,
        3,
        ["regression"],
        {"b": 1, "a": [True, "é"]},
    ):
        yield f"task-{json.dumps(task)}", {}, {}, _manifest(lambda m, v=task: m.update(task=v)), None
    for wanted in ("text-classification", "regression"):
        yield f"other-task-{wanted}", {}, {}, _manifest(), wanted
    for key in ("format", "task", "files"):
        yield f"without-{key}", {}, {}, _manifest(lambda m, k=key: m.pop(k)), None


def _altered() -> Iterator[Parts]:
    """A manifest whose bytes are not those that were sealed."""
    good = _manifest()
    for name, content in {
        "line-feed": good + b"\n",
        "space": good.replace(b'"name"', b'"name" ', 1),
        "digit": good.replace(b"71.25", b"71.26"),
        "longer-number": good.replace(b"71.25", b"71.250"),
        "escaped": good.replace(b'"small"', b'"sm\\u0061ll"'),
        "order": good.replace(b' "format": 1,\n', b"").replace(b"{\n", b'{\n "format": 1,\n', 1),
        "seal": good.replace(b'"seal": "', b'"seal": "0'),
        "compact": json.dumps(json.loads(good), separators=(",", ":"), sort_keys=True).encode(),
    }.items():
        yield f"altered-manifest-{name}", {}, {}, content, None
    unsealed = json.loads(good)
    del unsealed[SEAL]
    for name, seal_ in {"no-seal": None, "seal-number": 3}.items():
        manifest = unsealed if seal_ is None else {**unsealed, SEAL: seal_}
        yield f"altered-manifest-{name}", {}, {}, _written(manifest), None
    for name, files in {"list": [], "text": {"README.md": "hash"}, "null": None}.items():
        yield f"altered-files-{name}", {}, {}, _manifest(lambda m, v=files: m.update(files=v)), None


def _fields() -> Iterator[Parts]:
    """Sealed manifests that say something no bundle may say."""
    for name in LEAVING:
        listed = {"sha256": "0" * 64, "size_bytes": 0}
        yield f"outside-{name}", {}, {}, _manifest(lambda m, n=name, e=listed: m["files"].update({n: e})), None
        yield f"outside-program-{name}", {}, {}, _manifest(lambda m, n=name: m.update(program=n)), None
    for name in ("./README.md", "package//weights.bin", "package", "manifest.json", "nothing"):
        listed = {"sha256": "0" * 64, "size_bytes": 0}
        yield f"listed-{name}", {}, {}, _manifest(lambda m, n=name, e=listed: m["files"].update({n: e})), None
        if name != "package":
            yield f"program-{name}", {}, {}, _manifest(lambda m, n=name: m.update(program=n)), None
    for value in (None, 3, "0" * 63, "A" * 64):
        yield (
            f"hash-{value}",
            {},
            {},
            _manifest(lambda m, v=value: m["files"]["vocab.txt"].update(sha256=v)),
            None,
        )
    yield "hash-none", {}, {}, _manifest(lambda m: m["files"]["vocab.txt"].pop("sha256")), None
    for key in ("name", "target", "program", "windows", "metrics", "lengths"):
        yield f"without-{key}", {}, {}, _manifest(lambda m, k=key: m.pop(k)), None
        yield f"number-{key}", {}, {}, _manifest(lambda m, k=key: m.update({k: 3})), None
    yield "list-metrics", {}, {}, _manifest(lambda m: m.update(metrics=[])), None
    for lengths in (
        {},
        {"fixed": []},
        {"fixed": [3, 2]},
        {"fixed": [0]},
        {"fixed": ["3"]},
        {"fixed": [True]},
        {"shortest": 3},
    ):
        yield (
            f"lengths-{json.dumps(lengths)}",
            {},
            {},
            _manifest(lambda m, v=lengths: m.update(lengths=v)),
            None,
        )
    for lengths in (
        {"shortest": 5, "longest": 3},
        {"fixed": [128, 128]},
        {"shortest": 1, "longest": 2.0},
        {"fixed": 3},
    ):
        yield (
            f"lengths-{json.dumps(lengths)}",
            {},
            {},
            _manifest(lambda m, v=lengths: m.update(lengths=v)),
            None,
        )
    for task in TASKS:
        for key, wrong in _WRONG.items():
            if key not in type(task).model_fields and key != "extra":
                continue
            for value in wrong:
                change = lambda m, k=key, v=value: m["windows"].update({k: v})  # noqa: E731
                yield f"{task.kind}-{key}-{json.dumps(value)}", {}, {}, _manifest(change, task), None
            if key != "extra":
                yield (
                    f"{task.kind}-no-{key}",
                    {},
                    {},
                    _manifest(lambda m, k=key: m["windows"].pop(k), task),
                    None,
                )


_WRONG: Mapping[str, tuple[Any, ...]] = {
    "kind": ("question answering", None, "regression-"),
    "max_length": (7, 513, "384", 384.0, True, None, -1),
    "stride": (0, 376, "1"),
    "n_best": (0, 1.5),
    "max_answer_length": (0, None),
    "labels": (["yes"], [], ["yes", "yes"], ["a", "b", "c"], [1, 2], "no yes"),
    "metrics": ([], ["accuracy", "em"], "accuracy", None),
    "agree_within": (0, -0.5, "0.25", None),
    "extra": (1,),
}


def _manifest(change: Change = lambda manifest: None, task: AnyTask = TASKS[0]) -> bytes:
    """A manifest over FILES with a change, sealed as if the change belonged to it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _put(folder, FILES)
        fields = {
            "name": "small",
            "target": "tflite",
            "program": "model.bin",
            "task": task.kind,
            "windows": task.model_dump(mode="json"),
            "lengths": {"fixed": [128, 384]},
            "verified": True,
            "precision": "int8",
            "metrics": {"em": 71.25, "f1": 80.0, "questions": 500},
        }
        bundles.write_manifest(folder, fields)
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    changed = copy.deepcopy(manifest)
    change(changed)
    return _written({**changed, SEAL: seal(changed)})


def _written(manifest: Manifest) -> bytes:
    return json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode()


def _put(folder: Path, files: Mapping[str, str | None]) -> None:
    for name, content in files.items():
        if content is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content.encode())


def _case(
    folder: Path,
    name: str,
    files: Mapping[str, str | None],
    links: Mapping[str, str],
    manifest: bytes | None,
    wanted: str | None,
) -> dict[str, Any]:
    """What Python says of this folder: a sentence, or what it read."""
    folder.mkdir()
    _put(folder, {**FILES, **files})
    for link, target in links.items():
        (folder / link).symlink_to(target)
    if manifest is not None:
        (folder / MANIFEST).write_bytes(manifest)
    given: dict[str, Any] = {"id": name, "files": dict(files), "links": dict(links), "wanted": wanted}
    given.update(_readable(manifest))
    try:
        read = bundles.read(folder, wanted)
    except PipelineError as error:
        return {**given, "says": str(error).removeprefix(f"bundle {folder}: ")}
    described = {
        "name": read.name,
        "target": read.target,
        "program": read.program.relative_to(folder).as_posix(),
        "lengths": list(read.lengths),
        "windows": read.task.model_dump(mode="json"),
        "seal": read.seal,
    }
    return {**given, "reads": described}


def _readable(manifest: bytes | None) -> dict[str, Any]:
    """The manifest as text, or in base64 where it is no UTF-8; a long one as a text that repeats."""
    if manifest is None:
        return {}
    try:
        return {"manifest": manifest.decode()}
    except UnicodeDecodeError:
        return {"manifest_base64": base64.b64encode(manifest).decode()}
