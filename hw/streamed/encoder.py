"""The weight-streamed encoder: kernels of one layer, memories of a batch, the load bus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from hw.errors import ParameterError
from hw.integer_model import IntegerModel
from hw.kernels.add_norm import NORMS, AddNorm, NormTensors
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import CONSUMERS, ChannelThreshold
from hw.kernels.checks import in_range, one_of, signed_bits
from hw.kernels.memory import MemoryShapes
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import StreamFifo
from hw.layout import Dimensions, Formats

Folding = Mapping[str, Mapping[str, Any]]  # attributes of kernels that differ from the plain ones
BankedKernel = BinaryMvu | AddNorm | BinaryAttention | ChannelThreshold

# In the order of the data, and of the registers of the load bus.
KERNELS = (
    "input_threshold",
    "query",
    "key",
    "value",
    "attention",
    "output",
    "attention_norm",
    "up",
    "down",
    "ffn_norm",
)
MATRICES = (*CONSUMERS, "output", "up", "down")
RAMS = ("attention_norm_residual", "ffn_norm_residual", "loop")
LOOPS = ("chip", "memory")
ATTENTION_FILES = ("RELATIVE", "EXP", "PROBABILITY", "CONTEXT")  # in the order of the load bus
INDEX_BITS = 24  # of load_pkg.sv
MIN_LOAD_BITS = 32  # the widest entry of an attention's table is a beat


@dataclass(frozen=True)
class StreamedEncoder:
    """One layer's hardware that a batch of sentences passes once for each layer.

    Attributes:
        layers: passes of a batch.
        kernels: those of a layer, by the names of KERNELS.
        batch_tokens: tokens of a batch at most.
        batch_sentences: sentences of a batch at most.
        load_bits: bits of a beat of the load bus, 32 or more.
        loop: where the residual of a batch waits for the next pass, "chip" or external "memory".
        residual_tokens: tokens that fit in the FIFO around the attention; 0: two sentences of
            max_tokens, which never makes anything wait.
        ffn_tokens: tokens that fit in the FIFO around the FFN; 0: enough not to make it wait.
        rams: where the FIFOs of the residual lie, by the names of RAMS, as StreamFifo says it;
            "auto" if left out.
        fifo_depth: beats of every other FIFO.
        single: matrices whose weights have one bank, which is filled while the hardware is empty.
    """

    layers: int
    kernels: Mapping[str, BankedKernel]
    batch_tokens: int
    batch_sentences: int
    load_bits: int = 64
    loop: str = "chip"
    residual_tokens: int = 0
    ffn_tokens: int = 0
    rams: Mapping[str, str] = field(default_factory=dict)
    fifo_depth: int = 32
    single: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.single:
            one_of("single", name, MATRICES)
        for name in self.rams:
            one_of("rams", name, RAMS)
        if tuple(self.kernels) != KERNELS:
            raise ParameterError(f"kernels: expected {KERNELS}, got {tuple(self.kernels)}")
        in_range("layers", self.layers, 1, 256)
        in_range("batch_sentences", self.batch_sentences, 1, 1 << 16)
        in_range("batch_tokens", self.batch_tokens, self.max_tokens, 1 << 20)
        in_range("load_bits", self.load_bits, MIN_LOAD_BITS, 1024)
        one_of("loop", self.loop, LOOPS)
        if self.residual_tokens:
            in_range("residual_tokens", self.residual_tokens, self.max_tokens + 1, 1 << 16)
        in_range("beats of an image", self.image_beats, 1, (1 << INDEX_BITS) - 1)

    @property
    def attention(self) -> BinaryAttention:
        """The kernel of that name."""
        kernel = self.kernels["attention"]
        assert isinstance(kernel, BinaryAttention)
        return kernel

    def norm(self, name: str) -> AddNorm:
        """`attention_norm` or `ffn_norm`."""
        kernel = self.kernels[name]
        assert isinstance(kernel, AddNorm)
        return kernel

    def mvu(self, name: str) -> BinaryMvu:
        """The kernel of a matrix."""
        kernel = self.kernels[name]
        assert isinstance(kernel, BinaryMvu)
        return kernel

    @property
    def input(self) -> ChannelThreshold:
        """The kernel `input_threshold`, which fixes the beats of the residual."""
        kernel = self.kernels["input_threshold"]
        assert isinstance(kernel, ChannelThreshold)
        return kernel

    @property
    def max_tokens(self) -> int:
        """Longest sentence."""
        return self.attention.max_tokens

    @property
    def residual_bits(self) -> int:
        """Bits of a beat of the residual."""
        return self.input.lanes * self.input.word_bits

    @property
    def waiting_tokens(self) -> int:
        """Tokens that fit in the FIFO around the attention."""
        return self.residual_tokens or 2 * self.max_tokens + 2

    @property
    def waiting_in_ffn(self) -> int:
        """Tokens that fit in the FIFO around the FFN: groups that wait, are in work, leave."""
        return self.ffn_tokens or 4 * max(self.mvu(name).tokens for name in ("up", "down")) + 4

    def fifo(self, name: str) -> StreamFifo:
        """A FIFO of the residual, by the names of RAMS."""
        tokens = {
            "attention_norm_residual": self.waiting_tokens,
            "ffn_norm_residual": self.waiting_in_ffn,
            "loop": self.batch_tokens,
        }[name]
        ram = self.rams.get(name, "auto")
        return StreamFifo(self.residual_bits, tokens * self.input.beats, ram)

    @property
    def image_beats(self) -> int:
        """Beats of the load bus that bring a layer."""
        return sum(beats(kernel, self.load_bits) for kernel in self.kernels.values())

    @property
    def image_bytes(self) -> int:
        """Bytes of external memory that a layer takes."""
        return self.image_beats * self.load_bits // 8

    @property
    def gap_beats(self) -> int:
        """Beats of an image, the last ones, that come while the hardware is empty."""
        return sum(beats(self.kernels[name], self.load_bits) for name in set(self.single))

    def load_order(self) -> list[str]:
        """Names of the kernels in the order of an image: those of one bank come last."""
        return sorted(self.kernels, key=lambda name: name in self.single)

    def bases(self) -> dict[str, int]:
        """Index of each kernel's first beat on the load bus."""
        found, base = {}, 0
        for name in self.load_order():
            found[name] = base
            base += beats(self.kernels[name], self.load_bits)
        return found

    def checked_batch(self, lengths: Sequence[int]) -> None:
        """Raise ParameterError unless sentences of these lengths are a batch."""
        in_range("sentences of a batch", len(lengths), 1, self.batch_sentences)
        for tokens in lengths:
            in_range("tokens of a sentence", tokens, 1, self.max_tokens)
        in_range("tokens of a batch", sum(lengths), 1, self.batch_tokens)


