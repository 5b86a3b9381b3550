"""Operators of the exported graph, each with a body of standard ONNX operators.

The bodies are model-local functions: a runtime that does not know an operator inlines its
body, one that does (qonnx, FINN) sees a single node. Bits, accumulators and the residual
stream are float32 (exact below 2^24); inside a body, products are float64 (exact below
2^53), so that `floor(a * 2^-n + 0.5)` is `round_shift(a, n)` for every integer n.
"""

from onnx import FunctionProto
from onnx.parser import parse_function

DOMAIN = "edgebert.ops"
QONNX_DOMAIN = "qonnx.custom_op.general"
MICROSOFT_DOMAIN = "com.microsoft"
OPSET = 17

BIPOLAR_QUANT = """
BipolarQuant (x, scale) => (y) {
    zero = Constant <value = float {0.0}> ()
    minus = Neg (scale)
    bit = GreaterOrEqual (x, zero)
    y = Where (bit, scale, minus)
}
"""

# 1 where x >= threshold, else `low`: -1 (BIPOLAR) or 0 (BINARY)
THRESHOLD = """
Threshold <low> (x, threshold) => (y) {
    high = Constant <value = float {1.0}> ()
    low_integer = Constant <value_int: int = @low> ()
    low_value = Cast <to = 1> (low_integer)
    bit = GreaterOrEqual (x, threshold)
    y = Where (bit, high, low_value)
}
"""

# scores (batch, heads, tokens, tokens) and twice the bias of each distance from query to key, of
# (heads, 2 R + 1): further ones than R are alike
RELATIVE_BIAS = """
RelativeBias (scores, bias) => (biased) {
    zero = Constant <value = int64 {0}> ()
    one = Constant <value = int64 {1}> ()
    two = Constant <value = int64 {2}> ()
    first = Constant <value_ints = [0]> ()
    second = Constant <value_ints = [1]> ()
    length = Shape <start = -1> (scores)
    tokens = Squeeze (length)
    places = Range (zero, tokens, one)
    keys = Unsqueeze (places, first)
    queries = Unsqueeze (places, second)
    distance = Sub (keys, queries)
    entries = Shape <start = -1> (bias)
    reach = Div (entries, two)
    lowest = Neg (reach)
    above = Max (distance, lowest)
    clipped = Min (above, reach)
    index = Add (clipped, reach)
    matches = Gather <axis = 1> (bias, index)
    twice = Add (matches, matches)
    biased = Add (scores, twice)
}
"""

# scores (batch, heads, tokens, tokens); mask (batch, tokens): 0 excludes a key
ATTENTION_PROBABILITIES = """
AttentionProbabilities <probability_bits> (scores, mask, exp_table, threshold) => (p) {
    axes = Constant <value_ints = [1, 2]> ()
    last = Constant <value_ints = [-1]> ()
    zero = Constant <value = float {0.0}> ()
    half = Constant <value = float {0.5}> ()
    lowest = Constant <value = float {-16777216.0}> ()
    one = Constant <value = int64 {1}> ()
    nothing = Constant <value = double {0.0}> ()
    two = Constant <value = double {2.0}> ()
    bits_integer = Constant <value_int: int = @probability_bits> ()
    bits = Cast <to = 11> (bits_integer)
    unit = Pow (two, bits)
    mask_bits = Cast <to = 9> (mask)
    keep = Unsqueeze (mask_bits, axes)
    masked = Where (keep, scores, lowest)
    maximum = ReduceMax <axes = [-1]> (masked)
    difference = Sub (maximum, scores)
    halved = Mul (difference, half)
    position = Max (halved, zero)
    unbounded = Cast <to = 7> (position)
    entries = Size (exp_table)
    last_index = Sub (entries, one)
    index = Min (unbounded, last_index)
    e = Gather (exp_table, index)
    kept = Where (keep, e, nothing)
    total = ReduceSum (kept, last)
    head_threshold = Unsqueeze (threshold, axes)
    limit = Mul (head_threshold, total)
    scaled = Mul (e, unit)
    above = Greater (scaled, limit)
    bit = And (above, keep)
    p = Cast <to = 1> (bit)
}
"""

