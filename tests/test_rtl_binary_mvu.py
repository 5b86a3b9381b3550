from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from hw import reference
from hw.kernels.mvu import BinaryMvu
from hw.sim.beats import pack, unpack
from hw.sim.bench import Result, Stalls, run
from hw.sim.verilator import lint
from tests.models import random_integer_model, random_sentences

Integers = NDArray[np.int64]

# The lanes have tests of their own: most points take their plain description, which compiles fast.
POINTS = {
    "folded both ways": BinaryMvu(24, 12, 4, 6),
    "one synapse fold": BinaryMvu(16, 6, 2, 16, inputs="binary"),
    **{
        name: replace(point, behavioural=True)
        for name, point in {
            "three tokens share a word": BinaryMvu(24, 12, 4, 6, 3, inputs="binary"),
            "one fold at all": BinaryMvu(9, 5, 5, 9, raw=True, inputs="binary"),
            "one neuron fold, odd sums": BinaryMvu(15, 4, 4, 5, raw=True),
            "two neuron folds, two tokens": BinaryMvu(70, 6, 3, 35, 2),
            "four tokens, sums of bits": BinaryMvu(32, 8, 1, 8, 4, raw=True, inputs="binary"),
            "loaded in odd beats": BinaryMvu(25, 12, 2, 5, 3, True, loadable=True, load_bits=7),
            "loaded in a beat a word": BinaryMvu(12, 4, 2, 6, loadable=True, weight_memory="ultra"),
        }.items()
    },
}
SLOW_POINTS = {
    f"{mw}x{mh}, {simd}x{pe}x{tokens}, {inputs}, raw {raw}": BinaryMvu(
        mw, mh, pe, simd, tokens, raw, inputs, behavioural=True
    )
    for mw, mh, simd, pe, tokens, inputs, raw in [
        (768, 48, 256, 16, 2, "bipolar", False),
        (768, 32, 64, 8, 4, "binary", False),
        (255, 20, 51, 4, 5, "bipolar", True),
        (256, 20, 32, 4, 1, "binary", True),
        (2, 1, 1, 1, 1, "bipolar", False),
        (2, 2, 2, 1, 1, "binary", False),
        (48, 7, 1, 7, 1, "bipolar", True),
        (48, 9, 3, 1, 8, "binary", True),
        (513, 6, 171, 2, 3, "bipolar", False),
    ]
}
DOWN = BinaryMvu(64, 32, 8, 16, raw=True, inputs="binary", behavioural=True)
STALLS = (
    Stalls(1),
    Stalls(2, share=0.5),
    Stalls(3, share=0.3, burst=20),
    Stalls(4, ports={"m_axis": 0.9}, burst=5),
    Stalls(5, ports={"s_axis": 0.9}, burst=5),
)
ALL_POINTS = [
    *(pytest.param(point, id=name) for name, point in POINTS.items()),
    *(pytest.param(p, id=name, marks=pytest.mark.slow) for name, p in SLOW_POINTS.items()),
]


def matrix(mvu: BinaryMvu, seed: int = 0) -> Integers:
    """Random weights; the first rows are all +1, all -1 and one +1."""
    weight = np.random.default_rng(seed).choice([-1, 1], (mvu.mh, mvu.mw))
    for row, value in zip(range(min(2, mvu.mh - 1)), (1, -1), strict=False):
        weight[row] = value
    if mvu.mh > 3:
        weight[2] = -1
        weight[2, -1] = 1
    return weight


def activations(mvu: BinaryMvu, weight: Integers, tokens: int, seed: int = 0) -> Integers:
    """Random bits (tokens, mw); all ones, all zeros, rows of the matrix and their opposites."""
    bits = np.random.default_rng(seed).integers(0, 2, (tokens, mvu.mw))
    extremes = [np.ones(mvu.mw), np.zeros(mvu.mw), *(weight > 0), *(weight < 0)]
    for place, extreme in zip(range(1, tokens, 2), extremes, strict=False):
        bits[place] = extreme
    return bits


