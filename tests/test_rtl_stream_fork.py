import numpy as np

from hw.kernels.stream import StreamFork
from hw.sim.bench import Stalls
from hw.sim.verilator import lint
from tests.streams import STALLS, check, random_beats, wrapped

OUTPUTS = ("m_axis_a", "m_axis_b", "m_axis_c")


def test_every_output_gives_every_beat_once_and_stays_within_one_beat_of_the_others() -> None:
    simulation = wrapped("fork_outputs", {"WIDTH": 11})
    beats = random_beats(0, 200, 11)
    uneven = Stalls(5, share=0.1, ports={"m_axis_b": 0.8, "m_axis_c": 0.5})
    for stalls in (*STALLS, uneven):
        for reset_at in (None, 90):
            check(
                "fork_outputs",
                {},
                {"s_axis": beats},
                dict.fromkeys(OUTPUTS, beats),
                stalls,
                reset_at,
                simulation,
            )


def test_a_beat_passes_every_cycle_without_delay() -> None:
    simulation = wrapped("fork_outputs", {"WIDTH": 11})
    beats = random_beats(0, 50, 11)
    result = check(
        "fork_outputs",
        {},
        {"s_axis": beats},
        dict.fromkeys(OUTPUTS, beats),
        simulation=simulation,
    )
    start = result.taken["s_axis"][0]
    for name in ("s_axis", *OUTPUTS):
        assert np.array_equal(result.taken[name], start + np.arange(50))
    assert StreamFork(11, 3).latency() == 0


def test_an_output_takes_the_beat_that_another_refuses() -> None:
    simulation = wrapped("fork_outputs", {"WIDTH": 11})
    beats = random_beats(0, 80, 11)
    stalls = Stalls(1, ports={"m_axis_b": 0.9}, burst=20)
    result = check(
        "fork_outputs",
        {},
        {"s_axis": beats},
        dict.fromkeys(OUTPUTS, beats),
        stalls,
        simulation=simulation,
    )
    ahead = result.taken["m_axis_b"] - result.taken["m_axis_a"]
    # a takes its beat at once, and the next as soon as b has taken this one.
    assert ahead.max() >= 20
    assert np.array_equal(result.taken["m_axis_a"][1:], result.taken["m_axis_b"][:-1] + 1)


def test_a_fork_of_one_output_is_a_wire() -> None:
    beats = random_beats(0, 50, 3)
    part = StreamFork(3, 1)
    for stalls in STALLS:
        check("stream_fork", part.parameters(), {"s_axis": beats}, {"m_axis": beats}, stalls)


def test_lint_is_clean() -> None:
    for part in (StreamFork(1, 1), StreamFork(11, 3)):
        assert lint("stream_fork", part.parameters()) == ""
