"""Weights as coremltools' own compressors store them, against what numpy makes of the torch weights.

Nothing here asks coremltools what a stored weight means: bounds follow from the model and from the format.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exporters import mil
from exporters.base import INPUTS, quiet
from pipeline.models.student import AnsweringStudent, LayerShape, StudentConfig

pytest.importorskip("coremltools")
with quiet():
    import coremltools as ct
    import coremltools.optimize.coreml as cto

LENGTH = 16
ROWS_A_TABLE = 8
SMALLEST = 100
"""Numbers in a matrix that is compressed."""
Matrix = np.ndarray
Converted = Callable[[str], Any]


def student() -> AnsweringStudent:
    """One layer of 32, whose every 8 rows hold 16 different numbers, so that a 4-bit palette loses nothing."""
    torch.manual_seed(9)
    config = StudentConfig(
        vocabulary=64, positions=LENGTH, hidden=32, head_size=16, layers=(LayerShape(heads=2, neurons=48),)
    )
    model = AnsweringStudent(config).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
                for rows in module.weight.split(ROWS_A_TABLE):
                    table = torch.randn(16).mul(0.3).half().float()
                    rows.copy_(table[torch.randint(0, 16, rows.shape)])
    return model


@pytest.fixture(scope="module")
def converted() -> Converted:
    """converted("iOS17") → the student as coremltools' model, not yet compressed."""
    made: dict[str, Any] = {}

    def convert(target: str) -> Any:
        example = torch.zeros(1, LENGTH, dtype=torch.int32)
        if target not in made:
            with quiet(), torch.inference_mode():
                made[target] = ct.convert(
                    torch.jit.trace(student(), (example, example + 1), strict=False, check_trace=False),
                    convert_to="mlprogram",
                    minimum_deployment_target=getattr(ct.target, target),
                    compute_precision=ct.precision.FLOAT16,
                    inputs=[ct.TensorType(name, shape=(1, LENGTH), dtype=np.int32) for name in INPUTS],
                    outputs=[ct.TensorType(name, dtype=np.float32) for name in AnsweringStudent.outputs],
                    skip_model_load=True,
                )
        return made[target]

    return convert


def linear(**options: Any) -> Any:
    settings = cto.OpLinearQuantizerConfig(weight_threshold=SMALLEST, **options)
    return cto.OptimizationConfig(global_config=settings)


def palette(**options: Any) -> Any:
    return cto.OptimizationConfig(global_config=cto.OpPalettizerConfig(weight_threshold=SMALLEST, **options))


def half_sparse() -> Any:
    return cto.OptimizationConfig(
        global_config=cto.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=SMALLEST)
    )


def same(w: Matrix) -> Matrix:
    return w


