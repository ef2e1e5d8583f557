"""Constants of a saved Core ML program: in the program, in weight.bin, and in their compressed forms.

The bytes are read by our own arithmetic and not by coremltools' reader, so that each checks the other. The
layouts are those of apple/coremltools: mlmodel/format/MIL.proto, and mlmodel/src/MILBlob/Blob/StorageFormat.hpp
for weight.bin.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from exporters.mil_ops import Tensor, as_one, ints, operation, per_channel
from pipeline.types import UsageError

Value: TypeAlias = Tensor | str

ENTRY = struct.Struct("<IIQQ")
"""One constant's header in weight.bin: sentinel, type, size in bytes, where the bytes begin."""
SENTINEL = 0xDEADBEEF
_TYPES = {
    "FLOAT16": "<f2",
    "FLOAT32": "<f4",
    "FLOAT64": "<f8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "BOOL": "|b1",
}
_PACKED_BITS = {"UINT1": 1, "UINT2": 2, "UINT3": 3, "UINT4": 4, "UINT6": 6, "INT4": 4}


class Blobs:
    """weight.bin files of one package, each read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, bytes] = {}

    def read(self, reference: str, offset: int, size_bytes: int) -> bytes:
        """The bytes of the constant whose header is at `offset`; UsageError when the file is damaged."""
        name = reference.rsplit("/", 1)[-1]
        path = self._folder / name
        if name not in self._files:
            try:
                self._files[name] = path.read_bytes()
            except OSError as error:
                raise UsageError(f"{path} cannot be read ({error.strerror}); export the model again") from None
        data = self._files[name]
        if offset + ENTRY.size <= len(data):
            sentinel, _, stored, begin = ENTRY.unpack_from(data, offset)
            if sentinel == SENTINEL and stored == size_bytes and begin + stored <= len(data):
                return data[begin : begin + stored]
        raise UsageError(
            f"{path} is damaged: no constant of {size_bytes} bytes at byte {offset}; export the model again"
        )


def constant(value: Any, blobs: Blobs) -> Value:
    """A MIL_pb2.Value as a tensor (floats in float32, int8 and uint8 as they are, other integers in int64)."""
    from coremltools.proto import MIL_pb2

    if value.type.WhichOneof("type") != "tensorType":
        raise UsageError("the program holds a constant that is no tensor, which the evaluation does not read")
    kind: str = MIL_pb2.DataType.Name(value.type.tensorType.dataType)
    shape = tuple(int(d.constant.size) for d in value.type.tensorType.dimensions)
    count = math.prod(shape)
    if kind in _PACKED_BITS:
        bits = _PACKED_BITS[kind]
        packed = np.frombuffer(_bytes(value, blobs, -(-bits * count // 8)), np.uint8)
        numbers = unpack(packed, bits, count).astype(np.int16)
        if kind == "INT4":
            numbers = (numbers ^ 8) - 8  # The sign bit of a nibble.
        return torch.from_numpy(numbers.astype(np.int8 if kind == "INT4" else np.uint8).reshape(shape))
    if kind == "STRING":
        return str(value.immediateValue.tensor.strings.values[0])
    if kind not in _TYPES:
        raise UsageError(f"the program holds a constant of type {kind}, which the evaluation does not read")
    dtype = np.dtype(_TYPES[kind])
    inside = value.immediateValue.tensor.WhichOneof("value")
    if value.WhichOneof("value") == "immediateValue" and inside != "bytes":
        array = np.array(getattr(value.immediateValue.tensor, inside).values, dtype)
    else:
        array = np.frombuffer(_bytes(value, blobs, dtype.itemsize * count), dtype)
    if array.size != count:
        raise UsageError(f"the program is damaged: {array.size} numbers for a shape of {shape}")
    if dtype.kind == "f":
        array = array.astype(np.float32)
    elif dtype.kind in "iu" and dtype.itemsize > 1:
        array = array.astype(np.int64)
    return torch.from_numpy(array.reshape(shape).copy())


def _bytes(value: Any, blobs: Blobs, size_bytes: int) -> bytes:
    if value.WhichOneof("value") == "blobFileValue":
        return blobs.read(value.blobFileValue.fileName, int(value.blobFileValue.offset), size_bytes)
    return bytes(value.immediateValue.tensor.bytes.values)


def unpack(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The first `count` numbers of `bits` bits each, lowest bit first: uint8 bytes → uint8 (count,)."""
    digits = np.unpackbits(packed, bitorder="little", count=bits * count)
    return np.packbits(digits.reshape(count, bits), axis=1, bitorder="little")[:, 0]


