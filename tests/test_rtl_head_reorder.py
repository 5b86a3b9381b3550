import numpy as np
import pytest

from hw.kernels.stream import HeadReorder
from hw.reference import merge_heads, split_heads
from hw.sim.beats import Beats, pack
from hw.sim.bench import Stalls
from hw.sim.verilator import lint
from tests.streams import STALLS, check

POINTS = [
    HeadReorder(5, 2, 1, 4),
    HeadReorder(5, 2, 1, 4, inverse=True),
    HeadReorder(3, 3, 5, 7, ram="block"),
    HeadReorder(3, 3, 5, 7, inverse=True),
    HeadReorder(9, 4, 2, 16, inverse=True, ram="distributed"),
    HeadReorder(9, 4, 2, 16),
    HeadReorder(2, 1, 1, 1),
    HeadReorder(2, 1, 1, 1, inverse=True),
    HeadReorder(4, 1, 3, 3, inverse=True),
]


def sentences(part: HeadReorder, lengths: list[int]) -> tuple[dict[str, Beats], dict[str, Beats]]:
    """Random sentences in both orders: a value a beat, head h has the channels of split_heads."""
    rng = np.random.default_rng(0)
    token_major, head_major = [], []
    for tokens in lengths:
        values = rng.integers(0, 1 << part.width, (tokens, part.heads * part.beats))
        heads = split_heads(values, part.heads)
        assert np.array_equal(merge_heads(heads), values)
        token_major.append(values.reshape(-1))
        head_major.append(heads.reshape(-1))
    streams = [pack(np.concatenate(parts), part.width, 1) for parts in (token_major, head_major)]
    into, out = streams[::-1] if part.inverse else streams
    length = pack(lengths, part.max_tokens.bit_length(), 1)
    return {"s_axis": into, "s_axis_length": length}, {"m_axis": out}


def lengths_for(part: HeadReorder) -> list[int]:
    rng = np.random.default_rng(1)
    mixed = rng.integers(1, part.max_tokens + 1, 8).tolist()
    return [1, part.max_tokens, 1, 1, part.max_tokens, part.max_tokens, *mixed]


@pytest.mark.parametrize("part", POINTS, ids=str)
def test_sentences_of_any_length_are_reordered_under_any_stalls_and_resets(
    part: HeadReorder,
) -> None:
    inputs, expected = sentences(part, lengths_for(part))
    late_length = Stalls(6, ports={"s_axis_length": 0.9}, burst=20)
    for stalls in (*STALLS, late_length):
        for reset_at in (None, 33, 20 + len(inputs["s_axis"]) // 2):
            check("head_reorder", part.parameters(), inputs, expected, stalls, reset_at)


@pytest.mark.parametrize("part", POINTS, ids=str)
def test_cycles_are_as_stated_and_follow_the_real_lengths(part: HeadReorder) -> None:
    for lengths in ([1], [part.max_tokens] * 4, lengths_for(part)):
        inputs, expected = sentences(part, lengths)
        result = check("head_reorder", part.parameters(), inputs, expected)
        first, last = result.taken["s_axis"][0], result.taken["m_axis"][-1]
        assert last - first + 1 == part.cycles(lengths)
        written = result.taken["s_axis"][lengths[0] * part.heads * part.beats - 1]
        assert result.taken["m_axis"][0] - written == part.latency()


def test_sentences_of_one_length_follow_without_a_bubble() -> None:
    part = POINTS[4]
    inputs, expected = sentences(part, [11] * 6)
    result = check("head_reorder", part.parameters(), inputs, expected)
    for name in ("s_axis", "m_axis"):
        taken = result.taken[name]
        assert np.array_equal(taken, taken[0] + np.arange(len(taken)))


def test_lint_is_clean() -> None:
    for part in POINTS:
        assert lint("head_reorder", part.parameters()) == ""
