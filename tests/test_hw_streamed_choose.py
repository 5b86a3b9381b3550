"""What a weight-streamed encoder takes, and the one that is chosen for a board."""

from dataclasses import replace

import numpy as np
import pytest

from hw.boards import load_board
from hw.fold.solver import DoesNotFit
from hw.resources import Resources, resources_of
from hw.streamed.choose import choose
from hw.streamed.cycles import Memory, token_interval
from hw.streamed.encoder import Widths, encoder_of_size
from hw.streamed.resources import encoder_resources, kernel_resources
from tests.models import random_integer_model
from tests.streamed_cases import check, check_cycles

MODEL = random_integer_model(seed=11, layers=3, hidden=64, heads=2, ffn=128, attention="sps")
# A part on which two banks of a layer's weights (65,536 of them) fit easily, and one on which none.
BOARD = load_board("pynq-z2")
SMALL = replace(BOARD, resources=Resources(20000, 40000, 60, 0, 60), reserve=Resources())
TINY = replace(BOARD, resources=Resources(20000, 40000, 4, 0, 60), reserve=Resources())
# Yosys, 7-series, H 256, F 1024, beats of 72 bits.
SYNTHESIZED = {
    "query": Resources(1113, 2296, 15, 0, 0),
    "attention": Resources(1069, 1291, 9, 0, 0),
    "attention_norm": Resources(292, 562, 7, 0, 6),
}


@pytest.mark.parametrize("name", SYNTHESIZED)
def test_estimates_are_near_to_synthesis(name: str) -> None:
    sizes = replace(MODEL.dimensions, hidden=256, heads=4, ffn=1024, max_tokens=64)
    sizes = replace(sizes, attention="softmax")
    attention = {"keys": 2, "simd": 64, "channels": 2, "in_bits": 16, "out_bits": 16}
    folding = {
        "query": {"pe": 8, "simd": 64, "tokens": 2, "weight_memory": "block"},
        "attention": attention,
    }
    encoder = encoder_of_size(
        sizes, MODEL.formats, folding, batch_tokens=128, batch_sentences=8, load_bits=72
    )
    found, wanted = kernel_resources(encoder.kernels[name], "xc7", 72), SYNTHESIZED[name]
    assert abs(found.lut - wanted.lut) <= max(0.15 * wanted.lut, 60)
    assert (found.bram18, found.dsp) == (wanted.bram18, wanted.dsp)


def test_two_banks_take_more_than_one_and_one_more_than_a_rom() -> None:
    sizes = replace(MODEL.dimensions, hidden=256, ffn=1024)
    folding = {"query": {"pe": 4, "simd": 32, "weight_memory": "block"}}
    encoder = encoder_of_size(
        sizes, MODEL.formats, folding, batch_tokens=64, batch_sentences=8, load_bits=72
    )
    kernel = encoder.mvu("query")
    two, one = (kernel_resources(kernel, "xc7", 72, double) for double in (True, False))
    assert two.bram18 > one.bram18 >= resources_of(kernel, "xc7").bram18


def test_the_choice_fits_and_says_what_it_does() -> None:
    found = choose(MODEL.dimensions, MODEL.formats, SMALL, widths=Widths.of_model(MODEL))
    assert found.total.fits(SMALL.budget)
    assert found.nodes == encoder_resources(found.encoder, "xc7", 64)
    fast, slow = found.performance(16), found.performance(1)
    assert fast.tokens_per_s > slow.tokens_per_s
    cycles = max(token_interval(found.encoder, 16).values())
    assert fast.tokens_per_s * 3 * cycles <= found.clock_mhz * 1e6
    assert np.isclose(fast.tops, 2 * 3 * 4 * 64 * (64 + 64) * fast.tokens_per_s / 1e12)


def test_a_layer_that_does_not_fit_says_what_binds() -> None:
    with pytest.raises(DoesNotFit, match="one bank: BRAM18 binds"):
        choose(MODEL.dimensions, MODEL.formats, TINY)


@pytest.mark.slow
def test_the_choice_computes_the_model() -> None:
    found = choose(MODEL.dimensions, MODEL.formats, SMALL, widths=Widths.of_model(MODEL))
    lengths = [[16, 16, 12, 7, 1], [9, 2]]
    check(found.encoder, MODEL, lengths, Memory(4.0, 60))
    check_cycles(found.encoder, MODEL, [[16] * 8, [12] * 10], found.memory)
