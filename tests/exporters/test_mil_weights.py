"""Compressed weights: our own reading of the bytes against the format's definition and against coremltools."""

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
