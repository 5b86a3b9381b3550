"""Requantization and LayerNorm of the fast graph: as few passes over the rows as possible.

Each is exact in float64: see docs/arithmetic.md for the integers, and the comments here for
why folding scales and halves changes none of them.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from export.onnx_graph import Graph
from hw.integer_model import IntegerModel


def half_up(
    graph: Graph,
    model: IntegerModel,
    product: str,
    matrix: str,
    factor: int,
    one: int,
    offset: NDArray[np.int64],
) -> str:
    """`round_shift(a M + B, n)` in float64 of the accumulator `a = factor product / one + offset`.

    With c = offset M + B + 2^(n-1) the result is floor(x), x = (factor product M / one + c) / 2^n,
    a multiple of 2^-n. Where `one` is 255, its factor 1 / 255 is rounded: then a quarter of
    2^-n, added before the floor, keeps x from falling below itself.
    """
    m, n = int(model[f"{matrix}.multiplier"]), int(model[f"{matrix}.shift"])
    bias = offset * m + model[f"{matrix}.bias"]
    unit = 2.0**-n
    half = 0.5 if n else 0.0
    scale = factor * m * unit / one
    constant = (bias + (0.0 if one == 1 else 0.25)) * unit + half
    if one != 1:
        columns = model[f"{matrix}.weight"].shape[1]
        largest = factor * columns * abs(m) * unit + float(np.abs(constant).max())
        # four roundings, each of at most 2^-53 of the largest value
        if largest * 2.0**-51 >= 0.25 * unit:
            raise ValueError(f"{matrix}: expected a bias that float64 adds exactly, got {largest}")
    wide = graph.op("Cast", [product], f"{matrix}.double", to=TensorProto.DOUBLE)
    name = graph.constant(f"{matrix}.scale", scale, np.float64)
    scaled = graph.op("Mul", [wide, name], f"{matrix}.scaled")
    name = graph.constant(f"{matrix}.constant", constant, np.float64)
    shifted = graph.op("Add", [scaled, name], f"{matrix}.shifted")
    return graph.op("Floor", [shifted], f"{matrix}.requantized")


def residual_add(
    graph: Graph,
    model: IntegerModel,
    rows: str,
    product: str,
    matrix: str,
    factor: int,
    one: int,
    offset: NDArray[np.int64],
) -> str:
    """`saturate(r + round_shift(a M + B, n), W)` in float64; r is float32."""
    update = half_up(graph, model, product, matrix, factor, one, offset)
    wide = graph.op("Cast", [rows], f"{matrix}.residual", to=TensorProto.DOUBLE)
    total = graph.op("Add", [update, wide], f"{matrix}.sum")
    low, high = _word(graph, model, np.float64)
    return graph.op("Clip", [total, low, high], f"{matrix}.saturated")


def _word(graph: Graph, model: IntegerModel, dtype: type) -> tuple[str, str]:
    half = 1 << (model.formats.word_bits - 1)
    suffix = np.dtype(dtype).name
    low = graph.constant(f"word.low_{suffix}", -half, dtype)
    return low, graph.constant(f"word.high_{suffix}", half - 1, dtype)


def layer_norm(graph: Graph, model: IntegerModel, x: str, norm: str) -> str:
    """LayerNorm of float64 rows, as float32.

    `z = round_shift(d R, s)` is floor(d a + 1/2) with a = R 2^-s, which is exact; gamma and
    beta are scaled by 2^-(q + g - f) beforehand.
    """
    f = model.formats
    half = graph.constant("half_double", 0.5, np.float64)
    d = _centred(graph, x, norm, model.dimensions.hidden, half)
    a = _reciprocal_root(graph, model, d, norm)
    z = graph.op("Mul", [d, a], f"{norm}.scaled")
    z = graph.op("Add", [z, half], f"{norm}.plus_half")
    z = graph.op("Floor", [z], f"{norm}.z")
    unit = 2.0 ** -(f.norm_fraction_bits + f.gamma_fraction_bits - f.fraction_bits)
    gamma = graph.constant(f"{norm}.gamma", model[f"{norm}.gamma"] * unit, np.float64)
    # where unit >= 1 the half vanishes in the floor of an integer
    beta = graph.constant(f"{norm}.beta", model[f"{norm}.beta"] * unit + 0.5, np.float64)
    y = graph.op("Mul", [z, gamma], f"{norm}.times_gamma")
    y = graph.op("Add", [y, beta], f"{norm}.plus_beta")
    y = graph.op("Floor", [y], f"{norm}.rounded")
    low, high = _word(graph, model, np.float32)
    y = graph.op("Cast", [y], f"{norm}.float", to=TensorProto.FLOAT)
    return graph.op("Clip", [y, low, high], f"{norm}.residual")


def _centred(graph: Graph, x: str, norm: str, hidden: int, half: str) -> str:
    """d = x - mu."""
    last = graph.constant("axis_last", [-1], np.int64)
    total = graph.op("ReduceSum", [x, last], f"{norm}.total")
    reciprocal = graph.constant("mean_scale", round(2**24 / hidden) * 2.0**-24, np.float64)
    mean = graph.op("Mul", [total, reciprocal], f"{norm}.mean_unrounded")
    mean = graph.op("Add", [mean, half], f"{norm}.mean_plus_half")
    mean = graph.op("Floor", [mean], f"{norm}.mean")
    return graph.op("Sub", [x, mean], f"{norm}.centred")


def _reciprocal_root(graph: Graph, model: IntegerModel, d: str, norm: str) -> str:
    """R 2^-(k + 14 + b/2 - q) of each row, (rows, 1).

    With L the bit length of V and b even, k + b/2 = (L + 1) div 2, the number of the powers
    1, 4, 16, ... that are <= V. Tables over it give 4^-k and the scale of R.
    """
    b, q = model.formats.rsqrt_index_bits, model.formats.norm_fraction_bits
    k = np.arange(28) - b // 2
    last = graph.constant("axis_last", [-1], np.int64)
    v = graph.op("ReduceSumSquare", [d], f"{norm}.v", axes=[-1])
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
