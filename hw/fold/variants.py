"""The variants of each kernel that keep to a number of cycles per token."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from hw.errors import ParameterError
from hw.fold.fifo_memories import waiting_beats
from hw.fold.problem import Fields, Variant, undominated
from hw.kernels.add_norm import AddNorm
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import CONSUMERS, ChannelThreshold
from hw.kernels.load_chain import LoadChain
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import StreamFifo, WidthConverter
from hw.resources import Resources, resources_of

WAITING = "waiting_"  # before fields of the FIFOs in front of an attention, among its own
SHALLOW = 2  # beats of a FIFO that only cuts paths
MAX_SIMD = 1024  # of a lane
MAX_ATTENTION_BITS = 64  # of a beat into or out of an attention
STYLES = ("distributed", "block")
FREEING_SLOTS = 3  # slots for which an attention with two banks waits per sentence, rounded up
SHORTEST = 4  # tokens of the shortest sentence that must keep pace nevertheless


@dataclass(frozen=True)
class Setting:
    """What all nodes share.

    Attributes:
        family: of the part.
        cycles: most cycles per token.
        lanes: of the residual stream.
        ultra: whether the part has URAM.
    """

    family: str
    cycles: int
    lanes: int
    ultra: bool


def mvu_variants(
    kernel: BinaryMvu,
    setting: Setting,
    input_bits: int = 0,
    foldings: Iterable[BinaryMvu] | None = None,
) -> list[Variant]:
    """Variants of a matrix, with the FIFO in front and the converters that are its own.

    Args:
        input_bits: width of its input stream, if that is given; else an edge joins them.
        foldings: those that are looked at, if not all.
    """
    found = []
    for given in _mvu_foldings(kernel, setting) if foldings is None else foldings:
        folded = _with_room(given, setting)
        cost = resources_of(folded, setting.family)
        cost += resources_of(StreamFifo(folded.simd, SHALLOW), setting.family)
        if folded.loadable:
            beats = folded.words * folded.load_beats_per_word
            cost += resources_of(LoadChain(folded.load_bits, beats), setting.family)
        if input_bits:
            into = converter(input_bits, folded.simd, setting.family)
            if into is None:
                continue
            cost += into
        if folded.raw:
            bits = folded.output_bits
            out = converter(folded.pe * bits, setting.lanes * bits, setting.family)
            if out is None:
                continue
            cost += out
        fields = ["pe", "simd", "tokens", "weight_memory", "activation_memory", "loadable"]
        fields += ["out_cycles"] if folded.out_cycles else []
        found.append(
            Variant(
                {name: getattr(folded, name) for name in fields},
                mvu_cycles(folded),
                cost,
                into=0 if input_bits else folded.simd,
                out=0 if folded.raw else folded.pe,
                tokens=tokens_under_way(folded, setting.cycles),
            )
        )
    return undominated(found)


def _with_room(kernel: BinaryMvu, setting: Setting) -> BinaryMvu:
    """With room for results where an add + LayerNorm takes them too slowly to keep the pace."""
    out_cycles = kernel.mh // setting.lanes if kernel.raw else 0
    stalled = kernel.words + kernel.output_stall(out_cycles)
    if stalled <= kernel.tokens * setting.cycles:
        return kernel
    return replace(kernel, out_cycles=out_cycles)


def mvu_cycles(kernel: BinaryMvu) -> int:
    """Cycles per token in a steady state."""
    return -(-kernel.words // kernel.tokens)


def tokens_under_way(kernel: BinaryMvu, cycles: int) -> int:
    """Tokens that are in a matrix when one comes every `cycles` cycles.

    A token comes in beats, waits for the others of its group, is in work, and leaves after the
    others. Simulated `mini` and `minilm` need this many or a few less.
    """
    if kernel.tokens == 1:
        return 1 + -(-kernel.words // cycles)
    leave = kernel.tokens * max(kernel.neuron_folds, kernel.out_cycles)
    wait = kernel.words - kernel.words // kernel.tokens
    return -(-(wait + kernel.words + leave) // cycles)


def _mvu_foldings(kernel: BinaryMvu, setting: Setting) -> Iterator[BinaryMvu]:
    memories = [("distributed", False), ("block", False)]
    memories += [("ultra", True)] if setting.ultra else []
    for pe, simd in itertools.product(divisors(kernel.mh), divisors(kernel.mw)):
        folds = (kernel.mh // pe) * (kernel.mw // simd)
        tokens = -(-folds // setting.cycles)
        most = max(1, min(kernel.mh // pe, kernel.mw // simd))
        if simd > MAX_SIMD or tokens > most:
            continue
        for weights, loadable in memories:
            styles = STYLES if kernel.mw > simd else STYLES[:1]
            for activations in styles:
                yield replace(
                    kernel,
                    pe=pe,
                    simd=simd,
                    tokens=tokens,
                    weight_memory=weights,
                    loadable=loadable,
                    activation_memory=activations,
                )


def attention_variants(
    kernel: BinaryAttention, setting: Setting, *, waiting: bool = True
) -> list[Variant]:
    """Variants of an attention, with the FIFOs in front.

    Args:
        waiting: these hold sentences that wait; the fields of one are among the variant's, with
            WAITING before their names. Else they only cut paths.
    """
    found = []
    foldings = _attention_foldings(kernel, setting.cycles)
    for folded, ram in itertools.product(foldings, STYLES if waiting else ("auto",)):
        depth = waiting_beats(folded) if waiting else SHALLOW
        cost = resources_of(folded, setting.family)
        fifo = resources_of(StreamFifo(folded.in_bits, depth, ram), setting.family)
        cost += fifo * len(CONSUMERS)
        length = folded.max_tokens.bit_length()
        cost += resources_of(StreamFifo(length, SHALLOW), setting.family)
        names = ("max_tokens", "keys", "simd", "channels", "in_bits", "out_bits", "banks")
        fields: dict[str, Any] = {name: getattr(folded, name) for name in names}
        if waiting:
            fields |= {f"{WAITING}depth": depth, f"{WAITING}ram": ram}
        found.append(
            Variant(
                fields,
                attention_cycles(folded),
                cost,
                into=folded.in_bits,
                out=folded.out_bits,
            )
        )
    return undominated(found)


def attention_cycles(kernel: BinaryAttention) -> int:
    """Cycles per token of the longest sentences, in a steady state."""
    return kernel.token_cycles(kernel.max_tokens)


def _attention_foldings(kernel: BinaryAttention, cycles: int) -> Iterator[BinaryAttention]:
    tokens, width, hidden = kernel.max_tokens, kernel.head_width, kernel.hidden
    slot = cycles // kernel.heads
    for simd in divisors(width):
        groups = slot * simd // width  # that a slot has time for
        if groups < 1:
            continue
        keys = -(-tokens // min(groups, tokens))
        for channels in divisors(simd):
            if width // channels > slot or hidden // channels > cycles:
                continue
            whole = replace(
                kernel,
                keys=keys,
                simd=simd,
                channels=channels,
                in_bits=channels,
                out_bits=channels,
                banks=4,
            )
            if attention_cycles(whole) > cycles:
                continue
            paced = _paced(whole, cycles)
            for in_bits in _multiples(channels, simd):
                for out_bits in _multiples(channels, hidden):
                    folded = replace(whole, in_bits=in_bits, out_bits=out_bits)
                    yield folded
                    if paced:
                        yield replace(folded, banks=2)


def _multiples(part: int, whole: int) -> list[int]:
    """Divisors of `whole` that `part` divides, as wide as a beat may be."""
    most = max(part, MAX_ATTENTION_BITS)
    return [bits for bits in divisors(whole) if bits % part == 0 and bits <= most]


def _paced(kernel: BinaryAttention, cycles: int) -> bool:
    """Whether sentences keep pace though a bank is free only when its last row has left."""
    lengths = range(min(SHORTEST, kernel.max_tokens), kernel.max_tokens + 1)
    return all(
        kernel.token_cycles(n) * (kernel.heads * n + FREEING_SLOTS) <= cycles * kernel.heads * n
        for n in lengths
    )


def norm_variants(kernel: AddNorm, setting: Setting) -> list[Variant]:
    """Variants of an add + LayerNorm: where its memories lie."""
    found = []
    names = ("buffer_style", "bias_style", "scale_style", "rsqrt_style", "threshold_style")
    bits = setting.lanes * kernel.accumulator_bits
    fifo = resources_of(StreamFifo(bits, SHALLOW), setting.family)
    for styles in itertools.product(STYLES, repeat=len(names)):
        fields: dict[str, Any] = {"lanes": setting.lanes, **dict(zip(names, styles, strict=True))}
        folded = replace(kernel, **fields)
        cost = resources_of(folded, setting.family) + fifo
        found.append(Variant(fields, folded.interval(), cost))
    return undominated(found)


def threshold_variants(kernel: ChannelThreshold, setting: Setting) -> list[Variant]:
    """Variants of the accelerator's input, with the FIFO in front."""
    found = []
    for style in STYLES:
        folded = replace(kernel, lanes=setting.lanes, threshold_style=style)
        bits = setting.lanes * folded.word_bits
        cost = resources_of(folded, setting.family)
        cost += resources_of(StreamFifo(bits, SHALLOW), setting.family)
        fields: Fields = {"lanes": setting.lanes, "threshold_style": style}
        found.append(Variant(fields, folded.interval(), cost))
    return undominated(found)


