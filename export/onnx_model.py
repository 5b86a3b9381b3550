"""The integer model as one ONNX file for every engine (docs/arithmetic.md).

Every named intermediate tensor of the definition is a value of the main graph under exactly
its name, with the axes (batch, tokens, ...); tensors of heads are (batch, heads, tokens,
tokens). Padded keys take no part in attention, so padding is inert for real tokens; what a
padded position itself holds has no meaning.

Weights go through `BipolarQuant` with scale 1, stored transposed, (in, out).
"""

import numpy as np
import onnx
from onnx import TensorProto

from export.onnx_graph import Graph
from hw.integer_model import IntegerModel
from hw.layout import label_count

BATCH = "batch"
TOKENS = "tokens"


def build_model(model: IntegerModel) -> onnx.ModelProto:
    """Export the whole classifier.

    Inputs `input_ids`, `token_type_ids`, `attention_mask`: int64 (batch, tokens), with
    tokens <= max_tokens, and attention_mask 0 where padded. Output `logits`: int64
    (batch, labels). The same model gives the same bytes.
    """
    graph = Graph("edgebert")
    for name in ("input_ids", "token_type_ids", "attention_mask"):
        graph.input(name, TensorProto.INT64, (BATCH, TOKENS))
    residual = _embedding(graph, model)
    residual = _layers(graph, model, residual)
    _head(graph, model, residual)
    graph.output("logits", TensorProto.INT64, (BATCH, label_count(model.config)))
    return graph.model()


def build_encoder(model: IntegerModel) -> onnx.ModelProto:
    """Export the layers alone: what becomes hardware.

    Inputs `embedding.residual`: float32 (batch, tokens, hidden) that holds integers of
    `word_bits` bits, and `attention_mask`: int64 (batch, tokens). Output: the last
    `layer.I.ffn_norm.residual`, like the first input.
    """
    d, f = model.dimensions, model.formats
    graph = Graph("edgebert_encoder")
    shape = (BATCH, TOKENS, d.hidden)
    residual = graph.input("embedding.residual", TensorProto.FLOAT, shape, f"INT{f.word_bits}")
    graph.input("attention_mask", TensorProto.INT64, (BATCH, TOKENS))
    residual = _layers(graph, model, residual)
    graph.output(residual, TensorProto.FLOAT, shape)
    # an output may not be described as an inner value too
    graph.values = [value for value in graph.values if value.name != residual]
    return graph.model()


def _embedding(graph: Graph, model: IntegerModel) -> str:
    """The integers of word, position and token type in float64, and their LayerNorm."""
    d = model.dimensions
    shape = (BATCH, TOKENS, d.hidden)
    bits = graph.constant("embedding.word.weight", model["embedding.word.weight"], np.int8)
    bits = graph.op("Gather", [bits, "input_ids"], "embedding.word.bits", axis=0)
    bits = graph.op("Cast", [bits], "embedding.word.bits_float", to=TensorProto.FLOAT)
    sign = graph.op("BipolarQuant", [bits, graph.constant("one", 1.0)], "embedding.word.sign")
    sign = graph.op("Cast", [sign], "embedding.word.sign_double", to=TensorProto.DOUBLE)
    scale = graph.constant("embedding.word.scale", model["embedding.word.scale"], np.float64)
    scale = graph.op("Gather", [scale, "input_ids"], "embedding.word.row_scale", axis=0)
    last = graph.constant("axis_last", [-1], np.int64)
    scale = graph.op("Unsqueeze", [scale, last], "embedding.word.row_scale_column")
    total = graph.op("Mul", [sign, scale], "embedding.word.value")

    index = _positions(graph)
    for name, ids in (("position", index), ("token_type", "token_type_ids")):
        table = graph.constant(f"embedding.{name}", model[f"embedding.{name}"], np.float64)
        rows = graph.op("Gather", [table, ids], f"embedding.{name}.row", axis=0)
        output = "embedding.sum" if name == "token_type" else f"embedding.word_and_{name}"
        total = graph.op("Add", [total, rows], output)
    graph.describe(total, shape, TensorProto.DOUBLE)
    return _layer_norm(graph, model, total, "embedding.norm", "embedding.residual")


