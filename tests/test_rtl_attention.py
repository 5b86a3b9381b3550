from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from hw.kernels.attention import BinaryAttention
from hw.reference import run as run_model
from hw.sim.bench import Stalls
from hw.sim.verilator import lint
from tests.attention_cases import (
    STREAMS,
    Sentence,
    Tensors,
    random_sentence,
    random_tensors,
    reference,
    simulate,
)
from tests.models import random_integer_model, random_sentences

GOAL = BinaryAttention(64, 4, 64, keys=1, simd=64, channels=1, in_bits=16, out_bits=16)
FOLDED = BinaryAttention(
    13, 3, 8, keys=1, simd=4, channels=2, in_bits=4, out_bits=2, banks=4,
    exp_bits=5, probability_bits=9,
)  # fmt: skip
WIDE = BinaryAttention(
    13, 3, 8, keys=2, simd=8, channels=1, in_bits=8, out_bits=8, exp_bits=5, probability_bits=7
)
ODD = BinaryAttention(
    9, 1, 12, keys=3, simd=6, channels=2, in_bits=6, out_bits=4, exp_bits=3, probability_bits=4
)
LEAST = BinaryAttention(1, 1, 2, exp_bits=1, probability_bits=1)
POINTS = [
    GOAL,
    FOLDED,
    WIDE,
    ODD,
    LEAST,
    replace(GOAL, max_tokens=16, head_width=16, simd=16, heads=2, keys=2, channels=2, sps=True),
    BinaryAttention(13, 3, 8, keys=3, simd=4, channels=2, in_bits=4, out_bits=12, sps=True),
    replace(FOLDED, relative_positions=3),
    replace(WIDE, relative_positions=12, sps=True),
    replace(ODD, relative_positions=20),
]
SMALL = POINTS[1:]
PORTS = ("s_axis_query", "s_axis_key", "s_axis_value", "s_axis_length", "m_axis")


def mixed_lengths(kernel: BinaryAttention) -> list[int]:
    longest = kernel.max_tokens
    return [min(5, longest), longest, 1, 1, longest, longest, min(3, longest), 1]


def sentences(kernel: BinaryAttention, lengths: list[int], seed: int = 0) -> list[Sentence]:
    rng = np.random.default_rng(seed)
    return [random_sentence(kernel, tokens, rng) for tokens in lengths]


@pytest.mark.parametrize("kernel", POINTS, ids=str)
def test_sentences_of_any_length_equal_the_reference(kernel: BinaryAttention) -> None:
    tensors, given = random_tensors(kernel), sentences(kernel, mixed_lengths(kernel))
    bits = np.concatenate([reference(kernel, tensors, s).reshape(-1) for s in given])
    assert 0.2 < (bits > 0).mean() < 0.9 or kernel is LEAST
    simulate(kernel, tensors, given)
    simulate(kernel, tensors, given, Stalls(2, share=0.5))


@pytest.mark.parametrize("kernel", SMALL, ids=str)
def test_stalls_of_each_port_and_of_all_change_no_bit(kernel: BinaryAttention) -> None:
    tensors, given = random_tensors(kernel, 1), sentences(kernel, mixed_lengths(kernel), 1)
    for port in PORTS:
        simulate(kernel, tensors, given, Stalls(3, ports={port: 0.7}, burst=6))
        others = {other: 0.6 for other in PORTS if other != port}
        simulate(kernel, tensors, given, Stalls(4, ports=others, burst=20))
    simulate(kernel, tensors, given, Stalls(5, share=0.9, burst=3))


@pytest.mark.parametrize("kernel", SMALL, ids=str)
def test_a_reset_in_mid_sentence_starts_anew(kernel: BinaryAttention) -> None:
    tensors, given = random_tensors(kernel, 2), sentences(kernel, mixed_lengths(kernel), 2)
    cycles = simulate(kernel, tensors, given).cycles
    for seed, share in enumerate((0.03, 0.2, 0.4, 0.61, 0.83)):
        stalls = Stalls(seed, share=0.2 * (seed % 2))
        simulate(kernel, tensors, given, stalls, reset_at=int(share * cycles))


