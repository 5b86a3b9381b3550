"""Binary attention: parameters, memory files and cycles of `hw/rtl/attention.sv`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.errors import ParameterError
from hw.kernels import popcount
from hw.kernels.checks import divides, in_range, one_of
from hw.kernels.kernel import StreamPort
from hw.kernels.memory import MemoryShapes, memory_text

RELATIVE_FILE = "attention_relative.hex"
EXP_FILE = "attention_exp.hex"
PROBABILITY_FILE = "attention_probability.hex"
CONTEXT_FILE = "attention_context.hex"
MAX_FIXED_BITS = 24


@dataclass(frozen=True)
class BinaryAttention:
    """The attention of a layer on one engine that its heads share.

    Attributes:
        max_tokens: longest sentence that the hardware takes; the model's may be longer.
        heads: A.
        head_width: D, channels of a head; H = A D.
        keys: keys scored per cycle.
        simd: bits of a score per cycle, a divisor of head_width.
        channels: context channels per cycle, a divisor of in_bits.
        in_bits: bits of a beat of queries, keys and values, a divisor of simd.
        out_bits: bits of an output beat, a divisor of H and a multiple of channels.
        banks: sentences of keys and values held, 2 or more, a power of two.
        sps: a score threshold per head in place of the softmax.
        exp_bits: entries of the exponential table lie in [0, 2^exp_bits].
        probability_bits: k; probability thresholds lie in [-1, 2^k].
        relative_positions: R of the relative position bias of scores; 0: none.
        name: put before the names of the memory files.
    """

    module: ClassVar[str] = "attention"

    max_tokens: int
    heads: int
    head_width: int
    keys: int = 1
    simd: int = 1
    channels: int = 1
    in_bits: int = 1
    out_bits: int = 1
    banks: int = 2
    sps: bool = False
    exp_bits: int = 12
    probability_bits: int = 16
    relative_positions: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        in_range("max_tokens", self.max_tokens, 1, 1024)
        in_range("heads", self.heads, 1, 256)
        in_range("head_width", self.head_width, 2, 1024)
        in_range("keys", self.keys, 1, self.max_tokens)
        divides("simd", self.simd, "head_width", self.head_width)
        divides("in_bits", self.in_bits, "simd", self.simd)
        divides("channels", self.channels, "in_bits", self.in_bits)
        divides("out_bits", self.out_bits, "hidden", self.hidden)
        divides("channels", self.channels, "out_bits", self.out_bits)
        one_of("banks", self.banks, (2, 4, 8))
        in_range("exp_bits", self.exp_bits, 1, MAX_FIXED_BITS)
        in_range("probability_bits", self.probability_bits, 1, MAX_FIXED_BITS)
        in_range("relative_positions", self.relative_positions, 0, 1023)

    @property
    def hidden(self) -> int:
        """H, channels of a token."""
        return self.heads * self.head_width

    @property
    def largest_score(self) -> int:
        """Scores lie in [-X, X]: D, or with a relative position bias 3 D."""
        return self.head_width * (3 if self.relative_positions else 1)

    @property
    def relative_shape(self) -> tuple[int, int]:
        """Words and bits of the table of the relative position bias."""
        words = (2 * self.relative_positions + 1) << (self.heads - 1).bit_length()
        return words, (2 * self.head_width).bit_length()

    @property
    def steps(self) -> int:
        """Cycles of the context of a row."""
        return self.head_width // self.channels

    def parameters(self) -> dict[str, int | str]:
        """Parameters of the SystemVerilog module."""
        return {
            "MAX_TOKENS": self.max_tokens,
            "HEADS": self.heads,
            "HEAD_WIDTH": self.head_width,
            "KEYS": self.keys,
            "SIMD": self.simd,
            "CHANNELS": self.channels,
            "IN_BITS": self.in_bits,
            "OUT_BITS": self.out_bits,
            "BANKS": self.banks,
            "SPS": int(self.sps),
            "EXP_BITS": self.exp_bits,
            "PROBABILITY_BITS": self.probability_bits,
            "RELATIVE": self.relative_positions,
            "RELATIVE_FILE": self.name + RELATIVE_FILE,
            "EXP_FILE": self.name + EXP_FILE,
            "PROBABILITY_FILE": self.name + PROBABILITY_FILE,
            "CONTEXT_FILE": self.name + CONTEXT_FILE,
        }

    def streams(self) -> tuple[StreamPort, ...]:
        """Its streams, those that enter first."""
        return (
            *(StreamPort(f"s_axis_{name}", self.in_bits) for name in ("query", "key", "value")),
            StreamPort("s_axis_length", 1, self.max_tokens.bit_length()),
            StreamPort("m_axis", self.out_bits),
        )

    def tables(self) -> tuple[str, ...]:
        """Names of the tensors that `memories` takes besides context_threshold."""
        bias = ("relative_bias",) if self.relative_positions else ()
        kind = ("score_threshold",) if self.sps else ("exp_table", "probability_threshold")
        return (*bias, *kind)

    def memories(
        self,
        context_threshold: ArrayLike,
        *,
        relative_bias: ArrayLike | None = None,
        exp_table: ArrayLike | None = None,
        probability_threshold: ArrayLike | None = None,
        score_threshold: ArrayLike | None = None,
    ) -> dict[str, str]:
        """Memory files, from the tensors of the integer model (docs/arithmetic.md).

        Args:
            context_threshold: t, (H,): `output.input_threshold`. A sum of N values lies in
                [-N, N], so that thresholds beyond act like the nearest one of [-N, N + 1]:
                they are clipped, and a model of a larger max_tokens gives the same bits.
            relative_bias: with relative_positions: (A, 2 R + 1) in [-D, D].
            exp_table: softmax: E, (D + 1,) in [0, 2^exp_bits].
            probability_threshold: softmax: T, (A,) in [-1, 2^probability_bits].
            score_threshold: sps: lambda, (A,) in [-X, X + 1], X being `largest_score`.

        Returns:
            Text by file name, for the names in `parameters`.

        Raises:
            ParameterError: a tensor is missing, superfluous, of a wrong shape or out of its range.
        """
        tables = {
            "relative_bias": relative_bias,
            "exp_table": exp_table,
            "probability_threshold": probability_threshold,
            "score_threshold": score_threshold,
        }
        for name, tensor in tables.items():
            if (tensor is not None) != (name in self.tables()):
                kind = "sps" if self.sps else "softmax"
                if name == "relative_bias":
                    kind = f"relative_positions = {self.relative_positions}"
                expected = "none" if tensor is not None else "a tensor"
                raise ParameterError(f"{name}: expected {expected} with {kind}")
        files = {self.name + CONTEXT_FILE: self._context_text(context_threshold)}
        if relative_bias is not None:
            files[self.name + RELATIVE_FILE] = self._relative_text(relative_bias)
        d, k, heads = self.head_width, self.probability_bits, (self.heads,)
        if self.sps:
            most = self.largest_score
            scores = _checked("score_threshold", score_threshold, heads, -most, most + 1)
            # With m matches (X = D), or matches, bias and D (X = 3 D), s = 2 m - X >= lambda
            # iff m >= ceil((lambda + X) / 2); X + 1 is never reached.
            text = memory_text((scores + most + 1) // 2, (most + 1).bit_length())
            return files | {self.name + PROBABILITY_FILE: text}
        table = _checked("exp_table", exp_table, (d + 1,), 0, 1 << self.exp_bits)
        share = _checked("probability_threshold", probability_threshold, heads, -1, 1 << k)
        return files | {
            self.name + EXP_FILE: memory_text(table, self.exp_bits + 1),
            self.name + PROBABILITY_FILE: memory_text(share, k + 2),
        }

    def memory_shapes(self) -> MemoryShapes:
        """Words and bits of each memory file."""
        places = 1 << (self.steps - 1).bit_length()
        context = (self.max_tokens + 2).bit_length() + 1
        shapes = {self.name + CONTEXT_FILE: (self.heads * places, context * self.channels)}
        if self.relative_positions:
            shapes[self.name + RELATIVE_FILE] = self.relative_shape
        if self.sps:
            score = (self.largest_score + 1).bit_length()
            return shapes | {self.name + PROBABILITY_FILE: (self.heads, score)}
        return shapes | {
            self.name + EXP_FILE: (self.head_width + 1, self.exp_bits + 1),
            self.name + PROBABILITY_FILE: (self.heads, self.probability_bits + 2),
        }

    def slots(self, lengths: Sequence[int]) -> list[int]:
        """Cycles of each row (token, head) of a run of sentences, then of what empties the engine.

        A row's scores take one slot, and `lag` slots later it leaves the engine, while each slot
        lasts as long as the slowest of the rows in it. Exact while keys, values and queries come
        in time; before the first row a sentence of max_tokens counts as having been there.

        Raises:
            ParameterError: a sentence that is empty or longer than max_tokens.
        """
        groups = [-(-self.checked_tokens(n) // self.keys) for n in lengths]
        held, slots = -(-self.max_tokens // self.keys), []
        for tokens, own in zip(lengths, groups, strict=True):
            for row in range(tokens * self.heads):
                # Rows of a longer sentence are in later stages for three slots.
                held = max(held, own) if row < 3 and not self.sps else own
                slots.append(self._slot(held))
        return slots + [self._slot(held)] * self.lag

    def cycles(self, lengths: Sequence[int]) -> int:
        """Cycles in which the engine takes up all rows of a run of sentences, as in `slots`.

        In a steady state this is the time from sentence to sentence: a token takes
        `heads * max(ceil(tokens / keys) * head_width / simd, head_width / channels, least)`.
        """
        return sum(self.slots(lengths)[: -self.lag])

    def token_cycles(self, tokens: int) -> int:
        """Cycles per token of sentences of so many tokens, in a steady state."""
        return self.heads * self._slot(-(-self.checked_tokens(tokens) // self.keys))

    def load_cycles(self, tokens: int) -> int:
        """Least number of cycles in which the keys and values of a sentence enter."""
        return tokens * self.hidden // self.channels

    @property
    def lag(self) -> int:
        """Slots from a row's scores to its context."""
        return 1 if self.sps else 4

    def checked_tokens(self, tokens: int) -> int:
        """`tokens`, or ParameterError if no sentence can have so many."""
        in_range("tokens of a sentence", tokens, 1, self.max_tokens)
        return tokens

    def _slot(self, groups: int) -> int:
        """Cycles of a slot in which rows go through so many groups of keys."""
        return max(groups * self.head_width // self.simd, self.steps, self._least_slot())

    def _delay(self) -> int:
        """ROW_DELAY of attention.sv."""
        score = 1 + popcount.latency(self.simd) + int(self.relative_positions > 0)
        return score + (0 if self.sps else 2)

    def _least_slot(self) -> int:
        """SLOT_LEAST of attention.sv."""
        return max(0 if self.sps else self.probability_bits + 5, self._delay() + 2)

    def _relative_text(self, bias: ArrayLike) -> str:
        d, places = self.head_width, 2 * self.relative_positions + 1
        values = _checked("relative_bias", bias, (self.heads, places), -d, d)
        depth, bits = self.relative_shape
        words = np.zeros((places, depth // places), dtype=np.int64)
        words[:, : self.heads] = values.T + d  # a place has the biases of all heads side by side
        return memory_text(words.reshape(-1), bits)

    def _context_text(self, thresholds: ArrayLike) -> str:
        n = self.max_tokens
        limit = 1 << 31
        values = _checked("context_threshold", thresholds, (self.hidden,), -limit, limit)
        places = 1 << (self.steps - 1).bit_length()  # a head starts at a power of two
        words = np.zeros((self.heads, places, self.channels), dtype=np.int64)
        shape = (self.heads, self.steps, self.channels)
        words[:, : self.steps] = np.clip(values, -n, n + 1).reshape(shape) + 1
        bits = (n + 2).bit_length() + 1
        return memory_text(words.reshape(-1, self.channels), bits, self.channels)


def _checked(
    name: str, values: ArrayLike | None, shape: tuple[int, ...], low: int, high: int
) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.shape != shape or not np.issubdtype(array.dtype, np.integer):
        raise ParameterError(
            f"{name}: expected integers of shape {shape}, got {array.dtype} {array.shape}"
        )
    in_range(name, int(array.min()), low, high)
    in_range(name, int(array.max()), low, high)
    return array.astype(np.int64)
