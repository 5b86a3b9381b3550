"""BinaryAttention: queries, keys and values of bits to the bits of the context."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hw import reference
from hw.finn.ops.base import Integers, KernelOp, StreamTypes, Typed, signed, unsigned
from hw.finn.ops.rtl import KernelRtl
from hw.kernels import attention
from hw.kernels.checks import signed_bits

BITS = ("query", "key", "value")


class BinaryAttention(KernelOp):
    """The attention of a layer, up to the thresholds of the context.

    Inputs: query, key, value (1, max_tokens, H) bipolar, length (1, 1): the tokens of the sentence;
    constants `context_threshold` (H,), with `relative_positions` `relative_bias` (A, 2 R + 1), and
    `exp_table` (D + 1,), `probability_threshold` (A,), or with `sps` `score_threshold` (A,).
    Output (1, max_tokens, H) bipolar, -1 behind the sentence.
    """

    kernel_class = attention.BinaryAttention
    folding = ("keys", "simd", "channels", "in_bits", "out_bits", "banks")
    fifo_ports = tuple(f"s_axis_{name}" for name in (*BITS, "length"))

    def stream_types(self) -> StreamTypes:
        kernel: attention.BinaryAttention = self.kernel()
        tokens = (1, kernel.max_tokens, kernel.hidden)
        return {
            **{(f"s_axis_{name}", None): (tokens, "BIPOLAR") for name in BITS},
            ("s_axis_length", None): ((1, 1), unsigned(kernel.max_tokens.bit_length())),
            ("m_axis", None): (tokens, "BIPOLAR"),
        }

    def constant_types(self) -> dict[str, Typed]:
        kernel: attention.BinaryAttention = self.kernel()
        heads, width = kernel.heads, kernel.head_width
        tables: dict[str, Typed] = {
            "relative_bias": (
                (heads, 2 * kernel.relative_positions + 1),
                signed(signed_bits(-width, width)),
            ),
            "exp_table": ((width + 1,), unsigned(kernel.exp_bits + 1)),
            "probability_threshold": ((heads,), signed(kernel.probability_bits + 2)),
            "score_threshold": ((heads,), signed(32)),
        }
        types: dict[str, Typed] = {"context_threshold": ((kernel.hidden,), signed(32))}
        return types | {name: tables[name] for name in kernel.tables()}

    def compute(
        self, streams: Sequence[Integers], constants: Mapping[str, Integers]
    ) -> list[Integers]:
        kernel: attention.BinaryAttention = self.kernel()
        length = kernel.checked_tokens(int(streams[3].item()))
        query, key, value = (reference.split_heads(x[:length], kernel.heads) for x in streams[:3])
        scores = query @ key.transpose(0, 2, 1)
        if kernel.relative_positions:
            scores = scores + 2 * reference.relative_bias(constants["relative_bias"], length)
        if kernel.sps:
            kept = reference.sps_probabilities(scores, constants["score_threshold"])
        else:
            kept = reference.softmax_probabilities(
                scores,
                constants["exp_table"],
                constants["probability_threshold"],
                kernel.probability_bits,
            )
        result = np.full_like(streams[0], -1)
        context = reference.merge_heads(kept @ value)
        result[:length] = reference.bipolar(context, constants["context_threshold"])
        return [result]

    def memory_files(self, constants: Mapping[str, Integers]) -> dict[str, str]:
        kernel: attention.BinaryAttention = self.kernel()
        tables = {name: value for name, value in constants.items() if name != "context_threshold"}
        return kernel.memories(constants["context_threshold"], **tables)

    def tokens_of(self, context: Mapping[str, Any]) -> int:
        return int(context[self.onnx_node.input[3]].item())

    def cycles(self, tokens: int) -> int:
        return int(self.kernel().cycles([tokens]))

    def operations(self) -> dict[str, int]:
        kernel = self.kernel()
        macs = 2 * self.max_tokens**2 * kernel.hidden
        return {"op_mac_BIPOLAR_BIPOLAR": macs}


class BinaryAttention_rtl(KernelRtl, BinaryAttention):
    """The same as the module `attention`."""
