"""The driver: right answers call after call, and one clear error for whatever goes wrong."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.pynq.edgebert_board import driver
from hw.pynq.edgebert_board import registers as reg
from hw.pynq.edgebert_board.classifier import Classifier
from hw.pynq.edgebert_board.driver import Accelerator, Batch, Counters
from hw.pynq.edgebert_board.errors import BoardError
from hw.pynq.edgebert_board.package import Package
from hw.pynq.edgebert_board.tokenizer import Encoding
from hw.reference import logits as reference_logits
from tests.board_model import CYCLES_PER_TOKEN, Encoder, Fault, ModelDevice
from tests.board_packages import model_device, reference_encoder, small_package
from tests.models import random_integer_model, random_sentences

MODEL = random_integer_model(max_tokens=16)
LOADING = random_integer_model(1, max_tokens=16, arithmetic={"word_bits": 16})
LENGTHS = [3, 1, 16, 7, 16, 2, 9, 4]
FAST = {"timeout_s": 0.05}
TIGHT = {**FAST, "buffer_bytes": 16 * 32 * 4}  # of one longest sentence: runs of few sentences

Make = Callable[..., tuple[ModelDevice, Accelerator]]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Package]:
    with small_package(tmp_path_factory.mktemp("plain"), MODEL) as package:
        yield package


@pytest.fixture(scope="module")
def loading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Package]:
    """A package whose accelerator loads its weights, with words of two bytes."""
    weights = bytes(range(256)) * 2
    with small_package(tmp_path_factory.mktemp("load"), LOADING, weights=weights) as package:
        yield package


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return reference_encoder(MODEL)


@pytest.fixture
def make(package: Package, encoder: Encoder) -> Make:
    def made(settings: dict[str, Any] = FAST, **device: Any) -> tuple[ModelDevice, Accelerator]:
        board = model_device(package, encoder, **device)
        return board, Accelerator(board, package.sizes, package.board, **settings)

    return made


def batch(seed: int = 0, lengths: list[int] = LENGTHS, bits: int = 18) -> Batch:
    half = 1 << (bits - 1)
    rng = np.random.default_rng(seed)
    residual = np.clip(rng.normal(0, 4000, (sum(lengths), 32)), -half, half - 1).astype(np.int64)
    residual[0, 0], residual[0, 1] = half - 1, -half
    return Batch(residual, np.array(lengths))


def expected_rows(encoder: Encoder, given: Batch, first_tokens: bool) -> np.ndarray:
    parts = np.split(given.residual, np.cumsum(given.lengths)[:-1])
    rows = [encoder(part) for part in parts]
    return np.concatenate([row[:1] if first_tokens else row for row in rows])


def check(accelerator: Accelerator, encoder: Encoder, seed: int = 0) -> None:
    """The accelerator gives the right answer."""
    given = batch(seed)
    for first_tokens in (False, True):
        got = accelerator.run(given.residual, given.lengths, first_tokens=first_tokens)
        assert np.array_equal(got, expected_rows(encoder, given, first_tokens))


@pytest.mark.parametrize("settings", [FAST, TIGHT])
@pytest.mark.parametrize("first_tokens", [False, True])
def test_rows_are_those_of_the_reference(
    make: Make, encoder: Encoder, settings: dict[str, Any], first_tokens: bool
) -> None:
    board, accelerator = make(settings)
    given = batch()
    with accelerator:
        got = accelerator.run(given.residual, given.lengths, first_tokens=first_tokens)
        assert np.array_equal(got, expected_rows(encoder, given, first_tokens))
        assert accelerator.counters == Counters(58 * CYCLES_PER_TOKEN, 58, 0, 58, 8)
        assert accelerator.clock_hz == 100_000_000
        assert board.runs == (1 if settings is FAST else 5)
    assert board.closed and not board.memory


def test_counters_have_64_bits(make: Make) -> None:
    _, accelerator = make()
    given = batch(0, [2] * 7)  # the board adds a long time to runs of seven sentences
    with accelerator:
        accelerator.run(given.residual, given.lengths)
        accelerator.run(given.residual, given.lengths)
    assert accelerator.counters.cycles == 2 * ((5 << 32) + 14 * CYCLES_PER_TOKEN)


def test_runs_are_whole_sentences_that_fit(make: Make) -> None:
    board, accelerator = make(TIGHT)
    given = batch()
    with accelerator:
        list(accelerator.stream([given]))
    sizes = [value // (32 * 4) for offset, value in board.writes if offset == reg.IN_BYTES]
    assert sizes == [4, 16, 7, 16, 15]
    counts = [value for offset, value in board.writes if offset == reg.SENTENCES]
    assert counts == [2, 1, 1, 1, 3]


def test_runs_have_a_limit_of_sentences(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "RUN_SENTENCES", 3)
    board, accelerator = make()
    with accelerator:
        list(accelerator.stream([batch()]))
    assert [v for o, v in board.writes if o == reg.SENTENCES] == [3, 3, 2]


def test_the_host_prepares_while_the_accelerator_computes(make: Make) -> None:
    board, accelerator = make()
    busy = []

    def batches() -> Iterator[Batch]:
        for seed in range(4):
            busy.append(bool(board.status & reg.BUSY))
            yield batch(seed)

    with accelerator:
        for number, _ in enumerate(accelerator.stream(batches())):
            # the next run is on its way while a result is used
            assert bool(board.status & reg.BUSY) == (number < 3)
    assert busy == [False, True, True, True]


def test_a_thousand_calls_give_the_right_answer(make: Make, encoder: Encoder) -> None:
    board, accelerator = make({**TIGHT, "timeout_s": 5.0})
    given = [batch(seed, [3, 16, 1]) for seed in range(3)]
    wanted = [expected_rows(encoder, b, True) for b in given]
    with accelerator:
        for call in range(1000):
            b = given[call % 3]
            got = accelerator.run(b.residual, b.lengths, first_tokens=True)
            assert np.array_equal(got, wanted[call % 3])
            assert len(board.memory) <= 6  # no buffer is lost
    assert accelerator.counters.sentences == 3000


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("read", "the memory refused a read; STATUS READ_ERROR"),
        ("write", "the memory refused a write; STATUS WRITE_ERROR"),
        ("length", "no tokens or too many; STATUS LENGTH_ERROR"),
        ("overflow", "output buffer is too short; STATUS OVERFLOW"),
        ("hang", "expected a run of . sentences within 0.05 s, got none; STATUS BUSY, TOKENS_IN"),
        ("lost", "expected 16 tokens in, 16 out and 1 sentences, got STATUS DONE"),
    ],
)
@pytest.mark.parametrize("run", [0, 1, 4])
def test_after_an_error_the_next_call_works(
    make: Make, encoder: Encoder, kind: str, message: str, run: int
) -> None:
    board, accelerator = make({**TIGHT, "buffer_bytes": 16 * 32 * 4}, faults=[Fault(kind, run)])
    given = batch(0, [16] * 5)
    with accelerator:
        with pytest.raises(BoardError, match=message) as caught:
            accelerator.run(given.residual, given.lengths)
        assert "\n" not in str(caught.value)
        assert not board.memory and not board.status & reg.BUSY
        check(accelerator, encoder)
    assert not board.memory and board.closed


@pytest.mark.parametrize("run", [0, 1])
def test_an_interruption_stops_the_hardware_and_frees_the_buffers(
    make: Make, encoder: Encoder, run: int
) -> None:
    board, accelerator = make(TIGHT, faults=[Fault("interrupt", run)])
    given = batch()
    with accelerator:
        with pytest.raises(KeyboardInterrupt):
            accelerator.run(given.residual, given.lengths)
        assert not board.memory and not board.status & reg.BUSY
        check(accelerator, encoder)
    board, accelerator = make(TIGHT, faults=[Fault("interrupt", run)])
    with pytest.raises(KeyboardInterrupt), accelerator:
        accelerator.run(given.residual, given.lengths)
    assert not board.memory and board.closed


def test_a_caller_that_leaves_stops_the_hardware(make: Make, encoder: Encoder) -> None:
    board, accelerator = make(TIGHT)
    with accelerator:
        stream = accelerator.stream([batch()])
        next(stream)
        assert board.status & reg.BUSY
        with pytest.raises(BoardError, match="one call at a time"):
            check(accelerator, encoder)
        stream.close()
        assert not board.status & reg.BUSY and not board.memory
        check(accelerator, encoder)


def test_a_failing_source_of_batches_stops_the_hardware(make: Make, encoder: Encoder) -> None:
    def batches() -> Iterator[Batch]:
        yield batch()
        raise OSError("the disk is gone")

    board, accelerator = make()
    with accelerator:
        with pytest.raises(OSError, match="the disk is gone"):
            list(accelerator.stream(batches()))
        assert not board.status & reg.BUSY and not board.memory
        check(accelerator, encoder)


def test_a_hang_that_no_reset_mends_says_so(make: Make) -> None:
    board, accelerator = make()
    given = batch()
    with accelerator:
        board.faults, board.reset_works = [Fault("hang", 0, forever=True)], False
        with pytest.raises(BoardError, match="expected a run of 8 sentences"):
            accelerator.run(given.residual, given.lengths)
        assert board.memory  # the DMA may still write there
        with pytest.raises(BoardError, match=r"expected RESET to work.*load the bitstream again"):
            accelerator.run(given.residual, given.lengths)
    assert board.closed and not board.memory


def test_a_board_left_busy_is_reset(package: Package, encoder: Encoder) -> None:
    board = model_device(package, encoder)
    board.status = reg.BUSY | reg.READ_ERROR
    with Accelerator(board, package.sizes, package.board, **FAST) as accelerator:
        check(accelerator, encoder)


@pytest.mark.parametrize("left", [0, 1, 2, 4])
def test_no_memory_left_loses_none(make: Make, encoder: Encoder, left: int) -> None:
    board, accelerator = make(TIGHT, allocations_left=left)
    given = batch()
    with accelerator:
        with pytest.raises(
            BoardError, match=r"buffer: expected .* in contiguous memory, got: no contig"
        ):
            accelerator.run(given.residual, given.lengths)
        assert len(board.memory) in (0, 3) and not board.status & reg.BUSY
        board.allocations_left = -1
        check(accelerator, encoder)
    assert not board.memory


def test_a_buffer_that_is_too_short_is_told(
    make: Make, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hardware reads and writes beyond the buffers that it was given."""
    board, accelerator = make()
    given = batch()
    with accelerator:
        for register, message in (
            (reg.IN_ADDRESS, "refused a read"),
            (reg.LENGTHS_ADDRESS, "refused a read"),
            (reg.OUT_ADDRESS, "refused a write"),
        ):
            write = board.write

            def spoiled(offset: int, value: int, wrong: int = register, write: Any = write) -> None:
                write(offset, value + (1 << 30) if offset == wrong else value)

            monkeypatch.setattr(board, "write", spoiled)
            with pytest.raises(BoardError, match=rf"{message}.*LAST_ERROR_ADDRESS 0x5"):
                accelerator.run(given.residual, given.lengths)
            monkeypatch.setattr(board, "write", write)
        check(accelerator, encoder)


