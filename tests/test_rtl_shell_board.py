"""The whole shell, around an accelerator that gives its input back, on a virtual board."""

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hw.pynq.edgebert_board import registers as reg
from hw.shell.shell import Shell
from hw.shell.top import board_top
from hw.sim.verilator import Simulation, lint
from hw.sim.virtual_board import Timing, VirtualBoard, VirtualBoardError
from tests.shells import Host, first_rows, loop_board, sentences, weight_sum

HASH = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210"
PLAIN = Shell(
    max_tokens=9,
    hidden=16,
    word_bits=16,
    in_lanes=1,
    out_lanes=1,
    clock_khz=123_456,
    model_hash=HASH,
)
LOADED = Shell(
    max_tokens=12,
    hidden=24,
    word_bits=18,
    in_lanes=3,
    out_lanes=3,
    load_beats=11,
    address_bits=40,
    max_burst=16,
    buffer_words=32,
    max_sentences=3,
)
WEIGHTS = np.random.default_rng(7).integers(0, 256, (11, 9)).astype(np.uint8)
FAST = Timing()
TIMINGS = (
    FAST,
    Timing(30, 60, 0.4, 0.3, 0.2, 4, 0.5),
    Timing(3, 200, depth=2),
    replace(FAST, write_share=0.05),
)
ERRORS = reg.READ_ERROR, reg.WRITE_ERROR, reg.LENGTH_ERROR, reg.OVERFLOW


@functools.cache
def simulation(shell: Shell) -> Simulation:
    return loop_board(shell)


def board(shell: Shell, timing: Timing = FAST, **options: Any) -> VirtualBoard:
    settings = {"strict": True, "max_burst": shell.max_burst, **options}
    return VirtualBoard(simulation(shell), timing=timing, **settings)


@pytest.fixture
def host() -> Iterator[Host]:
    with board(PLAIN) as made:
        yield Host(made, PLAIN)


def expected(shell: Shell, residual: NDArray[Any]) -> NDArray[Any]:
    """What the loop makes of residuals."""
    if not shell.load_beats:
        return residual
    half = 1 << (shell.word_bits - 1)
    return (residual + weight_sum(WEIGHTS) + half) % (2 * half) - half


def test_the_constants_can_be_read(host: Host) -> None:
    words = [host.read(reg.MODEL_HASH + 4 * i) for i in range(8)]
    assert "".join(f"{word:08x}" for word in words) == HASH
    found = [host.read(offset) for offset in range(reg.MAX_TOKENS, reg.CLOCK_KHZ + 1, 4)]
    assert found == [9, 16, 16, 0, 123_456]
    assert (host.read(reg.ID), host.read(reg.VERSION)) == (reg.ID_VALUE, reg.VERSION_VALUE)


def test_registers_keep_the_bytes_that_were_written_and_no_others(host: Host) -> None:
    masks = dict.fromkeys((reg.IN_BYTES, reg.SENTENCES, reg.OUT_BYTES), 0xFFFFFFFF)
    pointers = (reg.IN_ADDRESS, reg.LENGTHS_ADDRESS, reg.OUT_ADDRESS, reg.LOAD_ADDRESS)
    masks |= dict.fromkeys(pointers, 0xFFFFFFF8) | {offset + 4: 0 for offset in pointers}
    masks |= {reg.OUT_MODE: 1}
    before = {offset: host.read(offset) for offset in range(0, 0x1000, 4)}
    assert not any(before[offset] for offset in masks)
    for seed, offset in enumerate(masks):
        value = 0
        for strobe in (15, 0, 1, 2, 4, 8, 5, 10):
            data = int(np.random.default_rng(16 * seed + strobe).integers(0, 1 << 32))
            kept = sum(255 << 8 * i for i in range(4) if not strobe >> i & 1)
            value = (value & kept) | (data & ~kept)
            host.board.mmio.write(offset, data, strobe)
            assert host.read(offset) == value & masks[offset]
    for offset in range(0, 0x1000, 4):
        if offset not in (*masks, reg.CONTROL):
            host.write(offset, 0xFFFFFFFF)
    for offset, value in before.items():
        if offset not in masks:
            assert host.read(offset) == value


