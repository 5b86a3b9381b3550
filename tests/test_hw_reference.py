"""The reference against plain loops, float mathematics and the edges of its ranges."""

import math
from fractions import Fraction

import numpy as np
import pytest

from hw.integer_model import IntegerModel
from hw.layout import formats
from hw.reference import (
    binary,
    bipolar,
    bit_length,
    float_product,
    integer_product,
    layer_norm,
    logits,
    requantize,
    round_shift,
    run,
    saturate,
    softmax_probabilities,
)
from hw.tables import exp_table, rsqrt_table
from tests.models import ARITHMETIC, random_integer_model, random_sentences

FORMATS = formats({"arithmetic": ARITHMETIC})


def test_round_shift_is_exact_rational_rounding() -> None:
    for n in range(-6, 7):
        for a in range(-130, 131):
            exact = math.floor(Fraction(a) / Fraction(2) ** n + (Fraction(1, 2) if n > 0 else 0))
            assert round_shift(a, n) == exact
    shifts = np.arange(-3, 4)
    assert (round_shift(np.full(7, -5), shifts) == [round_shift(-5, n) for n in shifts]).all()


def test_saturate_and_thresholds_at_their_ties() -> None:
    assert saturate(np.array([-9, -8, 7, 8]), 4).tolist() == [-8, -8, 7, 7]
    x = np.array([2, 3, 4])
    assert bipolar(x, np.array([3, 3, 3])).tolist() == [-1, 1, 1]
    assert binary(x, np.array([3, 3, 3])).tolist() == [0, 1, 1]


def test_constant_channels_are_constant() -> None:
    """The smallest value as threshold is always 1, one more than the largest never."""
    for width in (4, 18):
        ends = saturate(np.array([[-(1 << 40)], [1 << 40]]), width)
        half = 1 << (width - 1)
        assert bipolar(ends, np.array([-half])).tolist() == [[1], [1]]
        assert bipolar(ends, np.array([half])).tolist() == [[-1], [-1]]


def test_bit_length_and_tables() -> None:
    values = np.array([[0, 1], [255, 256]])
    assert bit_length(values).tolist() == [[0, 1], [8, 9]]
    for b in (4, 10, 16):
        table = rsqrt_table(b)
        assert len(table) == 3 << (b - 2)
        assert (np.diff(table) <= 0).all()
        assert table[-1] >= (1 << 14) - 1 and table[0] <= 1 << 15
    table = exp_table(64, 12, 0.1)
    assert table[0] == 4096 and len(table) == 65
    assert table[3] == round(4096 * math.exp(-0.6))


def plain_layer_norm(x: list[int], gamma: list[int], beta: list[int]) -> list[int]:
    """docs/arithmetic.md in Python integers, one value at a time."""
    f = FORMATS
    b, table = f.rsqrt_index_bits, rsqrt_table(f.rsqrt_index_bits).tolist()
    mean = int(round_shift(sum(x) * round(2**24 / len(x)), 24))
    variance = sum((value - mean) ** 2 for value in x)
    k = (variance.bit_length() - b + 1) // 2
    result = []
    for value, scale, offset in zip(x, gamma, beta, strict=True):
        z = 0
        if variance:
            entry = math.floor(Fraction(variance) / Fraction(4) ** k) - 2 ** (b - 2)
            assert 0 <= entry < len(table)
            z = int(
                round_shift((value - mean) * table[entry], k + 14 + b // 2 - f.norm_fraction_bits)
            )
        y = round_shift(
            z * scale + offset, f.norm_fraction_bits + f.gamma_fraction_bits - f.fraction_bits
        )
        result.append(int(saturate(y, f.word_bits)))
    return result


@pytest.mark.parametrize("spread", [0, 1, 2, 30, 1000, 30000])
def test_layer_norm_is_its_plain_loop(spread: int) -> None:
    rng = np.random.default_rng(spread)
    for hidden in (2, 24, 100, 128):
        x = rng.integers(-spread, spread + 1, (8, hidden)) + rng.integers(-99, 99)
        gamma = rng.integers(-40000, 40000, hidden)
        beta = rng.integers(-(1 << 31), 1 << 31, hidden)
        result = layer_norm(x, gamma, beta, rsqrt_table(10), FORMATS)
        for row, expected in zip(x, result, strict=True):
            assert plain_layer_norm(row.tolist(), gamma.tolist(), beta.tolist()) == list(expected)


@pytest.mark.parametrize("spread", [300, 4096, 60000])
@pytest.mark.parametrize("hidden", [128, 384, 768])
def test_layer_norm_is_close_to_float(spread: int, hidden: int) -> None:
    """The relative error of a table entry is at most 2^-b; the rest is rounding."""
    rng = np.random.default_rng(hidden)
    x = np.clip(rng.normal(100, spread, (50, hidden)), -131072, 131071).astype(np.int64)
    gamma, beta = rng.normal(1, 0.3, hidden), rng.normal(0, 0.3, hidden)
    integer = layer_norm(
        x,
        np.rint(gamma * math.sqrt(hidden) * 2**10).astype(np.int64),
        np.rint(beta * 2**30).astype(np.int64),
        rsqrt_table(10),
        FORMATS,
    )
    centred = x - x.mean(axis=1, keepdims=True)
    norm = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True))
    exact = (norm * gamma + beta) * 2**12
    # table: half a step of 2^-(b-2) in V at most, half of that in its root, plus R's
    # rounding; the mean's rounding: half a unit of x; gamma's and the last rounding.
    relative = 2.0**-10 + 2.0**-14
    mean = 0.51 / centred.std(axis=1, keepdims=True) * np.abs(gamma) * 2**12
    rounding = np.abs(norm) * 2**12 * 2.0**-11 / math.sqrt(hidden) + 1.5
    assert (
        np.abs(integer - exact) <= np.abs(norm * gamma) * 2**12 * relative + mean + rounding
    ).all()


