import numpy as np
import pytest

from hw.kernels.stream import StreamFifo
from hw.sim.bench import Stalls
from hw.sim.verilator import lint
from tests.streams import STALLS, check, random_beats, wrapped

# Registers, the skid buffer, memories whose size is a power of two, one less, and neither.
DEPTHS = [1, 2, 3, 5, 8, 22]


@pytest.mark.parametrize("depth", DEPTHS)
def test_beats_levels_and_capacity_are_right_under_any_stalls_and_resets(depth: int) -> None:
    simulation = wrapped("fifo_levels", {"WIDTH": 9, "DEPTH": depth})
    beats = random_beats(depth, 40 + 6 * depth, 9)
    slow_sink = Stalls(5, ports={"m_axis": 0.8}, burst=4)
    for stalls in (*STALLS, slow_sink):
        for reset_at in (None, 30 + 2 * depth):
            check(
                "fifo_levels",
                {},
                {"s_axis": beats},
                {"m_axis": beats},
                stalls,
                reset_at,
                simulation,
            )


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_beat_leaves_every_cycle_after_the_stated_latency(depth: int) -> None:
    part = StreamFifo(9, depth)
    beats = random_beats(0, 100, 9)
    simulation = wrapped("fifo_levels", {"WIDTH": 9, "DEPTH": depth})
    result = check("fifo_levels", {}, {"s_axis": beats}, {"m_axis": beats}, simulation=simulation)
    start = result.taken["s_axis"][0]
    assert np.array_equal(result.taken["s_axis"], start + np.arange(100))
    assert np.array_equal(result.taken["m_axis"], start + part.latency() + np.arange(100))


@pytest.mark.parametrize("depth", DEPTHS)
def test_exactly_depth_beats_fit(depth: int) -> None:
    beats = random_beats(0, 200, 9)
    simulation = wrapped("fifo_levels", {"WIDTH": 9, "DEPTH": depth})
    stalls = Stalls(3, ports={"m_axis": 0.98}, burst=300)
    result = check(
        "fifo_levels", {}, {"s_axis": beats}, {"m_axis": beats}, stalls, simulation=simulation
    )
    times = np.concatenate([result.taken["s_axis"], result.taken["m_axis"]])
    steps = np.concatenate([np.ones(200, int), -np.ones(200, int)])
    order = np.lexsort((steps, times))  # in one cycle, a beat leaves before another comes
    assert np.cumsum(steps[order]).max() == depth


# In URAM 8, 4, 2 words and one share a word.
@pytest.mark.parametrize(
    ("ram", "width"),
    [("distributed", 70), ("block", 70), ("ultra", 9), ("ultra", 17), ("ultra", 36), ("ultra", 70)],
)
def test_the_place_of_the_memory_changes_nothing(ram: str, width: int) -> None:
    part = StreamFifo(width, 130, ram)
    beats = random_beats(1, 400, width)
    for stalls in STALLS[:3]:
        check("stream_fifo", part.parameters(), {"s_axis": beats}, {"m_axis": beats}, stalls, 150)


def test_lint_is_clean() -> None:
    for depth in (1, 2, 3, 8, 600):
        assert lint("stream_fifo", StreamFifo(9, depth).parameters()) == ""
