"""The encoder as a problem of choice, and a choice as a folding of its kernels."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from hw.errors import ParameterError
from hw.fold.fifo_memories import waiting_fifo
from hw.fold.problem import Choice, Edge, Group, Problem, Room, Variant
from hw.fold.variants import (
    WAITING,
    Setting,
    attention_variants,
    converter,
    fifo_variants,
    mvu_variants,
    norm_variants,
    residual_lanes,
    threshold_variants,
)
from hw.kernels.add_norm import AddNorm
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import CONSUMERS, ChannelThreshold
from hw.kernels.kernel import Kernel
from hw.kernels.mvu import BinaryMvu
from hw.resources import Resources

INPUT = "input_threshold"
QUERIES = ("query", "key", "value")
MATRICES = {**dict.fromkeys(QUERIES, "queries"), "output": "output", "up": "up", "down": "down"}
NORMS = ("attention_norm", "ffn_norm")
PARTS = (*MATRICES, "attention", *NORMS)
CONSTANT_BITS = ("bias_bits", "gamma_bits", "beta_bits", "threshold_bits", "rsqrt_bits")
FIFO = "_residual_fifo"
MOST_TOKENS_BESIDE = 48  # tokens under way beside a residual FIFO, a bound

Folding = dict[str, dict[str, Any]]
Foldings = Callable[[str, BinaryMvu], list[BinaryMvu]]
K = TypeVar("K")


@dataclass(frozen=True)
class Encoder:
    """The kernels of an encoder, unfolded, by instance name.

    Attributes:
        kernels: `input_threshold`, and of each layer i those of PARTS as `layer{i}_PART`.
        max_tokens: of the longest sentence.
    """

    kernels: Mapping[str, Kernel]
    max_tokens: int

    def __post_init__(self) -> None:
        names = {INPUT} | {f"layer{i}_{part}" for i in range(self.layers) for part in PARTS}
        if missing := sorted(names - set(self.kernels)):
            raise ParameterError(f"kernels: expected those of an encoder, got no {missing[0]}")

    @property
    def layers(self) -> int:
        """Number of layers."""
        return sum(name.endswith("_attention") for name in self.kernels)

    def part(self, part: str) -> list[str]:
        """Names of all layers' instances of a part."""
        return [f"layer{i}_{part}" for i in range(self.layers)]

    def of(self, kind: type[K], name: str) -> K:
        """An instance, which must be of a kind."""
        kernel = self.kernels[name]
        if not isinstance(kernel, kind):
            raise ParameterError(f"{name}: expected {kind.__name__}, got {type(kernel).__name__}")
        return kernel

    def mvu(self, name: str) -> BinaryMvu:
        """A matrix."""
        return self.of(BinaryMvu, name)

    def attention(self, name: str) -> BinaryAttention:
        """An attention, for sentences of max_tokens."""
        return replace(self.of(BinaryAttention, name), max_tokens=self.max_tokens, keys=1)

    def norm(self, name: str) -> AddNorm:
        """An add + LayerNorm."""
        return self.of(AddNorm, name)

    def norms(self) -> list[str]:
        """Names of all add + LayerNorms."""
        return [name for norm in NORMS for name in self.part(norm)]

    def alike_norms(self) -> dict[str, list[str]]:
        """Names of those that lie at the same place of a layer and give as many bit streams."""
        found: dict[str, list[str]] = {}
        for norm in NORMS:
            for name in self.part(norm):
                found.setdefault(f"{norm}_{self.norm(name).bit_streams}", []).append(name)
        return found

    def widest(self, names: Sequence[str]) -> AddNorm:
        """A norm with the widest constants of some, which differ by layer in a few bits."""
        norms = [self.norm(name) for name in names]
        widths = {name: max(getattr(norm, name) for norm in norms) for name in CONSTANT_BITS}
        return replace(norms[0], **widths)

    def macs(self) -> int:
        """Binary multiply-accumulates per token of the matrices."""
        mvus = [k for k in self.kernels.values() if isinstance(k, BinaryMvu)]
        return sum(kernel.mw * kernel.mh for kernel in mvus)


