"""requantize: the residual stream with the accumulators added in its unit."""

import dataclasses

import numpy as np
import pytest
from norms import formats, random_tensors, words

from hw import reference
from hw.kernels.add_norm import AddNorm, rounded
from hw.kernels.channel_threshold import value_range
from hw.kernels.checks import signed_bits
from hw.sim import bench
from hw.sim.beats import pack
from hw.sim.bench import Stalls
from hw.sim.verilator import lint

POINTS = [  # hidden, lanes, word bits, multiplier, shift
    (24, 1, 18, 21473, 9),
    (40, 4, 16, -5, 1),
    (24, 2, 17, 300, 0),
]
Point = tuple[int, int, int, int, int]


def kernel_of(point: Point) -> AddNorm:
    hidden, lanes, bits, multiplier, shift = point
    f = formats(word_bits=bits)
    tensors = random_tensors(np.random.default_rng(hidden), hidden, f, 0, shift)
    tensors = dataclasses.replace(tensors, multiplier=multiplier)
    return AddNorm.for_tensors(tensors, f, accumulator_bits=11, lanes=lanes)


def simulate(point: Point, tokens: int = 8, **options: object) -> bench.Result:
    hidden, lanes, bits, multiplier, shift = point
    rng = np.random.default_rng(hidden)
    tensors = random_tensors(rng, hidden, formats(word_bits=bits), 0, shift)
    kernel, half = kernel_of(point), 1 << (bits - 1)
    acc = rng.integers(-1024, 1024, (tokens, hidden))
    residual = rng.integers(-half, half, (tokens, hidden))
    acc[0], residual[0] = 1023, half - 1  # saturates on one side, then on the other
    acc[1], residual[1] = -1024, -half
    residual[2:4] //= 1 << 10
    acc[2], bias = 0, tensors.bias.copy()
    bias[:4] = [1 << shift >> 1, -(1 << shift >> 1), (1 << shift >> 1) - 1, -1]  # ties
    kernel = dataclasses.replace(
        kernel, bias_bits=signed_bits(*value_range([rounded(bias, shift)]))
    )
    tensors = dataclasses.replace(tensors, multiplier=multiplier, bias=bias)
    memories = kernel.memories(tensors)
    expected = reference.saturate(
        residual + reference.requantize(acc, np.int64(multiplier), bias, np.int64(shift)), bits
    )
    inputs = {
        "s_axis_accumulator": pack(acc, 11, lanes),
        "s_axis_residual": pack(residual, bits, lanes),
    }
    beats = {"m_axis": acc.size // lanes}
    parameters = kernel.requantize_parameters()
    result = bench.run("requantize", parameters, inputs, beats, memories=memories, **options)
    assert (words(result, "m_axis", bits, lanes, acc.shape) == expected).all()
    return result


@pytest.mark.parametrize("point", POINTS)
def test_sums_equal_the_reference(point: Point) -> None:
    result = simulate(point)
    assert (result.taken["m_axis"] - result.taken["s_axis_residual"] == 4).all()
    assert (np.diff(result.taken["m_axis"]) == 1).all()


@pytest.mark.parametrize("port", ["s_axis_accumulator", "s_axis_residual", "m_axis"])
def test_a_stall_of_any_port_changes_timing_only(port: str) -> None:
    simulate(POINTS[0], stalls=Stalls(5, 0.0, 3.0, {port: 0.6}))
    simulate(POINTS[1], stalls=Stalls(6, 0.3, 2.0, {port: 0.8}))


def test_a_reset_starts_with_channel_0_again() -> None:
    simulate(POINTS[0], reset_at=41)
    simulate(POINTS[1], reset_at=30, stalls=Stalls(share=0.3))


def test_lint_is_clean() -> None:
    for point in POINTS:
        assert lint("requantize", kernel_of(point).requantize_parameters()) == ""
