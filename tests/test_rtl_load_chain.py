"""Load chain: each consumer gets its share of the beats, in order."""

import numpy as np
import pytest

from hw.errors import ParameterError
from hw.kernels.load_chain import LoadChain
from hw.sim.bench import Stalls
from hw.sim.verilator import lint
from tests.streams import STALLS, check, random_beats

COUNTS = [1, 2, 5, 16]


@pytest.mark.parametrize("count", COUNTS)
def test_the_first_beats_are_its_own_and_the_others_go_on(count: int) -> None:
    part = LoadChain(9, count)
    beats = random_beats(count, count + 40, 9)
    expected = {"m_axis_local": beats[:count], "m_axis_next": beats[count:]}
    slow = Stalls(5, ports={"m_axis_local": 0.9}, burst=6)
    for stalls in (*STALLS, slow):
        for reset_at in (None, 12, 30):
            check("load_chain", part.parameters(), {"s_axis": beats}, expected, stalls, reset_at)


@pytest.mark.parametrize("count", COUNTS[:3])
def test_a_beat_passes_every_cycle_after_the_stated_latency(count: int) -> None:
    part = LoadChain(9, count)
    beats = random_beats(0, 30, 9)
    expected = {"m_axis_local": beats[:count], "m_axis_next": beats[count:]}
    result = check("load_chain", part.parameters(), {"s_axis": beats}, expected)
    start = result.taken["s_axis"][0]
    assert np.array_equal(result.taken["s_axis"], start + np.arange(30))
    given = np.concatenate([result.taken["m_axis_local"], result.taken["m_axis_next"]])
    assert np.array_equal(given, start + part.latency() + np.arange(30))


def test_bad_parameters_are_refused() -> None:
    for fields, message in (
        ({"width": 0}, "width: expected 1 to 65536, got 0"),
        ({"count": 0}, "count: expected 1 to 16777216, got 0"),
    ):
        with pytest.raises(ParameterError, match=message):
            LoadChain(**fields)
    assert "WIDTH must be at least 1, got 0" in lint("load_chain", {"WIDTH": 0})
    assert "COUNT must be at least 1, got 0" in lint("load_chain", {"COUNT": 0})


def test_lint_is_clean() -> None:
    for width, count in ((72, 1), (72, 5), (9, 1024)):
        assert lint("load_chain", LoadChain(width, count).parameters()) == ""
