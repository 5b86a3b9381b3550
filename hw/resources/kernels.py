"""What each kernel takes, as a sum over its parts.

Counts of lanes, bits and memories come from the modules' structure; the constants for control were
fitted to syntheses with Yosys. Block RAM, URAM and DSP are exact for them, LUTs within 15 %.
"""

import functools
from collections.abc import Callable
from typing import Any

from hw.errors import ParameterError
from hw.kernels import popcount
from hw.kernels.add_norm import AddNorm
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import ChannelThreshold
from hw.kernels.checks import one_of
from hw.kernels.kernel import Kernel
from hw.kernels.load_chain import LoadChain
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import (
    HeadReorder,
    SkidBuffer,
    StreamFifo,
    StreamFork,
    WidthConverter,
    takes_block_ram,
)
from hw.resources.amount import Resources
from hw.resources.memories import block_ram, lut_ram, lut_rom, multiplexer, packing, ultra_ram

FAMILIES = ("xc7", "xcup")
BIT_RAM_WIDTH, BIT_RAM_BITS = 32, 16384  # of a RAMB18 that is written a bit at a time


def resources_of(kernel: Kernel, family: str) -> Resources:
    """What a kernel takes in a family of parts, `xc7` or `xcup`.

    Raises:
        ParameterError: another family, or a kernel that there is no estimate of.
    """
    one_of("family", family, FAMILIES)
    if type(kernel) not in ESTIMATES:
        raise ParameterError(
            f"kernel: expected one of {sorted(k.__name__ for k in ESTIMATES)}, "
            f"got {type(kernel).__name__}"
        )
    return _estimate(kernel, family)


@functools.lru_cache(maxsize=1 << 16)
def _estimate(kernel: Any, family: str) -> Resources:
    return ESTIMATES[type(kernel)](kernel, family)


