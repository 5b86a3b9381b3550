"""Tensors and tokens for tests of the add + LayerNorm kernels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from models import ARITHMETIC
from numpy.typing import NDArray

from hw.kernels.add_norm import AddNorm, NormTensors
from hw.layout import Formats
from hw.sim import bench
from hw.sim.beats import pack, unpack
from hw.tables import rsqrt_table

Integers = NDArray[np.int64]


def formats(**changes: int) -> Formats:
    """The usual formats with some of them changed."""
    return Formats(**{**ARITHMETIC, **changes})


def random_tensors(
    rng: np.random.Generator, hidden: int, f: Formats, streams: int, shift: int = 7
) -> NormTensors:
    """Tensors like those of a trained model, with channels that saturate, always or never are 1."""
    g, q, half = f.gamma_fraction_bits, f.norm_fraction_bits, 1 << (f.word_bits - 1)
    unit = 2.0**f.fraction_bits
    gamma = np.rint(rng.normal(0.7, 0.6, hidden) * np.sqrt(hidden) * 2.0**g).astype(np.int64)
    gamma[1] *= 2 ** (f.word_bits - f.fraction_bits)
    beta = np.rint(rng.normal(0, 0.5, hidden) * 2.0 ** (q + g)).astype(np.int64)
    thresholds = [
        np.clip(np.rint(rng.normal(0, unit, hidden)), -half, half).astype(np.int64)
        for _ in range(streams)
    ]
    for i, threshold in enumerate(thresholds):
        threshold[2 * i : 2 * i + 2] = -half, half
    return NormTensors(
        multiplier=int(rng.integers(1 << 13, 1 << 15)),
        shift=shift,
        bias=np.rint(rng.normal(0, 0.3 * unit * 2**shift, hidden)).astype(np.int64),
        gamma=gamma,
        beta=beta,
        rsqrt_table=rsqrt_table(f.rsqrt_index_bits),
        thresholds=thresholds,
    )


def extreme_tokens(rng: np.random.Generator, hidden: int, bits: int) -> Integers:
    """Rows that meet every corner of the LayerNorm: (tokens, hidden), in `bits` bits."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    constants = [np.full(hidden, value) for value in (0, 1, -1, low, high)]  # V = 0
    halves = np.where(np.arange(hidden) % 2 == 0, low, high)  # the largest V
    rows = [*constants, halves, rng.permutation(halves)]
    for base, peak in ((low, high), (high, low), (0, high), (5, low), (0, 1), (-7, -8), (9, 11)):
        row = np.full(hidden, base)  # the largest difference; V of a few units
        row[rng.integers(hidden)] = peak
        rows.append(row)
    for total in (hidden // 2, -hidden // 2, hidden // 2 - 1, -hidden // 2 - 1):  # ties of the mean
        row = rng.integers(-3, 4, hidden)
        row[0] += total - row.sum()
        rows.append(row)
    for spread in 2.0 ** np.arange(0, bits - 1):  # every normalization step
        rows.append(np.rint(rng.normal(rng.normal(0, 4 * spread), spread, hidden)))
        rows.append(rng.integers(-int(spread), int(spread) + 1, hidden))
    rows += [rng.integers(low, high + 1, hidden) for _ in range(6)]
    return np.clip(np.array(rows), low, high).astype(np.int64)


def words(result: bench.Result, port: str, bits: int, lanes: int, shape: Any) -> Integers:
    """Signed words that a run gave on a port."""
    return unpack(result.outputs[port], bits, lanes, signed=True).reshape(shape)


def run_add_norm(
    kernel: AddNorm,
    tensors: NormTensors,
    accumulator: Integers,
    residual: Integers,
    **options: Any,
) -> bench.Result:
    """Simulate `add_norm` on tokens (tokens, hidden)."""
    inputs = {
        "s_axis_accumulator": pack(accumulator, kernel.accumulator_bits, kernel.lanes),
        "s_axis_residual": pack(residual, kernel.word_bits, kernel.lanes),
    }
    expected = expected_beats(residual.size // kernel.lanes, kernel.bit_streams)
    memories = kernel.memories(tensors)
    return bench.run(
        "add_norm", kernel.parameters(), inputs, expected, memories=memories, **options
    )


def expected_beats(beats: int, bit_streams: int) -> Mapping[str, int]:
    """Beats of the residual and of the bit streams, of which the unused ones stay silent."""
    bits = {f"m_axis_bits{i}": beats if i < bit_streams else 0 for i in range(3)}
    return {"m_axis_residual": beats, **bits}