def encoder_problem(
    encoder: Encoder,
    family: str,
    cycles: int,
    ultra: bool,
    foldings: Foldings | None = None,
) -> Problem | str:
    """What there is to choose at so many cycles per token; a line that says why nothing fits.

    Args:
        foldings: of a matrix, by instance name, those that are looked at, if not all.
    """
    lanes = residual_lanes([encoder.norm(name) for name in encoder.norms()], cycles)
    if lanes is None:
        return "an add + LayerNorm can't be as fast"
    setting = Setting(family, cycles, lanes, ultra)
    groups: dict[str, Group] = {}
    for kind in dict.fromkeys(MATRICES.values()):
        nodes = [n for part, k in MATRICES.items() if k == kind for n in encoder.part(part)]
        input_bits = lanes if kind in ("queries", "up") else 0
        make = _mvus(encoder, setting, input_bits, foldings)
        groups |= _groups(kind, nodes, make)
    groups |= _groups(
        "attention",
        encoder.part("attention"),
        lambda name: attention_variants(encoder.attention(name), setting),
    )
    for norm, names in encoder.alike_norms().items():
        groups[norm] = Group(names, norm_variants(encoder.widest(names), setting))
    threshold = encoder.of(ChannelThreshold, INPUT)
    groups[INPUT] = Group([INPUT], threshold_variants(threshold, setting))
    beats, width = threshold.hidden // lanes, lanes * threshold.word_bits
    bases = {"attention_norm": encoder.max_tokens + -(-8 // _heads(encoder)), "ffn_norm": 0}
    for norm, base in bases.items():
        fifos = fifo_variants(beats, width, base, base + MOST_TOKENS_BESIDE, setting)
        groups[norm + FIFO] = Group([n + FIFO for n in encoder.part(norm)], fifos)
    for name, group in groups.items():
        if not group.variants:
            return f"{group.nodes[0]} can't be as fast (of {name})"

    def cost(out: int, into: int) -> Resources | None:
        return converter(out, into, family)

    edges = [
        Edge("queries", "attention", len(QUERIES), cost),
        Edge("attention", "output", 1, cost),
        Edge("up", "down", 1, cost),
    ]
    parallel = {"queries": len(QUERIES)}
    rooms = [
        Room("attention_norm" + FIFO, ("queries", "output"), parallel, bases["attention_norm"]),
        Room("ffn_norm" + FIFO, ("up", "down"), {}, bases["ffn_norm"]),
    ]
    return Problem(groups, edges, rooms)


def _heads(encoder: Encoder) -> int:
    return encoder.attention(encoder.part("attention")[0]).heads


def _mvus(
    encoder: Encoder, setting: Setting, input_bits: int, foldings: Foldings | None
) -> Callable[[str], list[Variant]]:
    def variants(name: str) -> list[Variant]:
        kernel = encoder.mvu(name)
        some = None if foldings is None else foldings(name, kernel)
        return mvu_variants(kernel, setting, input_bits, some)

    return variants


def _groups(
    name: str, nodes: Sequence[str], variants: Callable[[str], list[Variant]]
) -> dict[str, Group]:
    """The nodes of a kind, which are alike: their variants are those of the first."""
    return {name: Group(nodes, variants(nodes[0]))}


def folding_of(problem: Problem, choice: Choice) -> Folding:
    """The fields of every kernel that a choice sets, by instance name.

    Nodes of a group that take different variants take them in the order of the layers; streams
    join the widths that the choice has paired.
    """
    chosen: dict[str, Variant] = {}
    left = {
        name: [
            v for v, n in zip(group.variants, choice.counts[name], strict=True) for _ in range(n)
        ]
        for name, group in problem.groups.items()
    }
    # From the widest FIFO on, as from the matrix with most tokens under way.
    for variants in left.values():
        variants.sort(key=lambda v: -v.tokens)
    for edge, pairs in zip(problem.edges, choice.pairs, strict=True):
        _join(problem, edge, dict(pairs), left, chosen)
    for name, group in problem.groups.items():
        for node in group.nodes:
            if node not in chosen:
                chosen[node] = left[name].pop(0)
    folding: Folding = {}
    for node, variant in chosen.items():
        own = {name: v for name, v in variant.fields.items() if not name.startswith(WAITING)}
        folding[node] = own
        if len(own) < len(variant.fields):
            fifo = {
                name.removeprefix(WAITING): value
                for name, value in variant.fields.items()
                if name not in own
            }
            folding |= {waiting_fifo(node, part): dict(fifo) for part in CONSUMERS}
    return folding


def _join(
    problem: Problem,
    edge: Edge,
    pairs: dict[tuple[int, int], int],
    left: dict[str, list[Variant]],
    chosen: dict[str, Variant],
) -> None:
    """Give the ends of an edge variants whose widths are paired."""
    source, target = problem.groups[edge.source], problem.groups[edge.target]
    layers = len(target.nodes)
    sources: dict[int, list[str]] = defaultdict(list)
    for index, node in enumerate(source.nodes):
        sources[index % layers].append(node)
    for layer, node in enumerate(target.nodes):
        given = [chosen[name].out for name in sources[layer] if name in chosen]
        fits = [v for v in left[edge.target] if not given or pairs.get((given[0], v.into), 0) > 0]
        variant = chosen[node] = fits[0]
        left[edge.target].remove(variant)
        for name in sources[layer]:
            if name in chosen:
                out = chosen[name].out
            else:
                paired = [v for v in left[edge.source] if pairs.get((v.out, variant.into), 0) > 0]
                chosen[name] = paired[0]
                left[edge.source].remove(paired[0])
                out = paired[0].out
            pairs[out, variant.into] -= 1
