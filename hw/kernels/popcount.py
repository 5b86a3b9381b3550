"""Parity code of binary operands: what lets a LUT take two bits off a count of matches.

The layout of the code is defined here and mirrored in hw/rtl/popcount_pkg.sv. N bits make a forest
with 1 to 4 roots in which every knot has three children, one of them a bit of its own; the parity
of a knot stands in the place of that bit, so the code has N bits. Knots come in pairs: knot 2j+1
has the links 3j and 3j+1, knot 2j has knot 2j+1 and the link 3j+2.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.errors import ParameterError
from hw.kernels.checks import in_range

CHAIN = 4  # positions of a CARRY4
MAX_COLUMN = 12  # the highest at which a slice begins
MAX_BITS = 1024


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


def matches(weight_code: ArrayLike, activation_code: ArrayLike) -> NDArray[np.int64]:
    """Number of equal bits of two words, given by their codes: (..., N) and (..., N) to (...)."""
    weights, activations = decode(weight_code), decode(activation_code)
    return np.asarray((weights == activations).sum(axis=-1), dtype=np.int64)


@dataclass(frozen=True)
class Slice:
    """LUTs of a stage that lower its heap of bits (hw/rtl/popcount_slice.sv).

    Attributes:
        lowest: bits taken from the lowest column: 7 (SEVENS), 5 (TERNARY) or 3 (THREES).
        column: the lowest; column c holds the bits of weight 2**c.
        cells: LUTs.
    """

    lowest: int
    column: int
    cells: int


def plan(n: int) -> list[list[Slice]]:
    """Stages of adders between the majorities and the last addition, with a register each.

    They lower a heap, `roots(n)` bits of weight 1 and `knots(n)` of weight 2, until column 0 has at
    most four bits and the others two.
    """
    left = Counter({0: roots(n), 1: knots(n)})
    stages: list[list[Slice]] = []
    while True:
        made: Counter[int] = Counter()
        slices = []
        while found := _next_slice(left, made):
            slices.append(found)
            further = 3 if found.lowest == 5 else 0
            for i in range(found.cells):
                left[found.column + i] -= found.lowest if i == 0 else further
                made[found.column + i] += 1
            made[found.column + found.cells] += 2 if found.lowest == 5 else 1
        if not slices:
            return stages
        stages.append(slices)
        left = left + made


def latency(simd: int) -> int:
    """Enabled clock edges from operands to a popcount's count or a binary_lane's accumulator.

    Raises:
        ParameterError: simd is not positive, or beyond the heap's columns.
    """
    in_range("simd", simd, 1, MAX_BITS)
    return len(plan(simd)) + 2


def lane_luts(simd: int, acc_bits: int) -> int:
    """LUTs of a binary_lane: a LUT per knot, per two roots, per cell and per accumulator bit.

    Further ones, `latency(simd)` at most, are shared by all lanes of an MVU.
    """
    in_range("simd", simd, 1, MAX_BITS)
    cells = sum(found.cells for stage in plan(simd) for found in stage)
    return knots(simd) + -(-roots(simd) // 2) + cells + acc_bits


def _next_slice(left: Counter[int], made: Counter[int]) -> Slice | None:
    """Full slices from the lowest column on; threes only where nothing else will come."""
    below_done = True
    for c in range(1, MAX_COLUMN):
        if left[c] >= 7:
            return Slice(7, c, 2)
        if left[c] >= 5:
            cells = 1
            while cells < CHAIN and 3 <= left[c + cells] < 7:
                cells += 1
            return Slice(5, c, cells)
        if left[c] >= 3 and made[c] == 0 and below_done:
            return Slice(3, c, 1)
        below_done = below_done and left[c] + made[c] <= 2
    return None


def _checked(name: str, values: ArrayLike) -> NDArray[np.uint8]:
    array = np.array(values)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ParameterError(f"{name}: expected at least one bit, got shape {array.shape}")
    if not np.isin(array, (0, 1)).all():
        raise ParameterError(f"{name}: expected values of 0 and 1, got {np.unique(array)[:4]}")
    return array.astype(np.uint8)