@dataclass(frozen=True)
class Widths:
    """Bits of constants that a model's tensors decide: the widest of all layers.

    Attributes:
        norms: attributes of AddNorm, by norm: multiplier (the largest), shift and widths.
        input_threshold_bits: of the thresholds in front of query, key and value.
    """

    norms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    input_threshold_bits: int = 0

    @classmethod
    def of_model(cls, model: IntegerModel) -> "Widths":
        """Those of a model."""
        bits = max(
            _signed(tensor)
            for layer in range(model.dimensions.layers)
            for tensor in input_thresholds(model, layer)
        )
        return cls({norm: _norm_widths(model, norm) for norm in NORMS}, bits)

    @classmethod
    def typical(cls, formats: Formats) -> "Widths":
        """Those for a size of which there is no model yet."""
        norm = {
            "multiplier": 1 << 17,
            "shift": 24,
            "bias_bits": 40,
            "gamma_bits": formats.gamma_fraction_bits + 8,
            "beta_bits": formats.norm_fraction_bits + formats.gamma_fraction_bits + 4,
            "rsqrt_bits": 15,
            "threshold_bits": formats.word_bits + 1,
        }
        return cls({name: norm for name in NORMS}, formats.word_bits + 1)


def input_thresholds(model: IntegerModel, layer: int) -> list[Any]:
    """Thresholds with which a layer binarizes its input for query, key and value."""
    return [model[f"layer.{layer}.{name}.input_threshold"] for name in CONSUMERS]


def norm_tensors(model: IntegerModel, norm: str) -> list[NormTensors]:
    """Tensors of a norm in every layer, all with the shift of the layer that has the largest.

    `M' = M 2^e`, `B' = B 2^e` and `n' = n + e` requantize to the same integers:
    `floor((2^e a + 2^(n+e-1)) / 2^(n+e)) = floor((a + 2^(n-1)) / 2^n)`, and `a` for n = 0.
    The consumer of ffn_norm is no one: the next pass binarizes its residual.
    """
    all_layers = [NormTensors.of_layer(model, i, norm) for i in range(model.dimensions.layers)]
    common = max(tensors.shift for tensors in all_layers)
    return [
        replace(
            tensors,
            multiplier=tensors.multiplier << (common - tensors.shift),
            bias=tensors.bias << (common - tensors.shift),
            shift=common,
            thresholds=tensors.thresholds if norm == "attention_norm" else (),
        )
        for tensors in all_layers
    ]


def encoder_of_model(model: IntegerModel, folding: Folding, **attributes: Any) -> StreamedEncoder:
    """The encoder for a model.

    Args:
        folding: attributes of kernels, by the names of KERNELS; both norms and input_threshold
            have the same `lanes`.
        attributes: those of StreamedEncoder other than layers and kernels; `max_tokens`, that of
            the model if left out.
    """
    sizes = replace(
        model.dimensions, max_tokens=attributes.pop("max_tokens", model.dimensions.max_tokens)
    )
    return encoder_of_size(sizes, model.formats, folding, Widths.of_model(model), **attributes)


