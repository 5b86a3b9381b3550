"""Stream parts: fork, skid buffer, FIFO, width converter, head reorder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hw.kernels.checks import in_range, one_of
from hw.kernels.kernel import StreamPort
from hw.kernels.memory import MemoryShapes

MAX_BITS = 1 << 16  # bound of a beat, so that a slip of the pen does not start a tool
MAX_WORDS = 1 << 20

RAM_STYLES = ("auto", "distributed", "block")  # values 0, 1, 2 of RAM_STYLE
FIFO_STYLES = (*RAM_STYLES, "ultra")  # and 3

# Width of a RAMB18's word, with one write and one read port, and the words it then has.
RAMB18_SHAPES = ((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512))


def takes_block_ram(words: int, bits: int, style: str = "auto") -> bool:
    """Whether a memory goes to block RAM: above 64 words and 4,096 bits, or as `style` says."""
    return style == "block" or (style == "auto" and words > 64 and words * bits > 4096)


def bram18(words: int, bits: int) -> int:
    """RAMB18 that a memory of one write and one read port needs, all of one shape."""
    return min(-(-bits // width) * -(-words // depth) for width, depth in RAMB18_SHAPES)


def lutram_lut(words: int, bits: int) -> int:
    """LUTs that hold a memory of one write and one read port, without those that select a word.

    Four LUTs hold 32 words of 6 bits or 64 words of 3 bits.
    """
    if words <= 32:
        return 4 * -(-bits // 6)
    return 4 * -(-bits // 3) * -(-words // 64)


@dataclass(frozen=True)
class StreamFork:
    """`stream_fork`: every output gives the beats of the input, at most one beat apart.

    Attributes:
        width: bits of a beat.
        copies: outputs.
    """

    module: ClassVar[str] = "stream_fork"

    width: int
    copies: int = 2

    def __post_init__(self) -> None:
        in_range("width", self.width, 1, MAX_BITS)
        in_range("copies", self.copies, 1, 64)

    def parameters(self) -> dict[str, int | str]:
        """Parameters of the SystemVerilog module."""
        return {"WIDTH": self.width, "COPIES": self.copies}

    def streams(self) -> tuple[StreamPort, ...]:
        """Its streams, those that enter first."""
        return (
            StreamPort("s_axis", self.width),
            *(StreamPort("m_axis", self.width, copy=i) for i in range(self.copies)),
        )

    def memory_shapes(self) -> MemoryShapes:
        """It reads no memory file."""
        return {}

    def latency(self) -> int:
        """Cycles from a beat's arrival to its offer."""
        return 0


@dataclass(frozen=True)
class SkidBuffer:
    """`skid_buffer`: two registers that cut the path of ready.

    Attributes:
        width: bits of a beat.
    """

    module: ClassVar[str] = "skid_buffer"

    width: int

    def __post_init__(self) -> None:
        in_range("width", self.width, 1, MAX_BITS)

    def parameters(self) -> dict[str, int | str]:
        """Parameters of the SystemVerilog module."""
        return {"WIDTH": self.width}

    def streams(self) -> tuple[StreamPort, ...]:
        """Its streams, those that enter first."""
        return (StreamPort("s_axis", self.width), StreamPort("m_axis", self.width))

    def memory_shapes(self) -> MemoryShapes:
        """It reads no memory file."""
        return {}

    def latency(self) -> int:
        """Cycles from a beat's arrival to its offer."""
        return 1


@dataclass(frozen=True)
class StreamFifo:
    """`stream_fifo`: holds exactly `depth` beats.

    Attributes:
        width: bits of a beat.
        depth: beats that fit.
        ram: where the memory lies, one of FIFO_STYLES; "auto" goes by size.
    """

    module: ClassVar[str] = "stream_fifo"

    width: int
    depth: int
    ram: str = "auto"

    def __post_init__(self) -> None:
        in_range("width", self.width, 1, MAX_BITS)
        in_range("depth", self.depth, 1, MAX_WORDS)
        one_of("ram", self.ram, FIFO_STYLES)

    def parameters(self) -> dict[str, int | str]:
        """Parameters of the SystemVerilog module."""
        style = FIFO_STYLES.index(self.ram)
        return {"WIDTH": self.width, "DEPTH": self.depth, "RAM_STYLE": style}

    def memory_bits(self) -> int:
        """Bits of the memory: one beat is in the output register, two need no memory."""
        return (self.depth - 1) * self.width if self.depth > 2 else 0

    def bram18(self) -> int:
        """Estimate of the RAMB18 of the memory."""
        block = self.memory_bits() and takes_block_ram(self.depth - 1, self.width, self.ram)
        return bram18(self.depth - 1, self.width) if block else 0

    def lutram_lut(self) -> int:
        """Estimate of the LUTs that serve as memory."""
        if not self.memory_bits() or self.bram18() or self.ram == "ultra":
            return 0
        return lutram_lut(self.depth - 1, self.width)

    def streams(self) -> tuple[StreamPort, ...]:
        """Its streams, those that enter first."""
        return (StreamPort("s_axis", self.width), StreamPort("m_axis", self.width))

    def memory_shapes(self) -> MemoryShapes:
        """It reads no memory file."""
        return {}

    def latency(self) -> int:
        """Cycles from a beat's arrival to its offer, if the FIFO is empty."""
        return 1 if self.depth <= 2 else 2


