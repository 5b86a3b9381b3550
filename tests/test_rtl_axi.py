"""The AXI parts alone: DMA that copies memory, and the registers' bus."""

import functools
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.sim.verilator import Simulation, lint
from hw.sim.virtual_board import Timing, VirtualBoard, VirtualBoardError, build_board

COPY = Path(__file__).parent / "rtl" / "dma_copy.sv"
SOURCE, TARGET, WORDS, CONTROL, STATUS, WORDS_READ, WORDS_WRITTEN = range(0, 28, 4)
READ_ERRORS, READ_ADDRESS, WRITE_ERRORS, WRITE_ADDRESS = range(0x1C, 0x2C, 4)
START, STOP, FLUSH, RESET, BLIND = 1, 2, 4, 8, 16
DRAINED, EMPTY = 3, 7
BASE = 0x1000_0000
AREA = 4 * 4096  # bytes of each buffer
SHAPES = {1: (3, 1), 16: (64, 4), 256: (512, 8)}  # words of the buffer, open bursts: by burst

FAST = Timing()
SLOW = Timing(30, 60, 0.4, 0.3, 0.2, 4, 0.5)
TIMINGS = {
    "fast": FAST,
    "slow": SLOW,
    "late": Timing(200, 0),
    "one at a time": Timing(5, 5, depth=1),
    "reads starve": replace(FAST, read_share=0.1, jitter=20),
    "writes starve": replace(FAST, write_share=0.1, jitter=20),
    "at once": Timing(0),
}


@functools.cache
def simulation(burst: int) -> Simulation:
    buffer, outstanding = SHAPES[burst]
    values = {"MAX_BURST": burst, "BUFFER_WORDS": buffer, "OUTSTANDING": outstanding}
    return build_board("dma_copy", [COPY], parameters=values)