SCORE_THRESHOLD = """
ScoreThreshold (scores, mask, threshold) => (p) {
    axes = Constant <value_ints = [1, 2]> ()
    mask_bits = Cast <to = 9> (mask)
    keep = Unsqueeze (mask_bits, axes)
    head_threshold = Unsqueeze (threshold, axes)
    above = GreaterOrEqual (scores, head_threshold)
    bit = And (above, keep)
    p = Cast <to = 1> (bit)
}
"""

# round_shift(accumulator * multiplier + bias, shift), clipped to [minimum, maximum]
REQUANTIZE = """
Requantize <multiplier, shift, minimum, maximum> (accumulator, bias) => (y) {
    half = Constant <value = double {0.5}> ()
    two = Constant <value = double {2.0}> ()
    m_integer = Constant <value_int: int = @multiplier> ()
    n_integer = Constant <value_int: int = @shift> ()
    low_integer = Constant <value_int: int = @minimum> ()
    high_integer = Constant <value_int: int = @maximum> ()
    m = Cast <to = 11> (m_integer)
    n = Cast <to = 11> (n_integer)
    low = Cast <to = 11> (low_integer)
    high = Cast <to = 11> (high_integer)
    minus_n = Neg (n)
    unit = Pow (two, minus_n)
    wide = Cast <to = 11> (accumulator)
    product = Mul (wide, m)
    biased = Add (product, bias)
    shifted = Mul (biased, unit)
    plus_half = Add (shifted, half)
    rounded = Floor (plus_half)
    above = Max (rounded, low)
    clipped = Min (above, high)
    y = Cast <to = 1> (clipped)
}
"""

# saturate(residual + round_shift(accumulator * multiplier + bias, shift), word_bits)
RESIDUAL_ADD = """
ResidualAdd <multiplier, shift, word_bits> (residual, accumulator, bias) => (y) {
    one = Constant <value = double {1.0}> ()
    half = Constant <value = double {0.5}> ()
    two = Constant <value = double {2.0}> ()
    m_integer = Constant <value_int: int = @multiplier> ()
    n_integer = Constant <value_int: int = @shift> ()
    word_integer = Constant <value_int: int = @word_bits> ()
    m = Cast <to = 11> (m_integer)
    n = Cast <to = 11> (n_integer)
    word = Cast <to = 11> (word_integer)
    word_minus_one = Sub (word, one)
    bound = Pow (two, word_minus_one)
    low = Neg (bound)
    high = Sub (bound, one)
    minus_n = Neg (n)
    unit = Pow (two, minus_n)
    wide = Cast <to = 11> (accumulator)
    product = Mul (wide, m)
    biased = Add (product, bias)
    shifted = Mul (biased, unit)
    plus_half = Add (shifted, half)
    rounded = Floor (plus_half)
    wide_residual = Cast <to = 11> (residual)
    sum = Add (wide_residual, rounded)
    above = Max (sum, low)
    clipped = Min (above, high)
    y = Cast <to = 1> (clipped)
}
"""

