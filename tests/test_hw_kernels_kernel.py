"""The streams that a kernel tells of are those of its module."""

import pytest

from hw.kernels.add_norm import AddNorm
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import ChannelThreshold
from hw.kernels.kernel import Kernel
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import HeadReorder, SkidBuffer, StreamFifo, WidthConverter
from hw.sim.verilator import build

KERNELS: list[Kernel] = [
    BinaryMvu(mw=24, mh=10, pe=2, simd=3, raw=True, behavioural=True),
    BinaryMvu(mw=8, mh=4, pe=4, simd=2, loadable=True, load_bits=9, behavioural=True),
    BinaryAttention(max_tokens=16, heads=2, head_width=4, simd=2, in_bits=2, out_bits=4),
    AddNorm(hidden=16, accumulator_bits=9, multiplier=3, shift=2, lanes=2, bit_streams=3),
    ChannelThreshold(hidden=8, lanes=2, word_bits=9, threshold_bits=9, bit_streams=2),
    HeadReorder(width=3, heads=2, beats=2, max_tokens=4),
    SkidBuffer(5),
    StreamFifo(7, 5),
    WidthConverter(3, 5),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: str(kernel.module))
def test_streams_are_the_ports_of_the_module(kernel: Kernel) -> None:
    found = build(kernel.module, kernel.parameters()).ports
    streams = {port.name: (port.width, port.enters) for port in kernel.streams()}
    assert streams == {name: (port.bits, port.enters) for name, port in found.items()}
    entering = [port.enters for port in kernel.streams()]
    assert entering == sorted(entering, reverse=True)
