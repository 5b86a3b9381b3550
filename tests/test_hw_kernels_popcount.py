"""The parity code: its inverse, its linearity, its layout, and the plan of the adders."""

import numpy as np
import pytest

from hw.errors import ParameterError
from hw.kernels import popcount
from hw.kernels.popcount import decode, encode

SIZES = [*range(1, 40), 64, 96, 127, 128, 256]


@pytest.mark.parametrize("n", SIZES)
def test_decode_is_the_inverse_of_encode(n: int) -> None:
    rng = np.random.default_rng(n)
    bits = rng.integers(0, 2, (3, 5, n))
    assert (decode(encode(bits)) == bits).all()
    assert (encode(decode(bits)) == bits).all()


@pytest.mark.parametrize("n", SIZES)
def test_code_is_linear_and_keeps_all_ones(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.integers(0, 2, (2, 7, n))
    assert (encode(a ^ b) == encode(a) ^ encode(b)).all()
    assert (encode(np.ones(n, dtype=int)) == 1).all()


@pytest.mark.parametrize("n", SIZES)
def test_majorities_and_roots_make_the_count(n: int) -> None:
    rng = np.random.default_rng(n)
    bits = rng.integers(0, 2, (50, n))
    code = encode(bits).astype(int)
    total = sum(code[:, popcount.root(n, r)] for r in range(popcount.roots(n)))
    for k in range(popcount.knots(n)):
        links = [3 * (k // 2) + 2] if k % 2 == 0 else [3 * (k // 2), 3 * (k // 2) + 1]
        children = [code[:, popcount.link(n, t)] for t in links]
        children += [code[:, k + 1]] if k % 2 == 0 else []
        total = total + 2 * (bits[:, k] + sum(children) >= 2)
        assert (code[:, k] == bits[:, k] ^ children[0] ^ children[1]).all()
    assert (total == bits.sum(1)).all()


@pytest.mark.parametrize("n", SIZES)
def test_every_place_of_the_code_is_a_root_or_one_knots_child(n: int) -> None:
    links = 3 * popcount.knots(n) // 2
    places = [popcount.root(n, r) for r in range(popcount.roots(n))]
    places += [popcount.link(n, t) for t in range(links)]
    assert sorted(places) == sorted(set(range(n)) - set(range(1, popcount.knots(n), 2)))


def test_matches_counts_equal_bits() -> None:
    rng = np.random.default_rng(1)
    weights, activations = rng.integers(0, 2, (2, 20, 77))
    got = popcount.matches(encode(weights), encode(activations))
    assert (got == (weights == activations).sum(1)).all()


@pytest.mark.parametrize("n", [*SIZES, 512, 1000, 1024])
def test_plan_ends_with_two_rows(n: int) -> None:
    left = {0: popcount.roots(n), 1: popcount.knots(n)}
    for stage in popcount.plan(n):
        made: dict[int, int] = {}
        for found in stage:
            for i in range(found.cells):
                takes = found.lowest if i == 0 else 3
                if i == 0 or found.lowest == 5:
                    left[found.column + i] = left.get(found.column + i, 0) - takes
                made[found.column + i] = made.get(found.column + i, 0) + 1
            top = found.column + found.cells
            made[top] = made.get(top, 0) + (2 if found.lowest == 5 else 1)
        assert min(left.values()) >= 0
        left = {c: left.get(c, 0) + made.get(c, 0) for c in left | made}
    assert left[0] <= 4
    assert all(bits <= 2 for c, bits in left.items() if c > 0)


def test_luts_come_near_three_quarters_of_a_lut_per_bit() -> None:
    found = {n: popcount.lane_luts(n, 12) for n in (16, 64, 256, 512)}
    assert found == {16: 21, 64: 55, 256: 198, 512: 389}


def test_latency_counts_stages() -> None:
    assert [popcount.latency(n) for n in (1, 8, 16, 64, 256)] == [2, 2, 3, 4, 7]


def test_bad_input_is_named() -> None:
    with pytest.raises(ParameterError, match="bits: expected at least one bit"):
        encode(np.zeros((3, 0)))
    with pytest.raises(ParameterError, match="code: expected values of 0 and 1, got"):
        decode([0, 2, 1])
    with pytest.raises(ParameterError, match="simd: expected 1 to 1024, got 0"):
        popcount.latency(0)
    with pytest.raises(ParameterError, match="simd: expected 1 to 1024, got 1025"):
        popcount.lane_luts(1025, 12)
