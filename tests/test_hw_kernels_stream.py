from collections.abc import Callable

import pytest

from hw.errors import ParameterError
from hw.kernels.stream import (
    HeadReorder,
    SkidBuffer,
    StreamFifo,
    StreamFork,
    WidthConverter,
    bram18,
    lutram_lut,
    takes_block_ram,
)

BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: StreamFork(0), "width: expected 1 to 65536, got 0"),
    (lambda: StreamFork(8, 0), "copies: expected 1 to 64, got 0"),
    (lambda: SkidBuffer(0), "width: expected 1 to 65536, got 0"),
    (lambda: StreamFifo(0, 4), "width: expected 1 to 65536, got 0"),
    (lambda: StreamFifo(8, 0), "depth: expected 1 to 1048576, got 0"),
    (
        lambda: StreamFifo(8, 4, "flash"),
        "ram: expected one of ['auto', 'distributed', 'block', 'ultra'], got 'flash'",
    ),
    (lambda: WidthConverter(0, 8), "in_bits: expected 1 to 65536, got 0"),
    (lambda: WidthConverter(8, -1), "out_bits: expected 1 to 65536, got -1"),
    (
        lambda: WidthConverter(1021, 1023),
        "least common multiple of in_bits and out_bits: expected 1 to 65536, got 1044483",
    ),
    (lambda: HeadReorder(0, 1, 1, 1), "width: expected 1 to 65536, got 0"),
    (lambda: HeadReorder(8, 0, 1, 1), "heads: expected 1 to 1024, got 0"),
    (lambda: HeadReorder(8, 1, 0, 1), "beats: expected 1 to 1048576, got 0"),
    (lambda: HeadReorder(8, 1, 1, 0), "max_tokens: expected 1 to 1048576, got 0"),
    (
        lambda: HeadReorder(8, 1024, 1024, 1),
        "2 * max_tokens * heads * beats: expected 2 to 1048576, got 2097152",
    ),
    (
        lambda: HeadReorder(8, 1, 1, 1, ram="ultra"),
        "ram: expected one of ['auto', 'distributed', 'block'], got 'ultra'",
    ),
    (
        lambda: HeadReorder(8, 1, 1, 4).cycles([3, 5]),
        "tokens of a sentence: expected 1 to 4, got 5",
    ),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_a_bad_parameter_is_named_with_its_value_and_what_is_allowed(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        make()
    assert str(caught.value) == message


def test_parameters_are_those_of_the_modules() -> None:
    assert StreamFork(8, 3).parameters() == {"WIDTH": 8, "COPIES": 3}
    assert SkidBuffer(8).parameters() == {"WIDTH": 8}
    assert StreamFifo(8, 40, "block").parameters() == {"WIDTH": 8, "DEPTH": 40, "RAM_STYLE": 2}
    assert WidthConverter(8, 24).parameters() == {"IN_BITS": 8, "OUT_BITS": 24}
    assert HeadReorder(8, 2, 3, 5, inverse=True).parameters() == {
        "WIDTH": 8,
        "HEADS": 2,
        "BEATS": 3,
        "MAX_TOKENS": 5,
        "INVERSE": 1,
        "RAM_STYLE": 0,
    }


def test_block_ram_is_taken_for_deep_and_large_memories_only() -> None:
    assert not takes_block_ram(64, 1000)
    assert not takes_block_ram(4096, 1)
    assert takes_block_ram(4097, 1)
    assert takes_block_ram(65, 64)
    assert takes_block_ram(2, 1, "block")
    assert not takes_block_ram(5000, 72, "distributed")


def test_memory_sizes_count_whole_ram_cells() -> None:
    assert [bram18(512, 36), bram18(513, 36), bram18(1024, 18), bram18(16384, 1)] == [1, 2, 1, 1]
    assert [bram18(600, 72), bram18(100, 37), bram18(2000, 16)] == [4, 2, 2]
    assert [lutram_lut(32, 6), lutram_lut(33, 6), lutram_lut(65, 3)] == [4, 8, 8]


def test_a_fifo_has_one_beat_outside_its_memory() -> None:
    assert [StreamFifo(8, depth).memory_bits() for depth in (1, 2, 3, 33)] == [0, 0, 16, 256]
    deep, shallow = StreamFifo(36, 513), StreamFifo(36, 33)
    assert (deep.bram18(), deep.lutram_lut()) == (1, 0)
    assert (shallow.bram18(), shallow.lutram_lut()) == (0, 24)
    assert (StreamFifo(36, 2, "block").bram18(), StreamFifo(36, 2).lutram_lut()) == (0, 0)


def test_the_memory_of_a_reorder_holds_two_sentences() -> None:
    part = HeadReorder(16, 4, 4, 64)
    assert (part.words, part.memory_bits()) == (2048, 32768)
    assert (part.bram18(), part.lutram_lut()) == (2, 0)


def test_cycles_of_a_reorder_follow_the_real_lengths() -> None:
    part = HeadReorder(8, 2, 3, 16)
    assert part.cycles([]) == 1
    assert part.cycles([5]) == 2 * 30 + 1
    assert part.cycles([16, 16, 16]) == 4 * 96 + 1
    # Two short sentences behind a long one wait for its bank.
    assert part.cycles([16, 1, 1]) == 96 + 96 + 6 + 6 + 1
