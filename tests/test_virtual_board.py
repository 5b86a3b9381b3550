"""The virtual board: what it offers like pynq, and the board's driver on a whole encoder."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebert.zoo import find, model_file
from hw.design import Design
from hw.integer_model import IntegerModel, load_integer_model
from hw.pynq.edgebert_board import registers as reg
from hw.pynq.edgebert_board.driver import Accelerator, Batch
from hw.pynq.edgebert_board.errors import BoardError
from hw.pynq.edgebert_board.package import Package
from hw.reference import float_product, run
from hw.shell.board import virtual_board
from hw.shell.shell import Shell, encode_weights
from hw.sim.accelerator import load_beats
from hw.sim.virtual_board import Timing, VirtualBoard, VirtualBoardError
from tests.board_packages import reference_encoder, small_package
from tests.designs import encoder_design, even_folding
from tests.models import random_integer_model, random_sentences
from tests.shells import Host, first_rows, loop_board, sentences
from tests.test_rtl_shell_board import PLAIN

MAX_TOKENS = 8
LENGTHS = [3, 8, 1, 5, 8, 2, 1, 7, 4]
SLOW = Timing(30, 60, 0.3, 0.3, 0.3, 4)


@pytest.fixture
def host() -> Iterator[Host]:
    with VirtualBoard(loop_board(PLAIN), max_burst=PLAIN.max_burst) as board:
        yield Host(board, PLAIN)


def test_memory_and_the_hosts_copy_differ_until_they_are_made_equal(host: Host) -> None:
    residual, lengths = sentences(np.random.default_rng(0), PLAIN, 6)
    target = host.prepare(residual, lengths)
    source = host.buffers[0]
    assert np.array_equal(source, residual)
    source[:] = -source
    host.write(reg.CONTROL, reg.START)
    assert host.wait() == reg.DONE
    assert not target.any()
    target.invalidate()
    assert np.array_equal(target, residual)  # of before the change, which nobody flushed


def test_buffers_have_pages_of_their_own_that_are_used_again(host: Host) -> None:
    board = host.board
    first, second = board.allocate((3, 5), np.int16), board.allocate(4097, np.uint8)
    third = board.allocate(1, "<u2")
    addresses = [buffer.device_address for buffer in (first, second, third)]
    assert [address % 4096 for address in addresses] == [0, 0, 0]
    assert addresses[1] - addresses[0] == 4096 and addresses[2] - addresses[1] == 8192
    second.freebuffer()
    second.freebuffer()
    assert board.allocate((8192,), np.uint8).device_address == addresses[1]
    for broken in (second, first[:2], first.copy()):
        with pytest.raises(VirtualBoardError, match="expected one that is allocated"):
            broken.flush()
    with pytest.raises(MemoryError, match="expected 134217728 bytes"):
        board.allocate(128 << 20, np.uint8)


def test_a_freed_buffer_must_not_be_touched(host: Host) -> None:
    residual, lengths = sentences(np.random.default_rng(0), PLAIN, 6)
    host.prepare(residual, lengths)
    host.buffers[2].freebuffer()
    host.write(reg.CONTROL, reg.START)
    with pytest.raises(VirtualBoardError, match=r"a write at .*, outside of every buffer"):
        host.wait()


def test_an_interrupted_request_ends_the_simulation_and_frees_what_is_left(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer, process = host.board.allocate(4), host.board._process

    def interrupted(stream: object, size: int) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(VirtualBoard, "_read", staticmethod(interrupted))
    with pytest.raises(KeyboardInterrupt):
        host.board.run(10)
    assert process.poll() is not None
    buffer.freebuffer()
    host.board.close()
    with pytest.raises(VirtualBoardError, match="expected an open one, got one that was closed"):
        host.board.run(1)


def test_time_passes_with_reads_and_faster_with_many_of_one_register(host: Host) -> None:
    cycles = []
    for _ in range(12):
        host.read(reg.STATUS)
        cycles.append(host.board.cycles)
    steps = np.diff(cycles)
    assert steps[0] < 100 and steps[-1] > 4000 and np.all(np.diff(steps) >= 0)
    host.read(reg.ID)
    before = host.board.cycles
    host.read(reg.STATUS)
    assert host.board.cycles - before < 100


def test_bandwidth_and_latency_are_as_asked_for(host: Host) -> None:
    residual, lengths = sentences(np.random.default_rng(0), PLAIN, 60)
    words = residual.size * 2 // 8
    cycles = {}
    for share in (1.0, 0.1):
        host.board.set_timing(Timing(read_share=share))
        host.run(residual, lengths)
        cycles[share] = host.read(reg.CYCLES)
    # One channel a cycle is a word in four.
    assert cycles[1.0] < 4.5 * words and 8 * words < cycles[0.1] < 13 * words
    host.board.set_timing(Timing(latency=5000))
    host.run(residual, lengths)
    assert 10_000 < host.read(reg.CYCLES) - cycles[1.0] < 20_000


def test_another_models_hash_can_be_shown() -> None:
    with VirtualBoard(loop_board(PLAIN), model_hash="ab" * 32) as board:
        assert [board.mmio.read(reg.MODEL_HASH + 4 * i) for i in range(8)] == [0xABABABAB] * 8
        assert board.mmio.read(reg.ID) == reg.ID_VALUE


def test_offsets_beyond_the_registers_are_refused(host: Host) -> None:
    for offset in (-4, 2, 4096):
        with pytest.raises(ValueError, match="offset: expected a multiple of 4 below 4096"):
            host.read(offset)
        with pytest.raises(ValueError, match="offset: expected a multiple of 4 below 4096"):
            host.write(offset, 0)


def test_a_closed_or_dead_board_says_so() -> None:
    board = VirtualBoard(loop_board(PLAIN))
    buffer = board.allocate(4)
    board.close()
    board.close()
    buffer.freebuffer()
    with pytest.raises(VirtualBoardError, match="expected an open one"):
        board.mmio.read(0)
    board = VirtualBoard(loop_board(PLAIN))
    board._process.send_signal(signal.SIGKILL)
    board._process.wait()
    with pytest.raises(VirtualBoardError, match="the simulation ended"):
        board.mmio.read(0)
    board.close()


def make(
    folder: Path, model: IntegerModel, loadable: bool = False
) -> tuple[Package, Design, Shell, bytes]:
    """A model's package and its board."""
    folding = {n: dict(fields) for n, fields in even_folding(model, MAX_TOKENS, 64).items()}
    if loadable:
        for name in ("layer0_query", "layer0_up", "layer0_down"):
            folding[name] |= {"loadable": True, "weight_memory": "ultra"}
    layers, depth = model.dimensions.layers, 2 * MAX_TOKENS * model.dimensions.hidden
    norms = ("attention_norm", "ffn_norm")
    names = [f"layer{i}_{norm}_residual_fifo" for i in range(layers) for norm in norms]
    depths = {name: {"depth": depth} for name in names}
    design = encoder_design(model, folding, MAX_TOKENS, depths)
    weights = encode_weights(load_beats(design, plain=False)).tobytes() if loadable else b""
    package = small_package(folder, model, max_tokens=MAX_TOKENS, weights=weights)
    return package, design, Shell.of_design(design, model_hash=package.board.model_hash), weights


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, ...]]:
    """Two layers."""
    model = random_integer_model()
    package, *rest = make(tmp_path_factory.mktemp("encoder"), model)
    with package:
        yield model, package, *rest