def wrong_batches() -> list[tuple[Any, Any, str]]:
    good = batch(0, [3, 5])
    big, small = good.residual.copy(), good.residual.copy()
    big[4, 7], small[7, 31] = 1 << 17, -(1 << 17) - 1
    return [
        (good.residual, [3, 4], "expected a sum of 8, got 7"),
        (good.residual, [8, 0], "expected 1 to 16 tokens"),
        (good.residual, [9, -1], "expected 1 to 16 tokens"),
        (np.zeros((17, 32), int), [17], "expected 1 to 16 tokens in a sentence, got 17"),
        (good.residual, [], "expected one integer per sentence"),
        (good.residual, [[3, 5]], "expected one integer per sentence"),
        (good.residual, [3.0, 5.0], "expected one integer per sentence"),
        (good.residual[:, :31], [3, 5], r"expected integers \(tokens, 32\)"),
        (good.residual.astype(float), [3, 5], "expected integers"),
        (good.residual[0], [1], "expected integers"),
        (big, [3, 5], r"expected integers of 18 bits, got -131072 to 131072"),
        (small, [3, 5], "expected integers of 18 bits"),
        (good.residual.astype(object), [3, 5], "expected integers"),
    ]


@pytest.mark.parametrize(("residual", "lengths", "message"), wrong_batches())
def test_wrong_input_never_reaches_the_hardware(
    make: Make, encoder: Encoder, residual: Any, lengths: Any, message: str
) -> None:
    board, accelerator = make()
    with accelerator:
        before = len(board.writes)
        with pytest.raises(BoardError, match=message):
            accelerator.run(residual, lengths)
        assert len(board.writes) == before and board.runs == 0
        check(accelerator, encoder)


