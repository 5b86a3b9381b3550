"""Constant tables of the integer model, made offline (docs/arithmetic.md)."""

import numpy as np
from numpy.typing import NDArray


def rsqrt_table(index_bits: int) -> NDArray[np.int64]:
    """Reciprocal square roots of the mantissas of a variance.

    Entry i - 2^(b-2) is `round(2^(14 + b/2) / sqrt(i + 1/2))` for i in [2^(b-2), 2^b).

    Args:
        index_bits: b, even, at least 4.

    Returns:
        int64 (3 * 2^(b-2),), values in [2^14, 2^15].
    """
    index = np.arange(1 << (index_bits - 2), 1 << index_bits, dtype=np.float64)
    return np.rint(2.0 ** (14 + index_bits // 2) / np.sqrt(index + 0.5)).astype(np.int64)


def exp_table(head_width: int, exp_bits: int, score_scale: float) -> NDArray[np.int64]:
    """Exponentials of score differences: E[d] = `round(2^exp_bits * exp(-2 d c))`.

    Args:
        head_width: D; scores lie in [-D, D], so half their differences in [0, D].
        exp_bits: E[0] is 2^exp_bits.
        score_scale: c, the float value of a score of 1.

    Returns:
        int64 (D + 1,), values in [0, 2^exp_bits].
    """
    half_difference = np.arange(head_width + 1, dtype=np.float64)
    return np.rint(2.0**exp_bits * np.exp(-2.0 * half_difference * score_scale)).astype(np.int64)
