"""FIFO depths: nothing is lost, nothing can be halved, nothing stops."""

from dataclasses import replace

import numpy as np
import pytest

from hw.design import Design
from hw.sim.accelerator import simulate
from hw.sim.bench import SimulationError, Stalls
from hw.sim.fifo_depths import (
    TOLERANCE,
    Fields,
    measure_pace,
    role,
    sentence_mixes,
    size_fifos,
    unlimited,
    with_depths,
)
from tests.designs import encoder_design, even_folding
from tests.models import random_integer_model

MAX_TOKENS = 8
HIDDEN = 32


@pytest.fixture(scope="module")
def design() -> Design:
    model = random_integer_model()
    return encoder_design(model, even_folding(model, MAX_TOKENS, 64), MAX_TOKENS)


@pytest.fixture(scope="module")
def sized(design: Design) -> Fields:
    return size_fifos(design)


def cycles(design: Design, lengths: tuple[int, ...]) -> int:
    sentences = [np.zeros((length, HIDDEN), dtype=np.int64) for length in lengths]
    return simulate(design, sentences).cycles


def final(design: Design, sized: Fields) -> Design:
    return with_depths(design, {name: int(fields["depth"]) for name, fields in sized.items()})


def test_every_fifo_has_a_depth_and_layers_have_the_same(design: Design, sized: Fields) -> None:
    assert set(sized) == set(design.fifos())
    by_role = {role(name): fields for name, fields in sized.items()}
    assert all(by_role[role(name)] == fields for name, fields in sized.items())
    kernels = {n: replace(design.fifos()[n], **fields) for n, fields in sized.items()}
    assert design.with_kernels(kernels).fifos() == kernels


def test_the_residual_waits_for_a_whole_sentence(sized: Fields) -> None:
    depth = sized["layer0_attention_norm_residual_fifo"]["depth"]
    assert isinstance(depth, int) and depth >= MAX_TOKENS * HIDDEN


def test_the_pace_is_that_of_the_slowest_kernel(design: Design, sized: Fields) -> None:
    for pace in measure_pace(final(design, sized)):
        assert pace.loss < 0.05, pace


def test_halving_any_depth_costs_throughput_or_stops_the_design(
    design: Design, sized: Fields
) -> None:
    mixes = sentence_mixes(design)
    best = [cycles(with_depths(design, unlimited(design)), mix) for mix in mixes]
    depths = {name: int(fields["depth"]) for name, fields in sized.items()}
    for found, least in zip((cycles(final(design, sized), m) for m in mixes), best, strict=True):
        assert found <= (1 + TOLERANCE) * least
    for name in {role(n) for n, depth in depths.items() if depth > 2}:
        half = {n: (depth + 1) // 2 for n, depth in depths.items() if role(n) == name}
        shallow = with_depths(design, {**depths, **half})
        try:
            worse = [
                cycles(shallow, m) > (1 + TOLERANCE) * b for m, b in zip(mixes, best, strict=True)
            ]
        except SimulationError:
            continue
        assert any(worse), name


def test_no_stalls_stop_it(design: Design, sized: Fields) -> None:
    rng = np.random.default_rng(3)
    sentences = [np.zeros((n, HIDDEN), dtype=np.int64) for n in rng.integers(1, 9, 30)]
    for seed in range(4):
        stalls = Stalls(seed, share=0.2 * seed, burst=1 + 10.0 * seed)
        simulate(final(design, sized), sentences, stalls=stalls)


def test_the_same_design_gives_the_same_depths(design: Design, sized: Fields) -> None:
    lines: list[str] = []
    assert size_fifos(design, report=lines.append) == sized
    assert any("too shallow" in line for line in lines) and any("kept" in line for line in lines)
