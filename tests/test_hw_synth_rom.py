"""Memories of constants in LUTs: as large as a vendor makes them, and with the right content."""

import numpy as np
import pytest

from hw.kernels.mvu import BinaryMvu
from hw.resources.memories import lut_rom
from hw.sim.beats import pack, unpack
from hw.sim.bench import run
from hw.synth.cache import cached_synthesis
from hw.synth.netlist import build_netlist
from tests.test_rtl_binary_mvu import case


# 32 words share LUTs two by two; 256 have both kinds of multiplexers; 72 are not filled up.
@pytest.mark.parametrize(
    "mvu",
    [
        BinaryMvu(16, 16, 2, 4, weight_memory="distributed"),
        BinaryMvu(32, 32, 1, 4, weight_memory="distributed"),
        pytest.param(BinaryMvu(24, 12, 1, 4, weight_memory="distributed"), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_weights_in_luts_take_a_lut_per_64_bits_and_are_right(mvu: BinaryMvu) -> None:
    weight, threshold, bits, expected = case(mvu, 9)
    memories = mvu.memories(weight, threshold)
    simulation = build_netlist("binary_mvu", mvu.parameters(), memories)
    result = run(
        "binary_mvu",
        {},
        {"s_axis": pack(bits, 1, mvu.simd), "s_axis_weights": mvu.load_beats(weight, threshold)},
        {"m_axis": len(bits) * mvu.neuron_folds},
        simulation=simulation,
    )
    out = unpack(result.outputs["m_axis"], mvu.output_bits, mvu.pe, mvu.raw)
    assert np.array_equal(out.reshape(-1, mvu.mh), expected)
    used, _ = cached_synthesis("binary_mvu", mvu.parameters(), "xc7", memories)
    rom = sum(n for name, n in used.cells.items() if name in ("LUT6", "LUT6_2"))
    assert used.cells.get("MUXF8", 0) == (mvu.word_bits if mvu.words > 128 else 0)
    assert rom >= lut_rom(mvu.words, mvu.word_bits)
    assert used.lut <= lut_rom(mvu.words, mvu.word_bits) + 80
