"""The integer model as plain NumPy: the definition that every engine must equal with `==`.

One function per step of docs/arithmetic.md, on int64 only. A sentence is computed alone, so
padding does not exist here. N tokens, H hidden, F ffn, A heads, D head width.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.integer_model import IntegerModel
from hw.layout import Formats

Integers = NDArray[np.int64]
Tensor = NDArray[Any]  # an integer tensor of the model: int8 bits or int64
Product = Callable[[Tensor, Tensor], Integers]


def run(
    model: IntegerModel,
    input_ids: Sequence[int] | Tensor,
    token_type_ids: Sequence[int] | Tensor,
    product: Product | None = None,
) -> dict[str, Integers]:
    """Compute one sentence.

    Args:
        model: the integer model.
        input_ids: (N,) in [0, vocab), 1 <= N <= max_tokens, without padding.
        token_type_ids: (N,) in [0, token_types).
        product: how `inputs @ weight.T` of bits is computed; `integer_product` if None.

    Returns:
        Every named tensor of docs/arithmetic.md, int64, in the order of execution.

    Raises:
        ValueError: ids that the model has no row for, or too many or too few of them.
    """
    product = product or integer_product
    values = run_embedding(model, input_ids, token_type_ids)
    residual = values["embedding.residual"]
    for layer in range(model.dimensions.layers):
        residual = run_layer(model, f"layer.{layer}", residual, values, product)
    values |= run_head(model, residual, product)
    return values


def logits(
    model: IntegerModel,
    input_ids: Sequence[int] | Tensor,
    token_type_ids: Sequence[int] | Tensor,
    product: Product | None = None,
) -> Integers:
    """Logits (labels,) of one sentence, unit 2^-(f + classifier_fraction_bits)."""
    return run(model, input_ids, token_type_ids, product)["logits"]


def run_layer(
    model: IntegerModel,
    layer: str,
    residual: Integers,
    values: dict[str, Integers],
    product: Product | None = None,
) -> Integers:
    """One encoder layer: residual (N, H) to residual (N, H).

    `layer` is the prefix `layer.I`; every named tensor of the layer is put into `values`.
    """
    product = product or integer_product
    for name in ("query", "key", "value"):
        matrix = f"{layer}.{name}"
        values[f"{matrix}.input"] = bipolar(residual, model[f"{matrix}.input_threshold"])
        accumulator = product(values[f"{matrix}.input"], model[f"{matrix}.weight"])
        values[f"{matrix}.accumulator"] = accumulator
        values[f"{matrix}.output"] = bipolar(accumulator, model[f"{matrix}.threshold"])
    context = _attention(model, layer, values)

    inputs = bipolar(context, model[f"{layer}.output.input_threshold"])
    values[f"{layer}.output.input"] = inputs
    accumulator = product(inputs, model[f"{layer}.output.weight"])
    values[f"{layer}.output.accumulator"] = accumulator
    total = _residual_sum(model, f"{layer}.output", accumulator, residual)
    values[f"{layer}.attention_norm.sum"] = total
    residual = _norm(model, f"{layer}.attention_norm", total)
    values[f"{layer}.attention_norm.residual"] = residual

    inputs = bipolar(residual, model[f"{layer}.up.input_threshold"])
    values[f"{layer}.up.input"] = inputs
    accumulator = product(inputs, model[f"{layer}.up.weight"])
    values[f"{layer}.up.accumulator"] = accumulator
    inputs = binary(accumulator, model[f"{layer}.up.threshold"])
    values[f"{layer}.down.input"] = inputs
    accumulator = product(inputs, model[f"{layer}.down.weight"])
    values[f"{layer}.down.accumulator"] = accumulator
    total = _residual_sum(model, f"{layer}.down", accumulator, residual)
    values[f"{layer}.ffn_norm.sum"] = total
    residual = _norm(model, f"{layer}.ffn_norm", total)
    values[f"{layer}.ffn_norm.residual"] = residual
    return residual


def round_shift(a: Tensor | int, n: Tensor | int) -> Integers:
    """`floor((a + 2^(n-1)) / 2^n)`, `a` for n = 0, `a * 2^-n` for n < 0; elementwise."""
    a, n = np.asarray(a, dtype=np.int64), np.asarray(n, dtype=np.int64)
    right, left = np.maximum(n, 0), np.maximum(-n, 0)
    half = (np.int64(1) << right) >> 1  # 0 for n <= 0
    return np.asarray(((a + half) >> right) * (np.int64(1) << left), dtype=np.int64)


def saturate(a: Tensor, bits: int) -> Integers:
    """Clip to the range of a signed integer of that many bits."""
    half = 1 << (bits - 1)
    return np.asarray(np.clip(a, -half, half - 1), dtype=np.int64)


def bipolar(x: Tensor, threshold: Tensor) -> Integers:
    """+1 where x >= threshold of its channel (last axis), else -1."""
    return np.where(x >= threshold, 1, -1).astype(np.int64)


def binary(x: Tensor, threshold: Tensor) -> Integers:
    """1 where x >= threshold of its channel (last axis), else 0."""
    return np.where(x >= threshold, 1, 0).astype(np.int64)


def integer_product(inputs: Tensor, weight: Tensor) -> Integers:
    """`inputs @ weight.T`: (..., columns) and (rows, columns) to (..., rows)."""
    return np.asarray(inputs.astype(np.int64) @ weight.astype(np.int64).T)


def float_product(inputs: Tensor, weight: Tensor) -> Integers:
    """`integer_product` of bits, faster: sums below 2^24 are exact in float32."""
    return np.asarray(inputs.astype(np.float32) @ weight.astype(np.float32).T).astype(np.int64)


def run_embedding(
    model: IntegerModel, input_ids: Sequence[int] | Tensor, token_type_ids: Sequence[int] | Tensor
) -> dict[str, Integers]:
    """`embedding.sum` and `embedding.residual` (N, H) of a sentence, given as for `run`."""
    total = embedding_sum(model, *_checked_ids(model, input_ids, token_type_ids))
    residual = _norm(model, "embedding.norm", total)
    return {"embedding.sum": total, "embedding.residual": residual}


def embedding_sum(model: IntegerModel, ids: Integers, types: Integers) -> Integers:
    """`scale[id] * sign(id) + position[n] + token_type[type]`: (N, H)."""
    sign = model["embedding.word.weight"][ids].astype(np.int64)
    word = model["embedding.word.scale"][ids][:, None] * sign
    position = model["embedding.position"][: len(ids)]
    return np.asarray(word + position + model["embedding.token_type"][types], dtype=np.int64)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, H) to (A, N, D): head h has channels hD ... hD + D - 1."""
    split: Tensor = x.reshape(len(x), heads, -1).transpose(1, 0, 2)
    return split


