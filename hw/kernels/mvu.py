"""Binary MVU: a static matrix of {-1,+1} times tokens of bits, thresholds or sums out."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.errors import ParameterError
from hw.kernels import popcount
from hw.kernels.checks import divides, in_range, one_of, signed_bits
from hw.kernels.kernel import StreamPort
from hw.kernels.memory import MemoryShapes, memory_text
from hw.kernels.stream import bram18, takes_block_ram

WEIGHT_MEMORIES = ("auto", "distributed", "block", "ultra")  # values 0 to 3 of WEIGHT_MEMORY
ACTIVATION_MEMORIES = ("distributed", "block")  # values 0, 1 of ACTIVATION_MEMORY
INPUTS = ("bipolar", "binary")
MAX_WIDTH = 1 << 16  # inputs of a channel, and channels


@dataclass(frozen=True)
class BinaryMvu:
    """`binary_mvu`: `y = x @ weight.T` of bits, then `y >= threshold`, or y itself.

    Attributes:
        mw: inputs of a channel.
        mh: channels.
        pe: channels computed at once; divides mh.
        simd: inputs of a channel computed at once; divides mw.
        tokens: tokens that share a weight read. More than mh / pe gain nothing, as the input
            stream brings no more of them in time, and neither do more than mw / simd, which the
            output stream can't give in time.
        raw: y itself instead of thresholds.
        inputs: "bipolar" {-1,+1} or "binary" {0,1}.
        loadable: weights come through the stream `s_axis_weights` after every reset.
        weight_memory: one of WEIGHT_MEMORIES; "auto" goes by size; URAM ("ultra") must be loadable.
        activation_memory: one of ACTIVATION_MEMORIES.
        load_bits: bits of a beat of `s_axis_weights`.
        weight_file: name of the memory file.
        behavioural: lanes as a plain description.
        out_cycles: cycles in which the consumer takes a token, where that is more than its beats;
            with several tokens, so many results of the next ones find room meanwhile.
    """

    module: ClassVar[str] = "binary_mvu"

    mw: int
    mh: int
    pe: int
    simd: int
    tokens: int = 1
    raw: bool = False
    inputs: str = "bipolar"
    loadable: bool = False
    weight_memory: str = "auto"
    activation_memory: str = "distributed"
    load_bits: int = 72
    weight_file: str = "weights.hex"
    behavioural: bool = False
    out_cycles: int = 0

    def __post_init__(self) -> None:
        in_range("mw", self.mw, 2, MAX_WIDTH)
        in_range("mh", self.mh, 1, MAX_WIDTH)
        divides("pe", self.pe, "mh", self.mh)
        divides("simd", self.simd, "mw", self.mw)
        most = max(1, min(self.neuron_folds, self.synapse_folds))
        if not 1 <= self.tokens <= most:
            raise ParameterError(
                f"tokens: expected 1 to min(mh / pe, mw / simd) = {most}, got {self.tokens}"
            )
        one_of("inputs", self.inputs, INPUTS)
        one_of("weight_memory", self.weight_memory, WEIGHT_MEMORIES)
        one_of("activation_memory", self.activation_memory, ACTIVATION_MEMORIES)
        in_range("load_bits", self.load_bits, 1, MAX_WIDTH)
        in_range("out_cycles", self.out_cycles, 0, MAX_WIDTH)
        if self.weight_memory == "ultra" and not self.loadable:
            raise ParameterError(
                'weight_memory: expected loadable weights for "ultra" (URAM has no initial '
                "content), got loadable = False"
            )

    @property
    def synapse_folds(self) -> int:
        """Beats of an input token."""
        return self.mw // self.simd

    @property
    def neuron_folds(self) -> int:
        """Beats of an output token."""
        return self.mh // self.pe

    @property
    def accumulator_bits(self) -> int:
        """Bits of a lane's count, two's complement."""
        if self.raw and self.inputs == "bipolar":
            return signed_bits(-((self.mw + 1) // 2), self.mw // 2)
        return signed_bits(-(self.mw + 1), self.mw)

    @property
    def output_bits(self) -> int:
        """Bits of a channel of m_axis: 1, or those of y in [-mw, mw]."""
        return signed_bits(-self.mw, self.mw) if self.raw else 1

    @property
    def slice_bits(self) -> int:
        """Bits of a weight word that belong to starting values."""
        return -(-self.pe * self.accumulator_bits // self.synapse_folds)

    @property
    def word_bits(self) -> int:
        """Bits of a weight word."""
        return self.pe * self.simd + self.slice_bits

    @property
    def queue_depth(self) -> int:
        """Results that find room for each of several tokens."""
        pace = max(self.neuron_folds, self.out_cycles)
        return self.neuron_folds + -(-pace * self.tokens // self.synapse_folds) + 3

    def output_stall(self, out_cycles: int) -> int:
        """Cycles per group for which work stands still if a token takes `out_cycles` to leave.

        The last token of a group waits for the others to leave, and the results of the next one
        fill what is left of its queue.
        """
        if self.tokens == 1:
            return 0
        room = (self.queue_depth - self.neuron_folds) * self.synapse_folds
        return max(0, (self.tokens - 1) * out_cycles - room)

    @property
    def words(self) -> int:
        """Words of the weight memory."""
        return self.neuron_folds * self.synapse_folds

    @property
    def weight_bram18(self) -> int:
        """Estimate of the RAMB18 of the weights."""
        style = self.weight_memory
        parts = self._load_parts() if self.loadable else [self.word_bits]
        block = [bits for bits in parts if takes_block_ram(self.words, bits, style)]
        return sum(bram18(self.words, bits) for bits in block)

    @property
    def weight_uram(self) -> int:
        """Estimate of the URAM of the weights: 4,096 words of 72 bits each."""
        if self.weight_memory != "ultra":
            return 0
        return sum(-(-bits // 72) for bits in self._load_parts()) * -(-self.words // 4096)

    @property
    def load_beats_per_word(self) -> int:
        """Beats of `s_axis_weights` that bring one weight word."""
        return -(-self.word_bits // self.load_bits)

    @property
    def cycles_per_group(self) -> int:
        """Cycles that up to `tokens` tokens take together: one weight word a cycle."""
        return self.words

    def latency(self) -> int:
        """Cycles from a token's first input beat to its first output beat, if none is before it."""
        queue = 1 if self.tokens == 1 else 2
        return 2 * self.synapse_folds + popcount.latency(self.simd) + queue + 1

    def cycles(self, tokens: int) -> int:
        """Cycles of `tokens` tokens without stalls, from the first input beat to the last output.

        Work on the tokens that have come begins when the group before them ends. A token can come
        once the one that is `ahead` tokens before it has gone into work. Weights are there.

        Raises:
            ParameterError: less than one token.
        """
        in_range("tokens", tokens, 1, 1 << 24)
        slots = 2 if self.neuron_folds > self.tokens else 4
        ahead = 1 if self.synapse_folds == 1 else self.tokens * (slots - 1)
        wait = 0 if self.synapse_folds == 1 else 1  # cycles until a place in the buffer is free
        to_last = self.latency() - self.synapse_folds + self.words - self.synapse_folds
        starts: list[int] = []  # cycle in which each token goes into work
        come = out = -1  # cycle of the last beat that came, that left
        group, group_size = -self.words, 0
        for token in range(tokens):
            free = starts[token - ahead] + wait if token >= ahead else 0
            come = max(come + 1, free) + self.synapse_folds - 1
            if group_size == self.tokens or come + 1 > group:
                group, group_size = max(group + self.words, come + 1), 0
            starts.append(group)
            group_size += 1
            out = max(out + self.neuron_folds, group + to_last)
        return out + 1

    def parameters(self) -> dict[str, int | str]:
        """Parameters of the SystemVerilog module."""
        return {
            "MW": self.mw,
            "MH": self.mh,
            "PE": self.pe,
            "SIMD": self.simd,
            "TOKENS": self.tokens,
            "RAW": (1 + INPUTS.index(self.inputs)) if self.raw else 0,
            "WEIGHT_FILE": self.weight_file,
            "WEIGHT_MEMORY": WEIGHT_MEMORIES.index(self.weight_memory),
            "LOADABLE": int(self.loadable),
            "LOAD_BITS": self.load_bits,
            "ACTIVATION_MEMORY": ACTIVATION_MEMORIES.index(self.activation_memory),
            "BEHAVIOURAL": int(self.behavioural),
            "OUT_CYCLES": self.out_cycles,
        }

    def streams(self) -> tuple[StreamPort, ...]:
        """Its streams, those that enter first."""
        return (
            StreamPort("s_axis", self.simd),
            StreamPort("s_axis_weights", self.load_bits, used=self.loadable),
            StreamPort("m_axis", self.pe, self.output_bits),
        )

    def starting_values(
        self, weight: ArrayLike, threshold: ArrayLike | None = None
    ) -> NDArray[np.int64]:
        """Values (mh,) that the lanes' counts start from.

        With m the number of inputs whose bit equals the weight's, d = mw - m of those that differ
        and n the weights that are -1, y is `2 m - mw` for bipolar and `m - n` for {0,1} inputs.
        So `y >= t` is `d <= limit`, limit = `floor((mw - t) / 2)` or `mw - n - t`: the count of d
        that starts from `-(limit + 1)` ends below zero.

        Args:
            weight: (mh, mw) of {-1, +1}.
            threshold: (mh,) in [-mw, mw + 1]; None if the module gives y itself.

        Raises:
            ParameterError: a wrong shape or value.
        """
        negative = (self._checked_weight(weight) < 0).sum(axis=1)
        limits = self._checked_threshold(threshold)
        if limits is None:
            half = np.full(self.mh, (self.mw + 1) // 2)
            return np.asarray(-(half if self.inputs == "bipolar" else negative), dtype=np.int64)
        most = self.mw - limits
        limit = most // 2 if self.inputs == "bipolar" else most - negative
        return np.asarray(-(np.clip(limit, -1, self.mw) + 1), dtype=np.int64)

    def memory_bits(
        self, weight: ArrayLike, threshold: ArrayLike | None = None
    ) -> NDArray[np.uint8]:
        """The weight memory as bits (words, word_bits), lowest bit first.

        Word r holds the weights of neuron fold `r // synapse_folds - 1` (the last one comes
        first) and slice `r % synapse_folds` of the starting values of the neuron fold after it.
        """
        signs = self._checked_weight(weight)
        starts = self.starting_values(weight, threshold)
        nf, sf = self.neuron_folds, self.synapse_folds
        stored = signs > 0 if self.raw else signs < 0  # thresholds count mismatches
        folded = stored.reshape(nf, self.pe, sf, self.simd).transpose(0, 2, 1, 3)
        codes = np.roll(popcount.encode(folded), 1, axis=0).reshape(self.words, -1)
        planes = (starts[:, None] >> np.arange(self.accumulator_bits)) & 1
        slices = np.zeros((nf, sf * self.slice_bits), dtype=np.uint8)
        slices[:, : self.pe * self.accumulator_bits] = planes.reshape(nf, -1)
        return np.concatenate([codes, slices.reshape(self.words, -1)], axis=1)

    def memories(self, weight: ArrayLike, threshold: ArrayLike | None = None) -> dict[str, str]:
        """Memory files by name; none if the weights are loadable.

        Args:
            weight: (mh, mw) of {-1, +1}.
            threshold: (mh,) in [-mw, mw + 1]; None if the module gives y itself.

        Raises:
            ParameterError: a wrong shape or value.
        """
        bits = self.memory_bits(weight, threshold)
        return {} if self.loadable else {self.weight_file: memory_text(bits, 1, self.word_bits)}

    def memory_shapes(self) -> MemoryShapes:
        """Words and bits of each memory file."""
        return {} if self.loadable else {self.weight_file: (self.words, self.word_bits)}

    def load_beats(
        self, weight: ArrayLike, threshold: ArrayLike | None = None
    ) -> NDArray[np.uint8]:
        """Beats of `s_axis_weights` (beats, bytes): word 0 first, lowest bits of a word first.

        Args:
            weight: (mh, mw) of {-1, +1}.
            threshold: (mh,) in [-mw, mw + 1]; None if the module gives y itself.

        Returns:
            uint8, lowest byte first; without a beat if the weights are not loadable.

        Raises:
            ParameterError: a wrong shape or value.
        """
        bits = self.memory_bits(weight, threshold)
        padded = np.zeros((self.words, self.load_beats_per_word * self.load_bits), dtype=np.uint8)
        padded[:, : self.word_bits] = bits
        beats = np.packbits(padded.reshape(-1, self.load_bits), axis=1, bitorder="little")
        return beats if self.loadable else beats[:0]

    def _load_parts(self) -> list[int]:
        """Bits of the parts of a weight word that beats of `s_axis_weights` bring."""
        last = self.word_bits - (self.load_beats_per_word - 1) * self.load_bits
        return [self.load_bits] * (self.load_beats_per_word - 1) + [last]

    def _checked_weight(self, weight: ArrayLike) -> NDArray[np.int64]:
        signs = np.asarray(weight, dtype=np.int64)
        if signs.shape != (self.mh, self.mw):
            raise ParameterError(
                f"weight: expected shape {(self.mh, self.mw)} (mh, mw), got {signs.shape}"
            )
        if not np.isin(signs, (-1, 1)).all():
            raise ParameterError(f"weight: expected -1 and +1, got {np.unique(signs)[:4]}")
        return signs

    def _checked_threshold(self, threshold: ArrayLike | None) -> NDArray[np.int64] | None:
        if (threshold is None) != self.raw:
            expected = "None (raw sums)" if self.raw else f"{self.mh} values"
            got = "None" if threshold is None else "values"
            raise ParameterError(f"threshold: expected {expected}, got {got}")
        if threshold is None:
            return None
        limits = np.asarray(threshold, dtype=np.int64)
        if limits.shape != (self.mh,):
            raise ParameterError(f"threshold: expected shape {(self.mh,)}, got {limits.shape}")
        if limits.min() < -self.mw or limits.max() > self.mw + 1:
            raise ParameterError(
                f"threshold: expected {-self.mw} to {self.mw + 1}, "
                f"got {limits.min()} to {limits.max()}"
            )
        return limits
