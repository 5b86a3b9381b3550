"""Operators of the deployed arithmetic: integers with ==, gradients against float64 autograd."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from edgebert.config import ArithmeticConfig
from edgebert.folding import (
    binary_threshold,
    bipolar_threshold,
    exp_table,
    norm_gamma,
    probability_threshold,
    requantization,
    rsqrt_table,
    to_grid,
)
from edgebert.integer_ops import (
    Accumulator,
    int8_matmul,
    integer_layer_norm,
    integer_matmul,
    on_grid,
    relative_scores,
    requantize,
    saturate,
    sign_matmul,
    softmax_threshold,
    threshold_relu,
    threshold_scores,
    threshold_sign,
)
from edgebert.quantizers import weight_signs
from hw import reference
from hw.layout import Formats

FORMATS = ArithmeticConfig()
STEP = 2.0**-FORMATS.fraction_bits
HW_FORMATS = Formats(**dataclasses.asdict(FORMATS))
WIDTH = 24


def leaf(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_()


def doubles(*tensors: Tensor) -> list[Tensor]:
    return [t.detach().double().requires_grad_() for t in tensors]


def straight(value: Tensor, through: Tensor) -> Tensor:
    """`value`, with the gradient of `through`."""
    return through + (value - through).detach()


def clip(x: Tensor, low: float, high: float) -> Tensor:
    """Clip with the gradient 1 on the closed range, 0 outside."""
    return torch.where((x < low) | (x > high), x.detach().clip(low, high), x)


def assert_gradients(leaves: list[Tensor], wide: list[Tensor], tolerance: float = 1e-5) -> None:
    for result, expected in zip(leaves, wide, strict=True):
        assert result.grad is not None and expected.grad is not None
        assert expected.grad.abs().sum() > 0
        size = float(expected.grad.abs().max())
        torch.testing.assert_close(
            result.grad.double(), expected.grad, rtol=tolerance, atol=tolerance * size
        )


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def integers(generator: torch.Generator, *shape: int, bound: int = WIDTH) -> Tensor:
    return torch.randint(-bound, bound + 1, shape, generator=generator).float()


def bipolar(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randint(0, 2, shape, generator=generator).float() * 2 - 1


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("shape", [(2, 5, WIDTH), (1, WIDTH), (32, 48)])
def test_sign_matmul_is_exact_with_the_binary_weights_gradient(
    generator: torch.Generator, shape: tuple[int, ...], zeros: bool
) -> None:
    weight = leaf(torch.randn(16, shape[-1], generator=generator) + 0.1)
    signs, scale = weight_signs(weight)
    bits = leaf(torch.relu(bipolar(generator, *shape)) if zeros else bipolar(generator, *shape))
    result = sign_matmul(bits, weight, signs, scale)
    product = reference.integer_product(bits.detach().numpy(), signs.numpy())
    assert (result.detach().numpy() == product).all()
    # the float layer multiplies by scale * signs
    grad = torch.randn(result.shape, generator=generator)
    (result * scale).backward(grad)
    wide = doubles(bits, weight)
    F.linear(wide[0], straight(scale.double() * signs, wide[1])).backward(grad.double())
    assert_gradients([bits, weight], wide)


@pytest.mark.parametrize(
    ("rows", "columns", "outputs"), [(17, 16, 32), (64, 384, 48), (33, 96, 16)]
)
def test_int8_matmul_equals_float_matmul(
    generator: torch.Generator, rows: int, columns: int, outputs: int
) -> None:
    signs = bipolar(generator, outputs, columns)
    for bits in (bipolar(generator, rows, columns), bipolar(generator, rows, columns).relu()):
        product = int8_matmul(bits, signs)
        assert product.dtype == torch.float32 and torch.equal(product, F.linear(bits, signs))


@pytest.mark.parametrize("shape", [(3, 7, 32), (2, 3, 30), (2, 32)])
@pytest.mark.parametrize("path", ["kernels", "int8", "float32"])
def test_integer_matmul_is_the_same_on_every_path(
    generator: torch.Generator,
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, ...],
    path: str,
) -> None:
    if path != "kernels":
        monkeypatch.setattr("edgebert.integer_ops.native.usable", lambda *tensors: False)
        monkeypatch.setattr("edgebert.integer_ops._has_vnni", lambda: path == "int8")
    bits, signs = bipolar(generator, *shape), bipolar(generator, 48, shape[-1])
    product = integer_matmul(bits, signs)
    expected = reference.integer_product(bits.numpy(), signs.numpy())
    assert product.shape == (*shape[:-1], 48) and (product.numpy() == expected).all()


def accumulator(generator: torch.Generator, per_channel: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Integers, units and a bias; every tensor a leaf."""
    a = leaf(integers(generator, 4, 6, WIDTH))
    shape = (WIDTH,) if per_channel else ()
    unit = leaf(0.02 + 0.1 * torch.rand(shape, generator=generator))
    return a, unit, leaf(torch.randn(WIDTH, generator=generator))