def merge_heads(x: Tensor) -> Tensor:
    """(A, N, D) to (N, H), the inverse of `split_heads`."""
    merged: Tensor = x.transpose(1, 0, 2).reshape(x.shape[1], -1)
    return merged


def relative_bias(bias: Tensor, tokens: int) -> Integers:
    """The bias of every query and key: `bias[h, clip(j - i, -R, R) + R]`, (A, N, N).

    bias: (A, 2 R + 1), in matches of query and key bits, that is in twos of a score.
    """
    reach = bias.shape[1] // 2
    places = np.arange(tokens)
    offsets = np.clip(places[None, :] - places[:, None], -reach, reach)
    return np.asarray(bias[:, offsets + reach], dtype=np.int64)


def softmax_probabilities(
    scores: Integers, exp_table: Tensor, threshold: Tensor, probability_bits: int
) -> Integers:
    """BiT's attention: 1 where a key's share of its row's softmax exceeds a threshold.

    `p_ij = 1 iff E[min((m_i - s_ij) / 2, D)] * 2^k > T_h * S_i`, strict, with m the maximum of
    the row and S the sum of its exponentials.

    Args:
        scores: (A, N, N), all of the parity of D, in [-D, D], or with a relative position bias in
            [-3 D, 3 D], where differences of D matches and more are alike.
        exp_table: E, (D + 1,).
        threshold: T, (A,) in [-1, 2^k].
        probability_bits: k.

    Returns:
        (A, N, N) of {0, 1}.
    """
    difference = (scores.max(axis=-1, keepdims=True) - scores) // 2
    exponential = exp_table[np.minimum(difference, len(exp_table) - 1)]
    row_sum = exponential.sum(axis=-1, keepdims=True)
    limit = threshold[:, None, None] * row_sum
    return np.asarray(exponential << probability_bits > limit, dtype=np.int64)


def sps_probabilities(scores: Integers, threshold: Tensor) -> Integers:
    """COBRA's attention: `p_ij = 1 iff s_ij >= threshold_h`; (A, N, N) of {0, 1}."""
    return binary(scores, threshold[:, None, None])


def requantize(accumulator: Integers, multiplier: Tensor, bias: Tensor, shift: Tensor) -> Integers:
    """`round_shift(accumulator * M + B_c, n)`: to the unit of the residual stream."""
    return round_shift(accumulator * multiplier + bias, shift)