@pytest.mark.parametrize("kernel", SMALL, ids=str)
def test_equal_and_opposite_operands_reach_both_ends_of_every_range(
    kernel: BinaryAttention,
) -> None:
    """Match counts of 0 and D, all keys or none, and contexts of -N and N."""
    given = []
    for tokens in (kernel.max_tokens, 1, kernel.max_tokens):
        ones = np.ones((tokens, kernel.hidden), dtype=np.int64)
        half = ones.copy()
        half[: (tokens + 1) // 2] = -1
        given += [
            Sentence(q, k, v)
            for q in (ones, -ones)
            for k in (ones, -ones, half)
            for v in (ones, -ones)
        ]
    n = kernel.max_tokens
    for context in (-n, n, n + 1, 1 - n):
        tensors = replace(
            random_tensors(kernel, 3), context_threshold=np.full(kernel.hidden, context)
        )
        simulate(kernel, tensors, given)


@pytest.mark.parametrize("kernel", [FOLDED, WIDE, ODD], ids=str)
def test_probability_thresholds_at_their_ends_and_at_ties(kernel: BinaryAttention) -> None:
    """Equal scores make shares of 1/N: with N = 8 and T = 2^k / 8 both sides are equal."""
    one, entries = 1 << kernel.probability_bits, kernel.head_width + 1
    given = sentences(kernel, [8, 1, kernel.max_tokens, 8, 4], 4)
    for tied in (given[0], given[4]):
        tied.key[:] = tied.key[0]
    full = 1 << kernel.exp_bits
    falling = full >> np.minimum(np.arange(entries), 20)
    tables = [np.zeros(entries), np.full(entries, full), falling, np.arange(entries) % 2]
    for shares in ([one // 8] * 3, [-1, one, 0], [one // 8 - 1, one // 4, -1], [one - 1, -1, one]):
        for table in tables:
            tensors = Tensors(
                np.zeros(kernel.hidden, dtype=np.int64),
                table.astype(np.int64),
                np.array(shares[: kernel.heads]),
            )
            simulate(kernel, tensors, given)


@pytest.mark.parametrize("keys", [1, 2])
def test_a_few_keys_directly_after_many_find_their_own_scores(keys: int) -> None:
    """Rows of 64 tokens fill their slots, and a step of one match is the largest there is."""
    kernel = replace(GOAL, keys=keys, channels=keys)
    steep = np.where(np.arange(kernel.head_width + 1) % 2, 0, 1 << kernel.exp_bits)
    tensors = replace(random_tensors(kernel, 7), exp_table=steep)
    lengths = [tokens for short in range(1, 3 * keys + 1) for tokens in (64, short)]
    simulate(kernel, tensors, sentences(kernel, lengths, 7))


def relative(kernel: BinaryAttention, bias: NDArray[np.int64], seed: int) -> Tensors:
    """Tensors of a kernel with this bias (2 R + 1,), which is reversed in every second head."""
    rows = [bias[:: -1 if head % 2 else 1] for head in range(kernel.heads)]
    return replace(random_tensors(kernel, seed), relative_bias=np.array(rows))


@pytest.mark.parametrize("sps", [False, True])
@pytest.mark.parametrize("reach", [1, 5, 12, 13, 40])
def test_distances_below_and_beyond_the_largest_of_the_bias(reach: int, sps: bool) -> None:
    """The largest biases put keys out of the table's reach, and every score at an end of its range.

    Equal operands: which keys take part then depends on the bias alone.
    """
    kernel = replace(WIDE, relative_positions=reach, sps=sps)
    d, places = kernel.head_width, np.arange(-reach, reach + 1)
    given = sentences(kernel, [13, 1, 5, 13, 2, 12], reach)
    for same in given[3:]:
        same.query[:] = same.key[:] = 1
    for bias in (
        np.where(places < 0, -d, d),
        np.where(places == 0, d, -d),
        d - np.abs(places) % (2 * d + 1),
        places % (2 * d + 1) - d,
    ):
        tensors = relative(kernel, bias, reach)
        simulate(kernel, tensors, given)
        if sps:
            ends = np.array([-3 * d, 3 * d, 3 * d + 1])
            simulate(kernel, replace(tensors, score_threshold=ends), given)


def test_a_bias_of_zero_changes_no_bit_and_one_cycle_of_latency() -> None:
    plain = replace(FOLDED, sps=True)
    kernel = replace(plain, relative_positions=4)
    bare = random_tensors(plain)
    tensors = replace(bare, relative_bias=np.zeros((kernel.heads, 9), dtype=np.int64))
    given = sentences(kernel, [13, 9, 13])
    for sentence in given:
        assert np.array_equal(
            reference(plain, bare, sentence), reference(kernel, tensors, sentence)
        )
    assert simulate(kernel, tensors, given).cycles == simulate(plain, bare, given).cycles + 1


def test_context_thresholds_at_ties() -> None:
    kernel = replace(WIDE, sps=True)
    given = sentences(kernel, [kernel.max_tokens] * 3, 5)
    # Every key takes part, so a context is the sum of a channel's values.
    always = np.full(kernel.heads, -kernel.head_width)
    for nudge in (0, 1):
        context = given[0].value.sum(axis=0) + nudge
        tensors = Tensors(context, score_threshold=always)
        assert (reference(kernel, tensors, given[0]) == (-1 if nudge else 1)).all()
        simulate(kernel, tensors, given)


@pytest.mark.parametrize("relative_positions", [0, 6])
@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_tensors_of_an_integer_model(attention: str, relative_positions: int) -> None:
    model = random_integer_model(
        seed=7,
        layers=2,
        hidden=32,
        heads=2,
        max_tokens=24,
        attention=attention,
        relative_positions=relative_positions,
    )
    # The hardware takes shorter sentences than the model.
    kernel = BinaryAttention(
        17,
        2,
        16,
        keys=2,
        simd=16,
        channels=1,
        in_bits=8,
        out_bits=16,
        sps=attention == "sps",
        relative_positions=relative_positions,
    )
    for layer in ("layer.0", "layer.1"):
        tensors = Tensors(
            model[f"{layer}.output.input_threshold"],
            **{name: model[f"{layer}.attention.{name}"] for name in kernel.tables()},
        )
        given = []
        for ids, types in random_sentences(1, model, [17, 1, 6, 17, 12]):
            values = run_model(model, ids, types)
            given.append(Sentence(*(values[f"{layer}.{name}.output"] for name in STREAMS)))
            expected = values[f"{layer}.output.input"]
            assert np.array_equal(reference(kernel, tensors, given[-1]), expected)
        simulate(kernel, tensors, given, Stalls(6, share=0.2))


@pytest.mark.parametrize(
    "kernel",
    [
        FOLDED,
        replace(FOLDED, sps=True),
        replace(FOLDED, relative_positions=3),
        replace(FOLDED, relative_positions=3, sps=True, keys=13),
    ],
    ids=str,
)
def test_cycles_follow_the_tokens_and_none_is_lost(kernel: BinaryAttention) -> None:
    """A sentence's last beat leaves `lag` slots after the slot of its last row."""
    lengths = [13, 13, 13, 6, 6, 1, 13, 2, 13, 13]
    result = simulate(kernel, random_tensors(kernel), sentences(kernel, lengths))
    beats = np.cumsum(lengths) * kernel.hidden // kernel.out_bits - 1
    rows = np.cumsum(lengths) * kernel.heads - 1
    starts = np.concatenate([[0], np.cumsum(kernel.slots(lengths))])
    measured = np.diff(result.taken["m_axis"][beats])
    assert np.array_equal(measured, np.diff(starts[rows + kernel.lag]))


@pytest.mark.parametrize(("banks", "lost"), [(2, 160), (4, 0)])
def test_the_goal_point_takes_256_cycles_a_token_in_a_steady_state(banks: int, lost: int) -> None:
    """With two banks, values wait for the one that the rows of two sentences before still read."""
    kernel, tokens = replace(GOAL, banks=banks), 9
    result = simulate(kernel, random_tensors(kernel), sentences(kernel, [tokens] * 8))
    last = result.taken["m_axis"][tokens * np.arange(1, 9) * kernel.hidden // 16 - 1]
    assert kernel.cycles([tokens]) == tokens * 256
    assert last[7] - last[1] == 6 * (tokens * 256 + lost)


def test_more_banks_hide_the_time_that_rows_stay_in_the_engine() -> None:
    kernel = replace(FOLDED, channels=1, simd=8, in_bits=8, out_bits=4, heads=2, sps=True)
    for banks, lost in ((2, True), (4, False)):
        kernel = replace(kernel, banks=banks)
        result = simulate(kernel, random_tensors(kernel), sentences(kernel, [7] * 10))
        last = result.taken["m_axis"][np.arange(1, 11) * 7 * kernel.hidden // 4 - 1]
        assert (np.diff(last)[4:] > kernel.cycles([7])).all() == lost


def test_lint_is_clean() -> None:
    for kernel in [*POINTS, replace(WIDE, sps=True), replace(LEAST, relative_positions=1)]:
        assert lint("attention", kernel.parameters()) == ""
