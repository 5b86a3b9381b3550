"""One layer's hardware computes all layers of a model, as the reference does."""

import dataclasses

import pytest

from edgebert.zoo import find, model_file
from hw.integer_model import IntegerModel, load_integer_model
from hw.kernels.mvu import BinaryMvu
from hw.sim.bench import Stalls
from hw.sim.verilator import lint
from hw.streamed.cycles import Memory
from hw.streamed.encoder import StreamedEncoder, encoder_of_model
from tests.models import random_integer_model
from tests.streamed_cases import check, check_cycles, folding

ATTENTION = {"keys": 2, "simd": 8, "channels": 2, "in_bits": 8, "out_bits": 8}
BATCHES = [[5, 1, 16, 3], [2], [16, 16, 9, 1, 1]]

Case = tuple[IntegerModel, StreamedEncoder]


def softmax() -> Case:
    """Three layers with a bias of distances, the residual of a batch in external memory."""
    model = random_integer_model(seed=5, layers=3, relative_positions=3)
    folded = folding((4, 8, 2), (8, 8, 2), (4, 16, 2), ATTENTION)
    return model, encoder_of_model(model, folded, batch_tokens=48, batch_sentences=5, loop="memory")


def sps() -> Case:
    """Three layers, the residual on the chip, wide beats, some weights in one bank."""
    model = random_integer_model(seed=6, layers=3, heads=4, attention="sps")
    attention = {"keys": 3, "simd": 4, "channels": 4, "in_bits": 4, "out_bits": 8, "banks": 4}
    folded = folding((8, 16, 1), (16, 16, 1), (8, 32, 2), attention, lanes=2)
    folded["up"]["weight_memory"] = folded["down"]["weight_memory"] = "block"
    for name in ("query", "output"):
        folded[name] |= {"weight_memory": "ultra", "loadable": True}
    return model, encoder_of_model(
        model,
        folded,
        batch_tokens=43,
        batch_sentences=5,
        load_bits=40,
        residual_tokens=17,
        single=("up", "query"),
    )


CASES = {"softmax": softmax, "sps": sps}
SHIFTS = Memory(bytes_per_cycle=5.5, latency=9)


@pytest.mark.parametrize("name", CASES)
def test_batches_pass_all_layers_under_any_stalls_and_bandwidth(name: str) -> None:
    model, encoder = CASES[name]()
    for stalls in (
        None,
        Stalls(2, share=0.5),
        Stalls(3, share=0.3, burst=30),
        Stalls(4, ports={"m_axis_residual": 0.9}, burst=5),
        Stalls(5, ports={"s_axis_residual": 0.8, "s_axis_length": 0.9}, burst=9),
        Stalls(6, ports={"s_axis_image": 0.9}, burst=9),
    ):
        check(encoder, model, BATCHES, SHIFTS, stalls)


@pytest.mark.parametrize("name", CASES)
def test_a_reset_at_any_time_starts_with_the_first_layer_again(name: str) -> None:
    model, encoder = CASES[name]()
    for seed, reset_at in enumerate((300, 1111, 4000)):
        check(encoder, model, BATCHES[:2], SHIFTS, Stalls(seed, share=0.2 * seed), reset_at)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rate, waits", [(8.0, False), (2.0, None), (0.25, True)])
def test_cycles_are_those_of_the_model(name: str, rate: float, waits: bool | None) -> None:
    model, encoder = CASES[name]()
    memory = Memory(rate, latency=20)
    lengths = [[16, 16, 9, 1, 1], [15, 14, 8, 4, 2], [16, 12, 12, 3]]
    check_cycles(encoder, model, lengths, memory, waits)


@pytest.mark.slow
@pytest.mark.parametrize(("attention", "reach"), [("softmax", 0), ("sps", 5)])
def test_one_layer_and_a_batch_of_one_sentence(attention: str, reach: int) -> None:
    sizes = {"layers": 1, "hidden": 48, "heads": 3, "relative_positions": reach}
    model = random_integer_model(seed=8, attention=attention, **sizes)
    folded = folding((1, 16, 3), (4, 48, 1), (2, 8, 8), ATTENTION | {"in_bits": 4})
    encoder = encoder_of_model(model, folded, batch_tokens=16, batch_sentences=1)
    check(encoder, model, [[16], [1], [7]], SHIFTS, Stalls(3, share=0.2))


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["chip", "memory"])
def test_a_trained_model(loop: str) -> None:
    model = load_integer_model(model_file(find("tiny-sst2")))
    attention = {"keys": 2, "simd": 32, "channels": 2, "in_bits": 32, "out_bits": 32}
    folded = folding((8, 32, 2), (16, 64, 2), (8, 128, 2), attention)
    encoder = encoder_of_model(
        model, folded, batch_tokens=200, batch_sentences=16, loop=loop, max_tokens=64
    )
    lengths = [[64, 33, 40, 21, 12, 9, 7, 2], [64, 64, 17], [1]]
    for stalls in (None, Stalls(7, share=0.2, burst=4)):
        check(encoder, model, lengths, Memory(4.0), stalls)
    check_cycles(encoder, model, lengths[:2], Memory(8.0), False)
    check_cycles(encoder, model, lengths[:2], Memory(0.5), True)


def test_lint_is_clean() -> None:
    assert lint("layer_sequencer", {}) == ""
    assert lint("layer_sequencer", {"LAYERS": 1, "BEATS": 1, "MAX_SENTENCES": 1}) == ""
    _, encoder = softmax()
    for kernel in encoder.kernels.values():
        if isinstance(kernel, BinaryMvu):
            kernel = dataclasses.replace(kernel, behavioural=False)
        load = {"LOAD_BITS": 64, "LOAD_BASE": 7}
        name = "BANKED" if kernel.module == "attention" else "BANKS"
        values = load | {name: 1 if name == "BANKED" else 2}
        assert lint(kernel.module, kernel.parameters() | values) == ""
