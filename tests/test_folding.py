"""Folded integers against the float formulas, in exact rational arithmetic."""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from edgebert.folding import (
    binary_threshold,
    bipolar_threshold,
    exp_table,
    fold,
    norm_gamma,
    power_of_two,
    probability_threshold,
    requantization,
    round_shift,
    rsqrt_table,
    to_grid,
)
from edgebert.model import BinaryBert
from edgebert.quantizers import ALPHA_MIN
from hw import tables
from tests.trained import ONE, small_config, trained_model

BOUND = 30
INTEGERS = range(-BOUND, BOUND + 1)


def exact(x: Tensor) -> list[Fraction]:
    return [Fraction(value) for value in x.double().flatten().tolist()]


def float32(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def parameters(count: int, seed: int) -> Iterator[Tensor]:
    """Units, offsets, alphas and betas: random ones, and ones that meet ties exactly."""
    generator = torch.Generator().manual_seed(seed)
    half = count // 2
    for low, high in ((0.001, 0.2), (-4.0, 4.0), (0.01, 2.0), (-1.0, 1.0)):
        random = low + (high - low) * torch.rand(half, generator=generator)
        eighths = torch.randint(0, 33, (count - half,), generator=generator) / 8
        eighths = eighths - 2 if low < 0 else eighths + 0.125
        yield torch.cat([random, eighths])


def test_bipolar_thresholds_decide_as_the_sign_of_the_float() -> None:
    unit, offset, _, _ = parameters(400, 0)
    thresholds = bipolar_threshold(unit, offset, BOUND)
    ties = 0
    for t, u, o in zip(thresholds.tolist(), exact(unit), exact(offset), strict=True):
        assert -BOUND <= t <= BOUND + 1
        for a in INTEGERS:
            assert (a >= t) == (u * a + o >= 0)
            ties += u * a + o == 0
    assert ties > 20


def test_bipolar_thresholds_of_constant_channels_are_the_ends_of_the_range() -> None:
    offset = float32([1e9, -1e9, 30.0, -30.0, 30.001, -30.001, 0.0, -0.0, 1e-30, -1e-30])
    expected = [-30, 31, -30, 30, -30, 31, 0, 0, 0, 1]
    assert bipolar_threshold(1.0, offset, BOUND).tolist() == expected


def test_binary_thresholds_decide_as_relu_and_the_quantizer() -> None:
    unit, offset, alpha, beta = parameters(400, 1)
    thresholds = binary_threshold(unit, offset, alpha, beta, BOUND)
    rows = zip(
        thresholds.tolist(), exact(unit), exact(offset), exact(alpha), exact(beta), strict=True
    )
    always = ties = 0
    for t, u, o, scale, shift in rows:
        assert -BOUND <= t <= BOUND + 1
        always += t == -BOUND
        for a in INTEGERS:
            z = max(u * a + o, Fraction(0)) + shift
            assert (a >= t) == (z / scale > Fraction(1, 2))  # round(1/2) = 0
            ties += z / scale == Fraction(1, 2)
    assert always > 20 and ties > 20


def test_binary_thresholds_without_relu_decide_as_the_quantizer() -> None:
    unit, offset, alpha, _ = parameters(400, 2)
    thresholds = binary_threshold(unit, offset, alpha, None, BOUND)
    rows = zip(thresholds.tolist(), exact(unit), exact(offset), exact(alpha), strict=True)
    for t, u, o, scale in rows:
        assert -BOUND <= t <= BOUND + 1
        for a in INTEGERS:
            assert (a >= t) == ((u * a + o) / scale > Fraction(1, 2))


def test_binary_thresholds_at_a_shift_of_half_a_scale() -> None:
    """beta = alpha / 2 leaves the sign of the ReLU; a larger one makes the bit constant."""
    unit, offset, alpha = float32([0.5] * 3), float32([0.0] * 3), float32([1.0] * 3)
    beta = float32([0.5, math.nextafter(0.5, 1.0) + 2**-24, 0.5 - 2**-25])
    t = binary_threshold(unit, offset, alpha, beta, BOUND)
    assert t.tolist() == [1, -BOUND, 1]


@pytest.mark.parametrize(("fraction_bits", "multiplier_bits"), [(12, 15), (8, 10)])
def test_requantization_errs_by_less_than_its_bound(
    fraction_bits: int, multiplier_bits: int
) -> None:
    generator = torch.Generator().manual_seed(3)
    units = 2.0 ** torch.empty(200).uniform_(-14, 2, generator=generator)
    units[:12] = 2.0 ** torch.arange(-10.0, 2.0)  # at whole powers of two
    bias = torch.randn(1, generator=generator) * 3
    grid = Fraction(2) ** fraction_bits
    for unit in units:
        multiplier, n, offset = requantization(unit, bias, fraction_bits, multiplier_bits)
        m, b, u = int(multiplier), int(offset), Fraction(float(unit))
        s = u * grid
        log2 = next(k for k in range(-60, 60) if Fraction(2) ** k <= s < Fraction(2) ** (k + 1))
        assert n == min(max(multiplier_bits - 1 - log2, 0), 30)
        if 0 < n < 30:
            assert 2 ** (multiplier_bits - 1) <= m <= 2**multiplier_bits
        for a in (-300, -7, 0, 1, 299):
            value = (u * a + Fraction(float(bias))) * grid
            error = abs(Fraction(a * m + b, 2**n) - value)
            assert error <= Fraction(abs(a) + 1, 2 ** (n + 1))
            rounded = int(round_shift(torch.tensor(float(a * m + b), dtype=torch.float64), n))
            assert abs(rounded - value) <= error + Fraction(1, 2)


def test_grid_rounds_half_to_even() -> None:
    x = float32([0.5, 1.5, 2.5, -0.5, -1.5, 0.26, -7.0]) / 8
    assert to_grid(x, 3).tolist() == [0, 2, 2, 0, -2, 0, -7]
    assert to_grid(x, 3).dtype == torch.float64


def test_round_shift_is_exact_also_of_negatives_and_to_the_left() -> None:
    rng = np.random.default_rng(0)
    values = [*range(-70, 71), *rng.integers(-(2**52), 2**52, 300).tolist()]
    for n in range(-8, 41):
        a = [value for value in values if abs(value) * 2 ** max(-n, 0) < 2**52]
        half = 2 ** (n - 1) if n > 0 else 0
        expected = [(value + half) >> n if n >= 0 else value << -n for value in a]
        wide = torch.tensor(a, dtype=torch.float64)
        assert [int(value) for value in round_shift(wide, n).tolist()] == expected


def test_power_of_two_is_exact() -> None:
    exponents = torch.arange(-300, 301)
    for dtype in (torch.int64, torch.int32, torch.float64):
        values = power_of_two(exponents.to(dtype))
        assert values.dtype == torch.float64
        assert values.tolist() == [math.ldexp(1.0, e) for e in range(-300, 301)]
    assert power_of_two(torch.tensor([-1022, 1023])).tolist() == [2.0**-1022, 2.0**1023]


@pytest.mark.parametrize("scale", [1e-5, 0.013, 0.2, 3.0, 400.0])
def test_exp_table_is_the_rounded_exponential(scale: float) -> None:
    c = torch.tensor(scale)
    table = exp_table(c, 8, 12)
    assert table.tolist() == [round(4096 * math.exp(-2 * d * float(c))) for d in range(9)]
    assert table.tolist() == tables.exp_table(8, 12, float(c)).tolist()
    assert table[0] == 4096 and (table.diff() <= 0).all()


@pytest.mark.parametrize("index_bits", [4, 8, 10, 12])
def test_rsqrt_table_is_the_rounded_root_and_the_reference_one(index_bits: int) -> None:
    table = [int(value) for value in rsqrt_table(index_bits).tolist()]
    assert table == tables.rsqrt_table(index_bits).tolist()
    assert len(table) == 3 * 2 ** (index_bits - 2)
    for i, value in enumerate(table, start=2 ** (index_bits - 2)):
        square = Fraction(2 ** (28 + index_bits)) / (i + Fraction(1, 2))
        assert (value - Fraction(1, 2)) ** 2 <= square <= (value + Fraction(1, 2)) ** 2


def test_probability_threshold_is_the_floor_clipped_to_always_and_never() -> None:
    alpha = float32([0.5, 0.5, 0.1, 3.0, 2.0, 1e-3])
    beta = float32([0.0, 0.25, 0.06, 0.0, 0.0, 0.0])
    values = [(a / 2 - b) * 2**16 for a, b in zip(exact(alpha), exact(beta), strict=True)]
    expected = [min(max(math.floor(v), -1), 2**16) for v in values]
    assert probability_threshold(alpha, beta, 16).tolist() == expected
    assert expected == [16384, 0, -1, 65536, 65536, 32]


def test_norm_gamma_holds_the_root_of_the_width() -> None:
    gamma = float32([1.0, -0.5, 0.03, 0.0, 1.7])
    expected = [round(g * math.sqrt(5) * 1024) for g in gamma.tolist()]
    assert norm_gamma(gamma, 10).tolist() == expected


def numbers(x: Tensor) -> np.ndarray:
    return x.detach().double().numpy()


def alpha_of(quantizer: torch.nn.Module) -> Tensor:
    alpha: Tensor = quantizer.alpha.detach().clamp_min(ALPHA_MIN)  # type: ignore[operator]
    return alpha


def weight_scale(linear: torch.nn.Module) -> Tensor:
    return linear.weight.detach().double().abs().mean().float()  # type: ignore[union-attr,operator]


@pytest.fixture(scope="module", params=[("softmax", 0), ("sps", 0), ("softmax", 2), ("sps", 2)])
def model(request: pytest.FixtureRequest) -> BinaryBert:
    attention, reach = request.param
    config = small_config(attention, relative_positions=reach)
    return trained_model(config, ONE, deploy=True, steps=2)


def test_every_threshold_of_a_model_decides_as_its_parameters(model: BinaryBert) -> None:
    """Over all integers that an accumulator can hold, or near the borders of the residual."""
    t, c = fold(model).tensors, model.config
    step = 2.0**-model.arithmetic.fraction_bits
    for i, layer in enumerate(model.layers):
        name = f"layer.{i}"
        for part in ("query", "key", "value"):
            linear = getattr(layer, part)
            unit = numbers(alpha_of(linear.quantizer) * weight_scale(linear))
            offset = numbers(linear.bias) + numbers(layer.quantizer(part).beta)
            a = np.arange(-c.hidden, c.hidden + 1)[:, None]
            bits = a >= t[f"{name}.{part}.threshold"].numpy()
            assert (bits == (unit * a + offset >= 0)).all() and 0 < bits.mean() < 1
        unit = numbers(alpha_of(layer.up.quantizer) * weight_scale(layer.up))
        down = layer.down.quantizer
        z = np.maximum(unit * a + numbers(layer.up.bias), 0) + numbers(down.beta)
        bits = a >= t[f"{name}.up.threshold"].numpy()
        assert (bits == (z / numbers(alpha_of(down)) > 0.5)).all() and 0 < bits.mean() < 1
        alpha = alpha_of(layer.quantizer("probability")).flatten()
        unit = numbers(alpha * alpha_of(layer.quantizer("value"))).repeat(c.head_width)
        a = np.arange(-c.max_tokens, c.max_tokens + 1)[:, None]
        bits = a >= t[f"{name}.output.input_threshold"].numpy()
        assert (bits == (unit * a + numbers(layer.output.quantizer.beta) >= 0)).all()
    for name, linear in [
        *((f"layer.{i}.{p}", getattr(m, p)) for i, m in enumerate(model.layers) for p in PARTS),
        ("pooler", model.pooler),
    ]:
        beta = numbers(linear.quantizer.beta)
        a = np.rint(-beta / step) + np.arange(-3, 4)[:, None]
        bits = a >= t[f"{name}.input_threshold"].numpy()
        assert (bits == (a * step + beta >= 0)).all() and bits.any() and not bits.all()


PARTS = ("query", "key", "value", "up")


def test_attention_of_a_model_folds_as_its_parameters(model: BinaryBert) -> None:
    t, c, formats = fold(model).tensors, model.config, model.arithmetic
    for i, layer in enumerate(model.layers):
        name = f"layer.{i}.attention"
        q, k = (alpha_of(layer.quantizer(part)) for part in ("query", "key"))
        scale = float(q * k * c.head_width**-0.5)
        quantizer = layer.quantizer("probability")
        alpha, beta = numbers(alpha_of(quantizer)).ravel(), numbers(quantizer.beta).ravel()
        if c.relative_positions:
            bias = np.rint(numbers(layer.relative_bias) * c.head_width)
            bias = bias.clip(-c.head_width, c.head_width)
            assert bias.any() and (t[f"{name}.relative_bias"].numpy() == bias).all()
        if c.attention == "sps":
            most = c.head_width * (3 if c.relative_positions else 1)
            s = np.arange(-most, most + 1)[:, None]
            bits = s >= t[f"{name}.score_threshold"].numpy()
            assert (bits == (scale * s + beta > alpha / 2)).all()
            assert f"{name}.exp_table" not in t
        else:
            table = np.rint(4096 * np.exp(-2 * scale * np.arange(c.head_width + 1)))
            assert (t[f"{name}.exp_table"].numpy() == table).all()
            share = np.floor((alpha / 2 - beta) * 2**formats.probability_bits)
            limit = 2**formats.probability_bits
            folded = t[f"{name}.probability_threshold"].numpy()
            assert (folded == share.clip(-1, limit)).all()


def test_the_rest_of_a_model_folds_as_its_parameters(model: BinaryBert) -> None:
    folded = fold(model)
    t, a = folded.tensors, model.arithmetic
    f, g, q = a.fraction_bits, a.gamma_fraction_bits, a.norm_fraction_bits
    matrices = {f"layer.{i}.{p}": getattr(m, p) for i, m in enumerate(model.layers) for p in ALL}
    for name, linear in {**matrices, "pooler": model.pooler}.items():
        weight = linear.weight.detach()
        signs = torch.where(weight >= weight.double().mean().float(), 1.0, -1.0)
        assert torch.equal(t[f"{name}.weight"], signs)
        assert folded.weight_scales[name] == weight_scale(linear)
        if name.endswith(("output", "down", "pooler")):
            s = float(alpha_of(linear.quantizer) * weight_scale(linear)) * 2**f
            n = min(max(a.multiplier_bits - 1 - math.floor(math.log2(s)), 0), 30)
            m, shift, bias = folded.requantization(name)
            assert (shift, m) == (n, round(s * 2**n)) and t[f"{name}.shift"] == n
            assert (bias.numpy() == np.rint(numbers(linear.bias) * 2.0 ** (f + n))).all()
    norms = {f"layer.{i}.{p}": getattr(m, p) for i, m in enumerate(model.layers) for p in NORMS}
    for name, norm in {**norms, "embedding.norm": model.embedding_norm}.items():
        gamma, beta, table = folded.norm(name)
        root = math.sqrt(model.config.hidden)
        assert (gamma.numpy() == np.rint(numbers(norm.weight) * root * 2**g)).all()
        assert (beta.numpy() == np.rint(numbers(norm.bias) * 2.0 ** (q + g))).all()
        assert table.tolist() == tables.rsqrt_table(a.rsqrt_index_bits).tolist()
    e, c = a.embedding_fraction_bits, a.classifier_fraction_bits
    for name, parameter, bits in (
        ("embedding.position", model.position.weight, e),
        ("embedding.token_type", model.token_type.weight, e),
        ("classifier.weight", model.classifier.weight, c),
        ("classifier.bias", model.classifier.bias, f + c),
    ):
        assert (t[name].numpy() == np.rint(numbers(parameter) * 2.0**bits)).all()


ALL = ("query", "key", "value", "output", "up", "down")
NORMS = ("attention_norm", "ffn_norm")
