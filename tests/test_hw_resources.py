import pytest

from benchmarks.resources import close, points, synthesized
from hw.errors import ParameterError
from hw.kernels.add_norm import AddNorm
from hw.kernels.attention import BinaryAttention
from hw.kernels.kernel import Kernel
from hw.kernels.load_chain import LoadChain
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import HeadReorder, SkidBuffer, StreamFifo, StreamFork, WidthConverter
from hw.resources import Resources, resources_of
from hw.resources.memories import block_ram, lut_ram, lut_rom, multiplexer, packing, ultra_ram

# LUT, RAMB18, URAM, DSP that Yosys gave.
NORM = AddNorm(256, 10, 12345, 12, word_bits=17, threshold_bits=18)
MADE: list[tuple[Kernel, str, tuple[int, int, int, int]]] = [
    (BinaryMvu(256, 256, 4, 32, 2, weight_memory="block"), "xc7", (434, 4, 0, 0)),
    (BinaryMvu(256, 256, 4, 64, raw=True, weight_memory="distributed"), "xc7", (1355, 0, 0, 0)),
    (BinaryMvu(256, 1024, 8, 64, 2, weight_memory="block"), "xc7", (1183, 15, 0, 0)),
    (
        BinaryMvu(1024, 256, 8, 64, 4, raw=True, inputs="binary", weight_memory="block"),
        "xc7",
        (2805, 15, 0, 0),
    ),
    (BinaryMvu(128, 128, 16, 32, weight_memory="distributed"), "xc7", (798, 0, 0, 0)),
    (
        BinaryMvu(384, 384, 4, 16, 8, weight_memory="ultra", loadable=True),
        "xcup",
        (1397, 0, 1, 0),
    ),
    (BinaryAttention(64, 4, 64, 1, 64, 1, 8, 32, 4), "xc7", (569, 9, 0, 0)),
    (BinaryAttention(64, 2, 64, 4, 32, 4, 4, 32, 4), "xc7", (1222, 13, 0, 0)),
    (BinaryAttention(64, 12, 32, 4, 32, 2, 8, 32, 4), "xcup", (1035, 18, 0, 0)),
    (BinaryAttention(64, 4, 64, 2, 64, 2, 8, 32, 4, sps=True), "xc7", (549, 9, 0, 0)),
    (
        BinaryAttention(64, 2, 64, 4, 64, 4, 16, 64, 4, relative_positions=16),
        "xc7",
        (1461, 17, 0, 0),
    ),
    (
        BinaryAttention(64, 12, 32, 3, 32, 2, 4, 24, 2, relative_positions=16),
        "xcup",
        (1255, 12, 0, 0),
    ),
    (NORM, "xc7", (240, 6, 0, 6)),
    (StreamFifo(17, 18432, "block"), "xc7", (136, 18, 0, 0)),
    (StreamFifo(17, 4700, "block"), "xc7", (98, 5, 0, 0)),
    (StreamFifo(36, 600, "distributed"), "xc7", (687, 0, 0, 0)),
    (StreamFifo(18, 27648, "ultra"), "xcup", (142, 0, 2, 0)),
    (WidthConverter(64, 16), "xc7", (54, 0, 0, 0)),
    (WidthConverter(48, 36), "xc7", (119, 0, 0, 0)),
]


@pytest.mark.parametrize(("kernel", "family", "made"), MADE, ids=lambda v: str(v)[:60])
def test_an_estimate_is_near_what_synthesis_made(
    kernel: Kernel, family: str, made: tuple[int, int, int, int]
) -> None:
    estimate = resources_of(kernel, family)
    assert (estimate.bram18, estimate.uram, estimate.dsp) == made[1:]
    assert abs(estimate.lut - made[0]) <= 0.15 * made[0]


@pytest.mark.parametrize("kernel", [WidthConverter(24, 8), StreamFifo(9, 40), SkidBuffer(12)])
def test_a_small_part_is_as_large_as_said(kernel: Kernel) -> None:
    assert close(resources_of(kernel, "xc7"), synthesized(kernel, "xc7"))


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "family"), list(points()), ids=lambda v: str(v)[:60])
def test_every_point_of_the_table_is_near(kernel: Kernel, family: str) -> None:
    assert close(resources_of(kernel, family), synthesized(kernel, family))


@pytest.mark.parametrize(
    ("words", "bits", "blocks"),
    # Weight memories that Yosys has made: words, bits, RAMB18.
    [
        *((128, 133, 4), (512, 266, 8), (576, 40, 3), (768, 266, 15), (1024, 133, 8)),
        *((1152, 133, 12), (1536, 266, 23), (2048, 266, 30), (2304, 133, 19), (3072, 266, 45)),
        *((4096, 20, 5), (4096, 40, 9), (4096, 133, 30)),
    ],
)
def test_block_ram_is_that_of_yosys(words: int, bits: int, blocks: int) -> None:
    assert block_ram(words, bits, written=False)[0] == blocks


def test_rows_of_a_memory_are_chosen_among_in_luts() -> None:
    assert block_ram(512, 36) == (1, 0)
    assert block_ram(1152, 40, written=False) == (4, 40)
    assert [multiplexer(rows) for rows in (1, 2, 4, 5, 7, 8)] == [0, 1, 1, 2, 2, 3]
    assert lut_ram(32, 12, "xc7") == (8, 0)
    assert lut_ram(32, 12, "xcup") == (8, 0)
    assert lut_ram(64, 7, "xcup") == (8, 0)
    assert [lut_rom(words, 10) for words in (32, 64, 128, 256)] == [5, 10, 20, 40]


def test_words_share_a_uram_in_bytes_of_their_own() -> None:
    assert [packing(bits) for bits in (9, 17, 18, 19, 36, 37, 72, 90)] == [8, 4, 4, 2, 2, 1, 1, 1]
    assert ultra_ram(4 * 4096, 18) == 1
    assert ultra_ram(4 * 4096 + 1, 18) == 2
    assert ultra_ram(100, 144) == 2


def test_amounts_add_up_and_are_compared() -> None:
    a, b = Resources(1, 2, 3, 4, 5), Resources(5, 4, 3, 2, 1)
    assert a + b == Resources(6, 6, 6, 6, 6)
    assert a * 3 - b == Resources(-2, 2, 6, 10, 14)
    assert Resources.total([a, b, a]) == a * 2 + b
    assert not a.fits(b)
    assert a.fits(a)
    assert a.shares(Resources(lut=2, ff=2, bram18=6, uram=0, dsp=5)) == {
        **{"lut": 0.5, "ff": 1.0, "bram18": 0.5},
        **{"uram": float("inf"), "dsp": 1.0},
    }
    assert Resources().shares(Resources())["uram"] == 0


def test_every_kernel_has_an_estimate_and_others_are_refused() -> None:
    for kernel in (StreamFork(8, 3), LoadChain(72, 100), HeadReorder(16, 4, 4, 64)):
        assert resources_of(kernel, "xc7").lut > 0
    with pytest.raises(ParameterError, match=r"family: expected one of .*, got 'ice40'"):
        resources_of(SkidBuffer(4), "ice40")
    with pytest.raises(ParameterError, match=r"kernel: expected one of .*, got NoneType"):
        resources_of(None, "xc7")  # type: ignore[arg-type]
