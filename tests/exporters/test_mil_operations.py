"""Operations of Core ML programs, each against numpy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exporters import mil
from exporters.base import quiet

pytest.importorskip("coremltools")
with quiet():
    import coremltools as ct
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import types

from tests.exporters.programs import build, numbers, save

Case = tuple[Callable[..., Any], Callable[..., Any]]


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
KERNEL = numbers(5, 3, 2, seed=6)
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
    "layer_norm_over_channels": (
        lambda x, i: mb.layer_norm(x=x, axes=[1], gamma=BETA[:3], beta=GAMMA[:3], epsilon=0.01),
        lambda x, i: normal(x.transpose(0, 2, 1), 0.01).transpose(0, 2, 1) * BETA[:3, None] + GAMMA[:3, None],
    ),
    "batch_norm": (
        lambda x, i: mb.batch_norm(
            x=x, mean=GAMMA[:3], variance=np.square(BETA[:3]), gamma=BIAS[:3], beta=BIAS[3:], epsilon=0.1
        ),
        lambda x, i: (
            (x - GAMMA[:3, None]) / np.sqrt(np.square(BETA[:3, None]) + 0.1) * BIAS[:3, None] + BIAS[3:, None]
        ),
    ),
    "conv": (  # 1 × 1, as the linears of the layout for the Neural Engine
        lambda x, i: mb.conv(
            x=mb.expand_dims(x=x, axes=[2]), weight=WEIGHT[:, :3, None, None], bias=BIAS, pad_type="valid"
        ),
        lambda x, i: (np.einsum("oc,ncw->now", WEIGHT[:, :3], x) + BIAS[:, None])[:, :, None],
    ),
    "conv_padded": (
        lambda x, i: mb.conv(x=x, weight=KERNEL, strides=[2], pad_type="custom", pad=[1, 2], dilations=[2]),
        lambda x, i: np.stack(
            [
                np.einsum("ock,nck->no", KERNEL, np.pad(x, ((0, 0), (0, 0), (1, 2)))[:, :, at : at + 3 : 2])
                for at in (0, 2, 4)
            ],
            axis=2,
        ),
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
