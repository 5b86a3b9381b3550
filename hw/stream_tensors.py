"""Which tensor of docs/arithmetic.md goes through which stream, and how it becomes beats."""

import re

import numpy as np

from hw.integer_model import Tensor
from hw.kernels.channel_threshold import CONSUMERS
from hw.kernels.kernel import StreamPort
from hw.sim.beats import Beats, pack, unpack

INPUT = "input_threshold"
EMBEDDING = "embedding.residual"
FIRST_BITS = "down.input"  # the only bits that mean {0, 1}


def tensors_of(instance: str) -> dict[str, str]:
    """Names of the tensors at the streams of a kernel of the encoder, by port.

    Bits for consumers that the last layer doesn't have are named as if there were one more.

    Args:
        instance: `input_threshold`, or `layer{i}_` and a part.
    """
    if instance == INPUT:
        return {"s_axis": EMBEDDING, "m_axis_residual": EMBEDDING, **_bits(0)}
    found = re.fullmatch(r"layer(\d+)_(\w+)", instance)
    if found is None:
        raise ValueError(f"expected the name of a kernel, got {instance}")
    i, part = int(found[1]), found[2]
    layer = f"layer.{i}"
    before = f"layer.{i - 1}.ffn_norm.residual" if i else EMBEDDING
    outputs = {name: f"{layer}.{name}.output" for name in CONSUMERS}
    outputs |= {"output": f"{layer}.output.accumulator", "up": f"{layer}.{FIRST_BITS}"}
    outputs["down"] = f"{layer}.down.accumulator"
    if part in outputs:
        return {"s_axis": f"{layer}.{part}.input", "m_axis": outputs[part]}
    if part == "attention":
        inputs = {f"s_axis_{name}": outputs[name] for name in CONSUMERS}
        return {**inputs, "m_axis": f"{layer}.output.input"}
    matrix, residual = {
        "attention_norm": ("output", before),
        "ffn_norm": ("down", f"{layer}.attention_norm.residual"),
    }[part]
    bits = {"m_axis_bits0": f"{layer}.up.input"} if part == "attention_norm" else _bits(i + 1)
    return {
        "s_axis_accumulator": outputs[matrix],
        "s_axis_residual": residual,
        "m_axis_residual": f"{layer}.{part}.residual",
        **bits,
    }


def to_beats(values: Tensor, port: StreamPort) -> Beats:
    """Beats of a tensor (N, channels): bits of {-1, +1} or {0, 1}, or signed words."""
    return pack((values > 0).astype(np.int64) if port.bits == 1 else values, port.bits, port.lanes)


def from_beats(beats: Beats, port: StreamPort, tensor: str, tokens: int) -> Tensor:
    """The inverse of `to_beats` for a tensor of that name: int64 (tokens, channels)."""
    values = unpack(beats, port.bits, port.lanes, signed=port.bits > 1).reshape(tokens, -1)
    if port.bits == 1 and not tensor.endswith(FIRST_BITS):
        return 2 * values - 1
    return values


def _bits(layer: int) -> dict[str, str]:
    return {f"m_axis_bits{j}": f"layer.{layer}.{name}.input" for j, name in enumerate(CONSUMERS)}
