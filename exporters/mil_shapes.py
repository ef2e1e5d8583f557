"""The MIL operations that make, move and pick values, as `mil_ops` has those that compute."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from exporters.mil_ops import Number, Tensor, as_one, ints, operation


@operation("cast")
def _cast(x: Tensor, dtype: str) -> Tensor:
    return x != 0 if dtype == "bool" else x


@operation("shape")
def _shape(x: Tensor) -> Tensor:
    return torch.tensor(x.shape, dtype=torch.int64)


@operation("range_1d")
def _range(end: Tensor, start: Tensor, step: Tensor) -> Tensor:
    return torch.arange(start.item(), end.item(), step.item())


@operation("fill")
def _fill(shape: Tensor, value: Number = 0.0) -> Tensor:
    return torch.as_tensor(value).expand(ints(shape))


@operation("fill_like")
def _fill_like(ref_tensor: Tensor, value: Number = 0.0) -> Tensor:
    return torch.as_tensor(value).expand(ref_tensor.shape)


@operation("identity", moves=True)
def _identity(x: Tensor) -> Tensor:
    return x


@operation("reshape", moves=True)
def _reshape(x: Tensor, shape: Tensor) -> Tensor:
    wanted = ints(shape)
    for i, size in enumerate(wanted):
        if size == 0:  # The size of the same axis of x, counted from the last (iOS 17).
            axis = i - len(wanted) + x.dim()
            wanted[i] = x.shape[axis] if axis >= 0 else 1
    return x.reshape(wanted)


@operation("transpose", moves=True)
def _transpose(x: Tensor, perm: Tensor) -> Tensor:
    return x.permute(ints(perm))


@operation("expand_dims", moves=True)
def _expand_dims(x: Tensor, axes: Tensor) -> Tensor:
    rank = x.dim() + axes.numel()
    for axis in sorted(axis % rank for axis in ints(axes)):
        x = x.unsqueeze(axis)
    return x


@operation("squeeze", moves=True)
def _squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(ints(axes))


@operation("tile", moves=True)
def _tile(x: Tensor, reps: Tensor) -> Tensor:
    return x.repeat(ints(reps))


@operation("concat", moves=True)
def _concat(values: Sequence[Tensor], axis: Tensor, interleave: Number = False) -> Tensor:
    if interleave:
        along = int(axis) % values[0].dim()
        return torch.stack(tuple(values), along + 1).flatten(along, along + 1)
    return torch.cat([value.reshape(1) if value.dim() == 0 else value for value in values], int(axis))


@operation("stack", moves=True)
def _stack(values: Sequence[Tensor], axis: Tensor) -> Tensor:
    return torch.stack(tuple(values), int(axis))


@operation("split", moves=True)
def _split(
    x: Tensor, axis: Tensor, num_splits: Tensor | None = None, split_sizes: Tensor | None = None
) -> Sequence[Tensor]:
    along = int(axis)
    if split_sizes is not None:
        return torch.split(x, ints(split_sizes), along)
    assert num_splits is not None
    return torch.split(x, x.shape[along] // int(num_splits), along)


@operation("slice_by_index", moves=True)
def _slice_by_index(
    x: Tensor,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None = None,
    begin_mask: Tensor | None = None,
    end_mask: Tensor | None = None,
    squeeze_mask: Tensor | None = None,
) -> Tensor:
    rank = x.dim()
    first, last = ints(begin), ints(end)
    steps = [1] * rank if stride is None else ints(stride)
    open_first, open_last, drop = (
        [0] * rank if mask is None else ints(mask) for mask in (begin_mask, end_mask, squeeze_mask)
    )
    if min(steps, default=1) < 0:
        raise NotImplementedError("slice_by_index with a negative stride")
    places = tuple(
        first[i]
        if drop[i]
        else slice(None if open_first[i] else first[i], None if open_last[i] else last[i], steps[i])
        for i in range(rank)
    )
    return x[places]


@operation("slice_by_size", moves=True)
def _slice_by_size(x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
    ranges = zip(ints(begin), ints(size), strict=True)
    return x[tuple(slice(at, None if count == -1 else at + count) for at, count in ranges)]


@operation("select", moves=True)
def _select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(cond, a, b)


@operation("gather", moves=True)
def _gather(
    x: Tensor,
    indices: Tensor,
    axis: Number = 0,
    batch_dims: Number = 0,
    validate_indices: Number = False,
) -> Tensor:
    along, batch = int(axis) % x.dim(), int(batch_dims)
    if batch:
        pairs = zip(x, indices, strict=True)
        return torch.stack([as_one(_gather(a, i, along - 1, batch - 1, validate_indices)) for a, i in pairs])
    flat = indices.reshape(-1).long()
    taken = x.index_select(along, torch.where(flat < 0, flat + x.shape[along], flat))
    return taken.reshape((*x.shape[:along], *indices.shape, *x.shape[along + 1 :]))


@operation("gather_along_axis", moves=True)
def _gather_along_axis(
    x: Tensor, indices: Tensor, axis: Number = 0, validate_indices: Number = False
) -> Tensor:
    del validate_indices  # Places outside x always raise here.
    along, places = int(axis), indices.long()
    return torch.take_along_dim(x, torch.where(places < 0, places + x.shape[along], places), along)
