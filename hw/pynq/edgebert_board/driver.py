"""The driver of the accelerator: residuals of sentences in, residuals out.

It talks to a `Device`: a real board, or one that is simulated. Sentences lie back to back in a DMA
buffer, so that the accelerator never idles within a run; two pairs of buffers take turns, so that
the host prepares a run while another one computes.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import registers as reg
from .errors import BoardError
from .integer_host import Sizes
from .manifest import Board

Array = NDArray[Any]

BUFFER_BYTES = 1 << 20  # of residuals, a run
RUN_SENTENCES = 1024
TIMEOUT_S = 10.0
SPINS = 20  # reads of the status before the first sleep
LONGEST_SLEEP_S = 1e-3


class Mmio(Protocol):
    """The registers: 32-bit words at byte offsets."""

    def read(self, offset: int) -> int: ...
    def write(self, offset: int, value: int) -> None: ...


class Device(Protocol):
    """What pynq offers of a board. `allocate` gives an array that the board can address: with
    `device_address`, `flush()`, `invalidate()` and `freebuffer()`."""

    @property
    def mmio(self) -> Mmio: ...
    def allocate(self, shape: tuple[int, ...], dtype: Any) -> Any: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Batch:
    """Residuals (tokens, hidden) of sentences, one after the other, and their lengths."""

    residual: Array
    lengths: Array


@dataclass(frozen=True)
class Counters:
    """What the hardware counted; the sum of runs."""

    cycles: int = 0  # busy ones
    input_stalls: int = 0
    output_stalls: int = 0
    tokens: int = 0
    sentences: int = 0

    def __add__(self, other: "Counters") -> "Counters":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Counters(*(a + b for a, b in pairs))


class Accelerator:
    """An accelerator that computes the package's model. A context manager."""

    def __init__(
        self,
        device: Device,
        sizes: Sizes,
        board: Board,
        weights: bytes = b"",
        *,
        timeout_s: float = TIMEOUT_S,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        """Reset and check the accelerator, and load its weights if it wants any.

        Args:
            device: closed by `close`, and if this fails.
            sizes, board: of the package.
            weights: weights.bin; `board.load_beats` beats.
            timeout_s: a run that takes longer is an error.
            buffer_bytes: of residuals, a run; longer batches take several runs.

        Raises:
            BoardError: the accelerator isn't the package's, or doesn't answer.
        """
        self.sizes = sizes
        self.counters = Counters()  # of all runs
        self._device, self._mmio = device, device.mmio
        self._board, self._weights, self._timeout_s = board, weights, timeout_s
        self._dtype = np.dtype(f"<i{reg.word_bytes(sizes.word_bits)}")
        self._token_bytes = sizes.hidden * self._dtype.itemsize
        self._tokens = buffer_bytes // self._token_bytes
        self._slots: list[_Slot] = []
        self._turn = threading.Lock()
        self._ready = False  # reset, its weights loaded
        self._running = False  # its DMA may be at work
        self._closed = False
        try:
            if self._tokens < sizes.max_tokens:
                least = sizes.max_tokens * self._token_bytes
                raise BoardError(f"buffer_bytes: expected at least {least}, got {buffer_bytes}")
            if len(weights) != board.load_beats * reg.WEIGHT_BEAT_BYTES:
                raise BoardError(
                    f"weights: expected {board.load_beats} beats of {reg.WEIGHT_BEAT_BYTES} bytes, "
                    f"got {len(weights)} bytes"
                )
            self._check_identity()
            self._reset()
            self._load_weights()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Accelerator":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the accelerator, free the buffers and the device. Twice does no harm."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._running:
                self._reset()
        except BoardError:
            pass  # nothing more can be done
        finally:
            try:
                self._free()
            finally:
                self._device.close()

    @property
    def clock_hz(self) -> int:
        """Clock of the accelerator, as its registers say."""
        return self._mmio.read(reg.CLOCK_KHZ) * 1000

    def run(self, residual: Array, lengths: Array, *, first_tokens: bool = False) -> Array:
        """Run sentences: residuals (T, H) to those after the last layer.

        Args:
            residual: `embedding.residual`, integers that fit the model's words.
            lengths: (S,), tokens of each sentence; their sum is T.
            first_tokens: give the first token of every sentence only.

        Returns:
            (T, H), or (S, H).

        Raises:
            BoardError: the arguments are wrong (nothing reached the hardware then), or the
                hardware failed. The next call works again after a failure that a reset mends.
        """
        parts = self.stream([Batch(residual, lengths)], first_tokens=first_tokens)
        return np.concatenate(list(parts))

    def stream(self, batches: Iterable[Batch], *, first_tokens: bool = False) -> Iterator[Array]:
        """As `run`, for batches that come one by one; yields the rows of one or several runs.

        While the accelerator computes, the next batch is fetched and the last result is used.
        """
        if self._closed:
            raise BoardError("accelerator: expected an open one, got one that was closed")
        if not self._turn.acquire(blocking=False):
            raise BoardError("accelerator: expected one call at a time, got another before its end")
        try:
            if not self._ready:
                self._reset()
                self._load_weights()
            yield from self._runs(batches, first_tokens)
        finally:
            try:
                if self._running:
                    self._recover()
            finally:
                self._turn.release()

    def _runs(self, batches: Iterable[Batch], first_tokens: bool) -> Iterator[Array]:
        running: _Run | None = None
        for number, batch in enumerate(self._split(batches)):
            prepared = self._prepare(number % 2, batch, first_tokens)
            result = None if running is None else self._finish(running)
            self._start(prepared)
            running = prepared
            if result is not None:
                yield result
        if running is not None:
            yield self._finish(running)

    def state(self) -> str:
        """The registers that tell what the accelerator is doing, in one line."""
        read = self._mmio.read
        return (
            f"STATUS {reg.status_text(read(reg.STATUS))}, TOKENS_IN {read(reg.TOKENS_IN)}, "
            f"TOKENS_OUT {read(reg.TOKENS_OUT)}, SENTENCES_OUT {read(reg.SENTENCES_OUT)}, "
            f"CYCLES {self._wide(reg.CYCLES)}, "
            f"LAST_ERROR_ADDRESS {read(reg.LAST_ERROR_ADDRESS):#010x}"
        )

    def _split(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Checked batches that fit the buffers, of whole sentences."""
        for batch in batches:
            residual, lengths = self._checked(batch)
            ends = np.cumsum(lengths, dtype=np.int64)
            start = token = 0
            while start < len(lengths):
                stop = int(np.searchsorted(ends, token + self._tokens, side="right"))
                stop = min(stop, start + RUN_SENTENCES)
                end = int(ends[stop - 1])
                yield Batch(residual[token:end], lengths[start:stop])
                start, token = stop, end

    def _checked(self, batch: Batch) -> tuple[Array, Array]:
        residual, lengths = np.asarray(batch.residual), np.asarray(batch.lengths)
        h, longest = self.sizes.hidden, self.sizes.max_tokens
        if residual.ndim != 2 or residual.shape[1] != h or residual.dtype.kind not in "iu":
            raise BoardError(
                f"residual: expected integers (tokens, {h}), got {residual.dtype} {residual.shape}"
            )
        if lengths.ndim != 1 or not len(lengths) or lengths.dtype.kind not in "iu":
            raise BoardError(
                f"lengths: expected one integer per sentence, got {lengths.dtype} {lengths.shape}"
            )
        if lengths.min() < 1 or lengths.max() > longest:
            raise BoardError(
                f"lengths: expected 1 to {longest} tokens in a sentence, "
                f"got {lengths.min()} to {lengths.max()}"
            )
        if int(lengths.sum()) != len(residual):
            raise BoardError(f"lengths: expected a sum of {len(residual)}, got {lengths.sum()}")
        half = 1 << (self.sizes.word_bits - 1)
        if residual.min() < -half or residual.max() >= half:
            raise BoardError(
                f"residual: expected integers of {self.sizes.word_bits} bits, "
                f"got {residual.min()} to {residual.max()}"
            )
        return residual, lengths

    def _prepare(self, number: int, batch: Batch, first_tokens: bool) -> "_Run":
        if number == len(self._slots):
            shape = (self._tokens, self.sizes.hidden)
            lengths = ((RUN_SENTENCES,), np.dtype("<u2"))
            residuals = (shape, self._dtype)
            self._slots.append(_Slot(self._device, [residuals, residuals, lengths]))
        slot = self._slots[number]
        inputs, _, lengths_in = slot.buffers
        tokens, sentences = len(batch.residual), len(batch.lengths)
        inputs[:tokens] = batch.residual
        lengths_in[:sentences] = batch.lengths
        inputs.flush()
        lengths_in.flush()
        return _Run(slot, tokens, sentences, first_tokens)

    def _start(self, run: "_Run") -> None:
        write = self._mmio.write
        inputs, outputs, lengths = run.slot.buffers
        self._write_address(reg.IN_ADDRESS, inputs)
        write(reg.IN_BYTES, run.tokens * self._token_bytes)
        self._write_address(reg.LENGTHS_ADDRESS, lengths)
        write(reg.SENTENCES, run.sentences)
        self._write_address(reg.OUT_ADDRESS, outputs)
        write(reg.OUT_BYTES, run.rows * self._token_bytes)
        write(reg.OUT_MODE, reg.FIRST_TOKENS if run.first_tokens else reg.ALL_TOKENS)
        write(reg.CONTROL, reg.CLEAR)
        self._running = True
        write(reg.CONTROL, reg.START)

    def _finish(self, run: "_Run") -> Array:
        self._wait(reg.DONE, f"a run of {run.sentences} sentences")
        read = self._mmio.read
        counts = read(reg.TOKENS_IN), read(reg.TOKENS_OUT), read(reg.SENTENCES_OUT)
        if counts != (run.tokens, run.rows, run.sentences):
            raise BoardError(
                f"accelerator: expected {run.tokens} tokens in, {run.rows} out and "
                f"{run.sentences} sentences, got {self.state()}"
            )
        stalls = self._wide(reg.INPUT_STALLS), self._wide(reg.OUTPUT_STALLS)
        self.counters += Counters(self._wide(reg.CYCLES), *stalls, run.tokens, run.sentences)
        self._running = False
        outputs = run.slot.buffers[1]
        outputs.invalidate()
        return np.array(outputs[: run.rows], self._dtype)

    def _wait(self, wanted: int, what: str) -> None:
        """Wait for BUSY to go and a bit of STATUS. Raises BoardError on error bits or timeout."""
        limit = time.monotonic() + self._timeout_s
        reads = 0
        while True:
            status = self._mmio.read(reg.STATUS)
            if status & reg.ERRORS and not status & reg.BUSY:
                raise BoardError(f"accelerator: {what} failed: {_reason(status)}; {self.state()}")
            if status & wanted == wanted and not status & reg.BUSY:
                return
            reads += 1
            if reads > SPINS:
                if time.monotonic() > limit:
                    raise BoardError(
                        f"accelerator: expected {what} within {self._timeout_s:g} s, got none; "
                        f"{self.state()}"
                    )
                time.sleep(min(LONGEST_SLEEP_S, 1e-5 * (reads - SPINS)))

    def _reset(self) -> None:
        """Stop whatever runs. Raises BoardError if that does not help."""
        self._ready = False
        self._mmio.write(reg.CONTROL, reg.RESET)
        limit = time.monotonic() + self._timeout_s
        while self._mmio.read(reg.STATUS) & (reg.BUSY | reg.DONE | reg.ERRORS):
            if time.monotonic() > limit:
                raise BoardError(
                    f"accelerator: expected RESET to work within {self._timeout_s:g} s, got "
                    f"{self.state()}; load the bitstream again"
                )
            time.sleep(LONGEST_SLEEP_S)
        self._running = False

    def _recover(self) -> None:
        """After an error or an interruption: stop the DMA, then free the buffers it used."""
        try:
            self._reset()
        except BoardError:
            return  # the DMA may still write, so the buffers stay; the next call tries again
        self._free()

    def _free(self) -> None:
        while self._slots:
            self._slots.pop().free()

    def _load_weights(self) -> None:
        if self._board.load_beats:
            slot = _Slot(self._device, [((len(self._weights),), np.uint8)])
            self._slots.append(slot)  # freed as those of a run are
            (buffer,) = slot.buffers
            buffer[:] = np.frombuffer(self._weights, np.uint8)
            buffer.flush()
            self._write_address(reg.LOAD_ADDRESS, buffer)
            self._running = True
            self._mmio.write(reg.CONTROL, reg.LOAD)
            self._wait(reg.LOADED, "loading the weights")
            self._running = False
            self._slots.remove(slot)
            slot.free()
        self._ready = True

    def _check_identity(self) -> None:
        read, sizes = self._mmio.read, self.sizes
        found = read(reg.ID), read(reg.VERSION)
        if found != (reg.ID_VALUE, reg.VERSION_VALUE):
            raise BoardError(
                f"accelerator: expected ID {reg.ID_VALUE:#x} and version {reg.VERSION_VALUE}, "
                f"got {found[0]:#x} and {found[1]}; is the package's bitstream loaded?"
            )
        words = [read(reg.MODEL_HASH + 4 * i) for i in range(reg.HASH_WORDS)]
        model_hash = "".join(f"{word:08x}" for word in words)
        if model_hash != self._board.model_hash:
            raise BoardError(
                f"accelerator: expected the model {self._board.model_hash[:16]}..., "
                f"got {model_hash[:16]}...; the bitstream belongs to another package"
            )
        for name, offset, expected in (
            ("MAX_TOKENS", reg.MAX_TOKENS, sizes.max_tokens),
            ("HIDDEN", reg.HIDDEN, sizes.hidden),
            ("WORD_BITS", reg.WORD_BITS, sizes.word_bits),
            ("LOAD_BEATS", reg.LOAD_BEATS, self._board.load_beats),
        ):
            if read(offset) != expected:
                raise BoardError(f"accelerator: expected {name} {expected}, got {read(offset)}")

    def _write_address(self, offset: int, buffer: Any) -> None:
        address = int(buffer.device_address)
        if address % reg.BUFFER_ALIGNMENT:
            raise BoardError(f"buffer: expected an address of 8 bytes' steps, got {address:#x}")
        self._mmio.write(offset, address & 0xFFFFFFFF)
        self._mmio.write(offset + 4, address >> 32)

    def _wide(self, offset: int) -> int:
        low = self._mmio.read(offset)
        return self._mmio.read(offset + 4) << 32 | low


class _Slot:
    """DMA buffers that come and go together: of a run, its inputs, outputs and lengths."""

    def __init__(self, device: Device, sizes: Sequence[tuple[tuple[int, ...], Any]]) -> None:
        """sizes: shape and type of each. A buffer is allocated whole or none is."""
        self.buffers: list[Any] = []
        try:
            for shape, dtype in sizes:
                self.buffers.append(device.allocate(shape, dtype))
        except (MemoryError, RuntimeError, OSError) as error:
            self.free()
            raise BoardError(
                f"buffer: expected {shape} of {dtype} in contiguous memory, got: {error}; "
                "end other programs that use it"
            ) from None
        except BaseException:
            self.free()
            raise

    def free(self) -> None:
        while self.buffers:
            self.buffers.pop().freebuffer()


@dataclass(frozen=True)
class _Run:
    slot: _Slot
    tokens: int
    sentences: int
    first_tokens: bool

    @property
    def rows(self) -> int:
        return self.sentences if self.first_tokens else self.tokens


def _reason(status: int) -> str:
    reasons = {
        reg.READ_ERROR: "the memory refused a read",
        reg.WRITE_ERROR: "the memory refused a write",
        reg.LENGTH_ERROR: "a sentence has no tokens or too many",
        reg.OVERFLOW: "the output buffer is too short",
    }
    return " and ".join(text for bit, text in reasons.items() if status & bit)
