import numpy as np
import pytest

from hw.kernels.stream import SkidBuffer
from hw.sim.verilator import lint
from tests.streams import STALLS, check, random_beats


@pytest.mark.parametrize("width", [1, 13, 70])
def test_beats_pass_unchanged_under_any_stalls_and_resets(width: int) -> None:
    beats = random_beats(width, 150, width)
    for stalls in STALLS:
        for reset_at in (None, 70):
            check(
                "skid_buffer",
                SkidBuffer(width).parameters(),
                {"s_axis": beats},
                {"m_axis": beats},
                stalls,
                reset_at,
            )


def test_a_beat_leaves_every_cycle_one_cycle_after_it_came() -> None:
    part, beats = SkidBuffer(13), random_beats(0, 100, 13)
    result = check("skid_buffer", part.parameters(), {"s_axis": beats}, {"m_axis": beats})
    start = result.taken["s_axis"][0]
    assert np.array_equal(result.taken["s_axis"], start + np.arange(100))
    assert np.array_equal(result.taken["m_axis"], start + part.latency() + np.arange(100))


def test_lint_is_clean() -> None:
    assert [lint("skid_buffer", {"WIDTH": width}) for width in (1, 13)] == ["", ""]