def test_a_closed_accelerator_says_so(make: Make) -> None:
    board, accelerator = make()
    accelerator.close()
    accelerator.close()
    assert board.closed
    with pytest.raises(BoardError, match="got one that was closed"):
        accelerator.run(batch().residual, batch().lengths)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_hash": "ab" * 32}, r"expected the model .*, got abababababababab\.\.\."),
        ({"max_tokens": 8}, "expected MAX_TOKENS 16, got 8"),
        ({"hidden": 64}, "expected HIDDEN 32, got 64"),
        ({"word_bits": 16}, "expected WORD_BITS 18, got 16"),
        ({"weights": bytes(160)}, "expected LOAD_BEATS 0, got 10"),
    ],
)
def test_another_accelerator_is_refused_untouched(
    package: Package, encoder: Encoder, change: dict[str, Any], message: str
) -> None:
    board = model_device(package, encoder, **change)
    with pytest.raises(BoardError, match=message):
        Accelerator(board, package.sizes, package.board, **FAST)
    assert not board.writes and board.closed


@pytest.mark.parametrize("offset", [reg.ID, reg.VERSION])
def test_what_is_no_accelerator_is_refused(package: Package, encoder: Encoder, offset: int) -> None:
    board = model_device(package, encoder)
    board.identity[offset] = 0xFFFFFFFF
    with pytest.raises(BoardError, match="expected ID 0x45444254 and version 1, got"):
        Accelerator(board, package.sizes, package.board, **FAST)
    assert not board.writes and board.closed


