"""BinaryMvu: a static matrix of {-1,+1} times tokens of bits."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hw import reference
from hw.finn.ops.base import Integers, KernelOp, StreamTypes, Typed, signed
from hw.finn.ops.rtl import KernelRtl
from hw.kernels import mvu
from hw.sim.beats import Beats, unpack

KINDS = {"bipolar": "BIPOLAR", "binary": "BINARY"}


class BinaryMvu(KernelOp):
    """`x @ weight`, or 1 where it reaches the threshold of its channel.

    Inputs: x (1, max_tokens, mw), if `loadable` the beats of the weights as bits, and the constants
    `weight` (mw, mh) of {-1,+1} and, unless `raw`, `threshold` (mh,). Output (1, max_tokens, mh):
    sums, or bits of the kind `results`.
    """

    kernel_class = mvu.BinaryMvu
    folding = (
        *("pe", "simd", "tokens", "loadable", "load_bits"),
        *("weight_memory", "activation_memory", "behavioural", "out_cycles"),
    )
    fifo_ports = ("s_axis",)

    def get_nodeattr_types(self) -> dict[str, Any]:
        return {**super().get_nodeattr_types(), "results": ("s", False, "bipolar", set(KINDS))}

    def stream_types(self) -> StreamTypes:
        kernel: mvu.BinaryMvu = self.kernel()
        tokens, kind = self.max_tokens, KINDS[self.get_nodeattr("results")]
        if kernel.raw:
            kind = signed(kernel.output_bits)
        return {
            ("s_axis", None): ((1, tokens, kernel.mw), KINDS[kernel.inputs]),
            ("s_axis_weights", None): ((1, load_count(kernel), kernel.load_bits), "BINARY"),
            ("m_axis", None): ((1, tokens, kernel.mh), kind),
        }

    def constant_types(self) -> dict[str, Typed]:
        kernel: mvu.BinaryMvu = self.kernel()
        types: dict[str, Typed] = {"weight": ((kernel.mw, kernel.mh), "BIPOLAR")}
        if not kernel.raw:
            types["threshold"] = ((kernel.mh,), signed(kernel.output_bits + 1))
        return types

    def compute(
        self, streams: Sequence[Integers], constants: Mapping[str, Integers]
    ) -> list[Integers]:
        if self.kernel().loadable and not np.array_equal(streams[1], self.load_bits(constants)):
            raise ValueError(
                f"{self.onnx_node.name}: expected the beats of its weights, got others"
            )
        sums = reference.float_product(streams[0], constants["weight"].T)
        if self.kernel().raw:
            return [sums]
        bipolar = self.get_nodeattr("results") == "bipolar"
        binarize = reference.bipolar if bipolar else reference.binary
        return [binarize(sums, constants["threshold"])]

    def memory_files(self, constants: Mapping[str, Integers]) -> dict[str, str]:
        kernel: mvu.BinaryMvu = self.kernel()
        return kernel.memories(constants["weight"].T, constants.get("threshold"))

    def load_beats(self, constants: Mapping[str, Integers]) -> Beats:
        """The beats that load the weights; none if they aren't loadable."""
        kernel: mvu.BinaryMvu = self.kernel()
        return kernel.load_beats(constants["weight"].T, constants.get("threshold"))

    def load_bits(self, constants: Mapping[str, Integers]) -> Integers:
        """The same as bits (beats, load_bits)."""
        width = self.kernel().load_bits
        return unpack(self.load_beats(constants), 1, width).reshape(-1, width)

    def cycles(self, tokens: int) -> int:
        kernel: mvu.BinaryMvu = self.kernel()
        return -(-tokens * kernel.cycles_per_group // kernel.tokens)  # groups span sentences

    def operations(self) -> dict[str, int]:
        kernel = self.kernel()
        return {"op_mac_BIPOLAR_BIPOLAR": self.max_tokens * kernel.mw * kernel.mh}


class BinaryMvu_rtl(KernelRtl, BinaryMvu):
    """The same as the module `binary_mvu`."""


def load_count(kernel: mvu.BinaryMvu) -> int:
    """Beats that load the weights of a loadable kernel."""
    return kernel.words * kernel.load_beats_per_word
