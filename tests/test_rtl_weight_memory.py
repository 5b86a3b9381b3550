import numpy as np
import pytest

from hw.kernels.memory import memory_text
from hw.sim.beats import Beats
from hw.sim.bench import Result, Stalls, run
from hw.sim.verilator import lint
from tests.streams import STALLS, random_beats, wrapped

# Width and depth of a memory, STYLE, bits of a beat that loads it (0: it has a file).
MEMORIES = [
    (9, 5, 0, 0),
    (8, 1, 2, 0),
    (20, 7, 3, 8),
    (3, 1, 0, 9),
    pytest.param((70, 8, 1, 0), marks=pytest.mark.slow),
    pytest.param((72, 4, 2, 72), marks=pytest.mark.slow),
]


def parameters(width: int, depth: int, style: int, load_bits: int) -> dict[str, int | str]:
    """Parameters of the module."""
    values: dict[str, int | str] = {"WIDTH": width, "DEPTH": depth, "STYLE": style}
    if load_bits:
        return values | {"LOADABLE": 1, "LOAD_BITS": load_bits}
    return values | {"FILE": "words.hex"}


def words_of(width: int, depth: int) -> Beats:
    """Words of a memory, each different from the others if there is room."""
    return random_beats(width + depth, depth, width)


def simulate(
    memory: tuple[int, int, int, int],
    reads: int,
    stalls: Stalls = STALLS[0],
    reset_at: int | None = None,
) -> Result:
    """Read so many words."""
    width, depth, _, load_bits = memory
    planes = np.unpackbits(words_of(width, depth), axis=1, bitorder="little", count=width)
    load = np.zeros((0, 9), dtype=np.uint8)
    if load_bits:
        padded = np.pad(planes, ((0, 0), (0, -width % load_bits)), constant_values=1)
        load = np.packbits(padded.reshape(-1, load_bits), axis=1, bitorder="little")
    return run(
        "weight_words",
        {},
        {"s_axis": np.zeros((reads, 1), dtype=np.uint8), "s_axis_load": load},
        {"m_axis": reads},
        memories={"words.hex": memory_text(planes, 1, width)},
        stalls=stalls,
        reset_at=reset_at,
        simulation=wrapped("weight_words", parameters(*memory)),
    )


@pytest.mark.parametrize("memory", MEMORIES)
def test_words_come_in_order_for_ever_and_from_the_first_after_a_reset(
    memory: tuple[int, int, int, int],
) -> None:
    width, depth, _, load_bits = memory
    reads = 5 * depth + 3
    expected = np.resize(words_of(width, depth), (reads, -(-width // 8)))
    start = depth * -(-width // load_bits) if load_bits else 0
    for stalls in STALLS:
        for reset_at in (None, start // 2 + 3, start + depth + 6):
            result = simulate(memory, reads, stalls, reset_at)
            assert np.array_equal(result.outputs["m_axis"], expected)
            if reset_at is not None:
                before = result.before["m_axis"]
                assert np.array_equal(before, expected[: len(before)])


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_word_comes_every_cycle_once_all_are_loaded(memory: tuple[int, int, int, int]) -> None:
    width, depth, _, load_bits = memory
    result = simulate(memory, 4 * depth)
    times = result.taken["m_axis"]
    assert np.array_equal(np.diff(times), np.ones(4 * depth - 1))
    if load_bits:
        loads = result.taken["s_axis_load"]
        assert len(loads) == depth * -(-width // load_bits)
        assert np.array_equal(np.diff(loads), np.ones(len(loads) - 1))
        assert times[0] == loads[-1] + 2


def test_lint_is_clean() -> None:
    for memory in ((9, 5, 0, 0), (70, 8, 1, 0), (20, 7, 3, 8), (3, 1, 2, 9)):
        assert lint("weight_memory", parameters(*memory)) == ""