@pytest.mark.parametrize("triangle", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_threshold_sign_is_the_elastic_sign_of_an_accumulator(
    generator: torch.Generator, per_channel: bool, with_bias: bool, triangle: bool
) -> None:
    a, unit, bias = accumulator(generator, per_channel)
    beta = leaf(torch.randn(WIDTH, generator=generator) / 2)
    alpha = leaf(torch.tensor(0.8))
    offset = bias.double() + beta.double() if with_bias else beta
    t = bipolar_threshold(unit, offset, WIDTH).detach()
    acc = Accumulator(a, unit, bias if with_bias else None)
    bits = threshold_sign(acc, beta, alpha, t, triangle)
    assert (bits.detach().numpy() == reference.bipolar(a.detach().numpy(), t.numpy())).all()
    grad = torch.randn(a.shape, generator=generator)
    (alpha * bits).backward(grad)
    wide = doubles(a, unit, bias, beta, alpha)
    z = wide[0] * wide[1] + wide[3]
    z = z + wide[2] if with_bias else z
    signs = torch.where(z >= 0, 1.0, -1.0)
    assert (bits == signs).all()
    away = z.detach().abs() / wide[4].detach()
    inside = away <= 1
    assert 0.2 < inside.double().mean() < 0.9
    slope = torch.where(away < 2, 0.5 - away / 4, 0.0) if triangle else inside.double()
    through = slope * z
    (wide[4] * signs + through - through.detach()).backward(grad.double())
    leaves = [a, unit, bias, beta, alpha]
    if not with_bias:
        assert bias.grad is None
        del leaves[2], wide[2]
    assert_gradients(leaves, wide)


def test_threshold_relu_is_relu_and_the_elastic_bit(generator: torch.Generator) -> None:
    a, unit, bias = accumulator(generator, False)
    beta = leaf(torch.randn(WIDTH, generator=generator) / 3)
    alpha = leaf(torch.tensor(0.9))
    t = binary_threshold(unit, bias, alpha, beta, WIDTH).detach()
    bits = threshold_relu(Accumulator(a, unit, bias), beta, alpha, t)
    assert (bits.detach().numpy() == reference.binary(a.detach().numpy(), t.numpy())).all()
    grad = torch.randn(a.shape, generator=generator)
    wide = doubles(a, unit, bias, beta, alpha)
    ratio = (torch.relu(wide[0] * wide[1] + wide[2]) + wide[3]) / wide[4]
    clipped = clip(ratio, 0, 1)
    assert (bits == clipped.round()).all()
    assert (ratio < 0).any() and (ratio > 1).any()
    bits.backward(grad)
    straight(clipped.round(), clipped).backward(grad.double())
    assert_gradients([a, unit, bias, beta, alpha], wide)


def keys_of(lengths: list[int]) -> Tensor:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return mask[:, None, None, :]


LENGTHS = [9, 4, 1]
HEADS, HEAD_WIDTH = 3, 8


def attention_scores(generator: torch.Generator) -> Tensor:
    longest = max(LENGTHS)
    q, k = (bipolar(generator, len(LENGTHS), HEADS, longest, HEAD_WIDTH) for _ in range(2))
    return q @ k.transpose(-1, -2)


def test_threshold_scores_is_the_elastic_bit_of_a_scaled_score(
    generator: torch.Generator,
) -> None:
    scores, keys = leaf(attention_scores(generator)), keys_of(LENGTHS)
    scale = leaf(torch.tensor(0.11))
    beta = leaf(torch.tensor([0.05, -0.1, 0.0]).view(HEADS, 1, 1))
    alpha = leaf(torch.tensor([0.5, 0.4, 0.7]).view(HEADS, 1, 1))
    t = binary_threshold(scale, beta.flatten(), alpha.flatten(), None, HEAD_WIDTH).detach()
    bits = threshold_scores(scores, scale, beta, alpha, t, keys)
    expected = np.stack(
        [reference.sps_probabilities(s, t.numpy()) for s in scores.detach().numpy()]
    )
    assert (bits.detach().numpy() == expected * keys.numpy()).all()
    grad = torch.randn(scores.shape, generator=generator)
    bits.backward(grad)
    wide = doubles(scores, scale, beta, alpha)
    ratio = clip((wide[0] * wide[1] + wide[2]) / wide[3], 0, 1)
    assert (bits == ratio.round() * keys).all()
    (straight(ratio.round(), ratio) * keys).backward(grad.double())
    assert_gradients([scores, scale, beta, alpha], wide)
    assert not scores.grad[~keys.expand_as(scores)].any()


def softmax_inputs(generator: torch.Generator, formats: ArithmeticConfig) -> dict[str, Tensor]:
    scale = leaf(torch.tensor(0.3))
    beta = leaf(torch.tensor([0.01, -0.02, 0.0]).view(HEADS, 1, 1))
    alpha = leaf(torch.tensor([0.3, 0.25, 0.4]).view(HEADS, 1, 1))
    share = probability_threshold(alpha.detach(), beta.detach(), formats.probability_bits)
    return {
        "scores": leaf(attention_scores(generator)),
        "scale": scale,
        "beta": beta,
        "alpha": alpha,
        "table": exp_table(scale.detach(), HEAD_WIDTH, formats.exp_bits),
        "share": share.flatten(),
        "keys": keys_of(LENGTHS),
    }


def test_softmax_threshold_has_the_references_bits(generator: torch.Generator) -> None:
    inputs = softmax_inputs(generator, FORMATS)
    scores, table, share = (inputs[name].detach() for name in ("scores", "table", "share"))
    plain = [x.numpy().astype(np.int64) for x in (scores, table, share)]
    for always_never in (False, True):
        if always_never:
            inputs["share"] = torch.tensor([-1.0, 0.0, 65536.0], dtype=torch.float64)
            plain[2] = np.array([-1, 0, 65536])
        bits = softmax_threshold(**inputs, formats=FORMATS).detach().numpy()
        for row, length in enumerate(LENGTHS):
            alone = plain[0][row, :, :length, :length]
            expected = reference.softmax_probabilities(alone, plain[1], plain[2], 16)
            assert (bits[row, :, :length, :length] == expected).all()
            assert not bits[row, :, :, length:].any()
            if always_never:
                assert expected[0].all() and expected[1].all() and not expected[2].any()


def relative_parameters(generator: torch.Generator) -> Tensor:
    """Of a bias up to two tokens on either side, some of it beyond what is clipped."""
    x = torch.randn(HEADS, 5, generator=generator)
    x[0, :2] = torch.tensor([1.4, -1.7])
    return leaf(x)


def test_relative_scores_are_twice_the_references_bias(generator: torch.Generator) -> None:
    x = relative_parameters(generator)
    bias = np.clip(np.rint(x.detach().numpy().astype(np.float64) * HEAD_WIDTH), -8, 8)
    for tokens in (1, 2, 9):
        found = relative_scores(x, tokens, HEAD_WIDTH)
        expected = 2 * reference.relative_bias(bias.astype(np.int64), tokens)
        assert (found.detach().numpy() == expected).all()
    grad = torch.randn(found.shape, generator=generator)
    found.backward(grad)
    for place in range(-2, 3):  # straight through, by the match
        far = abs(place) == 2
        pairs = [(i, j) for i in range(9) for j in range(9)]
        same = [(i, j) for i, j in pairs if j - i == place or (far and (j - i) * place > 4)]
        total = 2 * sum(grad[:, i, j] for i, j in same)
        torch.testing.assert_close(x.grad[:, place + 2], total)


def test_softmax_threshold_of_biased_scores_is_the_references(generator: torch.Generator) -> None:
    """The bias puts keys further from the largest score than the table goes, and all of a row
    below the least score without it."""
    inputs = softmax_inputs(generator, FORMATS)
    inputs["share"] = torch.tensor([300.0, 9000.0, 0.0], dtype=torch.float64)
    x = relative_parameters(generator)
    with torch.no_grad():
        x[1] = -1.0
        biased = inputs["scores"] + relative_scores(x, max(LENGTHS), HEAD_WIDTH)
    assert (biased.amax(-1) - biased.amin(-1) > 2 * HEAD_WIDTH).any()
    assert (biased[:, 1] < -HEAD_WIDTH).any()
    for row, length in enumerate(LENGTHS):
        inputs["scores"] = biased[row : row + 1]
        inputs["keys"] = keys_of([length, max(LENGTHS)])[:1]
        bits = softmax_threshold(**inputs, formats=FORMATS).detach()[0, :, :length]
        alone, table, share = (
            t.detach().numpy().astype(np.int64)
            for t in (biased[row, :, :length, :length], inputs["table"], inputs["share"])
        )
        expected = reference.softmax_probabilities(alone, table, share, 16)
        assert (bits[..., :length].numpy() == expected).all() and not bits[..., length:].any()


def test_softmax_threshold_ignores_the_scores_of_masked_keys(generator: torch.Generator) -> None:
    inputs = softmax_inputs(generator, FORMATS)
    before = softmax_threshold(**inputs, formats=FORMATS)
    masked = ~inputs["keys"].expand_as(before)
    other = torch.where(masked, -inputs["scores"].detach(), inputs["scores"].detach())
    assert not torch.equal(other, inputs["scores"])
    inputs["scores"] = leaf(other)
    after = softmax_threshold(**inputs, formats=FORMATS)
    assert torch.equal(before, after)
    after.backward(torch.randn(after.shape, generator=generator))
    assert inputs["scores"].grad.any() and not inputs["scores"].grad[masked].any()


@pytest.mark.parametrize("ideal", [False, True])
def test_softmax_threshold_has_the_gradient_of_softmax_and_the_elastic_bit(
    generator: torch.Generator, ideal: bool
) -> None:
    """With the table's probabilities to rounding; with a table of 20 bits those of exp to 1e-4."""
    formats = ArithmeticConfig(exp_bits=20, probability_bits=24) if ideal else FORMATS
    inputs = softmax_inputs(generator, formats)
    leaves = [inputs[name] for name in ("scores", "scale", "beta", "alpha")]
    bits = softmax_threshold(**inputs, formats=formats)
    grad = torch.randn(bits.shape, generator=generator)
    bits.backward(grad)
    wide = doubles(*leaves)
    scores, scale, beta, alpha = wide
    keys = inputs["keys"]
    logits = scores * scale
    if not ideal:
        largest = scores.detach().masked_fill(~keys, -HEAD_WIDTH).amax(-1, keepdim=True)
        depth = ((largest - scores.detach()) / 2).long().clip(0, HEAD_WIDTH)
        logits = straight(inputs["table"][depth].log(), logits)
    p = logits.masked_fill(~keys, float("-inf")).softmax(-1)
    ratio = clip((p + beta) / alpha, 0, 1)
    assert (bits == ratio.round() * keys).all()
    (straight(ratio.round(), ratio) * keys).backward(grad.double())
    assert_gradients(leaves, wide, 1e-4 if ideal else 1e-5)


@pytest.mark.parametrize("scale", [2.0**-9, 0.03, 9.0])
def test_requantize_is_the_references_with_the_gradient_of_its_line(
    generator: torch.Generator, scale: float
) -> None:
    """9.0: a unit so large that there is nothing to shift."""
    a = leaf(integers(generator, 3, 5, WIDTH))
    unit = leaf(torch.tensor(scale))
    bias = leaf(torch.randn(WIDTH, generator=generator))
    constants = requantization(
        unit.detach(), bias.detach(), FORMATS.fraction_bits, FORMATS.multiplier_bits
    )
    result = requantize(Accumulator(a, unit, bias), constants, FORMATS)
    multiplier, n, offset = constants
    expected = reference.requantize(
        a.detach().numpy().astype(np.int64), int(multiplier), offset.numpy().astype(np.int64), n
    )
    assert (n == 0) == (scale == 9.0)
    assert (result.detach().double().numpy() / STEP == expected).all()
    grad = torch.randn(a.shape, generator=generator)
    result.backward(grad)
    wide = doubles(a, unit, bias)
    line = wide[0] * wide[1] + wide[2]
    assert (result - line).abs().max() <= STEP * (1 + WIDTH * 2.0**-2)
    line.backward(grad.double())
    assert_gradients([a, unit, bias], wide)


def test_saturate_clips_to_the_word_and_passes_every_gradient() -> None:
    half = 1 << (FORMATS.word_bits - 1)
    steps = torch.tensor([-half - 1, -half, -1, 0, half - 1, half, 40 * half])
    x = leaf(steps * STEP)
    y = saturate(x, FORMATS)
    expected = reference.saturate(steps.numpy(), FORMATS.word_bits)
    assert (y.detach().numpy() / STEP == expected).all()
    grad = torch.arange(1.0, 8.0)
    y.backward(grad)
    assert torch.equal(x.grad, grad)


def test_on_grid_rounds_half_to_even_and_passes_every_gradient() -> None:
    x = leaf(torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 3.2]) / 8)
    y = on_grid(x, 3)
    assert y.dtype == torch.float64 and (y * 8).tolist() == [0, 2, 2, 0, -2, 3]
    grad = torch.arange(1.0, 7.0)
    y.backward(grad.double())
    assert torch.equal(x.grad, grad)


