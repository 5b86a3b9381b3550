"""Two layers that stand for all: the same kernels and streams, without what is in between."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hw.design import Design
from hw.sim.accelerator import build_accelerator, simulate
from hw.sim.bench import Stalls
from hw.sim.fifo_depths import measure_pace, size_fifos, unlimited, with_depths
from hw.sim.two_layers import layers, two_layers
from tests.designs import encoder_design, even_folding
from tests.models import random_integer_model

MAX_TOKENS = 8


def design(count: int, **fields: Any) -> Design:
    """An encoder of so many layers; `fields` of each of its matrices."""
    model = random_integer_model(layers=count)
    folding: dict[str, Mapping[str, Any]] = dict(even_folding(model, MAX_TOKENS, 64))
    for name in folding:
        if name.endswith(("_query", "_down")):
            folding[name] = {**folding[name], **fields}
    return encoder_design(model, folding, MAX_TOKENS)


def structure(design: Design, last: str) -> tuple[object, ...]:
    """Modules, their streams and what links them, the last layer called 1."""

    def named(text: object) -> str:
        return str(text).replace(last, "layer1_")

    kernels = {named(name): (k.module, k.streams()) for name, k in design.instances.items()}
    links = {(named(c.source), named(c.target)) for c in design.connections}
    return design.ports, kernels, links


def test_of_four_layers_stays_what_a_design_of_two_has() -> None:
    assert layers(design(4)) == 4
    small = two_layers(design(4))
    assert {name[:7] for name in small.instances if name.startswith("layer")} == {
        "layer0_",
        "layer3_",
    }
    assert structure(small, "layer3_") == structure(two_layers(design(2)), "layer1_")


def test_two_layers_keep_all_but_their_weights() -> None:
    whole = design(2)
    small = two_layers(whole)
    assert structure(small, "layer1_") == structure(whole, "layer1_")
    changed = {name for name, text in whole.memories.items() if small.memories[name] != text}
    assert changed == {
        kernel.weight_file for kernel in whole.instances.values() if hasattr(kernel, "weight_file")
    }


def test_what_was_loaded_becomes_a_rom_and_its_chain_goes() -> None:
    loaded = design(3, loadable=True, weight_memory="ultra")
    assert any(port.name == "s_axis_weights" for port in loaded.ports)
    plain = design(3, weight_memory="block")
    assert structure(two_layers(loaded), "layer2_") == structure(two_layers(plain), "layer2_")


@pytest.mark.slow
def test_without_results_it_takes_the_same_cycles() -> None:
    small = two_layers(design(3))
    small = with_depths(small, unlimited(small))
    sentences = [np.zeros((n, 32), dtype=np.int64) for n in (8, 1, 1, 5, 8, 2, 7)]
    for stalls in (None, Stalls(seed=2, share=0.4, burst=5)):
        fast, bare = (
            simulate(small, sentences, stalls=stalls, simulation=build_accelerator(small, timing=t))
            for t in (False, True)
        )
        assert bare.cycles == fast.cycles and bare.fifos == fast.fifos
        assert not np.array_equal(bare.residuals[0], fast.residuals[0])


@pytest.mark.slow
def test_depths_of_two_layers_keep_the_pace_of_five() -> None:
    whole = design(5)
    found = size_fifos(whole)  # ends with stalls
    assert set(found) == set(whole.fifos())
    final = with_depths(whole, {name: int(entry["depth"]) for name, entry in found.items()})
    for pace in measure_pace(final):
        assert pace.loss < 0.05, pace