def encoder_of_size(
    sizes: Dimensions,
    formats: Formats,
    folding: Folding,
    widths: Widths | None = None,
    **attributes: Any,
) -> StreamedEncoder:
    """The encoder for models of a size; see `encoder_of_model`."""
    widths = widths or Widths.typical(formats)
    unknown = sorted(set(folding) - set(KERNELS))
    if unknown:
        raise ParameterError(f"folding: expected names of {KERNELS}, got {unknown}")
    h, f = sizes.hidden, sizes.ffn
    kernels: dict[str, BankedKernel] = {
        "input_threshold": ChannelThreshold(
            hidden=h,
            word_bits=formats.word_bits,
            bit_streams=len(CONSUMERS),
            threshold_bits=widths.input_threshold_bits,
        )
    }
    kernels |= {name: BinaryMvu(h, h, 1, 1) for name in CONSUMERS}
    kernels["attention"] = BinaryAttention(
        max_tokens=sizes.max_tokens,
        heads=sizes.heads,
        head_width=sizes.head_width,
        sps=sizes.attention == "sps",
        exp_bits=formats.exp_bits,
        probability_bits=formats.probability_bits,
        relative_positions=sizes.relative_positions,
    )
    kernels["output"] = BinaryMvu(h, h, 1, 1, raw=True)
    kernels["attention_norm"] = _plain_norm("attention_norm", sizes, formats, widths)
    kernels["up"] = BinaryMvu(h, f, 1, 1)
    kernels["down"] = BinaryMvu(f, h, 1, 1, raw=True, inputs="binary")
    kernels["ffn_norm"] = _plain_norm("ffn_norm", sizes, formats, widths)
    folded = {name: replace(k, **folding.get(name, {})) for name, k in kernels.items()}
    return StreamedEncoder(layers=sizes.layers, kernels=folded, **attributes)


def banked_shapes(kernel: BankedKernel) -> list[tuple[int, int]]:
    """Words and bits of the memories that the load bus fills, in its order."""
    if isinstance(kernel, BinaryMvu):
        return [(kernel.words, kernel.word_bits)]
    shapes = banked_files(kernel)
    found = list(shapes.values())
    if isinstance(kernel, AddNorm):
        found.insert(1, (1, factor_bits(kernel)))
    return found


def banked_files(kernel: AddNorm | BinaryAttention | ChannelThreshold) -> MemoryShapes:
    """Words and bits of the memory files in two banks, in the order of the load bus."""
    shapes = kernel.memory_shapes()
    if isinstance(kernel, AddNorm):
        order = ["bias", "gamma", "beta", "thresholds"]
        names = [f"{kernel.prefix}{name}.hex" for name in order]
    elif isinstance(kernel, BinaryAttention):
        files = kernel.parameters()
        names = [str(files[f"{name}_FILE"]) for name in ATTENTION_FILES]
    else:
        names = list(shapes)
    return {name: shapes[name] for name in names if name in shapes}


def factor_bits(kernel: AddNorm) -> int:
    """FACTOR_BITS of requantize.sv: bits of a multiplier."""
    return 1 + abs(kernel.multiplier).bit_length()


def beats(kernel: BankedKernel, load_bits: int) -> int:
    """Beats of the load bus that fill a kernel's memories."""
    return sum(words * -(-bits // load_bits) for words, bits in banked_shapes(kernel))


def _plain_norm(norm: str, sizes: Dimensions, formats: Formats, widths: Widths) -> AddNorm:
    inputs = sizes.hidden if norm == "attention_norm" else sizes.ffn
    return AddNorm(
        hidden=sizes.hidden,
        accumulator_bits=signed_bits(-inputs, inputs),
        word_bits=formats.word_bits,
        fraction_bits=formats.fraction_bits,
        norm_fraction_bits=formats.norm_fraction_bits,
        gamma_fraction_bits=formats.gamma_fraction_bits,
        rsqrt_index_bits=formats.rsqrt_index_bits,
        bit_streams=1 if norm == "attention_norm" else 0,
        prefix=f"{norm}_",
        **widths.norms[norm],
    )


def _norm_widths(model: IntegerModel, norm: str) -> dict[str, int]:
    """The largest multiplier and the widest words of a norm in all layers."""
    tensors = norm_tensors(model, norm)
    kernels = [AddNorm.for_tensors(t, model.formats, accumulator_bits=32) for t in tensors]
    names = [f.name for f in fields(AddNorm) if f.name in _WIDTHS]
    widths = {name: max(getattr(kernel, name) for kernel in kernels) for name in names}
    multiplier = max(abs(t.multiplier) for t in tensors)
    return {**widths, "multiplier": multiplier, "shift": tensors[0].shift}


_WIDTHS = ("bias_bits", "gamma_bits", "beta_bits", "rsqrt_bits", "threshold_bits")


def _signed(tensor: Any) -> int:
    return signed_bits(int(tensor.min()), int(tensor.max()))
