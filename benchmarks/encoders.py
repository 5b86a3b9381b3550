"""Unfolded kernels of encoders of the named sizes, from random tensors."""

import functools
import re

from hw.integer_model import IntegerModel
from hw.kernels.add_norm import AddNorm
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import input_threshold
from hw.kernels.kernel import Kernel
from hw.kernels.mvu import BinaryMvu
from tests.models import random_integer_model

# Layers, hidden, heads, FFN, bits of a residual word.
SIZES = {
    "tiny": (2, 128, 2, 512, 16),
    "mini": (4, 256, 4, 1024, 17),
    "small": (4, 512, 8, 2048, 17),
    "minilm": (6, 384, 12, 1536, 18),
    "base": (12, 768, 12, 3072, 18),
}
SPELT_OUT = re.compile(r"L(\d+)H(\d+)A(\d+)F(\d+)")


def sizes(name: str) -> tuple[int, int, int, int, int]:
    """Layers, hidden, heads, FFN and bits of a residual word, of a named size or L4H256A4F1024.

    The words of such a size have the bits of the narrowest named one that is as wide, if any, or of
    the widest.
    """
    if name in SIZES:
        return SIZES[name]
    match = SPELT_OUT.fullmatch(name)
    if match is None:
        raise ValueError(f"expected one of {', '.join(SIZES)}, or L4H256A4F1024, got {name!r}")
    layers, hidden, heads, ffn = (int(size) for size in match.groups())
    named = sorted((size[1], size[4]) for size in SIZES.values())
    word_bits = next((bits for width, bits in named if width >= hidden), named[-1][1])
    return layers, hidden, heads, ffn, word_bits


@functools.cache
def encoder_kernels(name: str, max_tokens: int, attention: str = "softmax") -> dict[str, Kernel]:
    """The kernels of a model of a size, by instance name; `name` as for `sizes`."""
    layers, hidden, heads, ffn, word_bits = sizes(name)
    model = random_integer_model(
        0,
        layers=layers,
        hidden=hidden,
        heads=heads,
        ffn=ffn,
        max_tokens=max_tokens,
        attention=attention,
        arithmetic={"word_bits": word_bits},
        golden=0,
    )
    return kernels_of(model)


def kernels_of(model: IntegerModel) -> dict[str, Kernel]:
    """The kernels of a model, by instance name."""
    d, f = model.dimensions, model.formats
    kernels: dict[str, Kernel] = {"input_threshold": input_threshold(model)[0]}
    for i in range(d.layers):
        layer = f"layer{i}_"
        for name in ("query", "key", "value"):
            file = f"{layer}{name}.hex"
            kernels[layer + name] = BinaryMvu(d.hidden, d.hidden, 1, 1, weight_file=file)
        kernels[layer + "attention"] = BinaryAttention(
            d.max_tokens,
            d.heads,
            d.head_width,
            sps=d.attention == "sps",
            exp_bits=f.exp_bits,
            probability_bits=f.probability_bits,
            relative_positions=d.relative_positions,
            name=f"{layer}attention_",
        )
        file = f"{layer}output.hex"
        kernels[layer + "output"] = BinaryMvu(d.hidden, d.hidden, 1, 1, raw=True, weight_file=file)
        kernels[layer + "attention_norm"] = AddNorm.of_layer(model, i, "attention_norm")
        kernels[layer + "up"] = BinaryMvu(d.hidden, d.ffn, 1, 1, weight_file=f"{layer}up.hex")
        file = f"{layer}down.hex"
        kernels[layer + "down"] = BinaryMvu(
            d.ffn, d.hidden, 1, 1, raw=True, inputs="binary", weight_file=file
        )
        kernels[layer + "ffn_norm"] = AddNorm.of_layer(model, i, "ffn_norm")
    return kernels
