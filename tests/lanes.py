"""Drives tests/rtl/lane_bench.sv: binary_lane and popcount, each beside its reference."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw.kernels import popcount
from hw.sim import bench
from hw.sim.verilator import build

BENCH = Path(__file__).parent / "rtl" / "lane_bench.sv"


def run_lane(
    weights: NDArray[np.int64],
    activations: NDArray[np.int64],
    first: NDArray[np.bool_],
    initial: NDArray[np.int64],
    acc_bits: int,
    stalls: bench.Stalls,
) -> dict[str, NDArray[np.int64]]:
    """What the modules hold, popcount.latency(SIMD) enabled edges after each beat.

    Args:
        weights, activations: (beats, SIMD) bits, not yet coded.
        first, initial: (beats,) whether a dot product starts, and with which value.

    Returns:
        (beats,) of count, count_reference, accumulator, accumulator_reference, and of taken, the
        cycles in which they came.
    """
    simd, latency = weights.shape[1], popcount.latency(weights.shape[1])
    planes = (initial[:, None] >> np.arange(acc_bits)) & 1
    codes = popcount.encode(weights), popcount.encode(activations)
    words = np.concatenate([*codes, first[:, None], planes], axis=1).astype(np.uint8)
    words = np.concatenate([words, np.zeros_like(words[: latency - 1])])
    if len(words) < len(weights) + latency - 1:
        raise ValueError(f"expected at least {latency - 1} beats, got {len(weights)}")
    simulation = build("lane_bench", {"SIMD": simd, "ACC_BITS": acc_bits}, extra=[BENCH])
    result = bench.run(
        "lane_bench",
        {},
        {"s_axis": np.packbits(words, axis=1, bitorder="little")},
        {"m_axis": len(weights)},
        stalls=stalls,
        simulation=simulation,
    )
    bits = np.unpackbits(result.outputs["m_axis"], axis=1, bitorder="little").astype(np.int64)
    count_bits = int(simd).bit_length()
    widths = {
        "accumulator_reference": acc_bits,
        "accumulator": acc_bits,
        "count_reference": count_bits,
        "count": count_bits,
    }
    values, at = {"taken": result.taken["m_axis"]}, 0
    for name, width in widths.items():
        value = bits[:, at : at + width] @ (np.int64(1) << np.arange(width))
        values[name] = value - (bits[:, at + width - 1] << width if name[0] == "a" else 0)
        at += width
    return values
