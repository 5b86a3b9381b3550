"""Every kernel computes a trained model's tensors, on real sentences, as the reference does."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgebert.tokenizer import Tokenizer
from edgebert.zoo import find, model_file
from hw.integer_model import IntegerModel, load_integer_model
from hw.kernels.add_norm import NORMS, AddNorm, NormTensors
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import ChannelThreshold, model_thresholds
from hw.kernels.mvu import BinaryMvu
from hw.reference import float_product, run
from hw.sim import bench
from hw.sim.beats import pack, unpack
from hw.sim.bench import Stalls
from tests.attention_cases import Sentence as Bits
from tests.attention_cases import Tensors, streams
from tests.norms import run_add_norm

Values = list[dict[str, NDArray[np.int64]]]  # named tensors of each sentence

TEXTS = (
    "Yes.",
    "The acting is wooden and the plot has holes that a bus could drive through.",
    "A quiet, patient film about two sisters; it earns every tear.",
    "Too long by half, yet I would not have missed the last ten minutes for anything in the world, "
    "because they made me forgive the director for the two hours of noise that came before.",
)
STALLS = Stalls(seed=5, share=0.3, burst=3)
MAX_TOKENS = 64


@pytest.fixture(scope="module")
def model() -> IntegerModel:
    return load_integer_model(model_file(find("tiny-sst2")))


@pytest.fixture(scope="module")
def values(model: IntegerModel, tmp_path_factory: pytest.TempPathFactory) -> Values:
    vocab: Path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    vocab.write_bytes(model.attachments["vocab.txt"])
    tokenizer = Tokenizer(vocab.read_text(encoding="utf-8").splitlines(), MAX_TOKENS)
    encoded = tokenizer.encode_batch([(text, None) for text in TEXTS])
    return [run(model, e.input_ids, e.token_type_ids, float_product) for e in encoded]


def joined(values: Values, name: str) -> NDArray[np.int64]:
    """A tensor of all sentences, one after the other: (tokens, channels)."""
    return np.concatenate([sentence[name] for sentence in values])


def as_bits(tensor: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(tensor > 0, dtype=np.int64)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("matrix", ["query", "key", "value", "up"])
def test_thresholded_matrices(model: IntegerModel, values: Values, layer: int, matrix: str) -> None:
    name = f"layer.{layer}.{matrix}"
    weight, threshold = model[f"{name}.weight"], model[f"{name}.threshold"]
    kernel = BinaryMvu(mw=weight.shape[1], mh=weight.shape[0], pe=16, simd=32)
    inputs = joined(values, f"{name}.input")
    output = f"layer.{layer}.down.input" if matrix == "up" else f"{name}.output"
    result = run_mvu(kernel, inputs, kernel.memories(weight, threshold))
    assert np.array_equal(unpack(result, 1, kernel.pe), as_bits(joined(values, output)).ravel())


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("matrix", ["output", "down"])
def test_matrices_that_feed_the_residual(
    model: IntegerModel, values: Values, layer: int, matrix: str
) -> None:
    name = f"layer.{layer}.{matrix}"
    weight = model[f"{name}.weight"]
    kernel = BinaryMvu(
        mw=weight.shape[1],
        mh=weight.shape[0],
        pe=8,
        simd=64,
        tokens=2,
        raw=True,
        inputs="binary" if matrix == "down" else "bipolar",
    )
    result = run_mvu(kernel, joined(values, f"{name}.input"), kernel.memories(weight))
    found = unpack(result, kernel.output_bits, kernel.pe, signed=True)
    assert np.array_equal(found, joined(values, f"{name}.accumulator").ravel())


def run_mvu(
    kernel: BinaryMvu, inputs: NDArray[np.int64], memories: dict[str, str]
) -> NDArray[np.uint8]:
    beats = pack(as_bits(inputs), 1, kernel.simd)
    none = np.zeros((0, -(-kernel.load_bits // 8)), dtype=np.uint8)
    result = bench.run(
        "binary_mvu",
        kernel.parameters(),
        {"s_axis": beats, "s_axis_weights": none},
        {"m_axis": len(inputs) * kernel.neuron_folds},
        memories=memories,
        stalls=STALLS,
    )
    return result.outputs["m_axis"]


@pytest.mark.parametrize("layer", [0, 1])
def test_attention(model: IntegerModel, values: Values, layer: int) -> None:
    name, d = f"layer.{layer}", model.dimensions
    kernel = BinaryAttention(
        max_tokens=MAX_TOKENS,
        heads=d.heads,
        head_width=d.head_width,
        simd=32,
        in_bits=32,
        out_bits=16,
        exp_bits=model.formats.exp_bits,
        probability_bits=model.formats.probability_bits,
    )
    tensors = Tensors(
        model[f"{name}.output.input_threshold"],
        model[f"{name}.attention.exp_table"],
        model[f"{name}.attention.probability_threshold"],
    )
    sentences = [
        Bits(*(sentence[f"{name}.{part}.output"] for part in ("query", "key", "value")))
        for sentence in values
    ]
    expected = as_bits(joined(values, f"{name}.output.input")).ravel()
    result = bench.run(
        "attention",
        kernel.parameters(),
        streams(kernel, sentences),
        {"m_axis": expected.size // kernel.out_bits},
        memories=tensors.memories(kernel),
        stalls=STALLS,
    )
    assert np.array_equal(unpack(result.outputs["m_axis"], 1, kernel.out_bits), expected)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("norm", sorted(NORMS))
def test_add_norm(model: IntegerModel, values: Values, layer: int, norm: str) -> None:
    name = f"layer.{layer}"
    kernel = AddNorm.of_layer(model, layer, norm)
    tensors = NormTensors.of_layer(model, layer, norm)
    residual = {
        "attention_norm": f"layer.{layer - 1}.ffn_norm.residual" if layer else "embedding.residual",
        "ffn_norm": f"{name}.attention_norm.residual",
    }[norm]
    accumulator = joined(values, f"{name}.{NORMS[norm]}.accumulator")
    result = run_add_norm(kernel, tensors, accumulator, joined(values, residual), stalls=STALLS)
    found = unpack(result.outputs["m_axis_residual"], kernel.word_bits, 1, signed=True)
    assert np.array_equal(found, joined(values, f"{name}.{norm}.residual").ravel())
    consumers: Sequence[str] = [f"{name}.up"]
    if norm == "ffn_norm":
        parts = ("query", "key", "value")
        last = layer + 1 == model.dimensions.layers
        consumers = [] if last else [f"layer.{layer + 1}.{part}" for part in parts]
    for index, consumer in enumerate(consumers):
        bits = unpack(result.outputs[f"m_axis_bits{index}"], 1, 1)
        assert np.array_equal(bits, as_bits(joined(values, f"{consumer}.input")).ravel())


def test_the_accelerators_input(model: IntegerModel, values: Values) -> None:
    thresholds = model_thresholds(model, 0)
    word = model.formats.word_bits
    kernel = ChannelThreshold(
        hidden=model.dimensions.hidden, word_bits=word, threshold_bits=word + 1, bit_streams=3
    )
    words = joined(values, "embedding.residual")
    outputs = {f"m_axis_bits{i}": words.size for i in range(3)} | {"m_axis_residual": words.size}
    result = bench.run(
        "channel_threshold",
        kernel.parameters(),
        {"s_axis": pack(words, kernel.word_bits, 1)},
        outputs,
        memories=kernel.memories(thresholds),
        stalls=STALLS,
    )
    for index, part in enumerate(("query", "key", "value")):
        bits = unpack(result.outputs[f"m_axis_bits{index}"], 1, 1)
        assert np.array_equal(bits, as_bits(joined(values, f"layer.0.{part}.input")).ravel())