def layer_norm(
    x: Integers, gamma: Tensor, beta: Tensor, rsqrt_table: Tensor, formats: Formats
) -> Integers:
    """Normalize each row over its channels; see docs/arithmetic.md for the derivation.

    Args:
        x: (N, H), any unit.
        gamma: (H,), `round(gamma * sqrt(H) * 2^g)`.
        beta: (H,), `round(beta * 2^(q + g))`.
        rsqrt_table: (3 * 2^(b-2),).
        formats: b, q, g, f and W.

    Returns:
        (N, H) in W bits, unit 2^-f.
    """
    hidden, b = x.shape[-1], formats.rsqrt_index_bits
    q, g, f = formats.norm_fraction_bits, formats.gamma_fraction_bits, formats.fraction_bits
    reciprocal = ((1 << 25) + hidden) // (2 * hidden)  # round(2^24 / H)
    mean = round_shift(x.sum(axis=-1, keepdims=True) * reciprocal, 24)
    difference = x - mean
    variance = (difference * difference).sum(axis=-1, keepdims=True)
    k = (bit_length(variance) - b + 1) // 2
    mantissa = (variance >> np.maximum(2 * k, 0)) << np.maximum(-2 * k, 0)  # floor(V / 4^k)
    # V = 0 has no mantissa: its differences are 0, and any entry gives z = 0.
    entry = np.where(variance > 0, mantissa - (1 << (b - 2)), 0)
    z = round_shift(difference * rsqrt_table[entry], k + 14 + b // 2 - q)
    return saturate(round_shift(z * gamma + beta, q + g - f), formats.word_bits)


def bit_length(x: Tensor) -> Integers:
    """Number of bits of each non-negative integer; 0 has none."""
    lengths = [int(value).bit_length() for value in x.flat]
    return np.array(lengths, dtype=np.int64).reshape(x.shape)


def _attention(model: IntegerModel, layer: str, values: dict[str, Integers]) -> Integers:
    """Scores, probabilities and context (N, H) of a layer."""
    d = model.dimensions
    outputs = [values[f"{layer}.{name}.output"] for name in ("query", "key", "value")]
    query, key, value = (split_heads(output, d.heads) for output in outputs)
    scores = query @ key.transpose(0, 2, 1)
    if d.relative_positions:
        bias = model[f"{layer}.attention.relative_bias"]
        scores = scores + 2 * relative_bias(bias, scores.shape[-1])
    if d.attention == "softmax":
        table = model[f"{layer}.attention.exp_table"]
        threshold = model[f"{layer}.attention.probability_threshold"]
        bits = model.formats.probability_bits
        probabilities = softmax_probabilities(scores, table, threshold, bits)
    else:
        probabilities = sps_probabilities(scores, model[f"{layer}.attention.score_threshold"])
    values[f"{layer}.attention.scores"] = scores
    values[f"{layer}.attention.probabilities"] = probabilities
    values[f"{layer}.attention.context"] = merge_heads(probabilities @ value)
    return values[f"{layer}.attention.context"]


def _residual_sum(
    model: IntegerModel, matrix: str, accumulator: Integers, residual: Integers
) -> Integers:
    update = requantize(
        accumulator,
        model[f"{matrix}.multiplier"],
        model[f"{matrix}.bias"],
        model[f"{matrix}.shift"],
    )
    return saturate(residual + update, model.formats.word_bits)


def _norm(model: IntegerModel, name: str, x: Integers) -> Integers:
    gamma, beta = model[f"{name}.gamma"], model[f"{name}.beta"]
    return layer_norm(x, gamma, beta, model["rsqrt_table"], model.formats)


def run_head(
    model: IntegerModel, residual: Integers, product: Product | None = None
) -> dict[str, Integers]:
    """Pooler and classifier, which look at the first token only.

    Args:
        residual: (N, H), of the last layer.
        product: as for `run`.

    Returns:
        `pooler.input` to `logits`, by name.
    """
    inputs = bipolar(residual[0], model["pooler.input_threshold"])
    accumulator = (product or integer_product)(inputs, model["pooler.weight"])
    pooled = requantize(
        accumulator, model["pooler.multiplier"], model["pooler.bias"], model["pooler.shift"]
    )
    one = 1 << model.formats.fraction_bits
    output = np.clip(pooled, -one, one)  # hard tanh
    logits = integer_product(output, model["classifier.weight"]) + model["classifier.bias"]
    return {
        "pooler.input": inputs,
        "pooler.accumulator": accumulator,
        "pooler.output": output,
        "logits": logits,
    }


def _checked_ids(
    model: IntegerModel, input_ids: Sequence[int] | Tensor, token_type_ids: Sequence[int] | Tensor
) -> tuple[Integers, Integers]:
    d = model.dimensions
    ids = np.asarray(input_ids, dtype=np.int64)
    types = np.asarray(token_type_ids, dtype=np.int64)
    if ids.ndim != 1 or ids.shape != types.shape or not 1 <= len(ids) <= d.max_tokens:
        raise ValueError(
            f"expected 1 to {d.max_tokens} token ids and as many token types, "
            f"got {ids.shape} and {types.shape}"
        )
    for what, values, rows in (("token ids", ids, d.vocab), ("types", types, d.token_types)):
        if values.min() < 0 or values.max() >= rows:
            raise ValueError(f"expected {what} in [0, {rows}), got {values.min(), values.max()}")
    return ids, types
