from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hw import reference
from hw.errors import ParameterError
from hw.kernels import popcount
from hw.kernels.mvu import BinaryMvu

MVU = BinaryMvu(12, 6, 2, 4)
RNG = np.random.default_rng(0)
WEIGHT = RNG.choice([-1, 1], (6, 12))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"mw": 1}, "mw: expected 2 to 65536, got 1"),
        ({"mh": 0}, "mh: expected 1 to 65536, got 0"),
        ({"pe": 4}, r"pe: expected a divisor of mh = 6 \(one of \[1, 2, 3, 6\]\), got 4"),
        ({"pe": 0}, "pe: expected a divisor of mh = 6"),
        ({"simd": 5}, "simd: expected a divisor of mw = 12 .* got 5"),
        ({"simd": -4}, "simd: expected a divisor of mw = 12 .* got -4"),
        ({"tokens": 4}, r"tokens: expected 1 to min\(mh / pe, mw / simd\) = 3, got 4"),
        ({"tokens": 0}, "tokens: expected 1 to .* got 0"),
        ({"simd": 12, "tokens": 2}, "tokens: expected 1 to .* = 1, got 2"),
        ({"inputs": "ternary"}, r"inputs: expected one of \['bipolar', 'binary'\], got 'ternary'"),
        ({"weight_memory": "bram"}, "weight_memory: expected one of .* got 'bram'"),
        ({"weight_memory": "ultra"}, "weight_memory: expected loadable weights"),
        ({"activation_memory": "ultra"}, "activation_memory: expected one of .* got 'ultra'"),
        ({"load_bits": 0}, "load_bits: expected 1 to 65536, got 0"),
    ],
)
def test_parameters_that_the_hardware_cannot_have_are_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        replace(MVU, **change)


@pytest.mark.parametrize(
    "weight, threshold, message",
    [
        (WEIGHT.T, np.zeros(6), r"weight: expected shape \(6, 12\) \(mh, mw\), got \(12, 6\)"),
        (0 * WEIGHT, np.zeros(6), r"weight: expected -1 and \+1, got \[0\]"),
        (WEIGHT, None, "threshold: expected 6 values, got None"),
        (WEIGHT, np.zeros(5), r"threshold: expected shape \(6,\), got \(5,\)"),
        (WEIGHT, [0, 0, 0, 0, 0, 14], "threshold: expected -12 to 13, got 0 to 14"),
        (WEIGHT, [-13, 0, 0, 0, 0, 0], "threshold: expected -12 to 13, got -13 to 0"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(weight: Any, threshold: Any, message: str) -> None:
    for make in (MVU.memories, replace(MVU, loadable=True).load_beats):
        with pytest.raises(ParameterError, match=message):
            make(weight, threshold)


def test_raw_sums_have_no_threshold() -> None:
    with pytest.raises(ParameterError, match=r"threshold: expected None \(raw sums\), got values"):
        replace(MVU, raw=True).memories(WEIGHT, np.zeros(6))


@pytest.mark.parametrize("mw", [2, 3, 4, 7])
@pytest.mark.parametrize("inputs", ["bipolar", "binary"])
def test_counts_from_the_starting_value_give_every_sum_and_threshold(inputs: str, mw: int) -> None:
    bits = (np.arange(1 << mw)[:, None] >> np.arange(mw)) & 1
    weight = 2 * bits - 1  # every row, every token
    mvu = BinaryMvu(mw, len(bits), 1, mw, inputs=inputs)
    sums = reference.integer_product(bits if inputs == "binary" else 2 * bits - 1, weight)
    matches = (bits[:, None, :] == bits[None, :, :]).sum(axis=-1)
    half = 1 << (mvu.accumulator_bits - 1)
    for limit in range(-mw, mw + 2):
        threshold = np.full(len(bits), limit)
        count = mvu.starting_values(weight, threshold) + mw - matches
        assert count.min() >= -half and count.max() < half
        assert np.array_equal(count < 0, sums >= limit)
    raw = replace(mvu, raw=True)
    count = raw.starting_values(weight) + matches
    half = 1 << (raw.accumulator_bits - 1)
    assert count.min() >= -half and count.max() < half
    assert np.array_equal(count if inputs == "binary" else 2 * count + mw % 2, sums)
    assert -(1 << (raw.output_bits - 1)) <= -mw and mw < 1 << (raw.output_bits - 1)


def test_the_memory_holds_the_weights_and_the_next_starting_values() -> None:
    threshold = np.array([-12, 13, 0, 1, -1, 5])
    bits = MVU.memory_bits(WEIGHT, threshold)
    assert bits.shape == (MVU.words, MVU.word_bits) == (9, 8 + 4)
    starts = MVU.starting_values(WEIGHT, threshold)
    for row, word in enumerate(bits):
        neuron, synapse = (row // 3 - 1) % 3, row % 3
        chosen = WEIGHT[2 * neuron : 2 * neuron + 2, 4 * synapse : 4 * synapse + 4]
        assert np.array_equal(popcount.decode(word[:8].reshape(2, 4)), chosen < 0)
        wanted = ((starts[2 * (row // 3) : 2 * (row // 3) + 2, None] >> np.arange(5)) & 1).ravel()
        part = np.pad(wanted, (0, 2))[4 * synapse : 4 * synapse + 4]
        assert np.array_equal(word[8:], part)


def test_raw_weights_are_not_inverted() -> None:
    raw = replace(MVU, raw=True)
    word = raw.memory_bits(WEIGHT)[3]
    assert np.array_equal(popcount.decode(word[:8].reshape(2, 4)), WEIGHT[:2, :4] > 0)


def test_weights_go_to_a_file_or_to_the_stream() -> None:
    threshold = np.zeros(6, dtype=np.int64)
    bits = MVU.memory_bits(WEIGHT, threshold)
    (text,) = MVU.memories(WEIGHT, threshold).values()
    values = [int(line, 16) for line in text.split()]
    assert values == [sum(int(b) << i for i, b in enumerate(row)) for row in bits]
    assert len(MVU.load_beats(WEIGHT, threshold)) == 0

    loaded = replace(MVU, loadable=True, load_bits=5)
    assert loaded.memories(WEIGHT, threshold) == {}
    beats = loaded.load_beats(WEIGHT, threshold)
    assert beats.shape == (9 * 3, 1) and beats.max() < 32
    joined = beats.reshape(9, 3).astype(int) @ (1 << (5 * np.arange(3)))
    assert joined.tolist() == values


def test_cycles_follow_from_the_folding() -> None:
    assert MVU.cycles_per_group == 9
    assert MVU.cycles(11) - MVU.cycles(10) == 9
    shared = replace(MVU, tokens=3)
    assert shared.cycles(40) - shared.cycles(10) == 10 * 9
    with pytest.raises(ParameterError, match="tokens: expected 1 to"):
        MVU.cycles(0)


def test_the_memory_of_the_weights_is_estimated() -> None:
    wide = BinaryMvu(768, 768, 16, 64)
    assert (wide.weight_bram18, wide.weight_uram) == (58, 0)  # what Yosys makes of it
    assert replace(wide, weight_memory="distributed").weight_bram18 == 0
    assert MVU.weight_bram18 == 0  # too small for a block
    assert replace(wide, loadable=True).weight_bram18 == 2 * 29
    ultra = replace(wide, loadable=True, weight_memory="ultra")
    assert (ultra.weight_bram18, ultra.weight_uram) == (0, 15)
