"""Residual to bits: a threshold per channel for each of up to three consumers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hw.errors import ParameterError
from hw.integer_model import IntegerModel, Tensor
from hw.kernels.checks import divides, holds, in_range, one_of, signed_bits
from hw.kernels.kernel import StreamPort
from hw.kernels.memory import MemoryShapes, memory_text
from hw.kernels.stream import RAM_STYLES

MAX_STREAMS = 3
MAX_HIDDEN = 4096
WORD_BITS = (8, 20)  # of the residual stream
CONSUMERS = ("query", "key", "value")


@dataclass(frozen=True)
class ChannelThreshold:
    """`channel_threshold`: the residual itself, and `residual >= threshold` for its consumers.

    Attributes:
        hidden: channels of a token, 4 to 4096.
        lanes: channels of a beat, a divisor of hidden.
        word_bits: W, bits of the residual, 8 to 20.
        bit_streams: consumers, 0 to 3.
        threshold_bits: bits of a threshold, up to W + 1.
        threshold_style: memory of the thresholds, one of RAM_STYLES.
        threshold_file: its name.
    """

    module: ClassVar[str] = "channel_threshold"

    hidden: int
    lanes: int = 1
    word_bits: int = 18
    bit_streams: int = 1
    threshold_bits: int = 19
    threshold_style: str = "block"
    threshold_file: str = "thresholds.hex"

    def __post_init__(self) -> None:
        in_range("hidden", self.hidden, 4, MAX_HIDDEN)
        divides("lanes", self.lanes, "hidden", self.hidden)
        in_range("word_bits", self.word_bits, *WORD_BITS)
        in_range("bit_streams", self.bit_streams, 0, MAX_STREAMS)
        in_range("threshold_bits", self.threshold_bits, 1, self.word_bits + 1)
        one_of("threshold_style", self.threshold_style, RAM_STYLES)

    def parameters(self) -> dict[str, int | str]:
        """Parameters of the SystemVerilog module."""
        return {
            "HIDDEN": self.hidden,
            "LANES": self.lanes,
            "WORD_BITS": self.word_bits,
            "BIT_STREAMS": self.bit_streams,
            "THRESHOLD_BITS": self.threshold_bits,
            "THRESHOLD_STYLE": RAM_STYLES.index(self.threshold_style),
            "THRESHOLD_FILE": self.threshold_file,
        }

    def streams(self) -> tuple[StreamPort, ...]:
        """Its streams, those that enter first."""
        bits = (
            StreamPort(f"m_axis_bits{i}", self.lanes, used=i < self.bit_streams)
            for i in range(MAX_STREAMS)
        )
        return (
            StreamPort("s_axis", self.lanes, self.word_bits),
            StreamPort("m_axis_residual", self.lanes, self.word_bits),
            *bits,
        )

    def memories(self, thresholds: Sequence[Tensor]) -> dict[str, str]:
        """Memory files.

        Args:
            thresholds: `input_threshold` (hidden,) of every consumer, in [-2^(W-1), 2^(W-1)];
                the highest value is that of a channel that is never 1.

        Raises:
            ParameterError: another number of them, or values that threshold_bits can't hold.
        """
        if len(thresholds) != self.bit_streams:
            raise ParameterError(
                f"thresholds: expected {self.bit_streams} (bit_streams), got {len(thresholds)}"
            )
        if not thresholds:
            return {}
        for threshold in thresholds:
            check_channels("threshold", threshold, self.hidden)
        low, high = value_range(thresholds)
        half = 1 << (self.word_bits - 1)
        in_range("threshold", low, -half, half)
        in_range("threshold", high, -half, half)
        holds("threshold_bits", self.threshold_bits, low, high)
        # (beats, consumers * lanes)
        fields = np.concatenate([t.reshape(-1, self.lanes) for t in thresholds], axis=1)
        lanes = self.bit_streams * self.lanes
        return {self.threshold_file: memory_text(fields, self.threshold_bits, lanes)}

    def memory_shapes(self) -> MemoryShapes:
        """Words and bits of each memory file."""
        bits = self.bit_streams * self.lanes * self.threshold_bits
        return {self.threshold_file: (self.beats, bits)} if self.bit_streams else {}

    @property
    def beats(self) -> int:
        """Beats of a token."""
        return self.hidden // self.lanes

    def interval(self) -> int:
        """Cycles per token."""
        return self.beats

    def latency(self) -> int:
        """Cycles from a beat's arrival to its offer."""
        return 2


def model_thresholds(model: IntegerModel, layer: int) -> list[Tensor]:
    """Thresholds with which layer `layer` binarizes its input: none behind the last layer."""
    if layer >= model.dimensions.layers:
        return []
    return [model[f"layer.{layer}.{name}.input_threshold"] for name in CONSUMERS]


def input_threshold(
    model: IntegerModel, lanes: int = 1, threshold_style: str = "block"
) -> tuple[ChannelThreshold, dict[str, str]]:
    """The kernel in front of layer 0, and its memory files."""
    thresholds = model_thresholds(model, 0)
    kernel = ChannelThreshold(
        hidden=model.dimensions.hidden,
        lanes=lanes,
        word_bits=model.formats.word_bits,
        bit_streams=len(thresholds),
        threshold_bits=signed_bits(*value_range(thresholds)),
        threshold_style=threshold_style,
    )
    return kernel, kernel.memories(thresholds)


def value_range(tensors: Sequence[Tensor]) -> tuple[int, int]:
    """Smallest and largest value of some tensors; 0 and 0 of none."""
    low = min((int(tensor.min()) for tensor in tensors), default=0)
    high = max((int(tensor.max()) for tensor in tensors), default=0)
    return low, high


def check_channels(name: str, values: Tensor, hidden: int) -> None:
    """Raise ParameterError unless there is an integer for each channel."""
    if values.shape != (hidden,) or values.dtype.kind != "i":
        raise ParameterError(
            f"{name}: expected integers of shape ({hidden},), got {values.dtype} {values.shape}"
        )
