"""channel_threshold: the residual unchanged, and its bits for each consumer."""

import numpy as np
import pytest
from norms import expected_beats, words

from hw import reference
from hw.kernels.channel_threshold import ChannelThreshold
from hw.kernels.checks import signed_bits
from hw.sim import bench
from hw.sim.beats import pack, unpack
from hw.sim.bench import Stalls
from hw.sim.verilator import lint

POINTS = [  # hidden, lanes, word bits, streams
    (24, 1, 18, 3),
    (40, 4, 16, 2),
    (12, 3, 8, 0),
]


def simulate(point: tuple[int, int, int, int], tokens: int = 7, **options: object) -> bench.Result:
    """Random words, among them those at a threshold and at the ends of the range."""
    hidden, lanes, bits, streams = point
    rng = np.random.default_rng(hidden)
    half = 1 << (bits - 1)
    x = rng.integers(-half, half, (tokens, hidden))
    thresholds = [rng.integers(-half, half, hidden) for _ in range(streams)]
    for i, threshold in enumerate(thresholds):
        x[i % tokens] = threshold  # ties
        x[(i + 3) % tokens] = threshold - (threshold > -half)
        threshold[i : i + 2] = -half, half  # always 1, never 1
    x[-2], x[-1] = -half, half - 1
    used = signed_bits(-half, half) if streams else 1
    kernel = ChannelThreshold(hidden, lanes, bits, streams, threshold_bits=used)
    inputs = {"s_axis": pack(x, bits, lanes)}
    expected = expected_beats(x.size // lanes, streams)
    memories = kernel.memories(thresholds)
    result = bench.run(
        "channel_threshold", kernel.parameters(), inputs, expected, memories=memories, **options
    )
    assert (words(result, "m_axis_residual", bits, lanes, x.shape) == x).all()
    for i, threshold in enumerate(thresholds):
        found = unpack(result.outputs[f"m_axis_bits{i}"], 1, lanes).reshape(x.shape)
        assert (2 * found - 1 == reference.bipolar(x, threshold)).all()
    return result


@pytest.mark.parametrize("point", POINTS)
def test_bits_tell_words_at_or_above_the_threshold(point: tuple[int, int, int, int]) -> None:
    result = simulate(point)
    for port, cycles in result.taken.items():
        if len(cycles):
            assert (np.diff(cycles) == 1).all(), port
    hidden, lanes, bits, streams = point
    kernel = ChannelThreshold(hidden, lanes, bits, streams, threshold_bits=bits)
    start = result.taken["s_axis"][0]
    assert result.taken["m_axis_residual"][0] - start == kernel.latency()


@pytest.mark.parametrize("port", ["all", "s_axis", "m_axis_residual", "m_axis_bits0"])
def test_a_stall_of_any_port_changes_timing_only(port: str) -> None:
    for point in POINTS[:2]:
        ports = {} if port == "all" else {port: 0.7}
        simulate(point, stalls=Stalls(3, 0.5 if port == "all" else 0.0, 4.0, ports))


def test_a_reset_starts_with_channel_0_again() -> None:
    simulate(POINTS[0], reset_at=40)
    simulate(POINTS[1], reset_at=33, stalls=Stalls(share=0.4))


def test_lint_is_clean() -> None:
    for hidden, lanes, bits, streams in POINTS:
        kernel = ChannelThreshold(hidden, lanes, bits, streams, threshold_bits=bits)
        assert lint("channel_threshold", kernel.parameters()) == ""
