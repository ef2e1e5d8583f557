"""The MIL operations that encoders use, those that compute; `mil_shapes` has those that move values about.

One function an operation, with the operation's own input names (coremltools, `converters/mil/mil/ops/defs`).
Numbers arrive as tensors: floats in float32, indices and shapes in int64, int8 and uint8 weights as they are.
The caller rounds results to the type that the program declares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F

Tensor: TypeAlias = torch.Tensor
Number: TypeAlias = torch.Tensor | float
Function: TypeAlias = Callable[..., Tensor | Sequence[Tensor]]

OPERATIONS: dict[str, Function] = {}
MOVES: set[str] = set()
"""Operations that only move values: their results are already of the declared type."""


def operation(*names: str, moves: bool = False) -> Callable[[Function], Function]:
    """Registers a function under the operations it implements."""

    def register(function: Function) -> Function:
        for name in names:
            OPERATIONS[name] = function
            if moves:
                MOVES.add(name)
        return function

    return register


def ints(value: Tensor) -> list[int]:
    """A shape, axes or places as Python integers."""
    return [int(v) for v in value.reshape(-1).tolist()]


def _axes(axes: Tensor | None, x: Tensor) -> list[int]:
    return list(range(x.dim())) if axes is None else ints(axes)


def as_one(result: Tensor | Sequence[Tensor]) -> Tensor:
    """The result of an operation that has a single one."""
    assert isinstance(result, torch.Tensor)
    return result


# Arithmetic ------------------------------------------------------------------------------------------


def _unary(function: Callable[..., Tensor]) -> Function:
    return lambda x: function(x)


def _binary(function: Callable[..., Tensor]) -> Function:
    return lambda x, y: function(x, y)


_UNARY: dict[str, Callable[..., Tensor]] = {
    "abs": torch.abs,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "erf": torch.erf,
    "exp": torch.exp,
    "floor": torch.floor,
    "logical_not": torch.logical_not,
    "relu": torch.relu,
    "round": torch.round,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "silu": F.silu,
    "sin": torch.sin,
    "softplus": F.softplus,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tanh": torch.tanh,
}

_BINARY: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "equal": torch.eq,
    "floor_div": torch.floor_divide,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "mod": torch.remainder,
    "mul": torch.mul,
    "not_equal": torch.ne,
    "pow": torch.pow,
    "real_div": torch.true_divide,
    "sub": torch.sub,
}
OPERATIONS |= {name: _unary(function) for name, function in _UNARY.items()}
OPERATIONS |= {name: _binary(function) for name, function in _BINARY.items()}


@operation("rsqrt")
def _rsqrt(x: Tensor, epsilon: Number = 1e-12) -> Tensor:
    return torch.rsqrt(x + epsilon)


@operation("inverse")
def _inverse(x: Tensor, epsilon: Number = 1e-4) -> Tensor:
    return 1.0 / (x + epsilon)


@operation("log")
def _log(x: Tensor, epsilon: Number = 1e-45) -> Tensor:
    return torch.log(x + epsilon)


@operation("clip")
def _clip(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return torch.clamp(x, alpha.item(), beta.item())


@operation("gelu")
def _gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="tanh" if mode == "TANH_APPROXIMATION" else "none")


@operation("softmax")
def _softmax(x: Tensor, axis: Number = -1) -> Tensor:
    return torch.softmax(x, int(axis))


@operation("layer_norm")
def _layer_norm(
    x: Tensor,
    axes: Tensor | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Number = 1e-5,
) -> Tensor:
    normalised = sorted(axis % x.dim() for axis in _axes(axes, x))
    if normalised == list(range(normalised[0], x.dim())):
        return F.layer_norm(x, x.shape[normalised[0] :], gamma, beta, float(epsilon))
    centred = x - x.mean(normalised, keepdim=True)
    result = centred * torch.rsqrt((centred * centred).mean(normalised, keepdim=True) + epsilon)
    spread = [size if axis in normalised else 1 for axis, size in enumerate(x.shape)]
    result = result if gamma is None else result * gamma.reshape(spread)
    return result if beta is None else result + beta.reshape(spread)


@operation("batch_norm")
def _batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Number = 1e-5,
) -> Tensor:
    return F.batch_norm(x, mean, variance, gamma, beta, eps=float(epsilon))


@operation("conv")
def _conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Tensor | None = None,
    pad_type: str = "valid",
    pad: Tensor | None = None,
    dilations: Tensor | None = None,
    groups: Number = 1,
) -> Tensor:
    axes = x.dim() - 2
    steps, spread = ([1] * axes if given is None else ints(given) for given in (strides, dilations))
    if pad_type == "custom" and pad is not None:
        before_and_after = ints(pad)
    elif pad_type == "valid":
        before_and_after = [0] * 2 * axes
    else:
        raise NotImplementedError(f"conv with pad_type {pad_type}")
    # F.pad counts axes from the last.
    pairs = [before_and_after[2 * axis : 2 * axis + 2] for axis in reversed(range(axes))]
    x = F.pad(x, [size for pair in pairs for size in pair]) if any(before_and_after) else x
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
    return convolve(x, weight, bias, steps, 0, spread, int(groups))


@operation("linear")
def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.linear(x, weight, bias)


@operation("matmul")
def _matmul(x: Tensor, y: Tensor, transpose_x: Number = False, transpose_y: Number = False) -> Tensor:
    return torch.matmul(x.mT if transpose_x else x, y.mT if transpose_y else y)


@operation("einsum")
def _einsum(values: Sequence[Tensor], equation: str) -> Tensor:
    return torch.einsum(equation, *values)


@operation("scaled_dot_product_attention")
def _attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask)


def _reduction(function: Callable[[Tensor, list[int], bool], Tensor]) -> Function:
    def reduce(x: Tensor, axes: Tensor | None = None, keep_dims: Number = False) -> Tensor:
        return function(x, _axes(axes, x), bool(keep_dims))

    return reduce


_REDUCTIONS: dict[str, Callable[[Tensor, list[int], bool], Tensor]] = {
    "reduce_l2_norm": lambda x, axes, keep: torch.sqrt(torch.sum(x * x, axes, keepdim=keep)),
    "reduce_max": lambda x, axes, keep: torch.amax(x, axes, keepdim=keep),
    "reduce_mean": lambda x, axes, keep: torch.mean(x, axes, keepdim=keep),
    "reduce_min": lambda x, axes, keep: torch.amin(x, axes, keepdim=keep),
    "reduce_sum": lambda x, axes, keep: torch.sum(x, axes, keepdim=keep),
    "reduce_sum_square": lambda x, axes, keep: torch.sum(x * x, axes, keepdim=keep),
}
OPERATIONS |= {name: _reduction(function) for name, function in _REDUCTIONS.items()}


@operation("reduce_argmax")
def _argmax(x: Tensor, axis: Number = -1, keep_dims: Number = False, output_dtype: str = "int32") -> Tensor:
    del output_dtype  # The declared type of the result says the same.
    return torch.argmax(x, int(axis), keepdim=bool(keep_dims))


@operation("cumsum")
def _cumsum(
    x: Tensor,
    axis: Number = 0,
    exclusive: Number = False,
    reverse: Number = False,
) -> Tensor:
    along = int(axis)
    ordered = x.flip(along) if reverse else x
    total = torch.cumsum(ordered, along)
    total = total - ordered if exclusive else total
    return total.flip(along) if reverse else total


# Quantized activations -------------------------------------------------------------------------------


def per_channel(parameter: Tensor, x: Tensor, axis: int) -> Tensor:
    """A scalar or a vector along `axis` → a tensor that broadcasts against x, in float32."""
    if parameter.dim() == 0:
        return parameter.float()
    shape = [1] * x.dim()
    shape[axis] = -1
    return parameter.float().reshape(shape)


@operation("quantize")
def _quantize(
    input: Tensor,
    scale: Tensor,
    output_dtype: str,
    zero_point: Tensor | None = None,
    axis: Number = 0,
) -> Tensor:
    low, high = (-128, 127) if output_dtype == "int8" else (0, 255)
    steps = torch.round(input / per_channel(scale, input, int(axis)))
    if zero_point is not None:
        steps = steps + per_channel(zero_point, input, int(axis))
    return torch.clamp(steps, low, high)


@operation("dequantize")
def _dequantize(input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: Number = 0) -> Tensor:
    steps = input.float()
    if zero_point is not None:
        steps = steps - per_channel(zero_point, input, int(axis))
    return steps * per_channel(scale, input, int(axis))