def test_layer_norm_of_equal_values_is_beta() -> None:
    beta = np.array([5 << 18, -(7 << 18)])
    result = layer_norm(np.full((3, 2), 77), np.array([99, 99]), beta, rsqrt_table(10), FORMATS)
    assert result.tolist() == [[5, -7]] * 3


def test_layer_norm_saturates() -> None:
    x = np.array([[1000, -1000]])
    gamma = np.array([1 << 22, 1 << 22])
    result = layer_norm(x, gamma, np.zeros(2, np.int64), rsqrt_table(10), FORMATS)
    assert result.tolist() == [[131071, -131072]]


def plain_attention(model: IntegerModel, layer: int, values: dict) -> dict:
    """Scores, probabilities and context of one layer, by loops."""
    d, name = model.dimensions, f"layer.{layer}"
    q, k, v = (values[f"{name}.{matrix}.output"] for matrix in ("query", "key", "value"))
    n, width = len(q), d.head_width
    scores, bits = np.zeros((d.heads, n, n), int), np.zeros((d.heads, n, n), int)
    reach = d.relative_positions
    context = np.zeros((n, d.hidden), int)
    for h in range(d.heads):
        channels = range(h * width, (h + 1) * width)
        for i in range(n):
            row = [sum(int(q[i, c]) * int(k[j, c]) for c in channels) for j in range(n)]
            if reach:
                bias = model[f"{name}.attention.relative_bias"][h]
                places = [min(max(j - i, -reach), reach) + reach for j in range(n)]
                row = [s + 2 * int(bias[place]) for s, place in zip(row, places, strict=True)]
            for j in range(n):
                scores[h, i, j] = row[j]
                bits[h, i, j] = plain_probability(model, name, h, row, j)
            for c in channels:
                context[i, c] = sum(int(bits[h, i, j]) * int(v[j, c]) for j in range(n))
    return {"scores": scores, "probabilities": bits, "context": context}