@dataclass(frozen=True)
class WidthConverter:
    """`width_converter`: the same bits in beats of another width.

    Attributes:
        in_bits: bits of an input beat.
        out_bits: bits of an output beat.
    """

    module: ClassVar[str] = "width_converter"

    in_bits: int
    out_bits: int

    def __post_init__(self) -> None:
        in_range("in_bits", self.in_bits, 1, MAX_BITS)
        in_range("out_bits", self.out_bits, 1, MAX_BITS)
        in_range("least common multiple of in_bits and out_bits", self.group_bits, 1, MAX_BITS)

    @property
    def group_bits(self) -> int:
        """L, the least common multiple of both widths: only whole groups pass."""
        return math.lcm(self.in_bits, self.out_bits)

    def parameters(self) -> dict[str, int | str]:
        """Parameters of the SystemVerilog module."""
        return {"IN_BITS": self.in_bits, "OUT_BITS": self.out_bits}

    def streams(self) -> tuple[StreamPort, ...]:
        """Its streams, those that enter first."""
        return (StreamPort("s_axis", self.in_bits), StreamPort("m_axis", self.out_bits))

    def memory_shapes(self) -> MemoryShapes:
        """It reads no memory file."""
        return {}

    def latency(self) -> int:
        """Cycles from the arrival of a group's last beat to the offer of its first."""
        return int(self.group_bits > self.in_bits) + int(self.group_bits > self.out_bits)

    def cycles(self, groups: int) -> int:
        """Cycles of `groups` groups of L bits without stalls, from their first beat to the last.

        The narrower side gives the pace: it takes `pace` cycles a group. The last group's first
        output beat comes `latency` cycles after its last input beat.
        """
        into = self.group_bits // self.in_bits
        out = self.group_bits // self.out_bits
        return into + (groups - 1) * max(into, out) + self.latency() + out - 1


@dataclass(frozen=True)
class HeadReorder:
    """`head_reorder`: a sentence from (token, head, beat) to (head, token, beat), or back.

    Attributes:
        width: bits of a beat.
        heads: heads of a token.
        beats: beats of a head of a token.
        max_tokens: longest sentence.
        inverse: from head-major to token-major.
        ram: where the memory lies, one of RAM_STYLES; "auto" goes by size.
    """

    module: ClassVar[str] = "head_reorder"

    width: int
    heads: int
    beats: int
    max_tokens: int
    inverse: bool = False
    ram: str = "auto"

    def __post_init__(self) -> None:
        in_range("width", self.width, 1, MAX_BITS)
        in_range("heads", self.heads, 1, 1024)
        in_range("beats", self.beats, 1, MAX_WORDS)
        in_range("max_tokens", self.max_tokens, 1, MAX_WORDS)
        in_range("2 * max_tokens * heads * beats", self.words, 2, MAX_WORDS)
        one_of("ram", self.ram, RAM_STYLES)

    @property
    def words(self) -> int:
        """Words of the memory: two sentences."""
        return 2 * self.max_tokens * self.heads * self.beats

    def parameters(self) -> dict[str, int | str]:
        """Parameters of the SystemVerilog module."""
        return {
            "WIDTH": self.width,
            "HEADS": self.heads,
            "BEATS": self.beats,
            "MAX_TOKENS": self.max_tokens,
            "INVERSE": int(self.inverse),
            "RAM_STYLE": RAM_STYLES.index(self.ram),
        }

    def memory_bits(self) -> int:
        """Bits of the memory."""
        return self.words * self.width

    def bram18(self) -> int:
        """Estimate of the RAMB18 of the memory."""
        block = takes_block_ram(self.words, self.width, self.ram)
        return bram18(self.words, self.width) if block else 0

    def lutram_lut(self) -> int:
        """Estimate of the LUTs that serve as memory."""
        return 0 if self.bram18() else lutram_lut(self.words, self.width)

    def streams(self) -> tuple[StreamPort, ...]:
        """Its streams, those that enter first."""
        return (
            StreamPort("s_axis", self.width),
            StreamPort("s_axis_length", 1, self.max_tokens.bit_length()),
            StreamPort("m_axis", self.width),
        )

    def memory_shapes(self) -> MemoryShapes:
        """It reads no memory file."""
        return {}

    def latency(self) -> int:
        """Cycles from a sentence's last beat to the offer of its first, if none is before it."""
        return 2

    def cycles(self, lengths: Sequence[int]) -> int:
        """Cycles from the first beat of a run of sentences to the last, without stalls.

        A sentence of n tokens is written in n * heads * beats cycles and read in as many. It is
        read after the one before it, and written once the one that is two before it was read.

        Raises:
            ParameterError: a sentence that is empty or longer than max_tokens.
        """
        written = read = 0
        freed = [0, 0]  # cycle from which each bank can be written
        for index, tokens in enumerate(lengths):
            in_range("tokens of a sentence", tokens, 1, self.max_tokens)
            beats = tokens * self.heads * self.beats
            written = max(written, freed[index % 2]) + beats
            read = max(read, written) + beats
            freed[index % 2] = read
        return read + 1  # the output register
