"""Beats of a stream: integers to the bits of tdata and back.

Lane i of a beat has the bits [i * bits, (i + 1) * bits) of tdata, two's complement.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Beats = NDArray[np.uint8]  # (beats, bytes), lowest byte first


def pack(values: ArrayLike, bits: int, lanes: int) -> Beats:
    """Values in the order of the stream, `lanes` of `bits` bits a beat, to beats.

    Raises:
        ValueError: a value that neither an unsigned nor a signed word of that width holds, or a
            number of values that doesn't fill the last beat.
    """
    flat = np.asarray(values, dtype=np.int64).reshape(-1)
    if flat.size % lanes:
        raise ValueError(f"expected a multiple of {lanes} values, got {flat.size}")
    if flat.size and (flat.min() < -(1 << (bits - 1)) or flat.max() >= 1 << bits):
        raise ValueError(f"expected values of {bits} bits, got {flat.min()} to {flat.max()}")
    planes = (flat[:, None] >> np.arange(bits)) & 1
    return np.packbits(planes.reshape(-1, lanes * bits).astype(np.uint8), axis=1, bitorder="little")


def unpack(beats: Beats, bits: int, lanes: int, signed: bool = False) -> NDArray[np.int64]:
    """The inverse of `pack`: (beats * lanes,) integers."""
    planes = np.unpackbits(beats, axis=1, bitorder="little", count=bits * lanes)
    planes = planes.reshape(-1, bits).astype(np.int64)
    values: NDArray[np.int64] = planes @ (np.int64(1) << np.arange(bits, dtype=np.int64))
    return values - (planes[:, -1] << bits) if signed else values