def thresholds(mvu: BinaryMvu, sums: Integers, seed: int = 0) -> Integers:
    """Ties and their neighbours at random tokens' sums; always 1, never 1, and the next to them."""
    rng = np.random.default_rng(seed)
    limits = sums[rng.integers(0, len(sums), mvu.mh), np.arange(mvu.mh)]
    limits = limits + rng.integers(-1, 2, mvu.mh)
    constant = np.array([-mvu.mw, mvu.mw + 1, -mvu.mw + 1, mvu.mw])
    where = rng.random(mvu.mh) < 0.2
    limits[where] = rng.choice(constant, where.sum())
    return np.clip(limits, -mvu.mw, mvu.mw + 1)


def simulate(
    mvu: BinaryMvu,
    weight: Integers,
    threshold: Integers | None,
    bits: Integers,
    stalls: Stalls | None = None,
    reset_at: int | None = None,
) -> tuple[Integers, Integers, Result]:
    """What leaves, as (tokens, mh); what left before the reset, as (beats, pe); the run."""
    result = run(
        "binary_mvu",
        mvu.parameters(),
        {
            "s_axis": pack(bits, 1, mvu.simd),
            "s_axis_weights": mvu.load_beats(weight, threshold),
        },
        {"m_axis": len(bits) * mvu.neuron_folds},
        memories=mvu.memories(weight, threshold),
        stalls=stalls,
        reset_at=reset_at,
    )
    out = unpack(result.outputs["m_axis"], mvu.output_bits, mvu.pe, mvu.raw).reshape(-1, mvu.mh)
    before = np.zeros((0, mvu.pe), dtype=np.int64)
    if reset_at is not None:
        before = unpack(result.before["m_axis"], mvu.output_bits, mvu.pe, mvu.raw)
    return out, before.reshape(-1, mvu.pe), result


def case(mvu: BinaryMvu, tokens: int) -> tuple[Integers, Integers | None, Integers, Integers]:
    """Weights, thresholds, activation bits and what the reference gives for them."""
    weight = matrix(mvu)
    bits = activations(mvu, weight, tokens)
    sums = reference.integer_product(bits if mvu.inputs == "binary" else 2 * bits - 1, weight)
    if mvu.raw:
        return weight, None, bits, sums
    threshold = thresholds(mvu, sums)
    return weight, threshold, bits, reference.binary(sums, threshold)


@pytest.mark.parametrize("mvu", ALL_POINTS)
def test_every_channel_equals_the_reference_under_any_stalls(mvu: BinaryMvu) -> None:
    weight, threshold, bits, expected = case(mvu, 29)
    for stalls in STALLS:
        out, _, _ = simulate(mvu, weight, threshold, bits, stalls)
        assert np.array_equal(out, expected)
    for tokens in (1, 2, mvu.tokens + 1):
        out, _, _ = simulate(mvu, weight, threshold, bits[:tokens])
        assert np.array_equal(out, expected[:tokens])


