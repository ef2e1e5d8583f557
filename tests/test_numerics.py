"""The int8 grid against a second statement of it in numpy, and the promises every runtime relies on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pipeline import numerics

SHAPES = [(1, 1), (5, 1), (1, 7), (16, 33), (4, 3, 2), (6, 2, 3, 3)]


def weights(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Normal numbers whose rows differ in size by up to a thousand."""
    numbers = np.random.default_rng(seed)
    sizes = 10 ** numbers.uniform(-1.5, 1.5, size=(shape[0], *[1] * (len(shape) - 1)))
    return torch.tensor(numbers.normal(size=shape) * sizes).float()


def by_row(row: np.ndarray) -> tuple[np.ndarray, float]:
    """One row's integers and scale, in float64: max|row| / 127, mantissa rounded up to 11 bits."""
    peak = float(np.float32(np.abs(row).max()) / np.float32(127))
    if peak == 0:
        return np.zeros(row.shape, np.int8), 1.0
    mantissa, exponent = math.frexp(peak)
    scale = math.ldexp(math.ceil(mantissa * 2**11), exponent - 11)
    return np.rint(row.astype(np.float64) / scale).astype(np.int8), scale


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_quantize_rows_is_the_stated_rounding(shape: tuple[int, ...], seed: int) -> None:
    weight = weights(shape, seed)
    values, scale = numerics.quantize_rows(weight)
    assert values.dtype == torch.int8
    assert scale.dtype == torch.float32
    assert values.shape == weight.shape
    assert scale.shape == (shape[0], *[1] * (len(shape) - 1))
    for i in range(shape[0]):
        wanted, step = by_row(weight[i].numpy())
        assert scale[i].item() == step
        # The division may round to a tie in float32 and not in float64, hence the one step.
        apart = np.abs(values[i].numpy().astype(int) - wanted.astype(int))
        assert apart.max() <= 1
        assert (apart > 0).mean() < 0.01


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_what_the_grid_promises(shape: tuple[int, ...], seed: int) -> None:
    weight = weights(shape, seed)
    values, scale = numerics.quantize_rows(weight)
    once = numerics.on_grid(weight)
    # Half a step away at most, in exact arithmetic.
    error = (weight.double() - values.double() * scale.double()).abs()
    assert bool((error <= scale.double() * 0.5 * (1 + 1e-6)).all())
    # The product is exact, so nothing of it depends on float32 rounding.
    assert torch.equal(once.double(), values.double() * scale.double())
    # The scale survives float16, and the row's largest value uses the last integer.
    assert torch.equal(scale.half().float(), scale)
    assert bool((values.int().reshape(shape[0], -1).abs().amax(dim=1) == 127).all())
    # A runtime's own symmetric rounding of the product finds the same scale and integers.
    peak = once.reshape(shape[0], -1).abs().amax(dim=1)
    assert torch.equal(peak / 127, scale.reshape(-1))
    assert torch.equal(torch.round(once / scale).to(torch.int8), values)


@pytest.mark.parametrize("seed", range(20))
def test_rounding_twice_changes_no_bit(seed: int) -> None:
    once = numerics.on_grid(weights((200, 48), seed))
    assert torch.equal(numerics.on_grid(once).view(torch.int32), once.view(torch.int32))


def test_rows_of_zeros_have_scale_one() -> None:
    weight = torch.tensor([[0.0, -0.0, 0.0], [0.0, 2.0, -1.1]])
    values, scale = numerics.quantize_rows(weight)
    assert values.tolist() == [[0, 0, 0], [0, 127, -70]]
    assert scale[0].item() == 1.0
    assert torch.equal(numerics.on_grid(weight)[0], torch.zeros(3))


def test_one_dimension_gives_every_element_its_own_scale() -> None:
    weight = torch.tensor([0.5, -3.0, 0.0])
    values, scale = numerics.quantize_rows(weight)
    assert values.tolist() == [127, -127, 0]
    assert scale.shape == (3,)
    torch.testing.assert_close(numerics.on_grid(weight), weight, rtol=1e-3, atol=0)


def test_the_given_tensor_is_left_alone_and_no_gradient_passes() -> None:
    weight = torch.nn.Parameter(weights((4, 4), 0))
    before = weight.detach().clone()
    assert not numerics.on_grid(weight).requires_grad
    assert torch.equal(weight.detach(), before)


def test_bfloat16_weights_are_rounded_from_their_float32_values() -> None:
    weight = weights((8, 16), 1).bfloat16()
    assert torch.equal(numerics.on_grid(weight), numerics.on_grid(weight.float()))


def test_storage_rounds_matrices_and_leaves_vectors() -> None:
    for storage in ("float32", "float16", "int8"):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Embedding(5, 8), torch.nn.Linear(8, 3))
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        numerics.round_to_storage(model, storage)
        for name, parameter in model.named_parameters():
            kept = parameter.detach()
            if storage == "float32" or parameter.dim() == 1:
                assert torch.equal(kept, before[name])
            elif storage == "float16":
                assert (
                    kept.numpy().tolist() == before[name].numpy().astype(np.float16).astype(np.float32).tolist()
                )
            else:
                assert not torch.equal(kept, before[name])
                assert all(len(row.unique()) <= 255 for row in kept)
                torch.testing.assert_close(
                    kept, before[name], atol=float(before[name].abs().max()) / 250, rtol=0
                )


def test_sqnr_in_closed_form() -> None:
    signal = np.array([3.0, -4.0], np.float32)
    assert numerics.sqnr_db(signal, signal * np.float32(0.5)) == pytest.approx(20 * math.log10(2))
    assert numerics.sqnr_db(signal, signal + np.array([0.3, 0.4], np.float32)) == pytest.approx(20, abs=1e-5)
    assert numerics.sqnr_db(signal, -signal) == pytest.approx(-20 * math.log10(2))
    assert numerics.sqnr_db(signal, signal) == math.inf
    assert numerics.sqnr_db(signal, np.array([math.nan, 0.0], np.float32)) == -math.inf
    assert numerics.sqnr_db(np.zeros(2, np.float32), signal) == -math.inf


def test_sqnr_is_computed_in_float64() -> None:
    large, step = np.full(100_000, 1e20, np.float32), np.float32(1e14)
    assert numerics.sqnr_db(large, large + step) == pytest.approx(120, abs=1)
