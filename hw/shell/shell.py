"""Parameters of the shell and the format of what lies in memory (docs/shell.md)."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.design import Design
from hw.errors import ParameterError
from hw.kernels.checks import divides, in_range
from hw.kernels.kernel import StreamPort
from hw.kernels.mvu import BinaryMvu

ZERO_HASH = "0" * 64
BUS_BYTES = 8  # of a word of the memory bus
WEIGHT_BITS = 72  # used of a slot
WEIGHT_BYTES = 16  # a slot of a weight beat in memory
AXI3_BURST = 16  # longest burst of a Zynq-7000's ports
MAX_LOAD_BEATS = (1 << 28) - 1


@dataclass(frozen=True)
class Shell:
    """`shell`: registers and DMA around an accelerator.

    Attributes:
        max_tokens: longest sentence.
        hidden: channels of a token; a token must fill whole words of 8 bytes.
        word_bits: W, bits of a channel.
        in_lanes: channels of a beat of the accelerator's input.
        out_lanes: channels of a beat of its output.
        load_beats: beats of its weights, 0 if it needs none.
        model_hash: SHA-256 of the model, in hexadecimal.
        clock_khz: clock, for the host to know.
        address_bits: of a memory address.
        max_burst: beats of a burst; 16 for the AXI3 ports of a Zynq-7000.
        buffer_words: words of 8 bytes that the buffer of each DMA holds.
        outstanding: bursts under way at once, each way.
        max_sentences: sentences that may be in the accelerator at once.
    """

    max_tokens: int
    hidden: int
    word_bits: int
    in_lanes: int = 1
    out_lanes: int = 1
    load_beats: int = 0
    model_hash: str = ZERO_HASH
    clock_khz: int = 100_000
    address_bits: int = 32
    max_burst: int = 256
    buffer_words: int = 512
    outstanding: int = 8
    max_sentences: int = 64

    def __post_init__(self) -> None:
        in_range("max_tokens", self.max_tokens, 1, (1 << 16) - 1)
        in_range("hidden", self.hidden, 1, 1 << 16)
        in_range("word_bits", self.word_bits, 1, 32)
        divides("in_lanes", self.in_lanes, "hidden", self.hidden)
        divides("out_lanes", self.out_lanes, "hidden", self.hidden)
        in_range("load_beats", self.load_beats, 0, MAX_LOAD_BEATS)
        in_range("clock_khz", self.clock_khz, 0, (1 << 32) - 1)
        in_range("address_bits", self.address_bits, 32, 64)
        in_range("max_burst", self.max_burst, 1, 256)
        in_range("buffer_words", self.buffer_words, max(3, self.max_burst), 1 << 16)
        in_range("outstanding", self.outstanding, 1, 64)
        in_range("max_sentences", self.max_sentences, 1, 1 << 16)
        if self.token_bytes % BUS_BYTES:
            raise ParameterError(
                f"hidden: expected tokens of whole words of {BUS_BYTES} bytes, got {self.hidden} "
                f"channels of {self.channel_bytes} bytes"
            )
        if not re.fullmatch("[0-9a-f]{64}", self.model_hash):
            raise ParameterError(
                f"model_hash: expected 64 digits in hexadecimal, got {self.model_hash!r}"
            )

    @classmethod
    def of_design(cls, design: Design, **fields: Any) -> "Shell":
        """The shell that fits a design.

        Args:
            design: has the streams residual and length, and perhaps weights.
            fields: what it doesn't tell or tells otherwise: `hidden`, `max_tokens`, `model_hash`,
                `clock_khz` are taken from its properties of the same names; `hidden` also from
                the kernel at its input.

        Raises:
            ParameterError: a stream is missing or has another form; unknown `hidden`.
        """
        streams = {port.name: port for port in design.ports}
        entry, leaving = _stream(design, "s_axis_residual"), _stream(design, "m_axis_residual")
        length = _stream(design, "s_axis_length")
        names = ("max_tokens", "hidden", "model_hash", "clock_khz")
        known = {name: design.properties[name] for name in names if name in design.properties}
        known.setdefault("hidden", _hidden(design))
        if "s_axis_weights" in streams:
            known["load_beats"] = load_beats(design)
        shell = cls(
            **{
                "word_bits": entry.bits,
                "in_lanes": entry.lanes,
                "out_lanes": leaving.lanes,
                **known,
                **fields,
            }
        )
        if entry.bits != leaving.bits:
            raise ParameterError(
                f"{design.name}: expected equal words in and out, got {entry.bits} and "
                f"{leaving.bits} bits"
            )
        if length.width != shell.length_bits:
            raise ParameterError(
                f"{design.name}: expected lengths of {shell.length_bits} bits, got {length.width}"
            )
        return shell

    @property
    def length_bits(self) -> int:
        """Bits of a sentence's length."""
        return self.max_tokens.bit_length()

    @property
    def channel_bytes(self) -> int:
        """Bytes of a channel in memory."""
        return 2 if self.word_bits <= 16 else 4

    @property
    def token_bytes(self) -> int:
        """Bytes of a token in memory."""
        return self.hidden * self.channel_bytes

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a channel in memory."""
        return np.dtype(f"<i{self.channel_bytes}")

    def parameters(self) -> dict[str, int]:
        """Parameters of the SystemVerilog module, without MODEL_HASH, which has 256 bits."""
        return {
            "ADDRESS_BITS": self.address_bits,
            "MAX_BURST": self.max_burst,
            "BUFFER_WORDS": self.buffer_words,
            "OUTSTANDING": self.outstanding,
            "MAX_SENTENCES": self.max_sentences,
            "MAX_TOKENS": self.max_tokens,
            "HIDDEN": self.hidden,
            "IN_LANES": self.in_lanes,
            "OUT_LANES": self.out_lanes,
            "WORD_BITS": self.word_bits,
            "LOAD_BEATS": self.load_beats,
            "CLOCK_KHZ": self.clock_khz,
        }

    def encode(self, residual: ArrayLike) -> NDArray[Any]:
        """Residuals as they lie in memory.

        Args:
            residual: (tokens, hidden) integers of word_bits bits.

        Raises:
            ParameterError: another shape, or a value that a word doesn't hold.
        """
        values = np.asarray(residual)
        half = 1 << (self.word_bits - 1)
        if values.ndim != 2 or values.shape[1] != self.hidden:
            raise ParameterError(
                f"residual: expected shape (tokens, {self.hidden}), got {values.shape}"
            )
        if values.size and not -half <= values.min() <= values.max() < half:
            raise ParameterError(
                f"residual: expected values of {self.word_bits} bits, got {values.min()} to "
                f"{values.max()}"
            )
        return values.astype(self.dtype)


def encode_weights(beats: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Beats of `s_axis_weights`, (beats, 9) bytes, as slots in memory: (beats, 16) bytes."""
    if beats.ndim != 2 or beats.shape[1] != WEIGHT_BITS // 8:
        raise ParameterError(
            f"weights: expected beats of {WEIGHT_BITS // 8} bytes, got shape {beats.shape}"
        )
    return np.pad(beats, ((0, 0), (0, WEIGHT_BYTES - beats.shape[1])))


def load_beats(design: Design) -> int:
    """Beats of `s_axis_weights` that a design wants after a reset."""
    mvus = [k for k in design.instances.values() if isinstance(k, BinaryMvu) and k.loadable]
    return sum(mvu.words * mvu.load_beats_per_word for mvu in mvus)


def _stream(design: Design, name: str) -> StreamPort:
    for port in design.ports:
        if port.name == name:
            return port
    raise ParameterError(f"{design.name}: expected a stream {name}, got none")


def _hidden(design: Design) -> int:
    """Channels of a token, of the kernel at the input of the design."""
    for connection in design.connections:
        if connection.source.port == "s_axis_residual" and not connection.source.instance:
            kernel = design.instances.get(connection.target.instance)
            hidden = getattr(kernel, "hidden", None)
            if isinstance(hidden, int):
                return hidden
    raise ParameterError(f"{design.name}: expected hidden, the channels of a token, got none")