def _ram(words: int, bits: int, family: str, style: str) -> Resources:
    """A memory with a write and a read port whose result is a register."""
    if style == "ultra":
        blocks = ultra_ram(words, bits)
        select = bits * (int(packing(bits) > 1) + multiplexer(-(-words // 4096 // packing(bits))))
        return Resources(lut=select + 8, uram=blocks)
    if takes_block_ram(words, bits, style):
        blocks, select = block_ram(words, bits)
        return Resources(lut=select, bram18=blocks)
    held, select = lut_ram(words, bits, family)
    return Resources(lut=held + select, ff=bits)


def _rom(words: int, bits: int, style: str) -> Resources:
    """A memory of constants whose result is a register."""
    if takes_block_ram(words, bits, style):
        blocks, select = block_ram(words, bits, written=False)
        return Resources(lut=select, bram18=blocks)
    return Resources(lut=lut_rom(words, bits), ff=bits)


def _mvu(kernel: BinaryMvu, family: str) -> Resources:
    tokens, simd = kernel.tokens, kernel.simd
    width = kernel.pe * kernel.output_bits
    lanes = kernel.pe * tokens
    control = Resources(lut=38, ff=60 + width + kernel.word_bits)
    encoder = Resources(lut=simd // 4)
    lane = Resources(lut=popcount.lane_luts(simd, kernel.accumulator_bits), ff=_lane_ff(kernel))
    total = control + encoder + lane * lanes + Resources(ff=kernel.pe * kernel.accumulator_bits)
    total += _weights(kernel)
    folds = kernel.synapse_folds
    if folds == 1:
        total += Resources(ff=3 * simd) * tokens
    else:
        slots = 2 if kernel.neuron_folds > tokens else 4
        place = 1 << (folds - 1).bit_length()
        style = kernel.activation_memory
        total += (_ram(slots * place, simd, family, style) + Resources(ff=8)) * tokens
    if tokens > 1:
        depth = kernel.queue_depth
        queue = _ram(depth - 1, width, family, "auto")
        address = (depth - 2).bit_length()
        queue += Resources(lut=10 + 5 * address // 2, ff=12 + 4 * address)
        choice = Resources(lut=width * -(-tokens // 3))
        total += queue * tokens + choice
    elif folds == 1:
        total += Resources(lut=width, ff=width)
    return total


def _lane_ff(kernel: BinaryMvu) -> int:
    """Flip-flops of a lane: about two per LUT without the accumulator's."""
    count = popcount.lane_luts(kernel.simd, kernel.accumulator_bits)
    return 2 * (count - kernel.accumulator_bits) + 2 * kernel.accumulator_bits


def _weights(kernel: BinaryMvu) -> Resources:
    words, bits = kernel.words, kernel.word_bits
    if not kernel.loadable:
        return _rom(words, bits, kernel.weight_memory)
    parts = kernel.load_beats_per_word
    last = bits - (parts - 1) * kernel.load_bits
    style = kernel.weight_memory
    total = Resources(lut=30 + 4 * parts, ff=2 * words.bit_length() + parts)
    for part in [kernel.load_bits] * (parts - 1) + [last]:
        total += _ultra_words(words, part) if style == "ultra" else _ram(words, part, "xc7", style)
    return total


def _ultra_words(words: int, bits: int) -> Resources:
    return Resources(uram=-(-bits // 72) * -(-words // 4096))


def _attention(kernel: BinaryAttention, family: str) -> Resources:
    tokens, keys, channels = kernel.max_tokens, kernel.keys, kernel.channels
    folds, groups = kernel.head_width // kernel.simd, -(-tokens // keys)
    heads = 1 << (kernel.heads - 1).bit_length()
    score = popcount.lane_luts(kernel.simd, kernel.head_width.bit_length())
    context = round(0.65 * tokens)
    row = 63 if kernel.sps else 123
    lut = (240 if kernel.sps else 352) + keys * (score + row) + channels * context
    ff = (520 if kernel.sps else 800) + 115 * keys + 2 * keys * score // 2 + 100 * channels
    total = Resources(lut=lut, ff=ff)
    if kernel.relative_positions:
        bias = lut_rom(*kernel.relative_shape)
        total += Resources(lut=10 + keys * (32 + bias), ff=45 + 30 * keys)
    beats = tokens * kernel.hidden // kernel.in_bits
    total += Resources(bram18=_ram(beats - 1, kernel.in_bits, family, "auto").bram18)
    place = 1 << (groups - 1).bit_length()
    key_words = kernel.banks * place * (1 << (folds - 1).bit_length()) * heads
    total += _ram(key_words, keys * kernel.simd, family, "block")
    steps = 1 << (kernel.steps - 1).bit_length()
    width = 1 << (tokens - 1).bit_length()
    depth = kernel.banks * steps * heads
    blocks = max(-(-width // BIT_RAM_WIDTH), -(-width * depth // BIT_RAM_BITS))
    return total + Resources(bram18=blocks) * channels


def _norm(kernel: AddNorm, family: str) -> Resources:
    lanes, hidden, word = kernel.lanes, kernel.hidden, kernel.word_bits
    odd = hidden & (hidden - 1) != 0  # no power of two
    scale = word / 17
    lut = scale * (138 + 84 * lanes) + (120 if odd else 0)
    ff = scale * (330 + 180 * lanes) + (60 if odd else 0)
    if family == "xcup":  # Yosys leaves adders and registers outside of the DSPs there
        lut, ff = lut + 165 * lanes, ff + 580 * lanes
    total = Resources(lut=round(lut), ff=round(ff), dsp=5 * lanes + 1 + (6 if odd else 0))
    ring = 1 << (2 * kernel.beats - 1).bit_length()
    total += _ram(ring, lanes * word, family, kernel.buffer_style)
    styles = {
        kernel.bias_bits: kernel.bias_style,
    }
    for bits, style in styles.items():
        total += _rom(kernel.beats, lanes * bits, style)
    total += _rom(kernel.beats, lanes * kernel.gamma_bits, kernel.scale_style)
    total += _rom(kernel.beats, lanes * kernel.beta_bits, kernel.scale_style)
    total += _rom(3 << (kernel.rsqrt_index_bits - 2), kernel.rsqrt_bits, kernel.rsqrt_style)
    return total + _comparators(kernel.threshold())


def _comparators(kernel: ChannelThreshold) -> Resources:
    fields = kernel.bit_streams * kernel.lanes
    lut = fields * (kernel.word_bits + 1) + 2 * kernel.bit_streams
    total = Resources(lut=lut, ff=fields + kernel.bit_streams)
    if fields:
        total += _rom(kernel.beats, fields * kernel.threshold_bits, kernel.threshold_style)
    return total


def _threshold(kernel: ChannelThreshold, family: str) -> Resources:
    counter = 2 * kernel.beats.bit_length()
    width = kernel.lanes * kernel.word_bits
    return Resources(lut=8 + counter // 2, ff=2 * width + 4 + counter // 2) + _comparators(kernel)


def _fifo(kernel: StreamFifo, family: str) -> Resources:
    width, depth = kernel.width, kernel.depth
    if depth == 1:
        return Resources(lut=2, ff=width + 1)
    if depth == 2:
        return Resources(lut=width + 5, ff=2 * width + 2)
    words = depth - 1
    address = max(1, (words - 1).bit_length())
    wraps = words + 1 == 1 << address or words == 1 << address
    control = Resources(lut=(3 if wraps else 5) * address + 5, ff=3 * address + 3)
    slots = words + 1 if words + 1 == 1 << address else words
    return control + _ram(slots, width, family, kernel.ram)


def _width(kernel: WidthConverter, family: str) -> Resources:
    into, out, group = kernel.in_bits, kernel.out_bits, kernel.group_bits
    total = Resources()
    if group > into:
        total += Resources(lut=5, ff=group + 1 + (group // into - 1).bit_length())
    if group > out:
        total += Resources(lut=group - out + 6, ff=group + 1 + (group // out - 1).bit_length())
    return total


def _fork(kernel: StreamFork, family: str) -> Resources:
    return Resources(lut=2 + 2 * kernel.copies, ff=kernel.copies)


def _skid(kernel: SkidBuffer, family: str) -> Resources:
    return Resources(lut=kernel.width + 5, ff=2 * kernel.width + 2)


def _chain(kernel: LoadChain, family: str) -> Resources:
    bits = kernel.count.bit_length()
    return Resources(lut=12 + bits, ff=kernel.width + bits + 3)


def _reorder(kernel: HeadReorder, family: str) -> Resources:
    address = (kernel.words - 1).bit_length()
    return Resources(lut=9 * address, ff=40 + 3 * address) + _ram(
        kernel.words, kernel.width, family, kernel.ram
    )


ESTIMATES: dict[type[Any], Callable[[Any, str], Resources]] = {
    AddNorm: _norm,
    BinaryAttention: _attention,
    BinaryMvu: _mvu,
    ChannelThreshold: _threshold,
    HeadReorder: _reorder,
    LoadChain: _chain,
    SkidBuffer: _skid,
    StreamFifo: _fifo,
    StreamFork: _fork,
    WidthConverter: _width,
}
