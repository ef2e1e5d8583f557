"""The evaluation of Core ML programs, op by op against numpy and torch, weights against coremltools' own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForQuestionAnswering, DistilBertForQuestionAnswering

from exporters import mil
from exporters.base import quiet
from pipeline.types import PipelineError, UsageError

pytest.importorskip("coremltools")
with quiet():
    import coremltools as ct
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import types

Case = tuple[Callable[..., Any], Callable[..., Any]]


def save(program: Any, package: Path, target: Any = ct.target.iOS17, precision: Any = None) -> Path:
    """A MIL program, or a traced model's conversion, as a package."""
    with quiet():
        model = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=target,
            compute_precision=precision or ct.precision.FLOAT32,
            skip_model_load=True,
        )
        model.save(str(package))
    return package


def build(function: Callable[..., Any], *inputs: Any, target: Any = ct.target.iOS17) -> Any:
    """The MIL program of a function over values; `inputs` are their TensorSpecs."""
    return mb.program(input_specs=list(inputs), opset_version=target)(function)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def normal(x: np.ndarray, eps: float) -> np.ndarray:
    mean, spread = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(spread + eps))


def erf(x: np.ndarray) -> np.ndarray:
    return torch.erf(torch.from_numpy(x).double()).numpy()


TABLE, WEIGHT, BIAS = numbers(7, 5, seed=1), numbers(6, 4, seed=2), numbers(6, seed=3)
GAMMA, BETA = numbers(4, seed=4), numbers(4, seed=5)
# x is float (2, 3, 4), i is int (2, 3) in 0..6.
CASES: dict[str, Case] = {
    "linear": (lambda x, i: mb.linear(x=x, weight=WEIGHT, bias=BIAS), lambda x, i: x @ WEIGHT.T + BIAS),
    "matmul": (
        lambda x, i: mb.matmul(x=x, y=x, transpose_y=True),
        lambda x, i: x @ x.transpose(0, 2, 1),
    ),
    "matmul_x": (
        lambda x, i: mb.matmul(x=x, y=x, transpose_x=True),
        lambda x, i: x.transpose(0, 2, 1) @ x,
    ),
    "einsum": (
        lambda x, i: mb.einsum(
            values=(
                mb.expand_dims(x=x, axes=[0]),
                mb.transpose(x=mb.expand_dims(x=x, axes=[0]), perm=[0, 3, 2, 1]),
            ),
            equation="nchw,nwhu->nchu",
        ),
        lambda x, i: np.einsum("chw,uhw->chu", x, x)[None],
    ),
    "softmax": (lambda x, i: mb.softmax(x=x, axis=-1), lambda x, i: softmax(x)),
    "layer_norm": (
        lambda x, i: mb.layer_norm(x=x, axes=[-1], gamma=GAMMA, beta=BETA, epsilon=0.01),
        lambda x, i: normal(x, 0.01) * GAMMA + BETA,
    ),
    "gelu": (lambda x, i: mb.gelu(x=x, mode="EXACT"), lambda x, i: x * (1 + erf(x / 2**0.5)) / 2),
    "gelu_tanh": (
        lambda x, i: mb.gelu(x=x, mode="TANH_APPROXIMATION"),
        lambda x, i: x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2,
    ),
    "gelu_sigmoid": (
        lambda x, i: mb.gelu(x=x, mode="SIGMOID_APPROXIMATION"),
        lambda x, i: x / (1 + np.exp(-1.702 * x)),
    ),
    "add": (lambda x, i: mb.add(x=x, y=GAMMA), lambda x, i: x + GAMMA),
    "sub": (lambda x, i: mb.sub(x=GAMMA, y=x), lambda x, i: GAMMA - x),
    "mul": (lambda x, i: mb.mul(x=x, y=x), lambda x, i: x * x),
    "real_div": (lambda x, i: mb.real_div(x=GAMMA, y=x), lambda x, i: GAMMA / x),
    "floor_div": (lambda x, i: mb.floor_div(x=i, y=3), lambda x, i: i // 3),
    "mod": (lambda x, i: mb.mod(x=i, y=3), lambda x, i: i % 3),
    "pow": (lambda x, i: mb.pow(x=mb.abs(x=x), y=1.5), lambda x, i: np.abs(x) ** 1.5),
    "maximum": (lambda x, i: mb.maximum(x=x, y=0.3), lambda x, i: np.maximum(x, 0.3)),
    "minimum": (lambda x, i: mb.minimum(x=x, y=0.3), lambda x, i: np.minimum(x, 0.3)),
    "sqrt": (lambda x, i: mb.sqrt(x=mb.square(x=x)), lambda x, i: np.abs(x)),
    "rsqrt": (
        lambda x, i: mb.rsqrt(x=mb.square(x=x), epsilon=0.5),
        lambda x, i: 1 / np.sqrt(x * x + 0.5),
    ),
    "inverse": (lambda x, i: mb.inverse(x=mb.abs(x=x), epsilon=0.5), lambda x, i: 1 / (np.abs(x) + 0.5)),
    "log": (lambda x, i: mb.log(x=mb.abs(x=x), epsilon=0.5), lambda x, i: np.log(np.abs(x) + 0.5)),
    "exp": (lambda x, i: mb.exp(x=x), lambda x, i: np.exp(x)),
    "tanh": (lambda x, i: mb.tanh(x=x), lambda x, i: np.tanh(x)),
    "sigmoid": (lambda x, i: mb.sigmoid(x=x), lambda x, i: 1 / (1 + np.exp(-x))),
    "silu": (lambda x, i: mb.silu(x=x), lambda x, i: x / (1 + np.exp(-x))),
    "erf": (lambda x, i: mb.erf(x=x), lambda x, i: erf(x)),
    "relu": (lambda x, i: mb.relu(x=x), lambda x, i: np.maximum(x, 0)),
    "sin": (lambda x, i: mb.sin(x=x), lambda x, i: np.sin(x)),
    "cos": (lambda x, i: mb.cos(x=x), lambda x, i: np.cos(x)),
    "clip": (lambda x, i: mb.clip(x=x, alpha=-0.5, beta=0.25), lambda x, i: np.clip(x, -0.5, 0.25)),
    "reduce_mean": (
        lambda x, i: mb.reduce_mean(x=x, axes=[1, -1], keep_dims=True),
        lambda x, i: x.mean((1, 2), keepdims=True),
    ),
    "reduce_sum": (
        lambda x, i: mb.reduce_sum(x=x, axes=[1], keep_dims=False),
        lambda x, i: x.sum(1),
    ),
    "reduce_max": (
        lambda x, i: mb.reduce_max(x=x, axes=[-1], keep_dims=False),
        lambda x, i: x.max(-1),
    ),
    "reduce_min": (
        lambda x, i: mb.reduce_min(x=x, axes=[-1], keep_dims=False),
        lambda x, i: x.min(-1),
    ),
    "reduce_argmax": (
        lambda x, i: mb.reduce_argmax(x=x, axis=-1, keep_dims=False),
        lambda x, i: x.argmax(-1),
    ),
    "reduce_l2_norm": (
        lambda x, i: mb.reduce_l2_norm(x=x, axes=[-1], keep_dims=True),
        lambda x, i: np.linalg.norm(x, axis=-1, keepdims=True),
    ),
    "cumsum": (
        lambda x, i: mb.cumsum(x=x, axis=1, exclusive=True, reverse=True),
        lambda x, i: np.flip(np.flip(x, 1).cumsum(1), 1) - x,
    ),
    "compare": (
        lambda x, i: mb.cast(
            x=mb.logical_and(x=mb.greater(x=i, y=1), y=mb.less_equal(x=i, y=4)), dtype="int32"
        ),
        lambda x, i: (i > 1) & (i <= 4),
    ),
    "equal": (
        lambda x, i: mb.cast(x=mb.logical_or(x=mb.equal(x=i, y=2), y=mb.not_equal(x=i, y=3)), dtype="fp32"),
        lambda x, i: (i == 2) | (i != 3),
    ),
    "select": (
        lambda x, i: mb.select(cond=mb.less(x=x, y=0.0), a=x, b=GAMMA),
        lambda x, i: np.where(x < 0, x, GAMMA),
    ),
    "cast": (
        lambda x, i: mb.cast(x=mb.mul(x=x, y=10.0), dtype="int32"),
        lambda x, i: np.trunc(x * np.float32(10)),
    ),
    "transpose": (lambda x, i: mb.transpose(x=x, perm=[2, 0, -2]), lambda x, i: x.transpose(2, 0, 1)),
    "reshape": (lambda x, i: mb.reshape(x=x, shape=[0, -1, 2]), lambda x, i: x.reshape(2, 6, 2)),
    "reshape_from_the_right": (
        lambda x, i: mb.reshape(x=mb.reduce_sum(x=x, axes=[1], keep_dims=False), shape=[1, 0, -1, 0]),
        lambda x, i: x.sum(1)[None, None],
    ),
    "expand_dims": (lambda x, i: mb.expand_dims(x=x, axes=[1, -1]), lambda x, i: x[:, None, :, :, None]),
    "squeeze": (
        lambda x, i: mb.squeeze(x=mb.reduce_sum(x=x, axes=[1], keep_dims=True), axes=[1]),
        lambda x, i: x.sum(1),
    ),
    "tile": (lambda x, i: mb.tile(x=x, reps=[2, 1, 3]), lambda x, i: np.tile(x, (2, 1, 3))),
    "concat": (lambda x, i: mb.concat(values=[x, x], axis=-1), lambda x, i: np.concatenate([x, x], -1)),
    "interleave": (
        lambda x, i: mb.concat(values=[x, mb.exp(x=x)], axis=1, interleave=True),
        lambda x, i: np.stack([x, np.exp(x)], 2).reshape(2, 6, 4),
    ),
    "stack": (lambda x, i: mb.stack(values=[x, x], axis=1), lambda x, i: np.stack([x, x], 1)),
    "split": (lambda x, i: mb.split(x=x, num_splits=2, axis=-1)[1], lambda x, i: x[..., 2:]),
    "split_sizes": (lambda x, i: mb.split(x=x, split_sizes=[1, 2], axis=1)[1], lambda x, i: x[:, 1:]),
    "slice_by_index": (
        lambda x, i: mb.slice_by_index(
            x=x,
            begin=[1, -2, 0],
            end=[0, 0, 4],
            stride=[1, 1, 2],
            end_mask=[False, True, False],
            squeeze_mask=[True, False, False],
        ),
        lambda x, i: x[1, -2:, 0:4:2],
    ),
    "slice_by_size": (
        lambda x, i: mb.slice_by_size(x=x, begin=[0, 1, 2], size=[2, 1, -1]),
        lambda x, i: x[:2, 1:2, 2:],
    ),
    "gather": (lambda x, i: mb.gather(x=TABLE, indices=i, axis=0), lambda x, i: TABLE[i]),
    "gather_axis": (
        lambda x, i: mb.gather(x=mb.exp(x=x), indices=np.array([[0, 2], [1, 1]]), axis=1),
        lambda x, i: np.exp(x)[:, [[0, 2], [1, 1]]],
    ),
    "gather_batch": (
        lambda x, i: mb.gather(x=x, indices=mb.mod(x=i, y=3), axis=1, batch_dims=1),
        lambda x, i: np.stack([x[0][i[0] % 3], x[1][i[1] % 3]]),
    ),
    "gather_along_axis": (
        lambda x, i: mb.gather_along_axis(x=mb.cast(x=i, dtype="fp32"), indices=mb.mod(x=i, y=3), axis=1),
        lambda x, i: np.take_along_axis(i, i % 3, 1),
    ),
    "fill": (lambda x, i: mb.fill(shape=mb.shape(x=x), value=2.5), lambda x, i: np.full_like(x, 2.5)),
    "range_1d": (
        lambda x, i: mb.range_1d(end=mb.reduce_max(x=i, axes=[0, 1], keep_dims=False), start=1, step=2),
        lambda x, i: np.arange(1, i.max(), 2),
    ),
    "quantize": (
        lambda x, i: mb.dequantize(
            input=mb.quantize(input=x, scale=np.float32(0.01), zero_point=np.int8(3), output_dtype="int8"),
            scale=np.float32(0.01),
            zero_point=np.int8(3),
        ),
        lambda x, i: (np.clip(np.rint(x / np.float32(0.01)) + 3, -128, 127) - 3) * 0.01,
    ),
}


@pytest.fixture(scope="module")
def every_case(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """One program with all cases as its outputs, evaluated once."""

    program = build(
        lambda x, i: tuple(make(x, i) for make, _ in CASES.values()),
        mb.TensorSpec((2, 3, 4)),
        mb.TensorSpec((2, 3), dtype=types.int32),
    )
    loaded = mil.Program(save(program, tmp_path_factory.mktemp("ops") / "ops.mlpackage"))
    x = numbers(2, 3, 4)
    i = np.array([[0, 5, 2], [6, 3, 1]], np.int32)
    results = loaded({"x": x, "i": i})
    return x, i, {case: results[name] for case, name in zip(CASES, loaded.outputs, strict=True)}


@pytest.mark.parametrize("case", CASES)
def test_an_operation_agrees_with_numpy(
    case: str, every_case: tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]
) -> None:
    x, i, results = every_case
    expected = np.asarray(CASES[case][1](x, i))
    assert results[case].shape == expected.shape
    np.testing.assert_allclose(results[case], expected.astype(np.float32), rtol=2e-5, atol=2e-6)


def test_half_precision_rounds_every_result(tmp_path: Path) -> None:
    program = build(lambda x: mb.exp(x=mb.tanh(x=x)), mb.TensorSpec((1, 64)))
    package = save(program, tmp_path / "half.mlpackage", precision=ct.precision.FLOAT16)
    x = numbers(1, 64)
    loaded = mil.Program(package)
    (name,) = loaded.outputs
    inner = np.tanh(x.astype(np.float16).astype(np.float32)).astype(np.float16)
    expected = np.exp(inner.astype(np.float32)).astype(np.float16)
    got = loaded({"x": x})[name]
    assert (got == got.astype(np.float16)).all()
    np.testing.assert_allclose(got, expected.astype(np.float32), rtol=2**-10)
    assert (got == expected).mean() > 0.95


# Compressed weights: our own reading of the bytes against a statement of the format and against coremltools.

RNG = np.random.default_rng(7)


def weights(weight: Callable[[], Any], package: Path, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """One constexpr weight → as the evaluation dequantizes it, as coremltools does."""

    program = build(lambda x: mb.add(x=x, y=weight()), mb.TensorSpec((4, 8)), target=target)
    operations = program.functions["main"].operations
    (operation,) = [each for each in operations if each.op_type.startswith("constexpr_")]
    with quiet():
        reference = operation.materialized_val_inference()
    loaded = mil.Program(save(program, package, target))
    (name,) = loaded.compressed
    dense = loaded.constants[name]
    assert isinstance(dense, torch.Tensor)
    return dense.numpy(), np.asarray(reference)


def test_affine_weights(tmp_path: Path) -> None:
    data = RNG.integers(-127, 128, (4, 8), dtype=np.int8)
    scale = np.array([0.5, 0.25, 0.03, 0.01], np.float32)
    zero = np.array([0, 3, -7, 0], np.int8)
    got, reference = weights(
        lambda: mb.constexpr_affine_dequantize(quantized_data=data, zero_point=zero, scale=scale, axis=0),
        tmp_path / "w.mlpackage",
        ct.target.iOS17,
    )
    expected = [[float(scale[r]) * (int(data[r, c]) - int(zero[r])) for c in range(8)] for r in range(4)]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_array_equal(got, reference)


def test_affine_weights_along_another_axis_with_one_zero_point(tmp_path: Path) -> None:
    data = RNG.integers(0, 256, (4, 8), dtype=np.uint8)
    scale = np.linspace(0.1, 0.8, 8, dtype=np.float32)
    got, reference = weights(
        lambda: mb.constexpr_affine_dequantize(
            quantized_data=data, zero_point=np.uint8(128), scale=scale, axis=1
        ),
        tmp_path / "w.mlpackage",
        ct.target.iOS17,
    )
    np.testing.assert_allclose(got, (data.astype(np.float64) - 128) * scale[None, :], rtol=1e-6)
    np.testing.assert_array_equal(got, reference)


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_palette_weights(bits: int, tmp_path: Path) -> None:
    lut = np.sort(RNG.normal(size=2**bits)).astype(np.float32)
    indices = RNG.integers(0, 2**bits, 32)
    stream = "".join(format(v, f"0{bits}b")[::-1] for v in indices)
    packed = np.array([int(stream[k : k + 8][::-1], 2) for k in range(0, len(stream), 8)], np.uint8)
    got, reference = weights(
        lambda: mb.constexpr_lut_to_dense(indices=packed, lut=lut, shape=np.array([4, 8], np.uint32)),
        tmp_path / "w.mlpackage",
        ct.target.iOS17,
    )
    np.testing.assert_array_equal(got, lut[indices].reshape(4, 8))
    np.testing.assert_array_equal(got, reference)


def test_sparse_weights(tmp_path: Path) -> None:
    dense = numbers(4, 8) * (RNG.random((4, 8)) < 0.4)
    mask = np.packbits(dense.reshape(-1) != 0, bitorder="little")
    got, reference = weights(
        lambda: mb.constexpr_sparse_to_dense(
            nonzero_data=dense[dense != 0], mask=mask, shape=np.array([4, 8], np.uint32)
        ),
        tmp_path / "w.mlpackage",
        ct.target.iOS17,
    )
    np.testing.assert_array_equal(got, dense)
    np.testing.assert_array_equal(got, reference)


@pytest.mark.parametrize("kind", ["int4", "uint4", "int8"])
def test_blockwise_weights(kind: str, tmp_path: Path) -> None:
    dtype = types.nptype_from_builtin(types.string_to_builtin(kind))
    low, high = {"int4": (-8, 8), "uint4": (0, 16), "int8": (-128, 128)}[kind]
    data = RNG.integers(low, high, (4, 8))
    scale = numbers(2, 4, seed=8)
    offset = RNG.integers(max(low, -4), 5, (2, 4))
    got, reference = weights(
        lambda: mb.constexpr_blockwise_shift_scale(
            data=data.astype(dtype), scale=scale, offset=offset.astype(dtype)
        ),
        tmp_path / "w.mlpackage",
        ct.target.iOS18,
    )
    expected = [
        [float(scale[r // 2, c // 2]) * (int(data[r, c]) - int(offset[r // 2, c // 2])) for c in range(8)]
        for r in range(4)
    ]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_array_equal(got, reference)


def test_grouped_palette_weights(tmp_path: Path) -> None:
    dtype = types.nptype_from_builtin(types.string_to_builtin("uint3"))
    indices = RNG.integers(0, 8, (4, 8))
    lut = numbers(2, 1, 8, 1, seed=9)
    got, reference = weights(
        lambda: mb.constexpr_lut_to_dense(indices=indices.astype(dtype), lut=lut),
        tmp_path / "w.mlpackage",
        ct.target.iOS18,
    )
    expected = [[lut[r // 2, 0, indices[r, c], 0] for c in range(8)] for r in range(4)]
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(got, reference)


def test_vector_palette_weights(tmp_path: Path) -> None:
    dtype = types.nptype_from_builtin(types.string_to_builtin("uint2"))
    indices = RNG.integers(0, 4, (2, 8))
    lut = numbers(1, 2, 4, 2, seed=10)
    got, reference = weights(
        lambda: mb.constexpr_lut_to_dense(indices=indices.astype(dtype), lut=lut, vector_axis=0),
        tmp_path / "w.mlpackage",
        ct.target.iOS18,
    )
    expected = [[lut[0, c // 4, indices[r // 2, c], r % 2] for c in range(8)] for r in range(4)]
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(got, reference)


def test_bit_mask_weights(tmp_path: Path) -> None:
    dtype = types.nptype_from_builtin(types.string_to_builtin("uint1"))
    dense = numbers(4, 8, seed=11) * (RNG.random((4, 8)) < 0.5)
    got, reference = weights(
        lambda: mb.constexpr_sparse_to_dense(nonzero_data=dense[dense != 0], mask=(dense != 0).astype(dtype)),
        tmp_path / "w.mlpackage",
        ct.target.iOS18,
    )
    np.testing.assert_array_equal(got, dense)
    np.testing.assert_array_equal(got, reference)


# Whole models, in float32 so that nothing but the graph can differ.


class _Asked(torch.nn.Module):
    """A Hugging Face model with the additive mask that every target takes."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        bias = (1.0 - attention_mask.to(torch.float32))[:, None, None, :] * -1e4
        result = self.model(input_ids=input_ids, attention_mask=bias, return_dict=True)
        return result.start_logits, result.end_logits


@pytest.mark.parametrize(
    ("family", "folder"),
    [(BertForQuestionAnswering, "bert_qa_folder"), (DistilBertForQuestionAnswering, "distilbert_qa_folder")],
)
def test_a_converted_encoder_agrees_with_torch_at_any_length(
    family: Any, folder: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model = _Asked(family.from_pretrained(request.getfixturevalue(folder), attn_implementation="eager")).eval()
    example = torch.ones(1, 32, dtype=torch.int32)
    shape = ct.Shape((1, ct.RangeDim(1, 32, default=32)))
    with quiet(), torch.no_grad():
        converted = ct.convert(
            torch.jit.trace(model, (example, example), strict=False, check_trace=False),
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS17,
            compute_precision=ct.precision.FLOAT32,
            inputs=[ct.TensorType(n, shape=shape, dtype=np.int32) for n in ("input_ids", "attention_mask")],
            outputs=[ct.TensorType("start_logits"), ct.TensorType("end_logits")],
            skip_model_load=True,
        )
        converted.save(str(tmp_path / "model.mlpackage"))
    program = mil.Program(tmp_path / "model.mlpackage")
    for length in (32, 5, 17):
        ids = np.random.default_rng(length).integers(0, 40, (1, length)).astype(np.int32)
        mask = (np.arange(length) < max(1, length - 3))[None].astype(np.int32)
        got = program({"input_ids": ids, "attention_mask": mask})
        with torch.no_grad():
            start, end = model(torch.from_numpy(ids), torch.from_numpy(mask))
        np.testing.assert_allclose(got["start_logits"], start.numpy(), atol=1e-5)
        np.testing.assert_allclose(got["end_logits"], end.numpy(), atol=1e-5)


# What cannot be run is named.


@pytest.fixture(scope="module")
def linear_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = build(lambda x: mb.linear(x=x, weight=WEIGHT, bias=BIAS), mb.TensorSpec((1, 4)))
    return save(program, tmp_path_factory.mktemp("linear") / "linear.mlpackage")


def test_an_unknown_operation_is_named_with_its_place(tmp_path: Path) -> None:
    program = build(lambda x: mb.leaky_relu(x=x, alpha=0.1, name="odd_one"), mb.TensorSpec((1, 4)))
    package = save(program, tmp_path / "odd.mlpackage")
    with pytest.raises(
        UsageError, match=r"^operation leaky_relu at odd_one is not implemented by the evaluation"
    ):
        mil.Program(package)


def test_an_input_of_the_wrong_width_names_the_operation(linear_package: Path) -> None:
    program = mil.Program(linear_package)
    with pytest.raises(PipelineError, match=r"^operation linear at .+ cannot be evaluated: "):
        program({"x": numbers(1, 5)})


def _without_model(package: Path) -> None:
    (package / mil.DATA / "model.mlmodel").unlink()


def _garbled_model(package: Path) -> None:
    (package / mil.DATA / "model.mlmodel").write_bytes(b"\xff" * 100)


def _empty_model(package: Path) -> None:
    (package / mil.DATA / "model.mlmodel").write_bytes(b"")


def _without_weights(package: Path) -> None:
    shutil.rmtree(package / mil.DATA / "weights")


def _short_weights(package: Path) -> None:
    path = package / mil.DATA / "weights" / "weight.bin"
    path.write_bytes(path.read_bytes()[:200])


def _overwritten_weights(package: Path) -> None:
    path = package / mil.DATA / "weights" / "weight.bin"
    path.write_bytes(b"\0" * path.stat().st_size)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_without_model, "is no Core ML package: "),
        (_garbled_model, "is damaged: it cannot be decoded"),
        (_empty_model, "holds no ML program"),
        (_without_weights, "cannot be read"),
        (_short_weights, "is damaged: no constant of"),
        (_overwritten_weights, "is damaged: no constant of"),
    ],
)
def test_a_damaged_package_is_one_sentence(
    damage: Callable[[Path], None], sentence: str, linear_package: Path, tmp_path: Path
) -> None:
    package = tmp_path / "damaged.mlpackage"
    shutil.copytree(linear_package, package)
    damage(package)
    with pytest.raises(UsageError, match=sentence):
        mil.Program(package)