def larger_half(w: Matrix) -> Matrix:
    return np.where(np.abs(w) > np.sort(np.abs(w), axis=None)[w.size // 2 - 1], w, 0.0)


def none(w: Matrix) -> Matrix:
    return np.zeros_like(w)


def of_row(w: Matrix) -> Matrix:
    return np.asarray(np.abs(w).max(1, keepdims=True) / 127)


def of_row_with_zero(w: Matrix) -> Matrix:
    """Twice the step: a zero point is rounded too."""
    return np.asarray(2 * (np.maximum(w.max(1), 0) - np.minimum(w.min(1), 0))[:, None] / 255)


def of_block(w: Matrix) -> Matrix:
    peaks = np.abs(w.reshape(w.shape[0], -1, 16)).max(2)
    return np.asarray(peaks.repeat(16, axis=1) / 7)


def of_table(w: Matrix) -> Matrix:
    return np.full_like(w, (w.max() - w.min()) / 63)


def of_tensor(w: Matrix) -> Matrix:
    return np.full_like(w, np.abs(w).max() / 127)


GROUPED: dict[str, Any] = {
    "mode": "kmeans",
    "nbits": 4,
    "granularity": "per_grouped_channel",
    "group_size": ROWS_A_TABLE,
}


def rows_of_int8(convert: Converted) -> Any:
    return cto.linear_quantize_weights(convert("iOS17"), linear(mode="linear_symmetric"))


def rows_of_uint8(convert: Converted) -> Any:
    return cto.linear_quantize_weights(convert("iOS17"), linear(mode="linear", dtype="uint8"))


def blocks_of_int4(convert: Converted) -> Any:
    options = linear(mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=16)
    return cto.linear_quantize_weights(convert("iOS18"), options)


def palette_6(convert: Converted) -> Any:
    return cto.palettize_weights(convert("iOS17"), palette(mode="uniform", nbits=6))


def grouped_palette_4(convert: Converted) -> Any:
    return cto.palettize_weights(convert("iOS18"), palette(**GROUPED))


def sparse(convert: Converted, target: str = "iOS17") -> Any:
    return cto.prune_weights(convert(target), half_sparse())


def bit_mask(convert: Converted) -> Any:
    return sparse(convert, "iOS18")


def sparse_int8(convert: Converted) -> Any:
    options = linear(mode="linear_symmetric")
    return cto.linear_quantize_weights(sparse(convert, "iOS18"), options, joint_compression=True)


def sparse_palette(convert: Converted) -> Any:
    return cto.palettize_weights(sparse(convert, "iOS18"), palette(**GROUPED), joint_compression=True)


def int8_palette(convert: Converted) -> Any:
    options = linear(mode="linear_symmetric", granularity="per_tensor")
    return cto.linear_quantize_weights(grouped_palette_4(convert), options, joint_compression=True)


@pytest.mark.parametrize(
    ("compress", "operations", "kept", "step"),
    [
        (rows_of_int8, {"affine_dequantize"}, same, of_row),
        (rows_of_uint8, {"affine_dequantize"}, same, of_row_with_zero),
        (blocks_of_int4, {"blockwise_shift_scale"}, same, of_block),
        (palette_6, {"lut_to_dense"}, same, of_table),
        (grouped_palette_4, {"lut_to_dense"}, same, none),
        (sparse, {"sparse_to_dense"}, larger_half, none),
        (bit_mask, {"sparse_to_dense"}, larger_half, none),
        (sparse_int8, {"sparse_blockwise_shift_scale", "sparse_to_dense"}, larger_half, of_row),
        (sparse_palette, {"lut_to_sparse", "sparse_to_dense"}, larger_half, none),
        (int8_palette, {"blockwise_shift_scale", "lut_to_dense"}, same, of_tensor),
    ],
)
def test_stored_weights_are_the_models_within_half_a_step(
    compress: Callable[[Converted], Any],
    operations: set[str],
    kept: Callable[[Matrix], Matrix],
    step: Callable[[Matrix], Matrix],
    converted: Converted,
    tmp_path: Path,
) -> None:
    with quiet():
        compress(converted).save(str(tmp_path / "w.mlpackage"))
    program = mil.Program(tmp_path / "w.mlpackage")
    assert {weight.operation for weight in program.compressed.values()} == {
        f"constexpr_{o}" for o in operations
    }
    model = student()
    found = 0
    for name, parameter in model.named_parameters():
        if parameter.dim() != 2 or parameter.numel() < SMALLEST:
            continue
        w, flat = parameter.detach().double().numpy(), name.replace(".", "_")
        *_, dense = (  # A mask before it may have the same shape.
            value
            for key, value in program.constants.items()
            if isinstance(value, torch.Tensor)
            and (key in program.compressed and key.startswith(flat))
            and value.shape == parameter.shape
        )
        off = np.abs(dense.double().numpy() - kept(w))
        assert (off <= 0.55 * step(w)).all(), name  # scales and tables are float16
        parameter.data = dense
        found += 1
    assert found == 8
    ids = torch.randint(0, 64, (1, LENGTH), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    with torch.no_grad():
        expected = model(ids, torch.ones_like(ids))
    got = program({"input_ids": ids.numpy(), "attention_mask": np.ones((1, LENGTH), np.int32)})
    for name, wanted in zip(program.outputs, expected, strict=True):
        np.testing.assert_allclose(got[name], wanted.numpy(), atol=2e-2)