# docs/arithmetic.md, LayerNorm; the bit length of V counts the powers of two that are <= V
INTEGER_LAYER_NORM = """
IntegerLayerNorm <rsqrt_index_bits, norm_fraction_bits, gamma_fraction_bits, fraction_bits,
    word_bits> (x, gamma, beta, rsqrt_table) => (y) {
    last = Constant <value_ints = [-1]> ()
    zero = Constant <value = double {0.0}> ()
    one = Constant <value = double {1.0}> ()
    half = Constant <value = double {0.5}> ()
    two = Constant <value = double {2.0}> ()
    four = Constant <value = double {4.0}> ()
    fourteen = Constant <value = double {14.0}> ()
    fifty_three = Constant <value = double {53.0}> ()
    mean_scale = Constant <value = double {16777216.0}> ()
    mean_unit = Constant <value = double {0.000000059604644775390625}> ()
    b_integer = Constant <value_int: int = @rsqrt_index_bits> ()
    q_integer = Constant <value_int: int = @norm_fraction_bits> ()
    g_integer = Constant <value_int: int = @gamma_fraction_bits> ()
    f_integer = Constant <value_int: int = @fraction_bits> ()
    word_integer = Constant <value_int: int = @word_bits> ()
    b = Cast <to = 11> (b_integer)
    q = Cast <to = 11> (q_integer)
    g = Cast <to = 11> (g_integer)
    f = Cast <to = 11> (f_integer)
    word = Cast <to = 11> (word_integer)
    word_minus_one = Sub (word, one)
    bound = Pow (two, word_minus_one)
    low = Neg (bound)
    high = Sub (bound, one)
    f_minus_q = Sub (f, q)
    minus_shift = Sub (f_minus_q, g)
    unit = Pow (two, minus_shift)
    channels_integer = Size (gamma)
    channels = Cast <to = 11> (channels_integer)
    reciprocal = Div (mean_scale, channels)
    reciprocal_plus_half = Add (reciprocal, half)
    mean_factor = Floor (reciprocal_plus_half)
    exponents = Range (zero, fifty_three, one)
    powers = Pow (two, exponents)
    b_minus_one = Sub (b, one)
    b_minus_two = Sub (b, two)
    first_index = Pow (two, b_minus_two)
    half_b = Mul (b, half)
    q_minus_fourteen = Sub (q, fourteen)
    offset = Sub (q_minus_fourteen, half_b)

    wide = Cast <to = 11> (x)
    sum = ReduceSum (wide, last)
    mean_product = Mul (sum, mean_factor)
    mean_shifted = Mul (mean_product, mean_unit)
    mean_plus_half = Add (mean_shifted, half)
    mean = Floor (mean_plus_half)
    d = Sub (wide, mean)
    square = Mul (d, d)
    v = ReduceSum (square, last)
    reached = GreaterOrEqual (v, powers)
    ones = Cast <to = 11> (reached)
    length = ReduceSum (ones, last)
    twice_k = Sub (length, b_minus_one)
    k_unrounded = Mul (twice_k, half)
    k = Floor (k_unrounded)
    minus_k = Neg (k)
    mantissa_unit = Pow (four, minus_k)
    mantissa = Mul (v, mantissa_unit)
    i = Floor (mantissa)
    position = Sub (i, first_index)
    position_or_zero = Max (position, zero)
    index = Cast <to = 7> (position_or_zero)
    root = Gather (rsqrt_table, index)
    product = Mul (d, root)
    z_exponent = Sub (offset, k)
    z_unit = Pow (two, z_exponent)
    z_shifted = Mul (product, z_unit)
    z_plus_half = Add (z_shifted, half)
    z = Floor (z_plus_half)
    scaled = Mul (z, gamma)
    biased = Add (scaled, beta)
    shifted = Mul (biased, unit)
    plus_half = Add (shifted, half)
    rounded = Floor (plus_half)
    above = Max (rounded, low)
    clipped = Min (above, high)
    y = Cast <to = 1> (clipped)
}
"""

BODIES = {
    "AttentionProbabilities": ATTENTION_PROBABILITIES,
    "BipolarQuant": BIPOLAR_QUANT,
    "IntegerLayerNorm": INTEGER_LAYER_NORM,
    "RelativeBias": RELATIVE_BIAS,
    "Requantize": REQUANTIZE,
    "ResidualAdd": RESIDUAL_ADD,
    "ScoreThreshold": SCORE_THRESHOLD,
    "Threshold": THRESHOLD,
}


def domain_of(op_type: str) -> str:
    """Domain of an operator: the project's, qonnx's, or "" for a standard one."""
    if op_type == "BipolarQuant":
        return QONNX_DOMAIN
    return DOMAIN if op_type in BODIES else ""


def function(op_type: str) -> FunctionProto:
    """The body of an operator as a model-local function."""
    header = f'<opset_import: ["": {OPSET}], domain: "{domain_of(op_type)}">'
    return parse_function(header + BODIES[op_type])
