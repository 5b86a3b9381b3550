"""Sentences for the attention engine, and what they must give by hw/reference.py."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw.kernels.attention import BinaryAttention
from hw.reference import (
    bipolar,
    merge_heads,
    relative_bias,
    softmax_probabilities,
    split_heads,
    sps_probabilities,
)
from hw.sim.beats import Beats, pack, unpack
from hw.sim.bench import Result, Stalls, run

Array = NDArray[np.int64]
STREAMS = ("query", "key", "value")


@dataclass(frozen=True)
class Tensors:
    """Tables and thresholds of a layer, as `BinaryAttention.memories` takes them."""

    context_threshold: Array
    exp_table: Array | None = None
    probability_threshold: Array | None = None
    score_threshold: Array | None = None
    relative_bias: Array | None = None

    def memories(self, kernel: BinaryAttention) -> dict[str, str]:
        return kernel.memories(
            self.context_threshold,
            relative_bias=self.relative_bias,
            exp_table=self.exp_table,
            probability_threshold=self.probability_threshold,
            score_threshold=self.score_threshold,
        )


@dataclass
class Sentence:
    """Queries, keys and values (N, H) of -1 and +1."""

    query: Array
    key: Array
    value: Array
    output: Array = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def random_tensors(kernel: BinaryAttention, seed: int = 0) -> Tensors:
    """Tensors under which probabilities and context bits really vary."""
    rng = np.random.default_rng(seed)
    n, d, k = kernel.max_tokens, kernel.head_width, kernel.probability_bits
    context = rng.integers(-3, 4, kernel.hidden)
    context[:: max(2, kernel.hidden // 5)] = rng.integers(
        -n, n + 2, len(context[:: max(2, kernel.hidden // 5)])
    )
    bias = None
    if kernel.relative_positions:
        bias = rng.integers(-d // 2, d // 2 + 1, (kernel.heads, 2 * kernel.relative_positions + 1))
        bias.reshape(-1)[:: max(2, bias.size // 5)] = rng.choice([-d, d])
    if kernel.sps:
        scores = rng.integers(-d // 2, d // 2 + 1, kernel.heads)
        return Tensors(context, score_threshold=scores, relative_bias=bias)
    table = np.rint(2.0**kernel.exp_bits * np.exp(-np.arange(d + 1) * 6 / d)).astype(np.int64)
    share = (rng.uniform(0.2, 1.5, kernel.heads) * 2**k / n).astype(np.int64)
    return Tensors(context, table, np.minimum(share, 1 << k), relative_bias=bias)


def random_sentence(kernel: BinaryAttention, tokens: int, rng: np.random.Generator) -> Sentence:
    return Sentence(*(2 * rng.integers(0, 2, (3, tokens, kernel.hidden)) - 1))


def reference(kernel: BinaryAttention, tensors: Tensors, sentence: Sentence) -> Array:
    """`output.input` (N, H), as in hw.reference.run_layer."""
    heads = kernel.heads
    query, key, value = (split_heads(getattr(sentence, name), heads) for name in STREAMS)
    scores = query @ key.transpose(0, 2, 1)
    if tensors.relative_bias is not None:
        scores = scores + 2 * relative_bias(tensors.relative_bias, len(sentence.key))
    if tensors.score_threshold is not None:
        probabilities = sps_probabilities(scores, tensors.score_threshold)
    else:
        assert tensors.exp_table is not None and tensors.probability_threshold is not None
        probabilities = softmax_probabilities(
            scores, tensors.exp_table, tensors.probability_threshold, kernel.probability_bits
        )
    return bipolar(merge_heads(probabilities @ value), tensors.context_threshold)


def streams(kernel: BinaryAttention, sentences: list[Sentence]) -> dict[str, Beats]:
    """The beats of sentences that follow each other."""
    beats = {
        "s_axis_length": pack([len(s.key) for s in sentences], kernel.max_tokens.bit_length(), 1)
    }
    for name in STREAMS:
        bits = np.concatenate([getattr(s, name) for s in sentences]) > 0
        beats[f"s_axis_{name}"] = pack(bits, 1, kernel.in_bits)
    return beats


def simulate(
    kernel: BinaryAttention,
    tensors: Tensors,
    sentences: list[Sentence],
    stalls: Stalls | None = None,
    reset_at: int | None = None,
) -> Result:
    """Run sentences through the engine; every output bit must equal the reference."""
    expected = np.concatenate([reference(kernel, tensors, s) for s in sentences]).reshape(-1)
    result = run(
        "attention",
        kernel.parameters(),
        streams(kernel, sentences),
        {"m_axis": expected.size // kernel.out_bits},
        memories=tensors.memories(kernel),
        stalls=stalls,
        reset_at=reset_at,
    )
    bits = unpack(result.outputs["m_axis"], 1, kernel.out_bits)
    assert np.array_equal(2 * bits - 1, expected)
    if reset_at is not None:
        before = 2 * unpack(result.before["m_axis"], 1, kernel.out_bits) - 1
        assert np.array_equal(before, expected[: len(before)])
    return result