@operation("constexpr_affine_dequantize")
def _affine(quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: Tensor) -> Tensor:
    offset = per_channel(zero_point, quantized_data, int(axis))
    return (quantized_data.float() - offset) * per_channel(scale, quantized_data, int(axis))


@operation("constexpr_blockwise_shift_scale")
def _blockwise(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    def spread(blocks: Tensor) -> Tensor:
        for axis, size in enumerate(data.shape):
            blocks = blocks.repeat_interleave(size // blocks.shape[axis], dim=axis)
        return blocks.float()

    shifted = data.float() if offset is None else data.float() - spread(offset)
    return shifted * spread(scale)


@operation("constexpr_lut_to_dense")
def _lut(
    indices: Tensor, lut: Tensor, shape: Tensor | None = None, vector_axis: Tensor | None = None
) -> Tensor:
    if shape is not None:  # iOS 16: one table, packed indices.
        sizes = ints(shape)
        places = unpack(indices.numpy(), (lut.numel() - 1).bit_length(), math.prod(sizes))
        return lut[torch.from_numpy(places).long()].reshape(sizes)
    *groups, entries, width = lut.shape  # iOS 18: a table for each block of the indices.
    group = torch.zeros((), dtype=torch.int64)
    for axis, (size, count) in enumerate(zip(indices.shape, groups, strict=True)):
        block = torch.arange(size) // (size // count)
        group = group * count + block.reshape([-1 if i == axis else 1 for i in range(indices.dim())])
    dense = lut.reshape(-1, entries, width)[group, indices.long()]
    if vector_axis is None or width == 1:
        return dense.squeeze(-1)
    along = int(vector_axis) % indices.dim()
    return dense.movedim(-1, along + 1).flatten(along, along + 1)


@operation("constexpr_sparse_to_dense")
def _sparse(nonzero_data: Tensor, mask: Tensor, shape: Tensor | None = None) -> Tensor:
    if shape is not None:  # iOS 16: one bit an element.
        sizes = ints(shape)
        mask = torch.from_numpy(unpack(mask.numpy(), 1, math.prod(sizes))).reshape(sizes)
    dense = torch.zeros(mask.shape, dtype=nonzero_data.dtype)
    dense[mask != 0] = nonzero_data
    return dense


@operation("constexpr_lut_to_sparse")
def _sparse_lut(
    indices_mask: Tensor, indices_nonzero_data: Tensor, lut: Tensor, vector_axis: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    dense = as_one(_lut(_sparse(indices_nonzero_data, indices_mask), lut, vector_axis=vector_axis))
    mask, width = indices_mask, lut.shape[-1]
    if vector_axis is not None and width > 1:
        mask = mask.repeat_interleave(width, dim=int(vector_axis))
    return mask, dense[mask != 0]


@operation("constexpr_sparse_blockwise_shift_scale")
def _sparse_blockwise(
    data_mask: Tensor, nonzero_data: Tensor, scale: Tensor, offset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    dense = as_one(_blockwise(_sparse(nonzero_data, data_mask), scale, offset))
    return data_mask, dense[data_mask != 0]


@operation("constexpr_cast")
def _cast(source_val: Tensor, output_dtype: str) -> Tensor:
    del output_dtype  # The declared type of the result says the same.
    return source_val
