"""Every stream of the encoder's kernels carries a tensor that the reference names."""

import numpy as np
import pytest

from hw.kernels.kernel import StreamPort
from hw.reference import run
from hw.stream_tensors import from_beats, tensors_of, to_beats
from tests.designs import encoder_design, even_folding
from tests.models import random_integer_model, random_sentences

MAX_TOKENS = 8


def test_every_stream_has_a_tensor_of_its_size() -> None:
    model = random_integer_model()
    design = encoder_design(model, even_folding(model, MAX_TOKENS, 64), MAX_TOKENS)
    (sentence,) = random_sentences(1, model, [5])
    values = run(model, *sentence)
    kernels = 0
    for name, kernel in design.instances.items():
        if not name.endswith(("_fifo", "_width", "_fork")):
            kernels += 1
            tensors = tensors_of(name)
            for port in kernel.streams():
                if port.used and port.name != "s_axis_length":
                    tensor = tensors[port.name]
                    beats = to_beats(values[tensor], port)
                    assert np.array_equal(from_beats(beats, port, tensor, 5), values[tensor])
    assert kernels == 1 + 9 * model.dimensions.layers


def test_connected_streams_carry_the_same_tensor() -> None:
    model = random_integer_model(layers=3)
    design = encoder_design(model, even_folding(model, MAX_TOKENS, 64), MAX_TOKENS)
    sources = {c.target: c.source for c in design.connections}
    seen = 0
    for target, source in sources.items():
        instance = target.instance
        if instance and not instance.endswith(("_fifo", "_width", "_fork")):
            while source.instance.endswith(("_fifo", "_width")):
                source = next(s for t, s in sources.items() if t.instance == source.instance)
            if source.instance and source.instance != "length_fork":
                own, other = tensors_of(instance), tensors_of(source.instance)
                assert own[target.port] == other[source.port]
                seen += 1
    assert seen > 30


def test_other_instances_have_none() -> None:
    with pytest.raises(ValueError, match="expected the name of a kernel, got length_fork"):
        tensors_of("length_fork")
    beats = to_beats(np.array([[0, 1, 1, 0]]), StreamPort("s_axis", 2))
    zero_one = from_beats(beats, StreamPort("s_axis", 2), "layer.0.down.input", 1)
    assert zero_one.tolist() == [[0, 1, 1, 0]]
