"""The integer model as a fast ONNX Runtime graph: same inputs, same logits, no named tensors.

How it is fast:
- A bit is uint8, weights are int8 {-1,+1}, so that products run in the u8 x s8 kernel.
  Products of {0,1} or {0,255} with +-1 stay far below its 16-bit intermediate sums.
- `sum (2b - 1) w >= t` is `b.w >= T` with `T = ceil((t + sum w) / 2)`. With b = c b', c 1 or
  255, that is `c b'.w + 1 - c T >= 1`, an integer: ONNX Runtime's QGemm adds the bias, scales
  it by 256 and saturates to uint8, which gives 255 for a bit 1 and 0 for a bit 0 in one pass.
- Rows are (batch * tokens, hidden) outside attention.
- Attention's small products are float32 on +-1 and +-1/2: exact, and without corrections.
- `round_shift` folds its scales and its half into one multiplication and one addition, and its
  floor is a cast; the residual stream is int32 plus an offset (export/fast_norm.py).

QGemm is an operator of ONNX Runtime (domain com.microsoft), in every build for CPUs.

The nodes are few: the embedding, each half of a layer, and the classifier are one operator of the
domain edgebert.fast, whose function holds the nodes described above. A session that knows the
operators (export/fast_ops.py) computes each in one pass, any other one inlines the functions.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from export.fast_norm import RESIDUAL_OFFSET, layer_norm, requantized, residual_add
from export.fast_ops import FAST_DOMAIN
from export.onnx_graph import Graph
from export.onnx_ops import MICROSOFT_DOMAIN
from hw.integer_model import IntegerModel
from hw.layout import Dimensions, label_count


def build_fast(model: IntegerModel) -> onnx.ModelProto:
    """Export the whole classifier for speed; inputs and `logits` like `build_model`."""
    graph = Graph("edgebert_fast")
    for name in ("input_ids", "token_type_ids", "attention_mask"):
        graph.input(name, TensorProto.INT64, ("batch", "tokens"))
    rows = _embedding(graph, model)
    for i in range(model.dimensions.layers):
        rows = _self_attention(graph, model, f"layer.{i}", rows)
        rows = _feed_forward(graph, model, f"layer.{i}", rows)
    _classifier(graph, model, rows)
    graph.output("logits", TensorProto.INT64, ("batch", label_count(model.config)))
    return graph.model()


def _embedding(graph: Graph, model: IntegerModel) -> str:
    """Embedding sum in float64 and its LayerNorm: (rows, hidden)."""
    tables = [f"embedding.{name}" for name in ("word.scale", "position", "token_type")]
    largest = sum(int(np.abs(model[name]).max()) for name in tables)
    # the operator sums in int32; of larger sums only the function is exact
    body = Graph("Embedding" if largest < 1 << 30 else "WideEmbedding")
    h = model.dimensions.hidden
    bits = body.constant("embedding.word.weight", model["embedding.word.weight"], np.int8)
    bits = body.op("Gather", [bits, "input_ids"], "embedding.bits")
    sign = body.op("Cast", [bits], "embedding.sign", to=TensorProto.DOUBLE)
    scale = body.constant(
        "embedding.word.scale", model["embedding.word.scale"][:, None], np.float64
    )
    scale = body.op("Gather", [scale, "input_ids"], "embedding.scale")
    total = body.op("Mul", [sign, scale], "embedding.word")
    table = body.constant("embedding.position", model["embedding.position"], np.float64)
    length = body.op("Shape", ["input_ids"], "tokens.length", start=1, end=2)
    start = body.constant("start", [0], np.int64)
    position = body.op("Slice", [table, start, length, start], "embedding.position_rows")
    total = body.op("Add", [total, position], "embedding.word_and_position")
    table = body.constant("embedding.token_type", model["embedding.token_type"], np.float64)
    types = body.op("Gather", [table, "token_type_ids"], "embedding.token_type_rows")
    total = body.op("Add", [total, types], "embedding.sum")
    flat = body.constant("shape_rows", [-1, h], np.int64)
    total = body.op("Reshape", [total, flat], "embedding.rows")
    layer_norm(body, model, (total, 0), "embedding.norm")
    norm = _norm_parameters(body, model, "embedding.norm")
    parameters = [_formats(body, model), "embedding.word.weight", *tables, *norm]
    return graph.fuse(body, FAST_DOMAIN, ["input_ids", "token_type_ids"], parameters)


def _self_attention(graph: Graph, model: IntegerModel, layer: str, rows: str) -> str:
    """A layer up to its first LayerNorm."""
    d = model.dimensions
    kind = "SelfAttention" if d.attention == "softmax" else "PolarizedSelfAttention"
    body = Graph(f"Relative{kind}" if d.relative_positions else kind)
    mask, count = _mask(body, _farthest(d))
    context = _attention(body, model, layer, rows, mask, count)
    bits = _bits(body, model, context, f"{layer}.output.input_threshold")
    _residual_norm(body, model, rows, bits, f"{layer}.output", f"{layer}.attention_norm")
    parameters = [_formats(body, model)]
    for matrix in ("query", "key", "value"):
        parameters += _threshold_parameters(body, model, f"{layer}.{matrix}")
    name = f"{layer}.attention"
    for table in ("relative_bias", "probability_threshold", "exp_table", "score_threshold"):
        if f"{name}.{table}" in model.tensors:
            parameters.append(_integers(body, model, f"{name}.{table}"))
    parameters.append(f"{layer}.output.input_threshold")
    parameters += _residual_parameters(body, model, f"{layer}.output", f"{layer}.attention_norm")
    return graph.fuse(body, FAST_DOMAIN, [rows, "attention_mask"], parameters)


def _feed_forward(graph: Graph, model: IntegerModel, layer: str, rows: str) -> str:
    """The rest of a layer."""
    body = Graph("FeedForward")
    bits = _bits(body, model, rows, f"{layer}.up.input_threshold")
    bits = _thresholded_product(body, model, bits, f"{layer}.up")
    _residual_norm(body, model, rows, bits, f"{layer}.down", f"{layer}.ffn_norm", 255)
    parameters = [
        _formats(body, model),
        *_threshold_parameters(body, model, f"{layer}.up"),
        *_residual_parameters(body, model, f"{layer}.down", f"{layer}.ffn_norm"),
    ]
    return graph.fuse(body, FAST_DOMAIN, [rows], parameters)


def _integers(graph: Graph, model: IntegerModel, name: str) -> str:
    """A tensor of the model as it is, beside what the body makes of it."""
    return graph.constant(f"{name}.integers", model[name], np.int64)


def _formats(graph: Graph, model: IntegerModel) -> str:
    f = model.formats
    values = (
        RESIDUAL_OFFSET,
        f.fraction_bits,
        f.word_bits,
        f.probability_bits,
        f.rsqrt_index_bits,
        f.norm_fraction_bits,
        f.gamma_fraction_bits,
        model.dimensions.heads,
    )
    return graph.constant("formats", values, np.int64)


def _threshold_parameters(graph: Graph, model: IntegerModel, matrix: str) -> list[str]:
    thresholds = _integers(graph, model, f"{matrix}.threshold")
    return [f"{matrix}.input_threshold", f"{matrix}.weight", thresholds]


def _norm_parameters(graph: Graph, model: IntegerModel, norm: str) -> list[str]:
    names = (f"{norm}.gamma", f"{norm}.beta", "rsqrt_table")
    return [_integers(graph, model, name) for name in names]


def _scale_parameters(graph: Graph, model: IntegerModel, matrix: str) -> list[str]:
    scale = [int(model[f"{matrix}.{name}"]) for name in ("multiplier", "shift")]
    scale_name = graph.constant(f"{matrix}.multiplier_and_shift", scale, np.int64)
    return [f"{matrix}.weight", scale_name, _integers(graph, model, f"{matrix}.bias")]


def _residual_parameters(graph: Graph, model: IntegerModel, matrix: str, norm: str) -> list[str]:
    return [*_scale_parameters(graph, model, matrix), *_norm_parameters(graph, model, norm)]


def _farthest(d: Dimensions) -> int:
    """The largest half difference of two scores: D, or 3 D with a bias."""
    return d.head_width * (3 if d.relative_positions else 1)


def _mask(graph: Graph, farthest: int) -> tuple[str, str]:
    """What is added to half scores, 0 or -(2 farthest + 1), and the number of kept keys.

    With it a padded key's half difference from its row's maximum exceeds the farthest, where the
    table of exponentials holds nothing.
    """
    axes = graph.constant("axes_heads", [1, 2], np.int64)
    mask = graph.op("Cast", ["attention_mask"], "mask.float", to=TensorProto.FLOAT)
    mask = graph.op("Unsqueeze", [mask, axes], "mask.column")
    last = graph.constant("axis_last", [-1], np.int64)
    count = graph.op("ReduceSum", [mask, last], "mask.count")
    count = graph.op("Cast", [count], "mask.count_double", to=TensorProto.DOUBLE)
    far = graph.constant("mask.far", float(2 * farthest + 1))
    mask = graph.op("Sub", [mask, graph.constant("one", 1.0)], "mask.minus_one")
    return graph.op("Mul", [mask, far], "mask.added"), count


def _bits(graph: Graph, model: IntegerModel, x: str, name: str) -> str:
    """{0,1} uint8: x >= threshold; x is the int32 residual stream or the float32 context."""
    if name.endswith("output.input_threshold"):
        threshold = graph.constant(name, model[name])
    else:
        threshold = graph.constant(name, model[name] + RESIDUAL_OFFSET, np.int32)
    bits = graph.op("GreaterOrEqual", [x, threshold], f"{name}.reached")
    return graph.op("Cast", [bits], f"{name}.bits", to=TensorProto.UINT8)


def _weight(graph: Graph, model: IntegerModel, matrix: str) -> str:
    return graph.constant(f"{matrix}.weight", model[f"{matrix}.weight"].T, np.int8)


def _column_sums(model: IntegerModel, matrix: str) -> NDArray[np.int64]:
    """sum of w over the inputs, per output."""
    return np.asarray(model[f"{matrix}.weight"].sum(axis=1, dtype=np.int64))


def _thresholded_product(graph: Graph, model: IntegerModel, bits: str, matrix: str) -> str:
    """{0,255} uint8 (rows, out): the thresholded accumulator of {0,1} bits of bipolar inputs."""
    threshold = model[f"{matrix}.threshold"] + _column_sums(model, matrix)
    bias = 1 - (threshold + 1) // 2
    unit = graph.constant("one", 1.0)
    inputs = [
        bits,
        unit,
        graph.constant("zero_uint8", 0, np.uint8),
        _weight(graph, model, matrix),
        graph.constant("scale_256", 256.0),
        graph.constant("zero_int8", 0, np.int8),
        graph.constant(f"{matrix}.bias", bias, np.int32),
        unit,
        graph.constant("zero_uint8", 0, np.uint8),
    ]
    return graph.op("QGemm", inputs, f"{matrix}.output", domain=MICROSOFT_DOMAIN)


def _residual_norm(
    graph: Graph, model: IntegerModel, rows: str, bits: str, matrix: str, norm: str, one: int = 1
) -> str:
    """Product, requantization, residual and LayerNorm.

    `one` is the uint8 value of a bit 1. Bits of the second FFN matrix (255) are BINARY, those
    of the others BIPOLAR: `sum (2b - 1) w = 2 b.w - sum w`.
    """
    product = graph.op("MatMulInteger", [bits, _weight(graph, model, matrix)], f"{matrix}.product")
    offset = np.zeros(1, np.int64) if one == 255 else -_column_sums(model, matrix)
    factor = 1 if one == 255 else 2
    update = requantized(graph, model, product, matrix, factor, one, offset)
    total = residual_add(graph, model, rows, update, norm)
    return layer_norm(graph, model, total, norm)


def _heads(graph: Graph, model: IntegerModel, rows: str, matrix: str, high: float) -> str:
    """Bits of a matrix as float32 +-high, (batch, heads, tokens, width)."""
    bits = _bits(graph, model, rows, f"{matrix}.input_threshold")
    bits = _thresholded_product(graph, model, bits, matrix)
    shape = graph.op("Concat", ["shape.ids", "shape.heads"], f"{matrix}.shape", axis=0)
    bits = graph.op("Reshape", [bits, shape], f"{matrix}.heads")
    bits = graph.op("Transpose", [bits], f"{matrix}.heads_first", perm=[0, 2, 1, 3])
    # float32: 255 * fl(2 / 255) is 2, and 255 * fl(1 / 255) is 1
    scale = graph.constant(f"scale_{high}", 2 * high / 255)
    value = graph.op("DequantizeLinear", [bits, scale], f"{matrix}.float")
    return graph.op("Sub", [value, graph.constant(f"high_{high}", high)], f"{matrix}.signs")


def _attention(
    graph: Graph, model: IntegerModel, layer: str, rows: str, mask: str, count: str
) -> str:
    """Context as float32 (rows, hidden)."""
    d = model.dimensions
    graph.constant("shape.heads", [d.heads, d.head_width], np.int64)
    graph.op("Shape", ["attention_mask"], "shape.ids")
    query = _heads(graph, model, rows, f"{layer}.query", 1.0)
    key = _heads(graph, model, rows, f"{layer}.key", 0.5)
    value = _heads(graph, model, rows, f"{layer}.value", 1.0)
    name = f"{layer}.attention"
    key = graph.op("Transpose", [key], f"{name}.key_transposed", perm=[0, 1, 3, 2])
    half_scores = graph.op("MatMul", [query, key], f"{name}.half_scores")
    if d.relative_positions:
        halves = graph.constant(f"{name}.relative_bias", model[f"{name}.relative_bias"] / 2)
        half_scores = graph.op("RelativeBias", [half_scores, halves], f"{name}.biased")
    half_scores = graph.op("Add", [half_scores, mask], f"{name}.masked")
    if d.attention == "sps":
        limit = model[f"{name}.score_threshold"][:, None, None] / 2
        x, limit_name = half_scores, graph.constant(f"{name}.limit", limit)
    else:
        x, limit_name = _softmax(graph, model, name, half_scores, count)
    bits = graph.op("GreaterOrEqual", [x, limit_name], f"{name}.bits")
    bits = graph.op("Cast", [bits], f"{name}.probabilities", to=TensorProto.FLOAT)
    context = graph.op("MatMul", [bits, value], f"{name}.context_heads")
    context = graph.op("Transpose", [context], f"{name}.context_tokens", perm=[0, 2, 1, 3])
    flat = graph.constant("shape_rows", [-1, d.hidden], np.int64)
    return graph.op("Reshape", [context, flat], f"{name}.context")


def _softmax(
    graph: Graph, model: IntegerModel, name: str, half_scores: str, count: str
) -> tuple[str, str]:
    """Exponentials plus 1, and the least of them that gives a 1 in each row.

    What a bias puts further away than D has the exponential of D.
    A padded key has 0 instead, and the limit is at least 1: so it never gives a 1, and the
    exponentials of the row sum up to the table's sum minus the number of kept keys.
    """
    farthest = _farthest(model.dimensions)
    exponentials = model[f"{name}.exp_table"]
    table = np.zeros(3 * farthest + 2)
    table[: farthest + 1] = exponentials[-1] + 1
    table[: len(exponentials)] = exponentials + 1
    maximum = graph.op("ReduceMax", [half_scores], f"{name}.maximum", axes=[-1])
    distance = graph.op("Sub", [maximum, half_scores], f"{name}.distance")
    index = graph.op("Cast", [distance], f"{name}.index", to=TensorProto.INT32)
    # on one axis, GatherElements is the same as Gather and several times as fast
    flat = graph.constant("shape_flat", [-1], np.int64)
    shape = graph.op("Shape", [index], f"{name}.shape")
    index = graph.op("Reshape", [index, flat], f"{name}.flat_index")
    table_name = graph.constant(f"{name}.exp_table", table)
    e = graph.op("GatherElements", [table_name, index], f"{name}.flat_exponential", axis=0)
    e = graph.op("Reshape", [e, shape], f"{name}.exponential")
    last = graph.constant("axis_last", [-1], np.int64)
    # below 2^24: exact in float32
    total = graph.op("ReduceSum", [e, last], f"{name}.total")
    total = graph.op("Cast", [total], f"{name}.total_double", to=TensorProto.DOUBLE)
    total = graph.op("Sub", [total, count], f"{name}.row_sum")
    scale = model[f"{name}.probability_threshold"] * 2.0**-model.formats.probability_bits
    scale_name = graph.constant(f"{name}.threshold", scale[:, None, None], np.float64)
    limit = graph.op("Mul", [total, scale_name], f"{name}.limit_unrounded")
    limit = graph.op("Floor", [limit], f"{name}.limit_rounded")
    two = graph.constant("two_double", 2.0, np.float64)
    limit = graph.op("Add", [limit, two], f"{name}.limit_or_less")
    one = graph.constant("one_double", 1.0, np.float64)
    limit = graph.op("Max", [limit, one], f"{name}.limit_double")
    return e, graph.op("Cast", [limit], f"{name}.limit", to=TensorProto.FLOAT)


def _classifier(graph: Graph, model: IntegerModel, rows: str) -> None:
    """Pooler and classifier of the first tokens."""
    outer, graph = graph, Graph("Classifier")
    d, f = model.dimensions, model.formats
    graph.op("Shape", ["input_ids"], "shape.ids")
    shape = graph.op(
        "Concat",
        ["shape.ids", graph.constant("shape.hidden", [d.hidden], np.int64)],
        "pooler.shape",
        axis=0,
    )
    tokens = graph.op("Reshape", [rows, shape], "pooler.tokens")
    first = graph.op(
        "Gather", [tokens, graph.constant("first", 0, np.int64)], "pooler.token", axis=1
    )
    bits = _bits(graph, model, first, "pooler.input_threshold")
    product = graph.op("MatMulInteger", [bits, _weight(graph, model, "pooler")], "pooler.product")
    offset = -_column_sums(model, "pooler")
    pooled, middle = requantized(graph, model, product, "pooler", 2, 1, offset)
    pooled = graph.op("Cast", [pooled], "pooler.wide", to=TensorProto.DOUBLE)
    center = graph.constant("pooler.offset", middle, np.float64)
    pooled = graph.op("Sub", [pooled, center], "pooler.value")
    low = graph.constant("pooler.low", -float(1 << f.fraction_bits), np.float64)
    high = graph.constant("pooler.high", float(1 << f.fraction_bits), np.float64)
    pooled = graph.op("Clip", [pooled, low, high], "pooler.output")
    weight = graph.constant("classifier.weight", model["classifier.weight"].T, np.float64)
    logits = graph.op("MatMul", [pooled, weight], "classifier.product")
    bias = graph.constant("classifier.bias", model["classifier.bias"], np.float64)
    logits = graph.op("Add", [logits, bias], "classifier.logits")
    graph.op("Cast", [logits], "logits", to=TensorProto.INT64)
    parameters = [
        _formats(graph, model),
        "pooler.input_threshold",
        *_scale_parameters(graph, model, "pooler"),
        weight,
        bias,
    ]
    outer.fuse(graph, FAST_DOMAIN, [rows, "input_ids"], parameters)