def _positions(graph: Graph) -> str:
    """0, 1, 2, ... of each row, of a shape that is known without knowing any value."""
    zero = graph.constant("zero", 0, np.int64)
    one = graph.constant("one_integer", 1, np.int64)
    zeros = graph.op("Mul", ["input_ids", zero], "position.zeros")
    ones = graph.op("Add", [zeros, one], "position.ones")
    axis = graph.constant("axis_tokens", 1, np.int64)
    return graph.op("CumSum", [ones, axis], "position.index", exclusive=1)


def _layers(graph: Graph, model: IntegerModel, residual: str) -> str:
    for i in range(model.dimensions.layers):
        residual = _layer(graph, model, f"layer.{i}", residual)
    return residual


def _layer(graph: Graph, model: IntegerModel, layer: str, residual: str) -> str:
    h, ffn = model.dimensions.hidden, model.dimensions.ffn
    context = _attention(graph, model, layer, residual)
    bits = _threshold(graph, model, context, f"{layer}.output.input_threshold", (TOKENS, h))
    accumulator = _product(graph, model, bits, f"{layer}.output", (TOKENS, h))
    residual = _residual_norm(
        graph, model, residual, accumulator, f"{layer}.output", f"{layer}.attention_norm"
    )
    bits = _threshold(graph, model, residual, f"{layer}.up.input_threshold", (TOKENS, h))
    accumulator = _product(graph, model, bits, f"{layer}.up", (TOKENS, ffn))
    bits = _threshold(
        graph, model, accumulator, f"{layer}.up.threshold", (TOKENS, ffn), f"{layer}.down.input", 0
    )
    accumulator = _product(graph, model, bits, f"{layer}.down", (TOKENS, h))
    return _residual_norm(graph, model, residual, accumulator, f"{layer}.down", f"{layer}.ffn_norm")


def _attention(graph: Graph, model: IntegerModel, layer: str, residual: str) -> str:
    """From the residual to `layer.I.attention.context`."""
    d = model.dimensions
    heads = {}
    for name in ("query", "key", "value"):
        matrix, shape = f"{layer}.{name}", (TOKENS, d.hidden)
        bits = _threshold(graph, model, residual, f"{matrix}.input_threshold", shape)
        accumulator = _product(graph, model, bits, matrix, shape)
        bits = _threshold(
            graph, model, accumulator, f"{matrix}.threshold", shape, f"{matrix}.output"
        )
        split = graph.constant("shape_heads", [0, 0, d.heads, d.head_width], np.int64)
        bits = graph.op("Reshape", [bits, split], f"{matrix}.heads")
        order = [0, 2, 3, 1] if name == "key" else [0, 2, 1, 3]
        heads[name] = graph.op("Transpose", [bits], f"{matrix}.heads_first", perm=order)
    square = (BATCH, d.heads, TOKENS, TOKENS)
    name = f"{layer}.attention"
    scores, operands = f"{name}.scores", [heads["query"], heads["key"]]
    if d.relative_positions:
        products = graph.describe(graph.op("MatMul", operands, f"{name}.products"), square)
        bias = graph.constant(f"{name}.relative_bias", model[f"{name}.relative_bias"])
        graph.op("RelativeBias", [products, bias], scores)
    else:
        graph.op("MatMul", operands, scores)
    graph.describe(scores, square)
    probabilities = graph.describe(_probabilities(graph, model, name, scores), square)
    context = graph.op("MatMul", [probabilities, heads["value"]], f"{name}.context_heads")
    context = graph.op("Transpose", [context], f"{name}.context_tokens", perm=[0, 2, 1, 3])
    merge = graph.constant("shape_hidden", [0, 0, d.hidden], np.int64)
    context = graph.op("Reshape", [context, merge], f"{name}.context")
    return graph.describe(context, (BATCH, TOKENS, d.hidden))


def _probabilities(graph: Graph, model: IntegerModel, name: str, scores: str) -> str:
    output = f"{name}.probabilities"
    if model.dimensions.attention == "sps":
        threshold = f"{name}.score_threshold"
        threshold = graph.constant(threshold, model[threshold])
        return graph.op("ScoreThreshold", [scores, "attention_mask", threshold], output)
    table = graph.constant(f"{name}.exp_table", model[f"{name}.exp_table"], np.float64)
    threshold = f"{name}.probability_threshold"
    threshold = graph.constant(threshold, model[threshold], np.float64)
    return graph.op(
        "AttentionProbabilities",
        [scores, "attention_mask", table, threshold],
        output,
        probability_bits=model.formats.probability_bits,
    )