def norm_inputs(generator: torch.Generator, width: int) -> dict[str, Tensor]:
    """Rows of many sizes, in integers: constant, of one step, ordinary, near saturation."""
    small = torch.randint(-1, 2, (4, width), generator=generator)
    rows = [torch.zeros(1, width), torch.full((1, width), 777.0), small.double()]
    for spread in (3.0, 90.0, 4096.0, 90000.0):
        noise = torch.randn(6, width, generator=generator, dtype=torch.float64)
        mean = torch.randn(6, 1, generator=generator, dtype=torch.float64)
        rows.append(((noise + mean) * spread).round().clip(-(2**17), 2**17 - 1))
    single = torch.zeros(1, width)
    single[0, 0] = 131071
    return {
        "rows": torch.cat([*rows, single]).double(),
        "gamma": 1 + 0.3 * torch.randn(width, generator=generator),
        "beta": 0.5 * torch.randn(width, generator=generator),
    }


@pytest.mark.parametrize("width", [24, 33, 384])
@pytest.mark.parametrize("fraction_bits", [12, 16])
def test_integer_layer_norm_is_the_references(
    generator: torch.Generator, width: int, fraction_bits: int
) -> None:
    inputs = norm_inputs(generator, width)
    inputs["gamma"][0] *= 40  # saturates
    constants = (
        norm_gamma(inputs["gamma"], FORMATS.gamma_fraction_bits),
        to_grid(inputs["beta"], FORMATS.norm_fraction_bits + FORMATS.gamma_fraction_bits),
        rsqrt_table(FORMATS.rsqrt_index_bits),
    )
    x = (inputs["rows"] * 2.0**-fraction_bits).float()
    y = integer_layer_norm(x, inputs["gamma"], inputs["beta"], constants, fraction_bits, FORMATS)
    plain = [t.numpy().astype(np.int64) for t in (inputs["rows"], *constants)]
    expected = reference.layer_norm(*plain, HW_FORMATS)
    assert (y.double().numpy() / STEP == expected).all()
    assert np.abs(expected).max() >= 2**17 - 1


