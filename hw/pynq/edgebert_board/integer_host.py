"""What the host computes of the integer model, on int64: embedding, pooler and classifier.

The definition is docs/arithmetic.md of edgebert; `==` to its reference. All tokens of many
sentences are computed at once, since a small processor spends its time in NumPy's calls.
T tokens of S sentences, one after the other; H hidden.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import BoardError

Integers = NDArray[np.int64]
Array = NDArray[Any]

CHUNK_CELLS = 1 << 18  # values of one intermediate array: small boards have small caches


@dataclass(frozen=True)
class Sizes:
    """Sizes and fixed-point formats of a model, from a package's manifest."""

    hidden: int
    max_tokens: int  # of the accelerator
    positions: int  # of the model, at least as many
    vocab: int
    token_types: int
    outputs: int
    fraction_bits: int
    word_bits: int
    classifier_fraction_bits: int
    rsqrt_index_bits: int
    norm_fraction_bits: int
    gamma_fraction_bits: int

    @property
    def logit_scale(self) -> float:
        """A logit's value is the integer times this."""
        return 2.0 ** -(self.fraction_bits + self.classifier_fraction_bits)


class IntegerHost:
    """Embedding, pooler and classifier of one model."""

    def __init__(self, sizes: Sizes, tables: Mapping[str, Array]) -> None:
        """tables: of `tables.npz`; binary matrices are packed, first column lowest.

        Raises:
            BoardError: a table is missing, or of a wrong shape, type or range.
        """
        self.sizes = sizes
        h = sizes.hidden
        _check_tables(sizes, tables)
        wide = {n: t.astype(np.int64) for n, t in tables.items() if t.dtype != np.uint8}
        self._word_bits = tables["embedding.word.weight"]
        self._word_scale = wide["embedding.word.scale"]
        self._position = wide["embedding.position"]
        self._token_type = wide["embedding.token_type"]
        self._gamma, self._beta = wide["embedding.norm.gamma"], wide["embedding.norm.beta"]
        self._rsqrt = wide["rsqrt_table"]
        # Sums of H products of bits stay below 2^24, so that float32 holds them exactly.
        self._pooler = np.ascontiguousarray(_signs(tables["pooler.weight"], h).T, np.float32)
        self._pooler_threshold = wide["pooler.input_threshold"]
        self._pooler_bias = wide["pooler.bias"]
        self._multiplier, self._shift = wide["pooler.multiplier"], wide["pooler.shift"]
        self._classifier = np.ascontiguousarray(wide["classifier.weight"].T)
        self._classifier_bias = wide["classifier.bias"]

    def embed(self, ids: Array, types: Array, lengths: Array) -> Integers:
        """`embedding.residual` (T, H) of sentences, one after the other.

        ids, types: (T,); lengths: (S,), each at least 1, whose sum is T.
        """
        first = np.repeat(np.cumsum(lengths, dtype=np.int64) - lengths, lengths)
        places = np.arange(len(ids), dtype=np.int64) - first
        residual = np.empty((len(ids), self.sizes.hidden), np.int64)
        chunk = max(1, CHUNK_CELLS // self.sizes.hidden)
        for start in range(0, len(ids), chunk):
            part = slice(start, start + chunk)
            residual[part] = self.norm(self.embedding_sum(ids[part], types[part], places[part]))
        return residual

    def embedding_sum(self, ids: Array, types: Array, places: Array) -> Integers:
        """`embedding.sum` (T, H): `scale[id] * sign(id) + position[place] + token_type[type]`."""
        signs = _signs(self._word_bits[ids], self.sizes.hidden)
        total: Integers = self._word_scale[ids][:, None] * signs
        total += self._position[places]
        total += self._token_type[types]
        return total

    def norm(self, x: Integers) -> Integers:
        """The embedding's LayerNorm of (T, H)."""
        s = self.sizes
        b, q, g, f = (
            s.rsqrt_index_bits,
            s.norm_fraction_bits,
            s.gamma_fraction_bits,
            s.fraction_bits,
        )
        reciprocal = ((1 << 25) + s.hidden) // (2 * s.hidden)  # round(2^24 / H)
        mean = round_shift(x.sum(axis=1, keepdims=True) * reciprocal, 24)
        difference = x - mean
        variance = np.einsum("tc,tc->t", difference, difference)[:, None]
        k = (bit_length(variance) - b + 1) // 2
        mantissa = (variance >> np.maximum(2 * k, 0)) << np.maximum(-2 * k, 0)
        # A variance of 0 has no mantissa: its differences are 0, and any entry gives 0.
        entry = np.where(variance > 0, mantissa - (1 << (b - 2)), 0)
        difference *= self._rsqrt[entry]
        z = round_shift(difference, k + (14 + b // 2 - q))
        z *= self._gamma
        z += self._beta
        half = 1 << (s.word_bits - 1)
        return np.clip(round_shift(z, q + g - f), -half, half - 1)

    def head(self, first_tokens: Array) -> dict[str, Integers]:
        """`pooler.input` to `logits`, by name, of the residuals (S, H) of the first tokens."""
        inputs = np.where(first_tokens >= self._pooler_threshold, 1, -1).astype(np.float32)
        accumulator = (inputs @ self._pooler).astype(np.int64)
        pooled = round_shift(accumulator * self._multiplier + self._pooler_bias, self._shift)
        one = 1 << self.sizes.fraction_bits
        output = np.clip(pooled, -one, one)  # hard tanh
        return {
            "pooler.input": inputs.astype(np.int64),
            "pooler.accumulator": accumulator,
            "pooler.output": output,
            "logits": output @ self._classifier + self._classifier_bias,
        }

    def predictions(self, logits: Array) -> Array:
        """(S,): the class of the largest logit (the first of equal ones), or the number."""
        if self.sizes.outputs == 1:
            return np.asarray(logits[:, 0] * self.sizes.logit_scale)
        return np.asarray(logits.argmax(axis=1))


def round_shift(a: Integers, n: Array | int) -> Integers:
    """`floor((a + 2^(n-1)) / 2^n)`, `a` for n = 0, `a * 2^-n` for n < 0; elementwise."""
    n = np.asarray(n, np.int64)
    right = np.maximum(n, 0)
    result = np.asarray(a + ((np.int64(1) << right) >> 1), np.int64)  # half, or 0 for n <= 0
    result >>= right
    if n.min() < 0:
        result <<= np.maximum(-n, 0)
    return result


def bit_length(x: Integers) -> Integers:
    """Number of bits of each non-negative integer; 0 has none."""
    rest, length = x.copy(), np.zeros_like(x)
    for step in (32, 16, 8, 4, 2, 1):
        wide = (rest >> step > 0) * np.int64(step)
        rest >>= wide
        length += wide
    return length + (rest > 0)


def _signs(packed: Array, columns: int) -> NDArray[np.int8]:
    """Packed bits (rows, columns / 8) to {-1,+1} (rows, columns)."""
    bits = np.unpackbits(packed, axis=1, count=columns, bitorder="little").view(np.int8)
    bits *= 2
    bits -= 1
    return bits


def _check_tables(sizes: Sizes, tables: Mapping[str, Array]) -> None:
    """Shapes, types, and the ranges that keep every index and every sum in its bounds."""
    h, packed = sizes.hidden, -(-sizes.hidden // 8)
    wide = 1 << 52
    limits: dict[str, tuple[tuple[int, ...], int]] = {
        "embedding.word.weight": ((sizes.vocab, packed), 0),
        "embedding.word.scale": ((sizes.vocab,), 1 << 31),
        "embedding.position": ((sizes.positions, h), 1 << 31),
        "embedding.token_type": ((sizes.token_types, h), 1 << 31),
        "embedding.norm.gamma": ((h,), 1 << 31),
        "embedding.norm.beta": ((h,), wide),
        "pooler.input_threshold": ((h,), 1 << 31),
        "pooler.weight": ((h, packed), 0),
        "pooler.multiplier": ((), 1 << 32),
        "pooler.shift": ((), 30),
        "pooler.bias": ((h,), wide),
        "classifier.weight": ((sizes.outputs, h), 1 << 31),
        "classifier.bias": ((sizes.outputs,), wide),
        "rsqrt_table": ((3 << (sizes.rsqrt_index_bits - 2),), 1 << 15),
    }
    for name, (shape, largest) in limits.items():
        table = tables.get(name)
        if table is None or table.shape != shape:
            found = "none" if table is None else f"shape {table.shape}"
            raise BoardError(f"tables.npz: expected {name} of shape {shape}, got {found}")
        if largest == 0:
            if table.dtype != np.uint8:
                raise BoardError(f"tables.npz: {name}: expected packed bits, got {table.dtype}")
        elif table.dtype.kind != "i" or max(-int(table.min()), int(table.max())) > largest:
            raise BoardError(f"tables.npz: {name}: expected integers up to {largest}")
    if int(tables["pooler.shift"]) < 0:
        raise BoardError("tables.npz: pooler.shift: expected 0 to 30")
