"""Add and LayerNorm: accumulators and residual to the next residual and its bits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hw.errors import ParameterError
from hw.integer_model import IntegerModel, Tensor
from hw.kernels.channel_threshold import (
    MAX_HIDDEN,
    ChannelThreshold,
    check_channels,
    model_thresholds,
    value_range,
)
from hw.kernels.checks import holds, in_range, one_of, signed_bits, unsigned_bits
from hw.kernels.kernel import StreamPort
from hw.kernels.memory import MemoryShapes, memory_text
from hw.kernels.stream import RAM_STYLES
from hw.layout import Formats

MIN_BEATS = 4  # of a token
MAX_BITS = 54  # of a bias, gamma or beta: the integer model bounds them by 2^52
NORMS = {"attention_norm": "output", "ffn_norm": "down"}  # and the matrix in front


@dataclass(frozen=True)
class NormTensors:
    """What an add + LayerNorm of the integer model is made of (docs/arithmetic.md).

    Attributes:
        multiplier, shift: M and n.
        bias, gamma, beta: (hidden,).
        rsqrt_table: (3 * 2^(b-2),).
        thresholds: `input_threshold` (hidden,) of every consumer of the result.
    """

    multiplier: int
    shift: int
    bias: Tensor
    gamma: Tensor
    beta: Tensor
    rsqrt_table: Tensor
    thresholds: Sequence[Tensor] = ()

    @classmethod
    def of_layer(cls, model: IntegerModel, layer: int, norm: str) -> "NormTensors":
        """Those of `attention_norm` or `ffn_norm` of a layer.

        The consumer of the former is the layer's first FFN matrix; of the latter the next layer's
        query, key and value, and none behind the last layer, whose residual the host takes.
        """
        one_of("norm", norm, tuple(NORMS))
        in_range("layer", layer, 0, model.dimensions.layers - 1)
        matrix = f"layer.{layer}.{NORMS[norm]}"
        inner = norm == "attention_norm"
        return cls(
            multiplier=int(model[f"{matrix}.multiplier"]),
            shift=int(model[f"{matrix}.shift"]),
            bias=model[f"{matrix}.bias"],
            gamma=model[f"layer.{layer}.{norm}.gamma"],
            beta=model[f"layer.{layer}.{norm}.beta"],
            rsqrt_table=model["rsqrt_table"],
            thresholds=[model[f"layer.{layer}.up.input_threshold"]]
            if inner
            else model_thresholds(model, layer + 1),
        )


@dataclass(frozen=True)
class AddNorm:
    """`add_norm`: requantize, add, normalize, binarize.

    Attributes:
        hidden: channels of a token, even, 8 to 4096.
        lanes: channels of a beat, a divisor of hidden that leaves 4 beats or more.
        accumulator_bits: bits of an accumulator.
        multiplier, shift: M (32 bits) and n (0 to 30) of the requantization.
        word_bits, fraction_bits, norm_fraction_bits, gamma_fraction_bits, rsqrt_index_bits:
            W (8 to 20), f, q (8 to 32), g (q + g >= f) and b (even, 4 to 16).
        bit_streams: consumers that need bits, 0 to 3.
        bias_bits, gamma_bits, beta_bits, threshold_bits: signed words; bias and beta with what
            `rounded` adds.
        rsqrt_bits: bits of an entry of the table, up to 16.
        buffer_style, bias_style, scale_style (gamma and beta), rsqrt_style, threshold_style:
            memories, of RAM_STYLES; the buffer is "distributed" or "block".
        prefix: of the names of the memory files.
    """

    module: ClassVar[str] = "add_norm"

    hidden: int
    accumulator_bits: int
    multiplier: int
    shift: int
    lanes: int = 1
    word_bits: int = 18
    fraction_bits: int = 12
    norm_fraction_bits: int = 20
    gamma_fraction_bits: int = 10
    rsqrt_index_bits: int = 10
    bit_streams: int = 1
    bias_bits: int = 24
    gamma_bits: int = 16
    beta_bits: int = 32
    rsqrt_bits: int = 15
    threshold_bits: int = 19
    buffer_style: str = "block"
    bias_style: str = "block"
    scale_style: str = "block"
    rsqrt_style: str = "block"
    threshold_style: str = "block"
    prefix: str = ""

    def __post_init__(self) -> None:
        in_range("hidden", self.hidden, 2 * MIN_BEATS, MAX_HIDDEN)
        if self.hidden % 2:
            raise ParameterError(f"hidden: expected an even number, got {self.hidden}")
        self.threshold()  # checks what they share
        if self.beats < MIN_BEATS:
            raise ParameterError(
                f"lanes: expected at most hidden / {MIN_BEATS} = {self.hidden // MIN_BEATS}, "
                f"got {self.lanes}"
            )
        in_range("accumulator_bits", self.accumulator_bits, 2, 32)
        in_range("multiplier", self.multiplier, -(1 << 31) + 1, (1 << 31) - 1)
        in_range("shift", self.shift, 0, 30)
        in_range("norm_fraction_bits", self.norm_fraction_bits, 8, 32)
        in_range("gamma_fraction_bits", self.gamma_fraction_bits, 0, 32)
        most = self.norm_fraction_bits + self.gamma_fraction_bits
        in_range("fraction_bits", self.fraction_bits, 0, most)
        one_of("rsqrt_index_bits", self.rsqrt_index_bits, tuple(range(4, 17, 2)))
        for name in ("bias_bits", "gamma_bits", "beta_bits"):
            in_range(name, getattr(self, name), 1, MAX_BITS)
        in_range("rsqrt_bits", self.rsqrt_bits, 3, 16)
        one_of("buffer_style", self.buffer_style, ("distributed", "block"))
        for name in ("bias_style", "scale_style", "rsqrt_style"):
            one_of(name, getattr(self, name), RAM_STYLES)

    @classmethod
    def for_tensors(
        cls,
        tensors: NormTensors,
        formats: Formats,
        accumulator_bits: int,
        lanes: int = 1,
        prefix: str = "",
    ) -> "AddNorm":
        """The kernel whose words are just wide enough for some tensors.

        Further attributes can be set with `dataclasses.replace`.
        """
        f = formats
        out_shift = f.norm_fraction_bits + f.gamma_fraction_bits - f.fraction_bits
        return cls(
            hidden=len(tensors.gamma),
            accumulator_bits=accumulator_bits,
            multiplier=tensors.multiplier,
            shift=tensors.shift,
            lanes=lanes,
            word_bits=f.word_bits,
            fraction_bits=f.fraction_bits,
            norm_fraction_bits=f.norm_fraction_bits,
            gamma_fraction_bits=f.gamma_fraction_bits,
            rsqrt_index_bits=f.rsqrt_index_bits,
            bit_streams=len(tensors.thresholds),
            bias_bits=signed_bits(*value_range([rounded(tensors.bias, tensors.shift)])),
            gamma_bits=signed_bits(*value_range([tensors.gamma])),
            beta_bits=signed_bits(*value_range([rounded(tensors.beta, out_shift)])),
            rsqrt_bits=unsigned_bits(int(tensors.rsqrt_table.max())),
            threshold_bits=signed_bits(*value_range(tensors.thresholds)),
            prefix=prefix,
        )

    @classmethod
    def of_layer(cls, model: IntegerModel, layer: int, norm: str, lanes: int = 1) -> "AddNorm":
        """The kernel of `attention_norm` or `ffn_norm` of a layer of a model."""
        inputs = model.dimensions.hidden if norm == "attention_norm" else model.dimensions.ffn
        return cls.for_tensors(
            NormTensors.of_layer(model, layer, norm),
            model.formats,
            accumulator_bits=signed_bits(-inputs, inputs),
            lanes=lanes,
            prefix=f"layer{layer}_{norm}_",
        )

    def threshold(self) -> ChannelThreshold:
        """The last part of the kernel."""
        return ChannelThreshold(
            hidden=self.hidden,
            lanes=self.lanes,
            word_bits=self.word_bits,
            bit_streams=self.bit_streams,
            threshold_bits=self.threshold_bits,
            threshold_style=self.threshold_style,
            threshold_file=f"{self.prefix}thresholds.hex",
        )

    def parameters(self) -> dict[str, int | str]:
        """Parameters of the SystemVerilog module."""
        return self.requantize_parameters() | self.norm_parameters() | self.threshold().parameters()

    def streams(self) -> tuple[StreamPort, ...]:
        """Its streams, those that enter first."""
        return (
            StreamPort("s_axis_accumulator", self.lanes, self.accumulator_bits),
            StreamPort("s_axis_residual", self.lanes, self.word_bits),
            *self.threshold().streams()[1:],
        )

    def requantize_parameters(self) -> dict[str, int | str]:
        """Parameters of its first part, `requantize`."""
        return {
            "HIDDEN": self.hidden,
            "LANES": self.lanes,
            "WORD_BITS": self.word_bits,
            "ACC_BITS": self.accumulator_bits,
            "MULTIPLIER": self.multiplier,
            "SHIFT": self.shift,
            "BIAS_BITS": self.bias_bits,
            "BIAS_STYLE": RAM_STYLES.index(self.bias_style),
            "BIAS_FILE": f"{self.prefix}bias.hex",
        }

    def norm_parameters(self) -> dict[str, int | str]:
        """Parameters of its second part, `layer_norm`."""
        return {
            "HIDDEN": self.hidden,
            "LANES": self.lanes,
            "WORD_BITS": self.word_bits,
            "FRACTION_BITS": self.fraction_bits,
            "NORM_FRACTION_BITS": self.norm_fraction_bits,
            "GAMMA_FRACTION_BITS": self.gamma_fraction_bits,
            "RSQRT_INDEX_BITS": self.rsqrt_index_bits,
            "GAMMA_BITS": self.gamma_bits,
            "BETA_BITS": self.beta_bits,
            "RSQRT_BITS": self.rsqrt_bits,
            "BUFFER_BLOCK": int(self.buffer_style == "block"),
            "SCALE_STYLE": RAM_STYLES.index(self.scale_style),
            "RSQRT_STYLE": RAM_STYLES.index(self.rsqrt_style),
            "GAMMA_FILE": f"{self.prefix}gamma.hex",
            "BETA_FILE": f"{self.prefix}beta.hex",
            "RSQRT_FILE": f"{self.prefix}rsqrt.hex",
        }

    def memories(self, tensors: NormTensors) -> dict[str, str]:
        """Memory files, by name.

        Raises:
            ParameterError: tensors of another shape, multiplier or shift, or values that the
                widths can't hold.
        """
        for name in ("multiplier", "shift"):
            one_of(f"tensors.{name}", getattr(tensors, name), (getattr(self, name),))
        files = self.threshold().memories(tensors.thresholds)
        constants = {
            "bias": (tensors.bias, self.shift, self.bias_bits),
            "gamma": (tensors.gamma, 0, self.gamma_bits),
            "beta": (tensors.beta, self.out_shift, self.beta_bits),
        }
        for name, (tensor, shift, bits) in constants.items():
            check_channels(name, tensor, self.hidden)
            values = rounded(tensor, shift)
            holds(f"{name}_bits", bits, *value_range([values]))
            words = values.reshape(-1, self.lanes)
            files[f"{self.prefix}{name}.hex"] = memory_text(words, bits, self.lanes)
        self._check_table(tensors.rsqrt_table)
        files[f"{self.prefix}rsqrt.hex"] = memory_text(tensors.rsqrt_table, self.rsqrt_bits)
        return files

    def memory_shapes(self) -> MemoryShapes:
        """Words and bits of each memory file."""
        bits = {"bias": self.bias_bits, "gamma": self.gamma_bits, "beta": self.beta_bits}
        return {
            **self.threshold().memory_shapes(),
            **{f"{self.prefix}{n}.hex": (self.beats, b * self.lanes) for n, b in bits.items()},
            f"{self.prefix}rsqrt.hex": (3 << (self.rsqrt_index_bits - 2), self.rsqrt_bits),
        }

    @property
    def beats(self) -> int:
        """Beats of a token."""
        return self.hidden // self.lanes

    @property
    def out_shift(self) -> int:
        """q + g - f."""
        return self.norm_fraction_bits + self.gamma_fraction_bits - self.fraction_bits

    @property
    def variance_bits(self) -> int:
        """Bits of the variance V < hidden * 2^(2W-2), made even."""
        bits = 2 * self.word_bits - 2 + (self.hidden - 1).bit_length()
        return bits + bits % 2

    def span(self) -> int:
        """Cycles from the last beat of a token in `layer_norm` to its reciprocal root."""
        moments = 3 if self.lanes == 1 else self.lanes + 3
        steps = (self.variance_bits - 2) // 8 + 3
        return moments + 7 + 2 * steps

    def interval(self) -> int:
        """Cycles per token: its beats, or what its statistics take if that is more."""
        return max(self.beats, self.span() + 4)

    def latency(self) -> int:
        """Cycles from the arrival of a token's last beat to the offer of its first result."""
        return 4 + self.span() + 12 + self.threshold().latency()

    def _check_table(self, table: Tensor) -> None:
        b = self.rsqrt_index_bits
        if table.shape != (3 << (b - 2),) or table.dtype.kind != "i":
            raise ParameterError(
                f"rsqrt_table: expected integers of shape ({3 << (b - 2)},), "
                f"got {table.dtype} {table.shape}"
            )
        in_range("rsqrt_table", int(table.min()), 0, (1 << self.rsqrt_bits) - 1)
        in_range("rsqrt_table", int(table.max()), 0, (1 << self.rsqrt_bits) - 1)
        # |z| <= 2^q R sqrt(i + 1) / 2^(14 + b/2) + 1/2 must stay below 2^(q+1)
        index = np.arange(1 << (b - 2), 1 << b, dtype=np.int64)
        peak = int((table.astype(np.int64) ** 2 * (index + 1)).max())
        in_range("rsqrt_table (largest square times index)", peak, 0, 3 << (28 + b))


def rounded(values: Tensor, shift: int) -> Tensor:
    """Constants with the half that makes a floor of `>> shift` a rounding: + 2^(shift-1)."""
    return values.astype(np.int64) + (1 << shift >> 1)