@pytest.mark.parametrize("table_bits", [10, 16])
def test_integer_layer_norm_has_layer_norms_value_and_gradient(
    generator: torch.Generator, table_bits: int
) -> None:
    """Values to the table's step and the grid; gradients to rounding, as rstd is exact there."""
    formats = ArithmeticConfig(rsqrt_index_bits=table_bits)
    x = leaf((torch.randn(7, 48, generator=generator) * 4096).round() * STEP)
    gamma = leaf(1 + 0.3 * torch.randn(48, generator=generator))
    beta = leaf(torch.randn(48, generator=generator))
    constants = (
        norm_gamma(gamma, formats.gamma_fraction_bits),
        to_grid(beta, formats.norm_fraction_bits + formats.gamma_fraction_bits),
        rsqrt_table(table_bits),
    )
    y = integer_layer_norm(x, gamma, beta, constants, formats.fraction_bits, formats)
    grad = torch.randn(y.shape, generator=generator)
    y.backward(grad)
    wide = doubles(x, gamma, beta)
    exact = F.layer_norm(wide[0], (48,), wide[1], wide[2], 1e-12)
    exact.backward(grad.double())
    relative = 2.0 ** (1 - table_bits)  # an index of at least 2^(b-2): half a step is 2^(1-b)
    bound = (exact - wide[2]).abs() * (relative + 2.0**-13) + 2 * STEP
    assert ((y - exact).abs() <= bound).all()
    assert_gradients([x, gamma, beta], wide, 1e-3)


