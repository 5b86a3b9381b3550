"""The pace of a design: cycles that each kernel's work takes, and those of the slowest."""

from collections.abc import Sequence

from hw.design import Design
from hw.kernels.add_norm import AddNorm
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import ChannelThreshold
from hw.kernels.kernel import Kernel
from hw.kernels.mvu import BinaryMvu


def work_cycles(kernel: Kernel, lengths: Sequence[int]) -> float | None:
    """Cycles in which a kernel does its work on sentences of these lengths, at its best.

    None for parts without work of their own: FIFOs, forks, width converters.
    """
    tokens = sum(lengths)
    if isinstance(kernel, BinaryMvu):
        return tokens * kernel.words / kernel.tokens
    if isinstance(kernel, AddNorm | ChannelThreshold):
        return float(tokens * kernel.interval())
    if isinstance(kernel, BinaryAttention):
        return float(kernel.cycles(lengths))
    return None


def ideal_cycles(design: Design, lengths: Sequence[int]) -> tuple[str, float]:
    """The slowest instance and the cycles that it takes for sentences of these lengths."""
    work = {name: work_cycles(kernel, lengths) or 0.0 for name, kernel in design.instances.items()}
    slowest = max(work, key=lambda name: work[name])
    return slowest, work[slowest]