def test_a_buffer_below_a_sentence_is_refused(make: Make) -> None:
    with pytest.raises(BoardError, match="buffer_bytes: expected at least 2048, got 2047"):
        make({"buffer_bytes": 2047})


def test_a_crooked_address_is_refused(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    board, accelerator = make()
    board.next_address += 4
    with accelerator, pytest.raises(BoardError, match="expected an address of 8 bytes' steps"):
        accelerator.run(batch().residual, batch().lengths)


def test_addresses_may_have_40_bits(make: Make, encoder: Encoder) -> None:
    board, accelerator = make()
    board.next_address = 0x12_3456_7000
    with accelerator:
        check(accelerator, encoder)
    assert (reg.IN_ADDRESS + 4, 0x12) in board.writes


def test_weights_are_loaded_once_and_after_each_reset(loading: Package) -> None:
    encoder = reference_encoder(LOADING)
    board = model_device(loading, encoder)
    weights = loading.content("weights.bin")
    with Accelerator(board, loading.sizes, loading.board, weights, **FAST) as accelerator:
        assert board.loaded and not board.memory
        given = batch(0, LENGTHS, bits=16)
        for _ in range(2):
            got = accelerator.run(given.residual, given.lengths)
            assert np.array_equal(got, expected_rows(encoder, given, False))
        assert board.runs == 3
        board.faults = [Fault("read", 3)]
        with pytest.raises(BoardError, match="refused a read"):
            accelerator.run(given.residual, given.lengths)
        assert not board.loaded and not board.memory
        assert np.array_equal(accelerator.run(given.residual, given.lengths), got)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("read", "loading the weights failed: the memory refused a read"),
        ("hang", "expected loading the weights within 0.05 s, got none; STATUS BUSY"),
    ],
)
def test_weights_that_cannot_be_loaded(loading: Package, kind: str, message: str) -> None:
    board = model_device(loading, reference_encoder(LOADING), faults=[Fault(kind)])
    weights = loading.content("weights.bin")
    with pytest.raises(BoardError, match=message):
        Accelerator(board, loading.sizes, loading.board, weights, **FAST)
    assert board.closed and not board.memory
    board = model_device(loading, reference_encoder(LOADING))
    with pytest.raises(BoardError, match="expected 32 beats of 16 bytes, got 496 bytes"):
        Accelerator(board, loading.sizes, loading.board, weights[:-16], **FAST)
    assert board.closed and not board.writes


def test_logits_are_those_of_the_reference(package: Package, encoder: Encoder) -> None:
    sentences = random_sentences(3, MODEL, [1, 16, 5, 9, 16, 2] * 60)
    given = [Encoding(ids, types, False) for ids, types in sentences]
    done: list[int] = []
    board = model_device(package, encoder)
    with Classifier(package, board, **FAST) as classifier:
        got = classifier.logits(given, done.append)
        assert classifier.logits([]).shape == (0, 2)
        assert classifier.tensors([], "") == []
    expected = [reference_logits(MODEL, *sentence) for sentence in sentences]
    assert np.array_equal(got, expected) and got.dtype == np.int64
    assert done[-1] == len(given) and done == sorted(done)


@pytest.mark.parametrize(
    ("ids", "types", "message"),
    [
        ([50], [0], "token ids: expected 0 to 49, got 50"),
        ([-1], [0], "token ids: expected 0 to 49, got -1"),
        ([1], [2], "token types: expected 0 to 1, got 2"),
        ([], [], "expected 1 to 16 tokens"),
        ([1] * 17, [0] * 17, "expected 1 to 16 tokens and as many types, got 17"),
        ([1, 2], [0], "as many types, got 2 and 1"),
    ],
)
def test_wrong_sentences_never_reach_the_hardware(
    package: Package, encoder: Encoder, ids: list[int], types: list[int], message: str
) -> None:
    board = model_device(package, encoder)
    with Classifier(package, board, **FAST) as classifier:
        sentence = Encoding(ids, types, False)
        for call in (classifier.logits, lambda rows: classifier.tensors(rows, "")):
            with pytest.raises(BoardError, match=message):
                call([sentence])
        assert board.runs == 0


def test_a_damaged_package_frees_the_device(
    package: Package, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = model_device(package, encoder)
    monkeypatch.setattr(Package, "host", property(lambda self: self.content("none.npz")))
    with pytest.raises(BoardError, match=r"expected none\.npz in the package"):
        Classifier(package, board, **FAST)
    assert board.closed