def test_integer_layer_norm_of_a_constant_row_is_beta_with_a_finite_gradient() -> None:
    x, beta = leaf(torch.full((1, 8), 3.0)), leaf(torch.arange(8.0) / 8)
    gamma = leaf(torch.ones(8))
    constants = (norm_gamma(gamma, 10), to_grid(beta, 30), rsqrt_table(10))
    y = integer_layer_norm(x, gamma, beta, constants, 12, FORMATS)
    assert torch.equal(y[0], beta)
    y.backward(torch.arange(8.0)[None])
    assert torch.equal(beta.grad, torch.arange(8.0))
    assert all(t.grad.isfinite().all() for t in (x, gamma))


def test_a_chain_of_operators_has_the_gradients_of_the_float_layer(
    generator: torch.Generator,
) -> None:
    """alpha * sign(x + beta) through a binary weight and a bias, as one QuantizedLinear."""
    x = leaf((torch.randn(5, 7, WIDTH, generator=generator) / STEP).round() * STEP)
    beta = leaf(torch.randn(WIDTH, generator=generator) / 4)
    alpha = leaf(torch.tensor(0.9))
    weight = leaf(torch.randn(6, WIDTH, generator=generator))
    bias = leaf(torch.randn(6, generator=generator))
    signs, scale = weight_signs(weight)
    t = bipolar_threshold(STEP, beta, 2**17) * STEP
    bits = threshold_sign(Accumulator(x, torch.ones(()), None), beta, alpha, t)
    acc = Accumulator(sign_matmul(bits, weight, signs, scale), alpha * scale, bias)
    constants = requantization((alpha * scale).detach(), bias.detach(), 12, 15)
    y = requantize(acc, constants, FORMATS)
    grad = torch.randn(y.shape, generator=generator)
    y.backward(grad)
    wide = doubles(x, beta, alpha, weight, bias)
    z = wide[0] + wide[1]
    through = torch.where(z.abs() <= wide[2], z, 0.0)
    inputs = wide[2] * torch.where(z >= 0, 1.0, -1.0) + through - through.detach()
    exact = F.linear(inputs, straight(scale.double() * signs, wide[3]), wide[4])
    assert (y - exact).abs().max() <= 2 * STEP
    exact.backward(grad.double())
    assert_gradients([x, beta, alpha, weight, bias], wide)
