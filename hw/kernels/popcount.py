"""Parity code of binary operands: what lets a LUT take two bits off a count of matches.

The layout of the code is defined here and mirrored in hw/rtl/popcount_pkg.sv. N bits make a forest
with 1 to 4 roots in which every knot has three children, one of them a bit of its own; the parity
of a knot stands in the place of that bit, so the code has N bits. Knots come in pairs: knot 2j+1
has the links 3j and 3j+1, knot 2j has knot 2j+1 and the link 3j+2.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.errors import ParameterError
from hw.kernels.checks import in_range


def roots(n: int) -> int:
    """Roots of the forest of n bits: 1 to 4, so that the other bits make pairs of knots."""
    return (n - 1) % 4 + 1


def knots(n: int) -> int:
    """Knots of the forest of n bits: the code differs from the bits in its first `knots(n)`."""
    return (n - roots(n)) // 2


def root(n: int, r: int) -> int:
    """Index of root r in the code: even knots first, then leaves."""
    return 2 * r if r < knots(n) // 2 else r + knots(n) // 2


def link(n: int, t: int) -> int:
    """Index of the child that link t goes to: the roots come first, then the links."""
    return root(n, roots(n) + t)


def encode(bits: ArrayLike) -> NDArray[np.uint8]:
    """The parity code of bits.

    Both operands of a match count have this code: the parity of matches is a match of parities.

    Args:
        bits: (..., N) of {0, 1}, N >= 1.

    Returns:
        (..., N) uint8 of {0, 1}.

    Raises:
        ParameterError: a value other than 0 and 1, or no bits.
    """
    code = _checked("bits", bits)
    n = code.shape[-1]
    for j in reversed(range(knots(n) // 2)):
        code[..., 2 * j + 1] ^= code[..., link(n, 3 * j)] ^ code[..., link(n, 3 * j + 1)]
        code[..., 2 * j] ^= code[..., 2 * j + 1] ^ code[..., link(n, 3 * j + 2)]
    return code


def decode(code: ArrayLike) -> NDArray[np.uint8]:
    """The inverse of `encode`."""
    bits = _checked("code", code)
    n = bits.shape[-1]
    for j in range(knots(n) // 2):
        bits[..., 2 * j] ^= bits[..., 2 * j + 1] ^ bits[..., link(n, 3 * j + 2)]
        bits[..., 2 * j + 1] ^= bits[..., link(n, 3 * j)] ^ bits[..., link(n, 3 * j + 1)]
    return bits


def latency(simd: int) -> int:
    """Enabled clock edges from the operands of a binary_lane to its accumulator.

    Raises:
        ParameterError: simd is not positive.
    """
    in_range("simd", simd, 1, 1 << 16)
    stages, left = 2, knots(simd)
    while left > 2:
        left = (left * 3 + 6) // 7
        stages += 1
    return stages


def _checked(name: str, values: ArrayLike) -> NDArray[np.uint8]:
    array = np.array(values)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ParameterError(f"{name}: expected at least one bit, got shape {array.shape}")
    if not np.isin(array, (0, 1)).all():
        raise ParameterError(f"{name}: expected values of 0 and 1, got {np.unique(array)[:4]}")
    return array.astype(np.uint8)