def test_addresses_have_the_bits_of_the_bus() -> None:
    with board(LOADED) as made:
        made.mmio.write(reg.OUT_ADDRESS + 4, 0xFFFFFFFF)
        assert made.mmio.read(reg.OUT_ADDRESS + 4) == 0xFF
        assert made.mmio.read(reg.IN_ADDRESS + 4) == 0


@pytest.mark.parametrize("timing", TIMINGS)
@pytest.mark.parametrize("shell", [PLAIN, LOADED], ids=["plain", "loaded"])
def test_sentences_come_back_in_both_modes_again_and_again(shell: Shell, timing: Timing) -> None:
    rng = np.random.default_rng(0)
    with board(shell, timing) as made:
        host = Host(made, shell)
        if shell.load_beats:
            assert host.load(WEIGHTS) == reg.LOADED
        for count in (1, 2, 3, 4, 5, 30):
            residual, lengths = sentences(rng, shell, count)
            wanted = expected(shell, residual)
            offset = 8 * int(rng.integers(0, 512))
            assert np.array_equal(host.run(residual, lengths, 0, offset=offset), wanted)
            counts = (reg.TOKENS_IN, reg.TOKENS_OUT, reg.SENTENCES_OUT)
            assert [host.read(c) for c in counts] == [len(residual), len(residual), count]
            rows = host.run(residual, lengths, 1, offset=offset)
            assert np.array_equal(rows, wanted[first_rows(lengths)])
            assert [host.read(c) for c in counts] == [len(residual), count, count]
        assert made.counts()["longest"] <= shell.max_burst


def test_no_sentences_are_done_at_once(host: Host) -> None:
    empty = np.zeros((0, 16), np.int64)
    before = host.board.counts()
    assert host.run(empty, np.zeros(0, np.int64)).shape == (0, 16)
    assert host.board.counts() == before
    residual, lengths = sentences(np.random.default_rng(1), PLAIN, 5)
    assert np.array_equal(host.run(residual, lengths), residual)


def test_an_output_buffer_that_is_too_large_is_left_as_it_was_behind_the_result(host: Host) -> None:
    residual, lengths = sentences(np.random.default_rng(1), PLAIN, 5)
    result = host.run(residual, lengths, rows=len(residual) + 7)
    assert np.array_equal(result[: len(residual)], residual)
    assert np.all(result[len(residual) :].view(np.uint8) == 0xA5)


def fail_with(host: Host, error: int, **how: Any) -> None:
    """A run that must end with an error, nothing open, and a reset that mends it."""
    host.write(reg.CONTROL, reg.CLEAR | reg.START)
    assert host.wait() & ~reg.LOADED == error
    assert host.board.counts()["open"] == 0
    host.write(reg.CONTROL, reg.START)  # not before a reset
    assert host.wait() & ~reg.LOADED == error
    host.free()
    host.board.mend()
    host.reset()
    if host.shell.load_beats:
        assert host.load(WEIGHTS) == reg.LOADED
    residual, lengths = sentences(np.random.default_rng(9), host.shell, 6)
    assert np.array_equal(host.run(residual, lengths), expected(host.shell, residual))


@pytest.mark.parametrize("timing", TIMINGS[:2])
@pytest.mark.parametrize("shell", [PLAIN, LOADED], ids=["plain", "loaded"])
def test_errors_end_a_run_and_a_reset_mends_them(shell: Shell, timing: Timing) -> None:
    residual, lengths = sentences(np.random.default_rng(2), shell, 20)
    size = shell.token_bytes
    with board(shell, timing) as made:
        host = Host(made, shell)
        if shell.load_beats:
            assert host.load(WEIGHTS) == reg.LOADED
        for response in ("SLVERR", "DECERR"):
            for which, kind, error, place in (
                (0, "read", reg.READ_ERROR, 3 * size),
                (1, "read", reg.READ_ERROR, 16),
                (2, "write", reg.WRITE_ERROR, 5 * size),
            ):
                host.prepare(residual, lengths)
                address = host.buffers[which].device_address + place
                made.fail(address, 8, kind, response)
                host.write(reg.CONTROL, reg.START)
                assert host.wait() & error
                at = host.read(reg.LAST_ERROR_ADDRESS)
                # Of a write the address of its burst is known.
                assert at == address if kind == "read" else address - 8 * 256 < at <= address
                host.free()
                host.reset()
                if shell.load_beats:
                    host.load(WEIGHTS)
                host.prepare(residual, lengths)
                fail_with(host, error)
        for bad in (0, shell.max_tokens + 1, 0xFFFF):
            for index in (0, 11, 19):
                wrong = lengths.copy()
                wrong[index] = bad
                host.prepare(residual, wrong)
                fail_with(host, reg.LENGTH_ERROR)
        for change in (-size, size, 2, -2):
            host.prepare(residual, lengths, spare=1)
            host.write(reg.IN_BYTES, residual.size * shell.channel_bytes + change)
            fail_with(host, reg.LENGTH_ERROR)
        for mode, rows in ((0, len(residual) - 1), (1, 19), (0, 0)):
            host.prepare(residual, lengths, mode, rows=rows)
            fail_with(host, reg.OVERFLOW)


