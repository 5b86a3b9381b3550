"""AddNorm: requantize, add to the residual stream, normalize, binarize."""

from collections.abc import Mapping, Sequence

import numpy as np

from hw import reference
from hw.finn.ops.base import Integers, KernelOp, StreamTypes, Typed, signed, unsigned
from hw.finn.ops.rtl import KernelRtl
from hw.kernels import add_norm
from hw.layout import Formats

FORMATS = (
    *("word_bits", "fraction_bits", "rsqrt_index_bits"),
    *("norm_fraction_bits", "gamma_fraction_bits"),
)


class AddNorm(KernelOp):
    """The next residual, and for each of its consumers where it reaches their thresholds.

    Inputs: accumulator and residual (1, max_tokens, hidden); constants `bias`, `gamma`, `beta`
    (hidden,), `rsqrt_table`, and `threshold0`, ... (hidden,) of every consumer. Outputs: the
    residual, and bits (bipolar) for every consumer, all (1, max_tokens, hidden).
    """

    kernel_class = add_norm.AddNorm
    folding = (
        *("lanes", "buffer_style", "bias_style"),
        *("scale_style", "rsqrt_style", "threshold_style"),
    )
    fifo_ports = ("s_axis_accumulator", "s_axis_residual")

    def stream_types(self) -> StreamTypes:
        kernel: add_norm.AddNorm = self.kernel()
        shape = (1, self.max_tokens, kernel.hidden)
        word = signed(kernel.word_bits)
        return {
            ("s_axis_accumulator", None): (shape, signed(kernel.accumulator_bits)),
            ("s_axis_residual", None): (shape, word),
            ("m_axis_residual", None): (shape, word),
            **{(f"m_axis_bits{i}", None): (shape, "BIPOLAR") for i in range(kernel.bit_streams)},
        }

    def constant_types(self) -> dict[str, Typed]:
        kernel: add_norm.AddNorm = self.kernel()
        channels, threshold = (kernel.hidden,), signed(kernel.threshold_bits)
        return {
            "bias": (channels, signed(kernel.bias_bits)),
            "gamma": (channels, signed(kernel.gamma_bits)),
            "beta": (channels, signed(kernel.beta_bits)),
            "rsqrt_table": ((3 << (kernel.rsqrt_index_bits - 2),), unsigned(kernel.rsqrt_bits)),
            **{f"threshold{i}": (channels, threshold) for i in range(kernel.bit_streams)},
        }

    def compute(
        self, streams: Sequence[Integers], constants: Mapping[str, Integers]
    ) -> list[Integers]:
        kernel: add_norm.AddNorm = self.kernel()
        factors = (np.asarray(value) for value in (kernel.multiplier, kernel.shift))
        multiplier, shift = factors
        accumulator, residual = streams
        update = reference.requantize(accumulator, multiplier, constants["bias"], shift)
        formats = formats_of({name: getattr(kernel, name) for name in FORMATS})
        result = reference.layer_norm(
            reference.saturate(residual + update, kernel.word_bits),
            constants["gamma"],
            constants["beta"],
            constants["rsqrt_table"],
            formats,
        )
        thresholds = self._thresholds(constants)
        return [result, *(reference.bipolar(result, threshold) for threshold in thresholds)]

    def memory_files(self, constants: Mapping[str, Integers]) -> dict[str, str]:
        kernel: add_norm.AddNorm = self.kernel()
        tensors = add_norm.NormTensors(
            kernel.multiplier,
            kernel.shift,
            constants["bias"],
            constants["gamma"],
            constants["beta"],
            constants["rsqrt_table"],
            self._thresholds(constants),
        )
        return kernel.memories(tensors)

    def cycles(self, tokens: int) -> int:
        return tokens * int(self.kernel().interval())

    def operations(self) -> dict[str, int]:
        return {"op_add_norm": self.max_tokens * self.kernel().hidden}

    def _thresholds(self, constants: Mapping[str, Integers]) -> list[Integers]:
        return [constants[f"threshold{i}"] for i in range(self.kernel().bit_streams)]


class AddNorm_rtl(KernelRtl, AddNorm):
    """The same as the module `add_norm`."""


def formats_of(values: Mapping[str, int]) -> Formats:
    """Formats of which the LayerNorm uses FORMATS; the others are 0."""
    return Formats(**dict.fromkeys(Formats.__dataclass_fields__, 0) | dict(values))
