"""What there is to choose for a weight-streamed layer, as a problem of hw/fold/problem.py."""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import replace

from hw.fold.problem import Edge, Fields, Group, Problem, Room, Variant, undominated
from hw.fold.variants import (
    STYLES,
    Setting,
    attention_variants,
    converter,
    divisors,
    fifo_variants,
    mvu_cycles,
    residual_lanes,
    tokens_under_way,
)
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import CONSUMERS
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import StreamFifo
from hw.resources import Resources, resources_of
from hw.streamed.encoder import RAMS, StreamedEncoder
from hw.streamed.resources import kernel_resources

NORMS = ("attention_norm", "ffn_norm")
SIMD = range(8, 513)  # of a lane: others take more logic for the same work
MAX_TOKENS = 32  # at once in a matrix
BESIDE = 64  # tokens under way beside a FIFO of the residual, a bound


def layer_problem(encoder: StreamedEncoder, family: str, cycles: int, ultra: bool) -> Problem | str:
    """What there is to choose at so many cycles per token; a line that says why nothing fits.

    Args:
        encoder: unfolded; its loop, batch_tokens, single and load_bits count.
    """
    lanes = residual_lanes([encoder.norm(name) for name in NORMS], cycles)
    if lanes is None:
        return "an add + LayerNorm can't be as fast"
    setting = Setting(family, cycles, lanes, ultra)
    variants = {
        **{name: _matrix(encoder, name, setting) for name in ("query", "output", "up", "down")},
        "attention": _attentions(encoder, setting),
        **{name: list(_norms(encoder, name, setting)) for name in NORMS},
        "input_threshold": list(_thresholds(encoder, setting)),
    }
    for name, found in variants.items():
        if not found:
            return f"{name} can't be as fast"
    groups = {name: Group([name], undominated(found)) for name, found in variants.items()}
    groups["query"] = Group(CONSUMERS, groups["query"].variants)
    beats, width = encoder.input.hidden // lanes, lanes * encoder.input.word_bits
    base = {"attention_norm_residual": encoder.max_tokens * 5 // 4 + 4, "ffn_norm_residual": 2}
    for name, tokens in base.items():
        groups[name] = Group([name], fifo_variants(beats, width, tokens, tokens + BESIDE, setting))
    if encoder.loop == "chip":
        tokens = encoder.batch_tokens
        groups["loop"] = Group(["loop"], fifo_variants(beats, width, tokens, tokens, setting))

    def cost(out: int, into: int) -> Resources | None:
        return converter(out, into, family)

    edges = [
        Edge("query", "attention", len(CONSUMERS), cost),
        Edge("attention", "output", 1, cost),
        Edge("up", "down", 1, cost),
    ]
    first, second = RAMS[:2]
    rooms = [
        Room(first, ("query", "output"), {"query": len(CONSUMERS)}, base[first]),
        Room(second, ("up", "down"), {}, base[second]),
    ]
    return Problem(groups, edges, rooms)


def _matrix(encoder: StreamedEncoder, name: str, setting: Setting) -> list[Variant]:
    input_bits = setting.lanes if name in ("query", "up") else 0
    sizes = (encoder.load_bits, encoder.fifo_depth, input_bits)
    return _mvus(encoder.mvu(name), setting, name not in encoder.single, *sizes)


@functools.lru_cache(maxsize=256)
def _mvus(
    plain: BinaryMvu,
    setting: Setting,
    double: bool,
    load_bits: int,
    fifo_depth: int,
    input_bits: int,
) -> list[Variant]:
    """Variants of a matrix, with its FIFO and the converters that are its own."""
    found = []
    for kernel in _foldings(plain, setting):
        cost = kernel_resources(kernel, setting.family, load_bits, double)
        cost += resources_of(StreamFifo(kernel.simd, fifo_depth), setting.family)
        bits = kernel.output_bits * setting.lanes
        into = converter(input_bits or kernel.simd, kernel.simd, setting.family)
        out = converter(kernel.pe * kernel.output_bits, bits, setting.family)
        if into is None or (kernel.raw and out is None):
            continue
        cost += into
        if kernel.raw and out is not None:
            cost += out + resources_of(StreamFifo(bits, fifo_depth), setting.family)
        names = ("pe", "simd", "tokens", "weight_memory", "loadable", "activation_memory")
        variant = Variant(
            {field: getattr(kernel, field) for field in names},
            mvu_cycles(kernel),
            cost,
            into=0 if input_bits else kernel.simd,
            out=0 if kernel.raw else kernel.pe,
            tokens=tokens_under_way(kernel, setting.cycles),
        )
        found.append(variant)
    return undominated(found)


def _foldings(kernel: BinaryMvu, setting: Setting) -> Iterator[BinaryMvu]:
    memories = ("block", "ultra") if setting.ultra else ("block",)
    for pe, simd in itertools.product(divisors(kernel.mh), divisors(kernel.mw)):
        folds = (kernel.mh // pe) * (kernel.mw // simd)
        tokens = -(-folds // setting.cycles)
        if (
            simd not in SIMD
            or tokens > MAX_TOKENS
            or tokens > max(1, min(kernel.mh // pe, kernel.mw // simd))
        ):
            continue
        for weights in memories:
            for activations in STYLES if kernel.mw > simd else STYLES[:1]:
                yield replace(
                    kernel,
                    pe=pe,
                    simd=simd,
                    tokens=tokens,
                    weight_memory=weights,
                    loadable=weights == "ultra",
                    activation_memory=activations,
                )


def _attentions(encoder: StreamedEncoder, setting: Setting) -> list[Variant]:
    found = []
    for variant in attention_variants(encoder.attention, setting, waiting=False):
        kernel: BinaryAttention = replace(encoder.attention, **variant.fields)  # type: ignore[arg-type]
        plain = resources_of(kernel, setting.family)
        banked = kernel_resources(kernel, setting.family, encoder.load_bits)
        found.append(replace(variant, cost=variant.cost + banked - plain))
    return found


def _norms(encoder: StreamedEncoder, name: str, setting: Setting) -> Iterator[Variant]:
    names = ("buffer_style", "bias_style", "scale_style", "threshold_style")
    for styles in itertools.product(STYLES, repeat=len(names)):
        fields: Fields = {"lanes": setting.lanes, **dict(zip(names, styles, strict=True))}
        kernel = replace(encoder.norm(name), **fields)  # type: ignore[arg-type]
        cost = kernel_resources(kernel, setting.family, encoder.load_bits)
        yield Variant(fields, kernel.interval(), cost)


def _thresholds(encoder: StreamedEncoder, setting: Setting) -> Iterator[Variant]:
    for style in STYLES:
        kernel = replace(encoder.input, lanes=setting.lanes, threshold_style=style)
        cost = kernel_resources(kernel, setting.family, encoder.load_bits)
        fifo = StreamFifo(setting.lanes * kernel.word_bits, encoder.fifo_depth)
        fields: Fields = {"lanes": setting.lanes, "threshold_style": style}
        yield Variant(fields, kernel.interval(), cost + resources_of(fifo, setting.family))