def batch(model: IntegerModel, seed: int, lengths: list[int] = LENGTHS) -> tuple[Batch, np.ndarray]:
    """Residuals of sentences, and what the encoder makes of them."""
    values = [run(model, *s, float_product) for s in random_sentences(seed, model, lengths)]
    last = f"layer.{model.dimensions.layers - 1}.ffn_norm.residual"
    given = np.concatenate([value["embedding.residual"] for value in values])
    return Batch(given, np.array(lengths)), np.concatenate([value[last] for value in values])


def open_driver(package: Package, board: VirtualBoard, **options: Any) -> Accelerator:
    content = package.content("weights.bin") if package.board.load_beats else b""
    return Accelerator(board, package.sizes, package.board, content, **options)


def test_the_boards_driver_gives_the_integers_of_the_reference(encoder: Any) -> None:
    model, package, design, shell, _ = encoder
    for timing in (Timing(), SLOW):
        board = virtual_board(design, shell, timing=timing, strict=True)
        with open_driver(package, board, buffer_bytes=16 * shell.token_bytes) as accelerator:
            for seed in range(3):
                given, wanted = batch(model, seed)
                assert np.array_equal(accelerator.run(given.residual, given.lengths), wanted)
                firsts = accelerator.run(given.residual, given.lengths, first_tokens=True)
                assert np.array_equal(firsts, wanted[first_rows(given.lengths)])
            assert accelerator.counters.sentences == 6 * len(LENGTHS)


def test_the_driver_loads_weights_before_it_computes(tmp_path: Path) -> None:
    model = random_integer_model(layers=1, attention="sps", seed=2)
    package, design, shell, weights = make(tmp_path, model, loadable=True)
    assert shell.load_beats * 16 == len(weights) > 0
    with package, open_driver(package, virtual_board(design, shell, timing=SLOW)) as accelerator:
        for seed in range(2):
            given, wanted = batch(model, seed)
            assert np.array_equal(accelerator.run(given.residual, given.lengths), wanted)


