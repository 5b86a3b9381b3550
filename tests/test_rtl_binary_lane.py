"""binary_lane: a lane adds up matches, in structure as in the plain description."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hw.sim import bench
from hw.sim.verilator import lint
from tests.lanes import run_lane

ACC_BITS = 12


def operands(rng: np.random.Generator, simd: int, beats: int) -> tuple[NDArray, NDArray]:
    """Random words, then words that match nowhere, everywhere, and in one bit."""
    weights = rng.integers(0, 2, (beats, simd))
    activations = rng.integers(0, 2, (beats, simd))
    share = rng.random((beats, 1))
    activations = np.where(rng.random((beats, simd)) < share, weights, activations)
    activations[:8] = weights[:8]
    activations[8:16] = 1 - weights[8:16]
    activations[16:32] = weights[16:32]
    activations[np.arange(16, 32), rng.integers(0, simd, 16)] ^= 1
    return weights, activations


def check(simd: int, acc_bits: int, stalls: bench.Stalls, seed: int = 0) -> None:
    rng = np.random.default_rng(seed + simd)
    weights, activations = operands(rng, simd, 600)
    first = rng.random(600) < rng.choice([0.05, 0.5, 0.95], 600)
    first[0] = True
    initial = rng.integers(-(1 << (acc_bits - 1)), 1 << (acc_bits - 1), 600)
    got = run_lane(weights, activations, first, initial, acc_bits, stalls)
    sums, total = [], 0
    for start, begin, count in zip(first, initial, (weights == activations).sum(1), strict=True):
        total = (begin if start else total) + count
        sums.append((total + (1 << (acc_bits - 1))) % (1 << acc_bits) - (1 << (acc_bits - 1)))
    for name in ("accumulator", "accumulator_reference"):
        assert (got[name] == np.array(sums)).all(), name
    for name in ("count", "count_reference"):
        assert (got[name] == (weights == activations).sum(1)).all(), name


@pytest.mark.parametrize("simd", [1, 2, 5, 8, 31, 64, 128])
def test_lane_adds_up_matches(simd: int) -> None:
    check(simd, ACC_BITS, bench.Stalls())


@pytest.mark.parametrize("simd", [5, 64])
def test_registers_advance_only_when_enabled(simd: int) -> None:
    check(simd, ACC_BITS, bench.Stalls(seed=5, share=0.4, burst=3))


@pytest.mark.parametrize(("simd", "acc_bits"), [(31, 4), (16, 2), (3, 17)])
def test_accumulator_of_any_width_wraps(simd: int, acc_bits: int) -> None:
    check(simd, acc_bits, bench.Stalls(seed=2, share=0.2))


@pytest.mark.slow
@pytest.mark.parametrize("simd", [3, 4, 6, 7, 16, 24, 32, 33, 48, 63, 72, 96, 192, 256, 384, 512])
def test_lane_adds_up_matches_at_more_sizes(simd: int) -> None:
    check(simd, ACC_BITS, bench.Stalls(seed=1, share=0.2, burst=2))


@pytest.mark.parametrize("simd", [1, 16, 64])
def test_single_token_dot_products_have_no_bubbles(simd: int) -> None:
    weights, activations = operands(np.random.default_rng(simd), simd, 50)
    first, initial = np.ones(50, dtype=bool), np.arange(50) - 25
    got = run_lane(weights, activations, first, initial, ACC_BITS, bench.Stalls())
    assert (got["accumulator"] == initial + (weights == activations).sum(1)).all()
    assert (np.diff(got["taken"]) == 1).all()


@pytest.mark.parametrize("simd", [1, 2, 7, 48, 64, 256])
@pytest.mark.parametrize("behavioural", [0, 1])
def test_lint_is_clean(simd: int, behavioural: int) -> None:
    assert lint("binary_lane", {"SIMD": simd, "BEHAVIOURAL": behavioural}) == ""