def plain_probability(model: IntegerModel, name: str, h: int, row: list[int], j: int) -> int:
    if model.dimensions.attention == "sps":
        return int(row[j] >= model[f"{name}.attention.score_threshold"][h])
    table = model[f"{name}.attention.exp_table"]
    furthest = model.dimensions.head_width
    exponentials = [int(table[min((max(row) - s) // 2, furthest)]) for s in row]
    threshold = int(model[f"{name}.attention.probability_threshold"][h])
    limit = threshold * sum(exponentials) // 2**model.formats.probability_bits
    return int(exponentials[j] >= limit + 1)


@pytest.mark.parametrize("attention", ["softmax", "sps"])
@pytest.mark.parametrize("tokens", [1, 2, 7, 16])
@pytest.mark.parametrize("reach", [0, 1, 4])
def test_attention_is_its_plain_loop(attention: str, tokens: int, reach: int) -> None:
    sizes = {"hidden": 24, "heads": 3, "relative_positions": reach}
    model = random_integer_model(tokens, attention=attention, **sizes)
    (sentence,) = random_sentences(tokens, model, [tokens])
    values = run(model, *sentence)
    for layer in range(2):
        for name, expected in plain_attention(model, layer, values).items():
            assert (values[f"layer.{layer}.attention.{name}"] == expected).all()


def test_probability_is_strict_at_its_tie() -> None:
    """Two equal keys hold half of the row's sum each: not more than a threshold of half."""
    scores = np.zeros((1, 2, 2), np.int64)
    table = exp_table(4, 12, 0.1)
    for threshold, bit in [(-1, 1), (0, 1), (32767, 1), (32768, 0), (65536, 0)]:
        result = softmax_probabilities(scores, table, np.array([threshold]), 16)
        assert (result == bit).all()
    alone = softmax_probabilities(scores[:, :1, :1], table, np.array([65536]), 16)
    assert (alone == 0).all()  # 2^k is never, even for a share of 1


def test_scores_further_apart_than_the_table_goes_count_as_its_end() -> None:
    """With a bias, scores of 4 channels differ by up to 3 * 4 matches."""
    table = np.array([4096, 1000, 100, 10, 1])
    scores = np.array([[[12, 10, 4, 2, -12]]])  # 0, 1, 4, 5 and 12 matches less than the largest
    total = 4096 + 1000 + 1 + 1 + 1
    for threshold, bits in [((1 << 16) // total - 1, [1, 1, 1, 1, 1]), (13, [1, 1, 0, 0, 0])]:
        found = softmax_probabilities(scores, table, np.array([threshold]), 16)
        assert found.tolist() == [[bits]]


def test_requantize_rounds_half_up() -> None:
    result = requantize(np.array([1, -1, 3]), np.array(1), np.array(0), np.array(1))
    assert result.tolist() == [1, 0, 2]


@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_every_tensor_keeps_its_shape_and_range(attention: str) -> None:
    model = random_integer_model(seed=3, attention=attention, labels=3)
    for ids, types in random_sentences(5, model, [1, 2, 9, 16]):
        n = len(ids)
        values = run(model, ids, types)
        names = list(values)
        assert names[:2] == ["embedding.sum", "embedding.residual"] and names[-1] == "logits"
        assert len(names) == 2 + 2 * 22 + 4
        for name, value in values.items():
            assert value.dtype == np.int64
            if name.endswith(".residual") or name.endswith("norm.sum"):
                assert value.shape == (n, 32)
                assert (saturate(value, 18) == value).all()
            if name.endswith((".scores", ".probabilities")):
                assert value.shape == (2, n, n)
            if name.endswith(".scores"):
                assert (abs(value) <= 16).all() and (value % 2 == 0).all()
        assert values["layer.0.down.input"].shape == (n, 64)
        assert values["logits"].shape == (3,)
        assert (values["logits"] == logits(model, ids, types)).all()


def test_the_random_model_uses_its_ranges() -> None:
    """So that the other tests really test: bits vary and some values saturate."""
    model = random_integer_model(seed=0)
    values = [run(model, *s) for s in random_sentences(0, model, [16] * 8)]
    for name in values[0]:
        if name.endswith((".input", ".output", ".probabilities")):
            assert len(np.unique([v[name] for v in values])) >= 2, name
    residual = np.stack([v["embedding.residual"] for v in values])
    assert 0 < ((residual == 131071) | (residual == -131072)).mean() < 0.1
    assert len(np.unique([v["logits"] for v in values], axis=0)) == 8


def test_the_fast_product_is_the_plain_one() -> None:
    model = random_integer_model(seed=7, hidden=48, heads=4, ffn=200)
    for sentence in random_sentences(1, model, [3, 16]):
        plain, fast = run(model, *sentence, integer_product), run(model, *sentence, float_product)
        assert all((plain[name] == fast[name]).all() for name in plain)


def test_ids_out_of_range_are_refused() -> None:
    model = random_integer_model()
    for ids, types in [([], []), ([0] * 17, [0] * 17), ([50], [0]), ([-1], [0]), ([0], [2])]:
        with pytest.raises(ValueError, match="expected"):
            run(model, ids, types)
