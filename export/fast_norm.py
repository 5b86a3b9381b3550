"""Requantization and LayerNorm of the fast graph: as few passes over the rows as possible.

Each is exact in float64: see docs/arithmetic.md for the integers, and the comments here for
why folding scales and halves changes none of them.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from export.onnx_graph import Graph
from hw.integer_model import IntegerModel

RESIDUAL_OFFSET = 1 << 28  # of the int32 residual stream, so that none of it is negative


def requantized(
    graph: Graph,
    model: IntegerModel,
    product: str,
    matrix: str,
    factor: int,
    one: int,
    column_offset: NDArray[np.int64],
) -> tuple[str, int]:
    """`round_shift(a M + B, n)` plus an offset in int32, and the offset.

    The accumulator is `a = factor product / one + column_offset`. With
    c = column_offset M + B + 2^(n-1) it is floor(x), x = (factor product M / one + c) / 2^n,
    a multiple of 2^-n. Where `one` is 255, its factor 1 / 255 is rounded: a quarter of 2^-n,
    added before the floor, keeps x from falling below itself.
    """
    m, n = int(model[f"{matrix}.multiplier"]), int(model[f"{matrix}.shift"])
    constant = (column_offset * m + model[f"{matrix}.bias"]) * 2.0**-n + (0.5 if n else 0.0)
    columns = model[f"{matrix}.weight"].shape[1]
    bound = factor * columns * abs(m) * 2.0**-n + float(np.abs(constant).max()) + 1
    offset = 1 << min(int(bound).bit_length(), 28)
    # four roundings, each of at most 2^-53 of the largest value, stay below the quarter
    if (bound + offset) * 2.0**-51 >= 2.0 ** -(n + 2):
        raise ValueError(f"{matrix}: expected sums below 2^{49 - n}, got {bound:.0f}")
    if one != 1:
        constant = constant + 2.0 ** -(n + 2)
    wide = graph.op("Cast", [product], f"{matrix}.double", to=TensorProto.DOUBLE)
    name = graph.constant(f"{matrix}.scale", factor * m * 2.0**-n / one, np.float64)
    scaled = graph.op("Mul", [wide, name], f"{matrix}.scaled")
    name = graph.constant(f"{matrix}.constant", constant + offset, np.float64)
    shifted = graph.op("Add", [scaled, name], f"{matrix}.shifted")
    return _truncated(graph, shifted, bound, offset, matrix), offset


def residual_add(
    graph: Graph, model: IntegerModel, rows: str, update: tuple[str, int], norm: str
) -> tuple[str, int]:
    """`saturate(r + update, W)` in float64, and the offset of the result."""
    name, offset = update[0], update[1] + RESIDUAL_OFFSET
    total = graph.op("Add", [rows, name], f"{norm}.sum")
    total = _saturated(graph, model, total, offset, f"{norm}.saturated")
    return graph.op("Cast", [total], f"{norm}.sum_double", to=TensorProto.DOUBLE), offset


def layer_norm(graph: Graph, model: IntegerModel, x: tuple[str, int], norm: str) -> str:
    """LayerNorm of float64 rows that hold an offset, as int32 plus RESIDUAL_OFFSET.

    `z = round_shift(d R, s)` is floor(d a + 1/2) with a = R 2^-s, which is exact; gamma and
    beta are scaled by 2^-(q + g - f) beforehand.
    """
    f = model.formats
    q, shift = f.norm_fraction_bits, f.norm_fraction_bits + f.gamma_fraction_bits - f.fraction_bits
    if q > 26 or shift > 22:
        raise ValueError(f"arithmetic: expected formats that int32 holds, got {f}")
    d = _centred(graph, x, norm, model.dimensions.hidden)
    a = _reciprocal_root(graph, model, d, norm)
    z = graph.op("Mul", [d, a], f"{norm}.scaled")
    z_offset = 2 << q  # |z| <= 2^q, but for the rounding of R
    half = graph.constant("z_half", z_offset + 0.5, np.float64)
    z = graph.op("Add", [z, half], f"{norm}.plus_half")
    z = graph.op("Cast", [z], f"{norm}.z_int32", to=TensorProto.INT32)
    z = graph.op("Cast", [z], f"{norm}.z", to=TensorProto.DOUBLE)
    # where shift <= 0 the half vanishes in the floor of an integer
    gamma = model[f"{norm}.gamma"] * 2.0**-shift
    beta = model[f"{norm}.beta"] * 2.0**-shift + 0.5
    bound = float((np.abs(gamma) * z_offset + np.abs(beta)).max()) + 1
    name = graph.constant(f"{norm}.gamma", gamma, np.float64)
    y = graph.op("Mul", [z, name], f"{norm}.times_gamma")
    name = graph.constant(f"{norm}.beta", beta - z_offset * gamma + RESIDUAL_OFFSET, np.float64)
    y = graph.op("Add", [y, name], f"{norm}.plus_beta")
    y = _truncated(graph, y, bound, RESIDUAL_OFFSET, norm)
    return _saturated(graph, model, y, RESIDUAL_OFFSET, f"{norm}.residual")


def _truncated(graph: Graph, x: str, bound: float, offset: int, name: str) -> str:
    """floor(x) as int32, of an x that holds the offset and without it stays within the bound.

    A cast truncates, which is the floor of what is not negative, and is faster than Floor.
    """
    if bound >= offset:  # far beyond the word of the residual stream, so it saturates anyway
        low = graph.constant(f"{name}.lowest", 0.0, np.float64)
        high = graph.constant(f"{name}.highest", 2.0 * offset, np.float64)
        x = graph.op("Clip", [x, low, high], f"{name}.clipped")
    return graph.op("Cast", [x], f"{name}.int32", to=TensorProto.INT32)


def _saturated(graph: Graph, model: IntegerModel, x: str, offset: int, output: str) -> str:
    half = 1 << (model.formats.word_bits - 1)
    low = graph.constant(f"word.low_{offset}", offset - half, np.int32)
    high = graph.constant(f"word.high_{offset}", offset + half - 1, np.int32)
    return graph.op("Clip", [x, low, high], output)


def _centred(graph: Graph, x: tuple[str, int], norm: str, hidden: int) -> str:
    """d = x - mu, of which no offset is left."""
    rows, offset = x
    last = graph.constant("axis_last", [-1], np.int64)
    total = graph.op("ReduceSum", [rows, last], f"{norm}.total")
    if offset:
        name = graph.constant(f"total_{offset}", offset * hidden, np.float64)
        total = graph.op("Sub", [total, name], f"{norm}.true_total")
    reciprocal = graph.constant("mean_scale", round(2**24 / hidden) * 2.0**-24, np.float64)
    mean = graph.op("Mul", [total, reciprocal], f"{norm}.mean_unrounded")
    half = graph.constant("half_double", 0.5, np.float64)
    mean = graph.op("Add", [mean, half], f"{norm}.mean_plus_half")
    mean = graph.op("Floor", [mean], f"{norm}.mean")
    if offset:
        name = graph.constant(f"offset_{offset}", offset, np.float64)
        mean = graph.op("Add", [mean, name], f"{norm}.mean_and_offset")
    return graph.op("Sub", [rows, mean], f"{norm}.centred")


def _reciprocal_root(graph: Graph, model: IntegerModel, d: str, norm: str) -> str:
    """R 2^-(k + 14 + b/2 - q) of each row, (rows, 1).

    With L the bit length of V and b even, k + b/2 = (L + 1) div 2, the number of the powers
    1, 4, 16, ... that are <= V. Tables over it give 4^-k and the scale of R.
    """
    b, q = model.formats.rsqrt_index_bits, model.formats.norm_fraction_bits
    k = np.arange(28) - b // 2
    last = graph.constant("axis_last", [-1], np.int64)
    square = graph.op("Mul", [d, d], f"{norm}.square")
    v = graph.op("ReduceSum", [square, last], f"{norm}.v")
    powers = graph.constant("powers_of_four", 4.0 ** np.arange(27), np.float64)
    reached = graph.op("GreaterOrEqual", [v, powers], f"{norm}.reached")
    reached = graph.op("Cast", [reached], f"{norm}.ones", to=TensorProto.INT32)
    index = graph.op("ReduceSum", [reached, last], f"{norm}.half_length")
    inverse = graph.constant("mantissa_units", 4.0 ** (-k).astype(float), np.float64)
    inverse = graph.op("Gather", [inverse, index], f"{norm}.mantissa_unit")
    scales = graph.constant("root_units", 2.0 ** (q - 14 - b // 2 - k.astype(float)), np.float64)
    scale = graph.op("Gather", [scales, index], f"{norm}.root_unit")
    mantissa = graph.op("Mul", [v, inverse], f"{norm}.mantissa")
    # the first 2^(b-2) entries are those of V = 0 alone, where d = 0
    first = np.zeros(1 << (b - 2))
    entry = graph.op("Cast", [mantissa], f"{norm}.entry", to=TensorProto.INT32)
    table = np.concatenate([first, model["rsqrt_table"]])
    root = graph.op(
        "Gather", [graph.constant("rsqrt_table", table, np.float64), entry], f"{norm}.root"
    )
    return graph.op("Mul", [root, scale], f"{norm}.factor")
