"""The weight-streamed encoder in Python: images, common shifts, cycles, bad parameters."""

import dataclasses

import numpy as np
import pytest

from hw import reference
from hw.errors import ParameterError
from hw.kernels.add_norm import NORMS, NormTensors
from hw.streamed.cycles import Memory, pass_cycles, schedule, token_interval
from hw.streamed.encoder import KERNELS, StreamedEncoder, encoder_of_model, norm_tensors
from hw.streamed.image import as_beats, layer_image, layer_images
from hw.streamed.top import check_widths, layer_text
from tests.models import random_integer_model
from tests.streamed_cases import folding

ATTENTION = {"keys": 2, "simd": 8, "channels": 2, "in_bits": 8, "out_bits": 8}
FOLDING = folding((4, 8, 2), (8, 8, 2), (4, 16, 2), ATTENTION)
MODEL = random_integer_model(seed=5, layers=3)


def encoder(**attributes: object) -> StreamedEncoder:
    values = {"batch_tokens": 48, "batch_sentences": 5, **attributes}
    return encoder_of_model(MODEL, FOLDING, **values)


@pytest.mark.parametrize("norm", NORMS)
def test_a_common_shift_gives_the_same_integers(norm: str) -> None:
    model = random_integer_model(seed=9, layers=4)
    matrix = NORMS[norm]
    for layer, shift in enumerate((0, 1, 12, 15)):  # layers whose shifts differ, 0 among them
        model.tensors[f"layer.{layer}.{matrix}.shift"] = np.array(shift)
        model.tensors[f"layer.{layer}.{matrix}.multiplier"] = np.array((-1) ** layer * 21000)
    common = norm_tensors(model, norm)
    assert {tensors.shift for tensors in common} == {15}
    accumulator = np.random.default_rng(1).integers(-64, 65, (500, model.dimensions.hidden))
    for layer, tensors in enumerate(common):
        own = NormTensors.of_layer(model, layer, norm)
        before, after = (
            reference.requantize(accumulator, np.int64(t.multiplier), t.bias, np.int64(t.shift))
            for t in (own, tensors)
        )
        assert np.array_equal(before, after)


def test_an_image_has_the_beats_that_the_sequencer_counts() -> None:
    for load_bits in (32, 40, 64):
        found = encoder(load_bits=load_bits)
        images = layer_images(found, MODEL)
        assert len(images) == 3
        for image in images:
            assert image.shape == (found.image_beats, -(-load_bits // 8))
        assert np.array_equal(layer_image(found, MODEL, 1), images[1])
        assert tuple(found.bases()) == KERNELS


def test_words_fill_whole_beats() -> None:
    planes = np.array([[1, 0, 1, 1, 1], [0, 1, 0, 0, 1]], dtype=np.uint8)
    assert as_beats(planes, 4).tolist() == [[0b1101], [1], [0b0010], [1]]


def test_the_layer_is_made_of_instances_only() -> None:
    text = layer_text(encoder())
    for name in KERNELS:
        assert f") u_{name} (" in text
        assert f"load_hop #(.LOAD_BITS(64)) u_load_{name} " in text
    assert "always" not in text


def test_cycles_follow_the_slowest_kernel_and_the_bandwidth() -> None:
    found = encoder()
    slowest = max(token_interval(found, 16).values())
    one, two = pass_cycles(found, [16]), pass_cycles(found, [16, 16])
    assert abs(two - one - 16 * slowest) <= 0.05 * two
    lengths = [[16, 16, 8]] * 3
    fast, slow = (schedule(found, lengths, Memory(rate)) for rate in (64.0, 0.25))
    assert fast.waiting < 0.1 < 0.8 < slow.waiting
    per_pass = (slow.ends[2] - slow.ends[1]) / found.layers
    assert abs(per_pass - found.image_bytes / 0.25) < 0.02 * per_pass


def test_a_small_fifo_around_the_attention_costs_time_and_is_counted() -> None:
    lengths = [16, 15, 8]
    times = [pass_cycles(encoder(residual_tokens=room), lengths) for room in (17, 24, 40)]
    assert times[0] > times[1] >= times[2] == pass_cycles(encoder(), lengths)


@pytest.mark.parametrize(
    "attributes, name",
    [
        ({"load_bits": 16}, "load_bits"),
        ({"loop": "host"}, "loop"),
        ({"batch_tokens": 15}, "batch_tokens"),
        ({"batch_sentences": 0}, "batch_sentences"),
        ({"residual_tokens": 16}, "residual_tokens"),
    ],
)
def test_bad_attributes_are_named(attributes: dict[str, object], name: str) -> None:
    with pytest.raises(ParameterError, match=name):
        encoder(**attributes)


def test_bad_batches_foldings_and_beats_are_named() -> None:
    found = encoder()
    for lengths, name in (
        ([1] * 6, "sentences of a batch"),
        ([17], "tokens of a sentence"),
        ([16] * 4, "tokens of a batch"),
    ):
        with pytest.raises(ParameterError, match=name):
            pass_cycles(found, lengths)
    with pytest.raises(ParameterError, match="folding"):
        encoder_of_model(MODEL, {"layer0_query": {}}, batch_tokens=48, batch_sentences=5)
    with pytest.raises(ParameterError, match="bytes_per_cycle"):
        Memory(0.0).inputs()
    wide = {**found.kernels, "ffn_norm": dataclasses.replace(found.norm("ffn_norm"), lanes=2)}
    with pytest.raises(ParameterError, match=r"ffn_norm\.lanes"):
        check_widths(dataclasses.replace(found, kernels=wide))