def test_an_error_while_loading_weights_leaves_them_unloaded() -> None:
    with board(LOADED) as made:
        host = Host(made, LOADED)
        made.fail(made._base + 64)
        assert host.load(WEIGHTS) == reg.READ_ERROR
        made.mend()
        assert host.load(WEIGHTS) == reg.READ_ERROR
        host.reset()
        residual, lengths = sentences(np.random.default_rng(0), LOADED, 4)
        host.prepare(residual, lengths)
        host.write(reg.CONTROL, reg.START)  # ignored without weights
        assert host.wait() == 0
        host.free()
        assert host.load(WEIGHTS) == reg.LOADED
        before = made.counts()
        assert host.load(WEIGHTS) == reg.LOADED  # there already
        assert made.counts() == before
        assert np.array_equal(host.run(residual, lengths), expected(LOADED, residual))


@pytest.mark.parametrize("timing", TIMINGS[:2])
def test_a_reset_at_any_time_leaves_nothing_open_and_the_next_run_is_right(timing: Timing) -> None:
    rng = np.random.default_rng(3)
    residual, lengths = sentences(rng, LOADED, 20)
    with board(LOADED, timing) as made:
        host = Host(made, LOADED)
        for cycles in [*range(12), *rng.integers(10, 3000, 12)]:
            assert host.load(WEIGHTS) == reg.LOADED
            host.prepare(residual, lengths)
            host.write(reg.CONTROL, reg.START)
            made.run(int(cycles))
            host.reset()
            assert made.counts()["open"] == 0
            host.free()
        assert host.load(WEIGHTS) == reg.LOADED
        assert np.array_equal(host.run(residual, lengths), expected(LOADED, residual))


def test_the_boards_reset_works_at_any_time(host: Host) -> None:
    rng = np.random.default_rng(4)
    residual, lengths = sentences(rng, PLAIN, 20)
    for cycles in rng.integers(1, 2000, 10):
        host.prepare(residual, lengths)
        host.write(reg.CONTROL, reg.START)
        host.board.run(int(cycles))
        host.board.reset()
        assert host.wait() == 0
        host.free()
        assert np.array_equal(host.run(residual, lengths), residual)


def test_a_start_while_busy_is_ignored(host: Host) -> None:
    residual, lengths = sentences(np.random.default_rng(5), PLAIN, 12)
    target = host.prepare(residual, lengths)
    host.write(reg.CONTROL, reg.START)
    for _ in range(3):
        host.write(reg.CONTROL, reg.START | reg.LOAD)
    assert host.wait() == reg.DONE
    target.invalidate()
    assert np.array_equal(target, residual)
    assert host.read(reg.SENTENCES_OUT) == 12


def test_counters_count_until_they_are_cleared(host: Host) -> None:
    residual, lengths = sentences(np.random.default_rng(6), PLAIN, 12)
    host.run(residual, lengths)
    cycles = host.read(reg.CYCLES)
    assert residual.size < cycles < 2 * residual.size  # one lane
    assert host.read(reg.CYCLES + 4) == 0
    assert host.read(reg.INPUT_STALLS) == 0
    host.prepare(residual, lengths)
    host.write(reg.CONTROL, reg.START)
    host.wait()
    host.free()
    assert abs(host.read(reg.CYCLES) - 2 * cycles) < 100
    assert host.read(reg.TOKENS_IN) == 2 * len(residual)
    host.board.set_timing(replace(FAST, write_share=0.01, depth=1))
    host.run(residual, lengths)
    assert host.read(reg.OUTPUT_STALLS) == 0  # it all fits into the buffer
    host.board.fail(0, 1 << 32)
    host.prepare(residual, lengths)
    host.write(reg.CONTROL, reg.START)
    host.wait()
    assert host.read(reg.LAST_ERROR_ADDRESS)
    host.write(reg.CONTROL, reg.CLEAR)
    assert not any(host.read(offset) for offset in range(reg.CYCLES, reg.LAST_ERROR_ADDRESS + 4, 4))


