"""Netlists of the kernels, as Yosys maps them to a 7-series part, equal the reference."""

import numpy as np
import pytest

from hw.kernels.attention import BinaryAttention
from hw.kernels.mvu import BinaryMvu
from hw.sim.beats import pack, unpack
from hw.sim.bench import Stalls, run
from hw.synth.netlist import build_netlist
from tests.attention_cases import random_sentence, random_tensors, reference, streams
from tests.test_rtl_binary_mvu import case

STALLS = (Stalls(1), Stalls(2, share=0.5), Stalls(3, share=0.3, burst=20))


@pytest.mark.parametrize(
    "mvu",
    [
        BinaryMvu(70, 6, 3, 35, weight_memory="block"),
        pytest.param(BinaryMvu(32, 8, 2, 8, tokens=4, inputs="binary"), marks=pytest.mark.slow),
        pytest.param(BinaryMvu(128, 12, 4, 64, raw=True), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_the_netlist_of_an_mvu_equals_the_reference(mvu: BinaryMvu) -> None:
    weight, threshold, bits, expected = case(mvu, 29)
    memories = mvu.memories(weight, threshold)
    simulation = build_netlist("binary_mvu", mvu.parameters(), memories)
    inputs = {
        "s_axis": pack(bits, 1, mvu.simd),
        "s_axis_weights": mvu.load_beats(weight, threshold),
    }
    for stalls in STALLS:
        result = run(
            "binary_mvu",
            {},
            inputs,
            {"m_axis": len(bits) * mvu.neuron_folds},
            stalls=stalls,
            reset_at=60,
            simulation=simulation,
        )
        out = unpack(result.outputs["m_axis"], mvu.output_bits, mvu.pe, mvu.raw)
        assert np.array_equal(out.reshape(-1, mvu.mh), expected)


@pytest.mark.parametrize(
    "kernel",
    [
        BinaryAttention(
            7, 2, 8, simd=4, channels=2, in_bits=4, out_bits=4, exp_bits=5, probability_bits=7
        ),
        pytest.param(
            BinaryAttention(
                *(13, 3, 8, 3, 4, 2, 4, 12),
                sps=True,
                relative_positions=4,
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            BinaryAttention(64, 4, 64, simd=64, in_bits=16, out_bits=16), marks=pytest.mark.slow
        ),
    ],
    ids=str,
)
def test_the_netlist_of_an_attention_equals_the_reference(kernel: BinaryAttention) -> None:
    rng, tensors, longest = np.random.default_rng(0), random_tensors(kernel), kernel.max_tokens
    given = [random_sentence(kernel, n, rng) for n in (3, longest, 1, 1, longest // 2, longest)]
    expected = np.concatenate([reference(kernel, tensors, s) for s in given]).reshape(-1)
    simulation = build_netlist("attention", kernel.parameters(), tensors.memories(kernel))
    for stalls in STALLS:
        result = run(
            "attention",
            {},
            streams(kernel, given),
            {"m_axis": expected.size // kernel.out_bits},
            stalls=stalls,
            reset_at=150,
            simulation=simulation,
        )
        bits = unpack(result.outputs["m_axis"], 1, kernel.out_bits)
        assert np.array_equal(2 * bits - 1, expected)