class Copier:
    def __init__(self, burst: int, timing: Timing = FAST, seed: int = 1) -> None:
        self.board = VirtualBoard(
            simulation(burst), timing=timing, seed=seed, strict=True, max_burst=burst
        )
        self.source = self.board.allocate(AREA // 8, np.uint64, BASE)
        self.target = self.board.allocate(AREA // 8, np.uint64, BASE + (1 << 20))
        self.source[:] = np.random.default_rng(seed).integers(0, 1 << 63, AREA // 8)
        self.source.flush()
        self.read, self.write = self.board.mmio.read, self.board.mmio.write

    def __enter__(self) -> "Copier":
        return self

    def __exit__(self, *_: Any) -> None:
        self.board.close()

    def begin(self, start: int, end: int, words: int, flags: int = 0) -> None:
        self.write(CONTROL, RESET)
        self.write(CONTROL, 0)
        self.write(SOURCE, BASE + 8 * start)
        self.write(TARGET, BASE + (1 << 20) + 8 * end)
        self.write(WORDS, words)
        self.write(CONTROL, START | flags)

    def until(self, offset: int, value: int) -> None:
        for _ in range(500):
            if self.read(offset) == value:
                return
        raise AssertionError(f"{offset:#x} is {self.read(offset)}, not {value}")

    def finish(self, words: int, flags: int = 0) -> None:
        self.until(WORDS_READ, words)
        self.write(CONTROL, FLUSH | flags)
        self.until(STATUS, EMPTY)

    def copy(self, start: int, end: int, words: int) -> None:
        """A copy, and a look at all of the target."""
        self.target[:] = 0
        self.target.flush()
        self.begin(start, end, words)
        self.finish(words)
        assert self.read(WORDS_WRITTEN) == words
        assert self.read(READ_ERRORS) == self.read(WRITE_ERRORS) == 0
        self.target.invalidate()
        expected = np.zeros(AREA // 8, np.uint64)
        expected[end : end + words] = self.source[start : start + words]
        assert np.array_equal(self.target, expected)


@pytest.mark.parametrize("name", TIMINGS)
@pytest.mark.parametrize("burst", SHAPES)
def test_words_arrive_where_they_belong_at_every_size_address_and_pace(
    burst: int, name: str
) -> None:
    rng = np.random.default_rng(burst)
    sizes = [0, 1, 2, burst - 1, burst, burst + 1, 3 * burst + 5, *rng.integers(0, 700, 2)]
    with Copier(burst, TIMINGS[name]) as copier:
        for words in sizes:
            # At the start, just before, at and behind a border of 4 KiB.
            for start, end in ((0, 0), (511, 510), (512, 513), tuple(rng.integers(0, 800, 2))):
                copier.copy(int(start), int(end), int(words))


@pytest.mark.parametrize("burst", SHAPES)
def test_bursts_are_as_long_as_the_bus_allows(burst: int) -> None:
    with Copier(burst) as copier:
        before = copier.board.counts()
        copier.copy(5, 512, 700)
        after = copier.board.counts()
    borders = [5, 512, 705]
    reads = sum(-(-(b - a) // burst) for a, b in itertools.pairwise(borders))
    borders = [512, 1024, 1212]
    writes = sum(-(-(b - a) // burst) for a, b in itertools.pairwise(borders))
    assert after["read_bursts"] - before["read_bursts"] == reads
    assert after["write_bursts"] - before["write_bursts"] == writes
    assert after["longest"] == burst and after["open"] == 0


def test_a_word_passes_every_cycle_where_the_memory_can() -> None:
    with Copier(256, Timing(latency=30)) as copier:
        copier.begin(0, 0, 1500)
        start = copier.board.cycles
        copier.board.run(1500 + 3 * 256)
        assert copier.board.call(1, WORDS_READ) == 1500
        # 5 bursts of 256 words and 220 more that wait for the flush; the rest is on its way.
        assert copier.board.call(1, WORDS_WRITTEN) >= 1500 - 220 - 256
        assert copier.board.cycles - start < 2500


@pytest.mark.parametrize("response", ["SLVERR", "DECERR"])
def test_errors_of_reads_and_writes_are_counted_with_their_address(response: str) -> None:
    with Copier(16, SLOW) as copier:
        copier.board.fail(BASE + 8 * 77, 8, "read", response)
        copier.begin(3, 9, 200)
        copier.finish(200)
        assert copier.read(READ_ERRORS) == 1 and copier.read(WRITE_ERRORS) == 0
        assert copier.read(READ_ADDRESS) == BASE + 8 * 77
        copier.board.mend()
        target = BASE + (1 << 20)
        copier.board.fail(target + 8 * 77, 8, "write", response)
        copier.begin(3, 9, 200)
        copier.finish(200)
        assert copier.read(READ_ERRORS) == 0 and copier.read(WRITE_ERRORS) == 1
        # Bursts of 16 from word 9 on: the one with word 77 begins at 73.
        assert copier.read(WRITE_ADDRESS) == target + 8 * 73
        copier.board.mend()
        copier.copy(3, 9, 200)


@pytest.mark.parametrize("burst", SHAPES)
def test_a_stop_ends_requests_and_leaves_nothing_open(burst: int) -> None:
    rng = np.random.default_rng(0)
    with Copier(burst, replace(SLOW, host_share=1)) as copier:
        for cycles in rng.integers(1, 1500, 10):
            copier.begin(7, 500, 900)
            copier.board.run(int(cycles))
            copier.write(CONTROL, STOP)
            for _ in range(500):
                if copier.read(STATUS) & DRAINED == DRAINED:
                    break
            assert copier.read(STATUS) & DRAINED == DRAINED
            assert copier.board.counts()["open"] == 0
            before = copier.board.counts()
            copier.board.run(300)
            assert copier.board.counts() == before
            copier.copy(1, 2, 40)


def test_reading_goes_on_while_writing_waits_and_never_overruns_the_buffer() -> None:
    with Copier(16, replace(FAST, write_share=0.02)) as copier:
        copier.copy(0, 0, 400)
    with Copier(16) as copier:
        copier.begin(0, 0, 1000, BLIND)
        copier.until(WORDS_READ, 1000)
        assert copier.read(WORDS_WRITTEN) == 0


def test_memory_outside_of_every_buffer_is_not_touched_unseen() -> None:
    with Copier(16) as copier:
        copier.begin(AREA // 8 - 10, 0, 20)
        with pytest.raises(VirtualBoardError, match="a read at 0x10004000, outside of every"):
            copier.board.run(500)
    with Copier(16) as copier:
        copier.begin(0, AREA // 8 - 10, 20, FLUSH)
        with pytest.raises(VirtualBoardError, match="a write at 0x10104000, outside of every"):
            copier.board.run(500)


@pytest.mark.parametrize("seed", range(3))
def test_registers_answer_in_every_order_of_address_data_and_response(seed: int) -> None:
    with Copier(16) as copier:
        for address in (0, 1, 2, 5):
            for data in (0, 1, 2, 5):
                for response in (0, 1, 3, 9):
                    copier.board.set_timing(
                        Timing(address_delay=address, data_delay=data, response_delay=response)
                    )
                    copier.copy(address, data, response)
        copier.board.set_timing(Timing(host_share=0.25))
        for words in range(4):
            copier.copy(words, 2 * words, 3 * words)
        assert copier.read(0x7FC) == 0x7FC >> 2


@pytest.mark.parametrize("burst", SHAPES)
def test_lint_is_clean(burst: int) -> None:
    buffer, outstanding = SHAPES[burst]
    dma = {"MAX_BURST": burst, "BUFFER_WORDS": buffer, "ADDRESS_BITS": 32 if burst == 16 else 40}
    assert lint("axi_read_dma", dma) == ""
    assert lint("axi_write_dma", {**dma, "OUTSTANDING": outstanding}) == ""
    arbiter = {"ADDRESS_BITS": 40, "OUTSTANDING": outstanding}
    assert lint("axi_read_arbiter", arbiter) == ""
    assert lint("axi_lite_slave", {"ADDRESS_BITS": 12}) == ""