def test_stalls_are_counted() -> None:
    with board(LOADED) as made:
        host = Host(made, LOADED)
        host.load(WEIGHTS)
        residual, lengths = sentences(np.random.default_rng(6), LOADED, 30)
        host.run(residual, lengths)
        fast = [host.read(c) for c in (reg.CYCLES, reg.INPUT_STALLS, reg.OUTPUT_STALLS)]
        made.set_timing(replace(FAST, write_share=0.1))
        host.run(residual, lengths)
        slow = [host.read(c) for c in (reg.CYCLES, reg.INPUT_STALLS, reg.OUTPUT_STALLS)]
        assert slow[0] > 3 * fast[0] and slow[2] > slow[0] // 2
        assert slow[1] > slow[0] // 2 and slow[1] <= slow[0]


def test_a_hung_accelerator_is_busy_until_a_reset_that_finds_it_free(host: Host) -> None:
    residual, lengths = sentences(np.random.default_rng(8), PLAIN, 12)
    host.board.hang()
    host.prepare(residual, lengths)
    host.write(reg.CONTROL, reg.START)
    assert host.wait(50) == reg.BUSY
    assert host.read(reg.TOKENS_OUT) == 0
    host.reset()
    host.free()
    host.board.hang(False)
    assert np.array_equal(host.run(residual, lengths), residual)


def test_what_is_read_beyond_a_buffer_is_seen(host: Host) -> None:
    residual, lengths = sentences(np.random.default_rng(8), PLAIN, 12)
    host.prepare(residual, lengths)
    host.pointer(reg.IN_ADDRESS, host.buffers[0].device_address + 8)
    host.write(reg.CONTROL, reg.START)
    with pytest.raises(VirtualBoardError, match=r"a read at .* outside of every buffer"):
        host.wait()


def test_the_top_is_clean(tmp_path: Path) -> None:
    for shell in (PLAIN, LOADED):
        name = f"loop{shell.load_beats}"
        streams = {"s_axis_residual": 1, "s_axis_length": 1, "m_axis_residual": 0}
        streams |= {"s_axis_weights": 1} if shell.load_beats else {}
        bits = {
            "residual": shell.in_lanes * shell.word_bits,
            "length": shell.length_bits,
            "weights": 72,
        }
        lines = ["    input wire logic clk,", "    input wire logic rst_n"]
        for stream, into in streams.items():
            width = bits[stream.split("_")[2]]
            data, ready = ("input", "output") if into else ("output", "input")
            lines[-1] += ","
            lines += [f"    {data} wire logic [{width - 1}:0] {stream}_tdata,"]
            lines += [f"    {data} wire logic {stream}_tvalid,"]
            lines += [f"    {ready} wire logic {stream}_tready"]
        text = f"module {name} (\n" + "\n".join(lines) + "\n);\n"
        text = f"/* verilator lint_off UNUSEDSIGNAL */\n/* verilator lint_off UNDRIVEN */\n{text}"
        folder = tmp_path / name
        folder.mkdir()
        rtl = Path("hw/rtl").resolve()
        for path in [*rtl.glob("shell*.sv"), *rtl.glob("axi_*.sv"), *rtl.glob("s*_*.sv")]:
            (folder / path.name).write_text(path.read_text())
        for extra in ("width_converter", "beat_counter", "two_port_ram"):
            (folder / f"{extra}.sv").write_text((rtl / f"{extra}.sv").read_text())
        (folder / f"{name}.sv").write_text(f"{text}endmodule\n")
        (folder / f"{name}_board.sv").write_text(board_top(shell, name))
        assert lint(f"{name}_board", {}, folder) == ""
