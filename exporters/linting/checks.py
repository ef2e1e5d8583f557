"""The rules: each looks at a graph, or at what it did on windows, and yields what it finds."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from exporters.base import INPUTS, SIGNATURES
from exporters.linting.graph import Constant, Graph, Operation, Value
from exporters.linting.rules import REGISTERED, Case, Found, Outputs, Rule, Severity, rule

RULES: Mapping[str, Rule] = REGISTERED
"""Every rule by name; importing this file fills it."""
FP16_MAX = 65504.0
"""The largest finite float16."""
MATRIX_ELEMENTS = 1024
"""A float matrix of at most so many elements is not worth a finding."""
COPY_BYTES = 1024
"""A constant smaller than this may be stored twice."""
OUTSIDE_WARNING, OUTSIDE_ERROR = 0.05, 0.5
"""Shares of the FLOPs outside the delegate."""
NAMED = ("coreml", "tflite", "onnx")
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "coreml": ("author", "licence", "description", "version", "max_length", "vocabulary_sha256"),
    "executorch": ("get_max_length", "get_vocabulary_sha256"),
    "tflite": ("TFLITE_METADATA", "vocab.txt"),
    "onnx": ("licence", "description", "version", "max_length", "vocabulary_sha256"),
}
"""Metadata that a program should carry: fields, or constant methods, or the metadata buffer and its file."""


# Numbers ---------------------------------------------------------------------------------------------


@rule(
    "infinite-constant",
    "constants that are infinite or not a number",
    "mask with a finite number such as -1e4, and look for a division by zero before the export",
)
def _infinite(case: Case) -> Iterator[Found]:
    for constant in _floats(case.graph):
        bad = constant.array.size - int(np.isfinite(constant.array).sum())
        if bad:
            yield "error", constant.name, f"{_count(bad, 'number')} of the constant {_of(constant)} not finite"


@rule(
    "fp16-overflow",
    "finite constants beyond the range of float16, such as finfo.min in a mask",
    "use -1e4 in masks: hardware that computes in float16 makes an infinity of it, and NaN of that",
)
def _overflow(case: Case) -> Iterator[Found]:
    severity: Severity = "error" if case.graph.target == "coreml" else "warning"
    for constant in _floats(case.graph):
        finite = constant.array[np.isfinite(constant.array)]
        largest = float(np.abs(finite).max()) if finite.size else 0.0
        if largest > FP16_MAX:
            yield severity, constant.name, f"a constant reaches {largest:.4g}, float16 ends at {FP16_MAX:.0f}"


@rule(
    "int64-interface",
    "inputs and outputs of 64-bit integers",
    "export with int32 ids: phones' runtimes and their delegates take no int64 tensors",
    ("executorch", "tflite", "onnx"),
)
def _int64(case: Case) -> Iterator[Found]:
    for where, value in _interface(case.graph):
        if value.dtype in ("int64", "uint64"):
            yield "error", where, f"it is {value.dtype}"


@rule(
    "float64",
    "values of double precision",
    "cast to float32 before the export: no delegate computes in float64",
)
def _float64(case: Case) -> Iterator[Found]:
    for where, value in _interface(case.graph):
        if value.dtype == "float64":
            yield "error", where, "it is float64"
    outputs = {value.key or value.name for entry in case.graph.entries for value in entry.outputs}
    for name, dtype in case.graph.types.items():
        if dtype == "float64" and name not in outputs and name not in case.graph.constants:
            yield "error", name, "it is computed in float64"


@rule(
    "wide-constant",
    "stored tables of 64-bit numbers",
    "store them as int32 or float32, half the bytes",
)
def _wide(case: Case) -> Iterator[Found]:
    for constant in case.graph.constants.values():
        if constant.dtype in ("float64", "int64", "uint64") and constant.size_bytes >= COPY_BYTES:
            yield "note", constant.name, f"{constant.size_bytes:,} bytes are stored as {constant.dtype}"


@rule(
    "activation-range",
    "values beyond the range of float16 on calibration windows",
    "scale the layer before it down, or keep this operation in float32",
    needs="peaks",
)
def _activations(case: Case) -> Iterator[Found]:
    severity: Severity = "error" if case.graph.target == "coreml" else "warning"
    assert case.peaks is not None
    for name, peak in case.peaks.items():
        if not math.isfinite(peak):
            yield "error", name, "it is infinite or NaN on calibration windows"
        elif peak > FP16_MAX:
            yield (
                severity,
                name,
                f"it reaches {peak:.4g} on calibration windows, float16 ends at {FP16_MAX:.0f}",
            )
        elif peak > FP16_MAX / 2:
            share = peak / FP16_MAX
            yield (
                "warning",
                name,
                f"it reaches {peak:.4g} on calibration windows, {share:.0%} of float16's range",
            )


# Weights ---------------------------------------------------------------------------------------------


@rule(
    "left-float",
    "matrices of linears and embeddings in float although the recipe says int8",
    "see why the quantizer passed it over, or name it in quantize.keep_float",
    needs="precision",
)
def _left_float(case: Case) -> Iterator[Found]:
    seen: dict[str, tuple[Operation, Constant]] = {}
    for operation, constant in case.graph.matrices():
        if constant.array.size > MATRIX_ELEMENTS:
            seen.setdefault(constant.storage, (operation, constant))
    for operation, constant in seen.values():
        if any(_same(constant.array, kept) for kept in case.kept):
            continue
        shape = " × ".join(str(size) for size in constant.array.shape)
        what = f"{operation.kind} takes a matrix of {shape} in {constant.dtype} ({constant.size_bytes:,} bytes)"
        yield "error", constant.name, what


@rule(
    "duplicated-constant",
    "constants of which the file holds several copies",
    "share one tensor between their users before the export",
)
def _duplicated(case: Case) -> Iterator[Found]:
    stored: dict[str, Constant] = {}
    for constant in case.graph.constants.values():
        if constant.size_bytes >= COPY_BYTES:
            stored.setdefault(constant.storage, constant)
    copies: dict[tuple[str, str], list[Constant]] = defaultdict(list)
    for constant in stored.values():
        copies[constant.dtype, constant.digest()].append(constant)
    for same in copies.values():
        if len(same) > 1:
            wasted = sum(constant.size_bytes for constant in same[1:])
            names = ", ".join(constant.name for constant in same[1:3])
            what = f"stored {len(same)} times, also as {names}: {wasted:,} bytes wasted"
            yield "warning", same[0].name, what


# Where it runs ---------------------------------------------------------------------------------------


@rule(
    "outside-delegate",
    "operations that the delegate leaves to slower kernels",
    "rewrite them in operations that the delegate takes, matrix products first",
    ("executorch", "tflite"),
)
def _outside(case: Case) -> Iterator[Found]:
    operations = case.graph.operations
    outside = [operation for operation in operations if not operation.delegated]
    if not outside:
        return
    kinds = Counter(operation.kind for operation in outside)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    what = f"{len(outside)} of {len(operations)} operations are outside {case.graph.delegate} ({listed})"
    if any(operation.kind in case.graph.opaque for operation in operations):
        yield "note", "the program", f"{what}; their share of the FLOPs is unknown, the delegate is opaque"
        return
    total = sum(operation.flops for operation in operations)
    share = sum(operation.flops for operation in outside) / total if total else 0.0
    what = f"{what}, {share:.2%} of the FLOPs"
    if share >= OUTSIDE_ERROR:
        yield "error", "the program", what
    elif share > OUTSIDE_WARNING or any(operation.role == "product" for operation in outside):
        yield "warning", "the program", what
    else:
        yield "note", "the program", what


# Shapes ----------------------------------------------------------------------------------------------


@rule(
    "unbounded-shape",
    "dimensions without an upper bound",
    "export with the longest window as the bound: memory is planned for it, and positions end there",
)
def _unbounded(case: Case) -> Iterator[Found]:
    bounded = case.graph.target == "onnx" and _longest(case.graph) is not None
    for where, value in _interface(case.graph):
        if any(size.longest is None for size in value.shape) and not bounded and value in _inputs(case.graph):
            severity: Severity = "note" if case.graph.target == "onnx" else "error"
            yield severity, where, f"its shape is {_shape(value)}"


@rule(
    "unsupported-shape",
    "dynamic shapes that the runtime cannot take",
    "export fixed lengths for TFLite, and a range of lengths for Core ML before iOS 18",
    ("coreml", "tflite"),
)
def _unsupported(case: Case) -> Iterator[Found]:
    for where, what in case.graph.flaws:
        yield "error", where, what
    if case.graph.target == "tflite":
        for where, value in _interface(case.graph):
            if any(size.dynamic for size in value.shape):
                yield "error", where, f"its shape is {_shape(value)}, which XNNPACK does not take"


@rule(
    "beyond-positions",
    "windows longer than the table of positions",
    "export with a maximum length of at most as many tokens as there are positions",
    ("coreml", "executorch", "onnx"),
)
def _beyond(case: Case) -> Iterator[Found]:
    table = case.graph.position_table()
    if table is None:
        return
    rows = table.array.shape[0]
    longest = _longest(case.graph)
    if longest is not None and longest > rows:
        yield "error", table.name, f"windows may have {longest} tokens, the table of positions {rows} rows"


# Names -----------------------------------------------------------------------------------------------


@rule(
    "interface-names",
    "inputs and outputs without their names, or in another order",
    f"name and order them {', '.join(INPUTS)} → {', '.join(SIGNATURES[0])} or {', '.join(SIGNATURES[1])}",
)
def _names(case: Case) -> Iterator[Found]:
    for entry in case.graph.entries:
        outputs = tuple(value.name for value in entry.outputs)
        if case.graph.target not in NAMED:
            if len(outputs) not in {len(names) for names in SIGNATURES}:
                yield "error", entry.name, f"it has {_count(len(outputs), 'output')}, which is no task's"
            continue
        for what, given, wanted in (
            ("inputs", tuple(value.name for value in entry.inputs), (INPUTS,)),
            ("outputs", outputs, SIGNATURES),
        ):
            if given in wanted:
                continue
            listed = ", ".join(name or "(no name)" for name in given)
            swapped = any(set(given) == set(names) for names in wanted)
            said = f"{what} are swapped" if swapped else f"{what} are not named as apps look for them"
            yield "error", entry.name, f"{said}: {listed}"


@rule(
    "outputs-swapped",
    "outputs that carry each other's values",
    "return the outputs from the model in the order of their names",
    needs="reference",
)
def _swapped(case: Case) -> Iterator[Found]:
    assert case.answers is not None
    assert case.reference is not None
    count = len(case.reference[0])
    if count < 2 or any(len(outputs) != count for outputs in case.answers):
        return
    given, wanted = ([_joined(side, i) for i in range(count)] for side in (case.answers, case.reference))
    if any(a.shape != b.shape for a in given for b in wanted):
        return
    if not all(np.isfinite(side).all() and side.std() for side in (*given, *wanted)):
        return  # another rule's finding, or nothing to tell them apart by
    likeness = np.array([[np.corrcoef(a, b)[0, 1] for b in wanted] for a in given])
    best = likeness.argmax(axis=1)
    for i, j in enumerate(best):
        if j != i:
            yield (
                "error",
                f"output {i}",
                f"its values follow output {j} of the reference (correlation {likeness[i, j]:.3f}), "
                f"not output {i} ({likeness[i, i]:.3f})",
            )


@rule(
    "missing-metadata",
    "what an app or a person should be able to read of the file",
    "pass it to the exporter as the student's metadata and files",
)
def _metadata(case: Case) -> Iterator[Found]:
    lacking = [name for name in REQUIRED[case.graph.target] if not case.graph.metadata.get(name)]
    if lacking:
        yield "warning", "the program", f"it lacks {', '.join(lacking)}"


# ------------------------------------------------------------------------------------------------------


def _floats(graph: Graph) -> Iterator[Constant]:
    return (constant for constant in graph.constants.values() if constant.is_float and constant.array.size)


def _inputs(graph: Graph) -> list[Value]:
    return [value for entry in graph.entries for value in entry.inputs]


def _interface(graph: Graph) -> Iterator[tuple[str, Value]]:
    """Every input and output, with where it is."""
    for entry in graph.entries:
        for side, values in (("input", entry.inputs), ("output", entry.outputs)):
            for number, value in enumerate(values):
                yield f"{side} {value.name or number} of {entry.name or 'the graph'}", value


def _longest(graph: Graph) -> int | None:
    """The longest window that the program says it takes."""
    sizes = [size for value in _inputs(graph) for size in value.shape]
    if any(size.longest is None for size in sizes):
        said = graph.metadata.get("max_length", "")
        return int(said) if said.isdecimal() else None
    return max((size.longest or 0 for size in sizes), default=None)


def _shape(value: Value) -> str:
    return " × ".join(
        str(size.shortest) if not size.dynamic else f"{size.shortest}..{size.longest or 'any'}"
        for size in value.shape
    )


def _same(stored: np.ndarray, kept: np.ndarray) -> bool:
    """Whether a stored matrix is this one: as it is, transposed or with axes of 1, perhaps in float16."""
    squeezed = stored.astype(np.float32).squeeze()
    for other in (kept, kept.T):
        if squeezed.shape == other.shape and np.allclose(squeezed, other, rtol=1e-3, atol=1e-4):
            return True
    return False


def _joined(windows: Sequence[Outputs], output: int) -> np.ndarray:
    return np.concatenate([outputs[output].reshape(-1) for outputs in windows]).astype(np.float64)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _of(constant: Constant) -> str:
    shape = " × ".join(str(size) for size in constant.array.shape) or "scalar"
    return f"({shape}) {'is' if constant.array.size == 1 else 'are'}"