def fifo_variants(beats: int, width: int, base: int, most: int, setting: Setting) -> list[Variant]:
    """FIFOs of a residual that hold from `base` to `most` tokens."""
    found = []
    styles = ("distributed", "block", *(("ultra",) if setting.ultra else ()))
    for tokens in range(base, most + 1):
        for style in styles:
            fifo = StreamFifo(width, max(SHALLOW, tokens * beats), style)
            fields: Fields = {"depth": fifo.depth, "ram": style}
            found.append(Variant(fields, 0, resources_of(fifo, setting.family), tokens=tokens))
    # A smaller FIFO that costs as much is of no use.
    best: dict[Resources, Variant] = {}
    for variant in found:
        best[variant.cost] = variant
    kept = [v for v in best.values() if not any(_holds_more(o, v) for o in best.values())]
    return kept


def _holds_more(other: Variant, variant: Variant) -> bool:
    return other is not variant and other.tokens >= variant.tokens and other.cost.fits(variant.cost)


def converter(bits: int, wanted: int, family: str) -> Resources | None:
    """What a width converter takes; None if it would be too wide."""
    if bits == wanted:
        return Resources()
    try:
        return resources_of(WidthConverter(bits, wanted), family)
    except ParameterError:
        return None


def residual_lanes(kernels: list[AddNorm], cycles: int) -> int | None:
    """The fewest lanes with which all norms keep to the cycles, or None."""
    for lanes in divisors(kernels[0].hidden):
        try:
            if all(replace(kernel, lanes=lanes).interval() <= cycles for kernel in kernels):
                return lanes
        except ParameterError:  # too few beats
            return None
    return None


def divisors(whole: int) -> list[int]:
    """Divisors, in order."""
    return [d for d in range(1, whole + 1) if whole % d == 0]