def _threshold(
    graph: Graph,
    model: IntegerModel,
    x: str,
    name: str,
    shape: tuple[int | str, ...],
    output: str = "",
    low: int = -1,
) -> str:
    """1 where x reaches the threshold `name`, else `low`; `layer.I.m.input` unless named."""
    threshold = graph.constant(name, model[name])
    bits = graph.op("Threshold", [x, threshold], output or name.removesuffix("_threshold"), low=low)
    return graph.describe(bits, (BATCH, *shape))


def _product(
    graph: Graph, model: IntegerModel, bits: str, matrix: str, shape: tuple[int | str, ...]
) -> str:
    """`matrix.accumulator` = bits @ weight.T."""
    weight = graph.constant(f"{matrix}.weight.transposed", model[f"{matrix}.weight"].T)
    weight = graph.op("BipolarQuant", [weight, graph.constant("one", 1.0)], f"{matrix}.weight")
    accumulator = graph.op("MatMul", [bits, weight], f"{matrix}.accumulator")
    return graph.describe(accumulator, (BATCH, *shape))


def _residual_norm(
    graph: Graph, model: IntegerModel, residual: str, accumulator: str, matrix: str, norm: str
) -> str:
    """Requantize, add to the residual stream, normalize."""
    bias = graph.constant(f"{matrix}.bias", model[f"{matrix}.bias"], np.float64)
    total = graph.op(
        "ResidualAdd",
        [residual, accumulator, bias],
        f"{norm}.sum",
        multiplier=int(model[f"{matrix}.multiplier"]),
        shift=int(model[f"{matrix}.shift"]),
        word_bits=model.formats.word_bits,
    )
    graph.describe(total, (BATCH, TOKENS, model.dimensions.hidden))
    return _layer_norm(graph, model, total, norm, f"{norm}.residual")


def _layer_norm(graph: Graph, model: IntegerModel, x: str, norm: str, output: str) -> str:
    d, f = model.dimensions, model.formats
    gamma = graph.constant(f"{norm}.gamma", model[f"{norm}.gamma"], np.float64)
    beta = graph.constant(f"{norm}.beta", model[f"{norm}.beta"], np.float64)
    table = graph.constant("rsqrt_table", model["rsqrt_table"], np.float64)
    residual = graph.op(
        "IntegerLayerNorm",
        [x, gamma, beta, table],
        output,
        rsqrt_index_bits=f.rsqrt_index_bits,
        norm_fraction_bits=f.norm_fraction_bits,
        gamma_fraction_bits=f.gamma_fraction_bits,
        fraction_bits=f.fraction_bits,
        word_bits=f.word_bits,
    )
    return graph.describe(residual, (BATCH, TOKENS, d.hidden))


def _head(graph: Graph, model: IntegerModel, residual: str) -> None:
    """Pooler and classifier of the first token, the classifier in float64."""
    h, bound = model.dimensions.hidden, 1 << model.formats.fraction_bits
    first = graph.constant("zero", 0, np.int64)
    first = graph.op("Gather", [residual, first], "pooler.residual", axis=1)
    bits = _threshold(graph, model, first, "pooler.input_threshold", (h,))
    accumulator = _product(graph, model, bits, "pooler", (h,))
    bias = graph.constant("pooler.bias", model["pooler.bias"], np.float64)
    pooled = graph.op(
        "Requantize",
        [accumulator, bias],
        "pooler.output",
        multiplier=int(model["pooler.multiplier"]),
        shift=int(model["pooler.shift"]),
        minimum=-bound,
        maximum=bound,
    )
    graph.describe(pooled, (BATCH, h))
    wide = graph.op("Cast", [pooled], "classifier.input", to=TensorProto.DOUBLE)
    weight = graph.constant("classifier.weight", model["classifier.weight"].T, np.float64)
    logits = graph.op("MatMul", [wide, weight], "classifier.accumulator")
    bias = graph.constant("classifier.bias", model["classifier.bias"], np.float64)
    logits = graph.op("Add", [logits, bias], "classifier.logits")
    graph.op("Cast", [logits], "logits", to=TensorProto.INT64)