def test_the_driver_recovers_from_errors_of_memory_and_from_a_hang(encoder: Any) -> None:
    model, package, design, shell, _ = encoder
    given, wanted = batch(model, 0)
    board = virtual_board(design, shell)
    with open_driver(package, board, timeout_s=0.5) as accelerator:
        for kind, response, message in (
            ("read", "SLVERR", "the memory refused a read; STATUS READ_ERROR"),
            ("read", "DECERR", "the memory refused a read; STATUS READ_ERROR"),
            ("write", "SLVERR", "the memory refused a write; STATUS WRITE_ERROR"),
            ("write", "DECERR", "the memory refused a write; STATUS WRITE_ERROR"),
        ):
            board.fail(board._base, board._size, kind, response)
            with pytest.raises(BoardError, match=message):
                accelerator.run(given.residual, given.lengths)
            board.mend()
            assert np.array_equal(accelerator.run(given.residual, given.lengths), wanted)
        board.hang()
        with pytest.raises(BoardError, match=r"within 0\.5 s, got none; STATUS BUSY, TOKENS_IN"):
            accelerator.run(given.residual, given.lengths)
        board.hang(False)
        assert np.array_equal(accelerator.run(given.residual, given.lengths), wanted)
        assert board.counts()["open"] == 0


@pytest.mark.slow
def test_a_thousandth_call_of_the_driver_is_as_right_as_the_first(encoder: Any) -> None:
    model, package, design, shell, _ = encoder
    given = [batch(model, seed, [1, 2]) for seed in range(3)]
    board = virtual_board(design, shell)
    with open_driver(package, board) as accelerator:
        for call in range(1000):
            one, wanted = given[call % 3]
            got = accelerator.run(one.residual, one.lengths, first_tokens=True)
            assert np.array_equal(got, wanted[first_rows(one.lengths)])
        assert accelerator.counters.sentences == 2000
        assert board.counts()["open"] == 0


def test_a_board_starts_whatever_its_registers_hold_at_power_up(encoder: Any) -> None:
    _, _, design, shell, _ = encoder
    for seed in range(1, 33):
        with virtual_board(design, shell, seed=seed) as board:
            assert board.mmio.read(reg.STATUS) == 0


def test_the_driver_refuses_another_model(encoder: Any) -> None:
    _, package, design, shell, _ = encoder
    board = virtual_board(design, shell, model_hash="12" * 32)
    with pytest.raises(BoardError, match="expected the model"):
        open_driver(package, board)


def test_an_output_buffer_that_is_too_short_is_an_error_of_the_hardware(encoder: Any) -> None:
    model, _, design, shell, _ = encoder
    given, wanted = batch(model, 0)
    with virtual_board(design, shell) as board:
        host = Host(board, shell)
        host.prepare(given.residual, given.lengths, rows=len(wanted) - 1)
        host.write(reg.CONTROL, reg.START)
        assert host.wait() == reg.OVERFLOW
        host.free()
        host.reset()
        assert np.array_equal(host.run(given.residual, given.lengths), wanted)


def test_the_shell_of_a_design_is_what_the_design_says(encoder: Any) -> None:
    model, _, design, shell, _ = encoder
    found = (shell.max_tokens, shell.hidden, shell.word_bits, shell.load_beats)
    assert found == (MAX_TOKENS, model.dimensions.hidden, model.formats.word_bits, 0)
    assert Shell.of_design(design, clock_khz=5).clock_khz == 5
    named = replace(design, properties={**design.properties, "model_hash": "cd" * 32})
    assert Shell.of_design(named).model_hash == "cd" * 32


@pytest.mark.slow
def test_a_trained_model_on_the_virtual_board() -> None:
    model = load_integer_model(model_file(find("tiny-sst2")))
    tokens = model.dimensions.max_tokens
    names = [f"layer{i}_{n}_norm_residual_fifo" for i in range(2) for n in ("attention", "ffn")]
    depths = {name: {"depth": 1 << 15} for name in names}
    design = encoder_design(model, even_folding(model, tokens, 128), tokens, depths, "tiny")
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 60, 20)
    rows = rng.integers(-(1 << 13), 1 << 13, (int(lengths.sum()), model.dimensions.hidden))
    encode = reference_encoder(model)
    wanted = np.concatenate([encode(s) for s in np.split(rows, np.cumsum(lengths)[:-1])])
    shell = Shell.of_design(design, max_burst=16)
    with virtual_board(design, shell, timing=SLOW) as board:
        host = Host(board, shell)
        for _ in range(2):
            assert np.array_equal(host.run(rows, lengths), wanted)
