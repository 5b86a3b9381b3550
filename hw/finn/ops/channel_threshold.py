"""ChannelThreshold: the residual in front of layer 0, and its bits."""

from collections.abc import Mapping, Sequence

from hw import reference
from hw.finn.ops.base import Integers, KernelOp, StreamTypes, Typed, signed
from hw.finn.ops.rtl import KernelRtl
from hw.kernels import channel_threshold


class ChannelThreshold(KernelOp):
    """The residual itself, and for each of its consumers where it reaches their thresholds.

    Input (1, max_tokens, hidden); constants `threshold0`, ... (hidden,). Outputs: the residual, and
    bits (bipolar) for every consumer.
    """

    kernel_class = channel_threshold.ChannelThreshold
    folding = ("lanes", "threshold_style")
    fifo_ports = ()

    def stream_types(self) -> StreamTypes:
        kernel: channel_threshold.ChannelThreshold = self.kernel()
        shape = (1, self.max_tokens, kernel.hidden)
        word = signed(kernel.word_bits)
        return {
            ("s_axis", None): (shape, word),
            ("m_axis_residual", None): (shape, word),
            **{(f"m_axis_bits{i}", None): (shape, "BIPOLAR") for i in range(kernel.bit_streams)},
        }

    def constant_types(self) -> dict[str, Typed]:
        kernel: channel_threshold.ChannelThreshold = self.kernel()
        kind = ((kernel.hidden,), signed(kernel.threshold_bits))
        return {f"threshold{i}": kind for i in range(kernel.bit_streams)}

    def compute(
        self, streams: Sequence[Integers], constants: Mapping[str, Integers]
    ) -> list[Integers]:
        bits = (reference.bipolar(streams[0], threshold) for threshold in constants.values())
        return [streams[0], *bits]

    def memory_files(self, constants: Mapping[str, Integers]) -> dict[str, str]:
        kernel: channel_threshold.ChannelThreshold = self.kernel()
        return kernel.memories(list(constants.values()))

    def cycles(self, tokens: int) -> int:
        return tokens * int(self.kernel().interval())

    def operations(self) -> dict[str, int]:
        kernel = self.kernel()
        return {"op_threshold": self.max_tokens * kernel.hidden * kernel.bit_streams}


class ChannelThreshold_rtl(KernelRtl, ChannelThreshold):
    """The same as the module `channel_threshold`."""