@pytest.mark.parametrize("mvu", ALL_POINTS)
def test_a_reset_at_any_time_starts_afresh(mvu: BinaryMvu) -> None:
    weight, threshold, bits, expected = case(mvu, 9)
    load = len(mvu.load_beats(weight, threshold))
    beats = expected.reshape(-1, mvu.pe)
    times = load + np.random.default_rng(1).integers(5, 12 + 3 * mvu.cycles(4) // 2, 6)
    for seed, reset_at in enumerate([*times, load // 2 + 4]):
        stalls = Stalls(seed, share=0.3 * (seed % 2), burst=3)
        out, before, _ = simulate(mvu, weight, threshold, bits, stalls, int(reset_at))
        assert np.array_equal(out, expected)
        assert np.array_equal(before, beats[: len(before)])


@pytest.mark.parametrize("mvu", ALL_POINTS)
def test_cycles_are_as_stated_and_groups_follow_without_a_gap(mvu: BinaryMvu) -> None:
    tokens = 8 * mvu.tokens + 1
    weight, threshold, bits, expected = case(mvu, tokens)
    for count in (1, 2, mvu.tokens, tokens):
        out, _, result = simulate(mvu, weight, threshold, bits[:count])
        assert np.array_equal(out, expected[:count])
        first, ends = result.taken["s_axis"][0], result.taken["m_axis"]
        if not mvu.loadable:
            assert ends[0] - first == mvu.latency()
            assert ends[-1] - first + 1 == mvu.cycles(count)
    per_token = ends[mvu.neuron_folds - 1 :: mvu.neuron_folds]
    spans = (
        per_token[2 * mvu.tokens :: mvu.tokens] - per_token[mvu.tokens : -mvu.tokens : mvu.tokens]
    )
    assert set(spans.tolist()) == {mvu.cycles_per_group}


def test_a_group_does_not_wait_for_a_consumer_that_the_queues_are_made_for() -> None:
    # The consumer takes the 16 beats of a token in 80 cycles on average; a group gives it 102.
    slow = Stalls(3, ports={"m_axis": 0.8}, burst=1.25)
    mvu = BinaryMvu(64, 16, 1, 1, tokens=10, raw=True, behavioural=True)
    weight, threshold, bits, expected = case(mvu, 80)

    def cycles(kernel: BinaryMvu, stalls: Stalls | None) -> int:
        out, _, result = simulate(kernel, weight, threshold, bits, stalls)
        assert np.array_equal(out, expected)
        return int(result.taken["m_axis"][-1] - result.taken["m_axis"][0])

    roomy = replace(mvu, out_cycles=96)
    assert mvu.output_stall(80) > 300 and roomy.output_stall(80) == 0
    assert cycles(roomy, slow) < 1.06 * cycles(mvu, None)
    assert cycles(mvu, slow) > 1.1 * cycles(roomy, slow)


def test_the_lanes_description_does_not_change_the_result() -> None:
    mvu = POINTS["folded both ways"]
    weight, threshold, bits, expected = case(mvu, 12)
    plain = replace(mvu, behavioural=True)
    assert plain.cycles(12) == mvu.cycles(12)
    out, _, result = simulate(plain, weight, threshold, bits)
    _, _, other = simulate(mvu, weight, threshold, bits)
    assert np.array_equal(out, expected)
    assert np.array_equal(result.taken["m_axis"], other.taken["m_axis"])


@pytest.mark.parametrize(
    "matrix_name, mvu",
    [
        ("query", BinaryMvu(32, 32, 4, 8, tokens=2)),
        ("up", BinaryMvu(32, 64, 16, 16, behavioural=True, activation_memory="block")),
        ("output", BinaryMvu(32, 32, 4, 8, 2, True, behavioural=True, weight_memory="block")),
        ("down", replace(DOWN, weight_memory="distributed")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_matrices_of_a_model_give_the_named_tensors(matrix_name: str, mvu: BinaryMvu) -> None:
    model = random_integer_model(seed=3)
    runs = [
        reference.run(model, ids, types) for ids, types in random_sentences(4, model, [16, 1, 7, 2])
    ]
    name = f"layer.1.{matrix_name}"
    inputs = np.concatenate([values[f"{name}.input"] for values in runs])
    if mvu.raw:
        threshold, wanted = None, f"{name}.accumulator"
    else:
        threshold = model[f"{name}.threshold"]
        wanted = "layer.1.down.input" if matrix_name == "up" else f"{name}.output"
    expected = np.concatenate([values[wanted] for values in runs])
    out, _, _ = simulate(
        mvu, model[f"{name}.weight"], threshold, inputs > 0, Stalls(6, share=0.2, burst=4)
    )
    assert np.array_equal(out, expected if mvu.raw else expected > 0)


def test_lint_is_clean() -> None:
    names = ["folded both ways", "one synapse fold", "one fold at all", "loaded in odd beats"]
    shared = replace(POINTS["three tokens share a word"], weight_memory="distributed")
    for mvu in (*(POINTS[name] for name in names), shared):
        assert lint("binary_mvu", mvu.parameters()) == ""
