"""What a weight-streamed encoder takes of a part, without synthesis.

A kernel takes what hw/resources says of its plain form, with its memories of constants replaced
by those that the load bus fills.
"""

import functools
from collections.abc import Mapping
from dataclasses import replace

from hw.kernels.add_norm import AddNorm
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import ChannelThreshold
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import WidthConverter, takes_block_ram
from hw.resources import Resources, resources_of
from hw.resources.memories import block_ram, lut_ram, lut_rom, ultra_ram
from hw.streamed.encoder import INDEX_BITS, BankedKernel, StreamedEncoder, factor_bits
from hw.streamed.top import parts

WRITER = Resources(lut=10, ff=12)  # load_writer.sv without its parts
SEQUENCER = Resources(lut=220, ff=190)


def encoder_resources(
    encoder: StreamedEncoder, family: str, port_bits: int = 64
) -> dict[str, Resources]:
    """What each part takes, by name; `port_bits`: of the memory's port that gives images."""
    found = {
        name: kernel_resources(kernel, family, encoder.load_bits, name not in encoder.single)
        for name, kernel in encoder.kernels.items()
    }
    found |= {part.name: resources_of(part.kernel, family) for part in parts(encoder)}
    if encoder.loop == "chip":
        found["loop"] = resources_of(encoder.fifo("loop"), family)
    return found | {"load": load_resources(encoder.load_bits, port_bits, family)}


def load_resources(load_bits: int, port_bits: int, family: str) -> Resources:
    """The sequencer, the registers of the load bus, and the converter from the memory's port."""
    hops = Resources(ff=10 * (load_bits + INDEX_BITS + 2))
    width = Resources()
    if load_bits != port_bits:
        width = resources_of(WidthConverter(port_bits, load_bits), family)
    return SEQUENCER + hops + width


def kernel_resources(
    kernel: BankedKernel, family: str, load_bits: int, double: bool = True
) -> Resources:
    """What a kernel takes whose constants come by the load bus, in two banks or one."""
    banks = 2 if double else 1
    if isinstance(kernel, BinaryMvu):
        style = kernel.weight_memory
        fixed = {"weight_memory": "block", "loadable": False, "weight_file": "", "load_bits": 72}
        plain = _plain(replace(kernel, **fixed), family)  # type: ignore[arg-type]
        return plain + memory(kernel.words, kernel.word_bits, load_bits, banks, style, family)
    if isinstance(kernel, BinaryAttention):
        tables = [(1, kernel.heads, kernel.probability_bits + 2)]
        if not kernel.sps:
            tables.append((kernel.keys, kernel.head_width + 1, kernel.exp_bits + 1))
        total = resources_of(kernel, family)
        if kernel.relative_positions:
            tables.append((kernel.keys, *kernel.relative_shape))
            total -= Resources(lut=kernel.keys * lut_rom(*kernel.relative_shape))
        for readers, words, bits in tables:
            held_bits, select = lut_ram(2 * words, bits, family)
            total += WRITER + Resources(lut=readers * (held_bits + select + 8))
        words, bits = next(iter(kernel.memory_shapes().values()))
        return total + memory(words, bits, load_bits, 2, "auto", family)
    return _plain(kernel, family) + Resources.total(
        memory(words, bits, load_bits, 2, style, family)
        for words, bits, style in _constants(kernel)
    )


def memory(words: int, bits: int, load_bits: int, banks: int, style: str, family: str) -> Resources:
    """A memory that the load bus fills: one RAM per beat of a word."""
    whole, rest = divmod(bits, load_bits)
    parts_count = whole + (rest > 0)
    total = WRITER + Resources(lut=2 * parts_count, ff=parts_count.bit_length())
    for size, count in ((load_bits, whole), (rest, 1)):
        if size and count:
            total += _ram(words * banks, size, style, family) * count
    return total


@functools.lru_cache(maxsize=1 << 16)
def _ram(depth: int, size: int, style: str, family: str) -> Resources:
    if style == "ultra":
        return Resources(uram=ultra_ram(depth, size))
    if takes_block_ram(depth, size, style):
        blocks, select = block_ram(depth, size)
        return Resources(lut=select, bram18=blocks)
    held, select = lut_ram(depth, size, family)
    return Resources(lut=held + select, ff=size)


def _constants(kernel: AddNorm | ChannelThreshold) -> list[tuple[int, int, str]]:
    """Words, bits and style of a kernel's constants."""
    if isinstance(kernel, ChannelThreshold):
        shapes: Mapping[str, tuple[int, int]] = kernel.memory_shapes()
        return [(*shape, kernel.threshold_style) for shape in shapes.values()]
    lanes = kernel.lanes
    return [
        (kernel.beats, lanes * kernel.bias_bits, kernel.bias_style),
        (1, factor_bits(kernel), "distributed"),
        (kernel.beats, lanes * kernel.gamma_bits, kernel.scale_style),
        (kernel.beats, lanes * kernel.beta_bits, kernel.scale_style),
        *_constants(kernel.threshold()),
    ]


@functools.lru_cache(maxsize=1 << 16)
def _plain(kernel: BinaryMvu | AddNorm | ChannelThreshold, family: str) -> Resources:
    """A kernel without its memories of constants, which are taken as block RAM and subtracted."""
    if isinstance(kernel, BinaryMvu):
        shapes = [(kernel.words, kernel.word_bits)]
    elif isinstance(kernel, AddNorm):
        kernel = replace(kernel, bias_style="block", scale_style="block", threshold_style="block")
        shapes = [(w, b) for w, b, _ in _constants(kernel) if w > 1]
    else:
        kernel = replace(kernel, threshold_style="block")
        shapes = [(w, b) for w, b, _ in _constants(kernel)]
    total = resources_of(kernel, family)
    for words, bits in shapes:
        blocks, select = block_ram(words, bits, written=False)
        total -= Resources(lut=select, bram18=blocks)
    return total
