import numpy as np
import pytest

from hw.kernels.stream import WidthConverter
from hw.sim.beats import Beats, pack, unpack
from hw.sim.verilator import lint
from tests.streams import STALLS, check, random_beats

WIDTHS = [(8, 8), (4, 12), (3, 21), (12, 4), (21, 3), (6, 4), (4, 6), (64, 48), (1, 5)]


def converted(part: WidthConverter, groups: int) -> tuple[Beats, Beats]:
    beats = random_beats(part.in_bits, groups * part.group_bits // part.in_bits, part.in_bits)
    bits = unpack(beats, 1, part.in_bits)
    return beats, pack(bits, 1, part.out_bits)


@pytest.mark.parametrize(("in_bits", "out_bits"), WIDTHS)
def test_the_bits_stay_the_same_under_any_stalls_and_resets(in_bits: int, out_bits: int) -> None:
    part = WidthConverter(in_bits, out_bits)
    beats, expected = converted(part, 40)
    for stalls in STALLS:
        for reset_at in (None, 61):
            check(
                "width_converter",
                part.parameters(),
                {"s_axis": beats},
                {"m_axis": expected},
                stalls,
                reset_at,
            )


@pytest.mark.parametrize(("in_bits", "out_bits"), WIDTHS)
def test_the_narrower_side_moves_a_beat_every_cycle(in_bits: int, out_bits: int) -> None:
    part = WidthConverter(in_bits, out_bits)
    beats, expected = converted(part, 20)
    result = check("width_converter", part.parameters(), {"s_axis": beats}, {"m_axis": expected})
    first, last = result.taken["s_axis"][0], result.taken["m_axis"][-1]
    assert last - first + 1 == part.cycles(20)
    narrow = result.taken["s_axis" if in_bits < out_bits else "m_axis"]
    assert np.array_equal(narrow, narrow[0] + np.arange(len(narrow)))


def test_a_group_leaves_after_the_stated_latency() -> None:
    for in_bits, out_bits in WIDTHS:
        part = WidthConverter(in_bits, out_bits)
        beats, expected = converted(part, 1)
        ports = {"s_axis": beats}, {"m_axis": expected}
        result = check("width_converter", part.parameters(), *ports)
        assert result.taken["m_axis"][0] - result.taken["s_axis"][-1] == part.latency()


def test_lint_is_clean() -> None:
    for in_bits, out_bits in WIDTHS:
        assert lint("width_converter", WidthConverter(in_bits, out_bits).parameters()) == ""
