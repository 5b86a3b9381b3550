"""A board in software: the register map, DMA and caches of the real one, and faults to inject.

Needs no more than the board's runtime, so that it runs under every Python that boards have.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.pynq.edgebert_board import registers as reg

Integers = NDArray[np.int64]
Encoder = Callable[[Integers], Integers]  # residual (N, H) of a sentence, before and after

FIRST_ADDRESS = 0x1000_0000
POLLS = 3  # reads of STATUS until a run is done
CYCLES_PER_TOKEN = 100


@dataclass
class Fault:
    """What goes wrong, in which run (counted from 0 by START and LOAD), and for how long.

    kind: read | write (a DMA error), length, overflow, hang, lost (fewer tokens come out),
    flip (one integer of the output is wrong), interrupt (a KeyboardInterrupt while waiting).
    """

    kind: str
    run: int = 0
    forever: bool = False


class Buffer(np.ndarray):  # type: ignore[type-arg]
    """Memory that the board sees only what was flushed of, and fills until it is invalidated."""

    device_address: int
    board: "ModelDevice"

    def flush(self) -> None:
        self.board.memory[self.device_address][:] = self.tobytes()

    def invalidate(self) -> None:
        content = np.frombuffer(bytes(self.board.memory[self.device_address]), self.dtype)
        self[...] = content.reshape(self.shape)

    def freebuffer(self) -> None:
        del self.board.memory[self.device_address]  # a second time is a KeyError


class BusError(Exception):
    """An address that no buffer has."""


@dataclass
class ModelDevice:
    """The device of `edgebert_board`, computing with a function of one sentence."""

    encoder: Encoder
    model_hash: str
    hidden: int
    word_bits: int
    max_tokens: int
    weights: bytes = b""  # what has to be loaded
    clock_khz: int = 100_000
    faults: list[Fault] = field(default_factory=list)
    reset_works: bool = True
    allocations_left: int = -1  # before none is left; -1: no end

    def __post_init__(self) -> None:
        self.memory: dict[int, bytearray] = {}
        self.next_address = FIRST_ADDRESS
        self.values: dict[int, int] = {}
        self.status = self.polls = self.runs = self.held = 0
        self.loading = self.loaded = self.closed = False
        self.writes: list[tuple[int, int]] = []
        self.identity = {
            reg.ID: reg.ID_VALUE,
            reg.VERSION: reg.VERSION_VALUE,
            reg.MAX_TOKENS: self.max_tokens,
            reg.HIDDEN: self.hidden,
            reg.WORD_BITS: self.word_bits,
            reg.LOAD_BEATS: len(self.weights) // reg.WEIGHT_BEAT_BYTES,
            reg.CLOCK_KHZ: self.clock_khz,
        }
        for i in range(reg.HASH_WORDS):
            self.identity[reg.MODEL_HASH + 4 * i] = int(self.model_hash[8 * i : 8 * i + 8], 16)

    @property
    def mmio(self) -> "ModelDevice":
        return self

    def close(self) -> None:
        self.closed = True

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> Buffer:
        if self.allocations_left == 0:
            raise MemoryError("no contiguous memory left")
        self.allocations_left -= 1
        buffer = np.zeros(shape, dtype).view(Buffer)
        buffer.device_address, buffer.board = self.next_address, self
        self.memory[self.next_address] = bytearray(b"\xa5" * buffer.nbytes)
        self.next_address += -(-buffer.nbytes // 4096) * 4096 + 4096
        return buffer

    def read(self, offset: int) -> int:
        assert offset % 4 == 0 and 0 <= offset < reg.ADDRESS_SPACE
        assert not self.closed
        if offset == reg.STATUS:
            return self._read_status()
        if offset in self.identity:
            return self.identity[offset]
        if offset in (reg.CYCLES, reg.INPUT_STALLS, reg.OUTPUT_STALLS):
            self.held = self.values.get(offset, 0) >> 32
            return self.values.get(offset, 0) & 0xFFFFFFFF
        if offset - 4 in (reg.CYCLES, reg.INPUT_STALLS, reg.OUTPUT_STALLS):
            return self.held
        return self.values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        assert offset % 4 == 0 and 0 <= offset < reg.ADDRESS_SPACE and 0 <= value < 1 << 32
        assert not self.closed
        self.writes.append((offset, value))
        if offset != reg.CONTROL:
            assert not self.status & reg.BUSY, "a register was written in mid-run"
            self.values[offset] = value
            return
        if value & reg.RESET and self.reset_works:
            self.status, self.loaded = 0, False
        if value & reg.CLEAR:
            for counter in range(reg.CYCLES, reg.LAST_ERROR_ADDRESS, 4):
                self.values.pop(counter, None)
        if value & (reg.START | reg.LOAD) and not self.status & reg.BUSY:
            assert value & reg.LOAD or self.loaded or not self.weights, "no weights are loaded"
            self.status = (self.status & reg.LOADED) | reg.BUSY
            self.loading, self.polls = bool(value & reg.LOAD), POLLS
            self.runs += 1

    def _read_status(self) -> int:
        if self.status & reg.BUSY:
            self.polls -= 1
            fault = self._fault()
            if fault == "interrupt":
                raise KeyboardInterrupt
            if self.polls <= 0 and fault != "hang":
                self.status &= ~reg.BUSY
                try:
                    self._complete(fault)
                except BusError as error:
                    self.values[reg.LAST_ERROR_ADDRESS] = int(str(error))
        return self.status | (reg.LOADED if self.loaded else 0)

    def _fault(self) -> str:
        for fault in self.faults:
            if fault.run == self.runs - 1 or (fault.forever and fault.run < self.runs):
                return fault.kind
        return ""

    def _complete(self, fault: str) -> None:
        errors = {
            "read": reg.READ_ERROR,
            "write": reg.WRITE_ERROR,
            "length": reg.LENGTH_ERROR,
            "overflow": reg.OVERFLOW,
        }
        if fault in errors:
            self.status |= errors[fault]
            return
        if self.loading:
            self.loaded = self._fetch(reg.LOAD_ADDRESS, len(self.weights)) == self.weights
            return
        lengths = np.frombuffer(
            self._fetch(reg.LENGTHS_ADDRESS, 2 * self.values[reg.SENTENCES]), "<u2"
        )
        if not len(lengths) or lengths.min() < 1 or lengths.max() > self.max_tokens:
            self.status |= reg.LENGTH_ERROR
            return
        dtype = f"<i{reg.word_bytes(self.word_bits)}"
        words = np.frombuffer(self._fetch(reg.IN_ADDRESS, self.values[reg.IN_BYTES]), dtype)
        residual = words.reshape(-1, self.hidden).astype(np.int64)
        if len(residual) < lengths.sum():
            return  # it waits for more; the driver's timeout ends that
        parts = np.split(residual, np.cumsum(lengths)[:-1])
        rows = [self.encoder(part) for part in parts]
        if self.values[reg.OUT_MODE] == reg.FIRST_TOKENS:
            rows = [row[:1] for row in rows]
        out = np.concatenate(rows).astype(dtype)
        if out.nbytes > self.values[reg.OUT_BYTES]:
            self.status |= reg.OVERFLOW
            return
        if fault == "flip":
            out[-1, 0] ^= 1
        self._store(reg.OUT_ADDRESS, out.tobytes())
        self._count(int(lengths.sum()), len(out) - (fault == "lost"), len(lengths))
        self.status |= reg.DONE

    def _count(self, tokens_in: int, tokens_out: int, sentences: int) -> None:
        cycles = self.values.get(reg.CYCLES, 0) + tokens_in * CYCLES_PER_TOKEN
        self.values[reg.CYCLES] = cycles + (5 << 32 if sentences == 7 else 0)  # a long count, too
        self.values[reg.INPUT_STALLS] = tokens_in
        self.values[reg.TOKENS_IN] = tokens_in
        self.values[reg.TOKENS_OUT] = tokens_out
        self.values[reg.SENTENCES_OUT] = sentences

    def _fetch(self, register: int, size: int) -> bytes:
        memory, start = self._buffer(register, size, reg.READ_ERROR)
        return bytes(memory[start : start + size])

    def _store(self, register: int, content: bytes) -> None:
        memory, start = self._buffer(register, len(content), reg.WRITE_ERROR)
        memory[start : start + len(content)] = content

    def _buffer(self, register: int, size: int, error: int) -> tuple[bytearray, int]:
        address = self.values.get(register, 0) | self.values.get(register + 4, 0) << 32
        for first, memory in self.memory.items():
            if first <= address and address + size <= first + len(memory):
                return memory, address - first
        self.status |= error
        raise BusError(address)
