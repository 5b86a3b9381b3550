"""layer_norm: every corner of the integer LayerNorm, at any back-pressure."""

from typing import Any

import numpy as np
import pytest
from norms import Integers, extreme_tokens, formats, random_tensors, words

from hw import reference
from hw.kernels.add_norm import AddNorm
from hw.sim import bench
from hw.sim.beats import pack
from hw.sim.bench import Stalls
from hw.sim.verilator import lint

Point = tuple[int, int, dict[str, int]]
POINTS: list[Point] = [  # hidden, lanes, formats
    (256, 1, {"word_bits": 18}),
    (32, 4, {"word_bits": 16}),
    (24, 2, {"word_bits": 17}),
    (40, 1, {"word_bits": 18}),
    (96, 4, {"word_bits": 20, "norm_fraction_bits": 16, "rsqrt_index_bits": 16}),
]
SLOW_POINTS: list[Point] = [
    (768, 1, {"word_bits": 18}),
    (384, 2, {"word_bits": 16}),
    (512, 8, {"word_bits": 17}),
    (4096, 2, {"word_bits": 20}),
    (8, 1, {"word_bits": 8, "fraction_bits": 4, "norm_fraction_bits": 32, "rsqrt_index_bits": 4}),
    (10, 1, {"word_bits": 18}),
    (12, 3, {"word_bits": 12, "norm_fraction_bits": 8, "gamma_fraction_bits": 4}),
    (2184, 1, {"word_bits": 19, "rsqrt_index_bits": 12}),
    (64, 16, {"word_bits": 18}),
]


def kernel_of(point: Point) -> AddNorm:
    hidden, lanes, changes = point
    f = formats(**changes)
    tensors = random_tensors(np.random.default_rng(hidden), hidden, f, 0)
    return AddNorm.for_tensors(tensors, f, accumulator_bits=10, lanes=lanes)


def simulate(point: Point, x: Integers, **options: Any) -> bench.Result:
    hidden, lanes, changes = point
    f = formats(**changes)
    tensors = random_tensors(np.random.default_rng(hidden), hidden, f, 0)
    kernel = kernel_of(point)
    result = bench.run(
        "layer_norm",
        kernel.norm_parameters(),
        {"s_axis": pack(x, f.word_bits, lanes)},
        {"m_axis": x.size // lanes},
        memories=kernel.memories(tensors),
        **options,
    )
    expected = reference.layer_norm(x, tensors.gamma, tensors.beta, tensors.rsqrt_table, f)
    found = words(result, "m_axis", f.word_bits, lanes, x.shape)
    wrong = np.flatnonzero((found != expected).any(axis=1))
    assert wrong.size == 0, f"tokens {wrong} of {len(x)}"
    return result


def tokens_of(point: Point, count: int | None = None) -> Integers:
    rng = np.random.default_rng(7)
    return extreme_tokens(rng, point[0], formats(**point[2]).word_bits)[:count]


@pytest.mark.parametrize("point", POINTS)
def test_extreme_tokens_equal_the_reference(point: Point) -> None:
    check_timing(point, simulate(point, tokens_of(point)))


@pytest.mark.slow
@pytest.mark.parametrize("point", SLOW_POINTS)
def test_extreme_tokens_equal_the_reference_at_more_points(point: Point) -> None:
    x = tokens_of(point)
    check_timing(point, simulate(point, x))
    simulate(point, x, stalls=Stalls(2, 0.3, 5.0))
    assert lint("layer_norm", kernel_of(point).norm_parameters()) == ""


def check_timing(point: Point, result: bench.Result) -> None:
    """Tokens follow each other in `interval` cycles, the beats of each without a gap."""
    kernel = kernel_of(point)
    out = result.taken["m_axis"].reshape(-1, kernel.beats)
    into = result.taken["s_axis"].reshape(-1, kernel.beats)
    assert (np.diff(out, axis=1) == 1).all()
    assert (np.diff(out[:, 0]) == kernel.interval()).all()
    assert (np.diff(into[:, -1]) == kernel.interval()).all()
    assert out[0, 0] - into[0, -1] == kernel.span() + 12


@pytest.mark.parametrize("point", POINTS[:3])
def test_small_variances_equal_the_reference(point: Point) -> None:
    rng = np.random.default_rng(11)
    x = np.zeros((40, point[0]), dtype=np.int64)
    for row, count in zip(x, range(1, 41), strict=True):  # V = 1, 2, 3, ...
        places = rng.permutation(point[0])[: min(count, point[0] // 2)]
        row[places] = rng.choice([-1, 1], len(places))
    simulate(point, x + rng.integers(-100, 100, (40, 1)))


@pytest.mark.parametrize(
    "stalls", [{"s_axis": 0.6}, {"m_axis": 0.6}, {"s_axis": 0.4, "m_axis": 0.5}]
)
def test_stalls_change_timing_only(stalls: dict[str, float]) -> None:
    for point in POINTS[:4]:
        for burst in (1.0, 60.0):
            simulate(point, tokens_of(point, 16), stalls=Stalls(2, 0.0, burst, stalls))


def test_a_single_token_needs_no_successor() -> None:
    for point in POINTS:
        simulate(point, tokens_of(point)[-1:])


@pytest.mark.parametrize("cycle", [20, 70, 100, 133])
def test_a_reset_forgets_what_was_in_flight(cycle: int) -> None:
    for point in POINTS[:3]:
        simulate(point, tokens_of(point, 12), reset_at=cycle)
        simulate(point, tokens_of(point, 12), reset_at=cycle, stalls=Stalls(share=0.3))


def test_lint_is_clean() -> None:
    for point in POINTS:
        assert lint("layer_norm", kernel_of(point).norm_parameters()) == ""
