import functools
import itertools
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.encoders import encoder_kernels, kernels_of
from hw.boards import Board, load_board
from hw.errors import ParameterError
from hw.fold.encoder import Encoder
from hw.fold.evaluate import encoder_instances, kernel_cycles
from hw.fold.problem import Edge, Group, Problem, Room, Variant, choose, undominated
from hw.fold.solver import DoesNotFit, rate, solve
from hw.kernels.kernel import Kernel
from hw.resources import Resources
from tests.models import random_integer_model

PYNQ = load_board("pynq-z2")
PRICES = Resources(1000, 1000, 1000, 1000, 1000)


@functools.cache
def small_kernels(layers: int = 2) -> Mapping[str, Kernel]:
    """An encoder that is solved in no time."""
    return kernels_of(random_integer_model(0, layers=layers, hidden=32, heads=2, ffn=64))


def board(**budget: int) -> Board:
    """A PYNQ-Z2 that leaves an accelerator just so much of some resources."""
    have = replace(PYNQ.resources, **budget)
    return replace(PYNQ, name="mine", resources=have, reserve=Resources())


def random_problem(seed: int) -> Problem:
    """Three groups with an edge and a room."""
    rng = np.random.default_rng(seed)

    def variants(count: int) -> list[Variant]:
        return [
            Variant({"i": i}, 1, Resources(*map(int, rng.integers(1, 30, 5))),
                    *map(int, rng.integers(1, 3, 2)), tokens=int(rng.integers(0, 4)))
            for i in range(count)
        ]  # fmt: skip

    groups = {
        "a": Group(["a0", "a1", "a2", "a3"], variants(2)),
        "b": Group(["b0", "b1"], variants(2)),
        "f": Group(["f0", "f1"], variants(3)),
    }

    def cost(out: int, into: int) -> Resources | None:
        return Resources(lut=7 * abs(out - into)) if out <= into + seed % 2 else None

    return Problem(groups, [Edge("a", "b", 2, cost)], [Room("f", ("a",), {"a": 2}, 0)])


def cheapest(problem: Problem, budget: Resources) -> float | None:
    """The least objective over everything that can be chosen."""
    best = None
    spaces = [
        itertools.combinations_with_replacement(group.variants, len(group.nodes))
        for group in problem.groups.values()
    ]
    edge, room = problem.edges[0], problem.rooms[0]
    for a, b, f in itertools.product(*map(list, spaces)):
        beside = sum(v.tokens for v in a) / room.parallel["a"]
        if sum(v.tokens for v in f) < beside:
            continue
        ends = [v.into for v in b for _ in range(edge.streams)]
        for order in set(itertools.permutations([v.out for v in a])):
            joined = [edge.cost(out, into) for out, into in zip(order, ends, strict=True)]
            if None in joined:
                continue
            total = Resources.total([v.cost for v in (*a, *b, *f)] + [c for c in joined if c])
            if total.fits(budget):
                price = total.lut + total.bram18 + total.uram + 1e-3 * (total.ff + total.dsp)
                best = price if best is None else min(best, price)
    return None if best is None else best / 1000


@pytest.mark.parametrize("seed", range(4))
def test_the_choice_is_the_best_of_all(seed: int) -> None:
    problem = random_problem(seed)
    free = choose(problem, Resources(*[10**6] * 5), PRICES, gap=0)
    assert free is not None
    for budget in (free.cost, free.cost - Resources(lut=2), Resources(*[60] * 5)):
        found = choose(problem, budget, PRICES, gap=0)
        best = cheapest(problem, budget)
        assert (found is None) == (best is None)
        if found is not None and best is not None:
            assert found.value == pytest.approx(best)
            assert found.cost.fits(budget)
            relaxed = choose(problem, budget, PRICES, relaxed=True)
            assert relaxed is not None
            assert relaxed.value <= found.value + 1e-9


def test_dominated_variants_are_left_out_unless_their_widths_differ() -> None:
    cheap, dear = Resources(lut=1), Resources(lut=2, ff=1)
    kept = undominated([Variant({}, 1, dear), Variant({}, 1, cheap), Variant({}, 1, dear, out=2)])
    assert [(v.cost, v.out) for v in kept] == [(cheap, 0), (dear, 2)]


def test_a_solution_keeps_to_the_cycles_and_adds_up_to_its_instances() -> None:
    kernels = small_kernels()
    solution = solve(kernels, PYNQ, 12, cycles=70)
    assert solution.cycles == max(solution.node_cycles.values()) <= 70
    assert solution.total == Resources.total(solution.nodes.values())
    assert solution.total.fits(PYNQ.budget)
    assert solution.macs == 2 * (4 * 32 * 32 + 2 * 32 * 64)
    assert solution.tokens_per_s == 100e6 / solution.cycles
    assert solution.shares[solution.binds.lower()] == max(solution.shares.values())
    instances = encoder_instances(Encoder(kernels, 12), solution.folding)
    assert set(instances) == set(solution.nodes)
    for name, fields in solution.folding.items():
        for field, value in fields.items():
            assert getattr(instances[name], field) == value
    for name in kernels:
        assert kernel_cycles(instances[name]) == solution.node_cycles[name]


def test_streams_meet_in_equal_widths_behind_their_converters() -> None:
    kernels = small_kernels()
    instances = encoder_instances(Encoder(kernels, 12), solve(kernels, PYNQ, 12).folding)
    sources = {"layer0_query_in": ("input_threshold", "m_axis_bits0")}
    sources |= {"layer1_down_in": ("layer1_up", "m_axis")}
    for port, (source, stream) in sources.items():
        width = next(s.width for s in instances[source].streams() if s.name == stream)
        fifo = instances[f"{port}_fifo"]
        if f"{port}_width" in instances:
            converter = instances[f"{port}_width"]
            assert [s.width for s in converter.streams()] == [width, fifo.streams()[0].width]
        else:
            assert width == fifo.streams()[0].width


def test_a_looser_budget_is_never_slower_and_a_slower_target_never_larger() -> None:
    kernels = small_kernels()
    most = solve(kernels, PYNQ, 12).total.lut
    luts = [int(share * most) for share in (0.7, 0.8, 1)]
    fast = [solve(kernels, board(lut=lut), 12).cycles for lut in luts]
    assert fast == sorted(fast, reverse=True)
    assert fast[0] > fast[-1]
    shares = [
        sum(solve(kernels, PYNQ, 12, cycles=cycles).total.shares(PYNQ.resources)[name]
            for name in ("lut", "bram18"))
        for cycles in (64, 128, 512)
    ]  # fmt: skip
    assert shares[0] > 0.99 * shares[1] > 0.98 * shares[2]


def test_a_rate_gets_the_smallest_encoder_that_reaches_it() -> None:
    kernels = small_kernels()
    wanted = rate(20_000, 12)
    solution = solve(kernels, PYNQ, 12, tokens_per_s=wanted, clock_mhz=50)
    assert solution.tokens_per_s >= wanted
    assert solution.total == solve(kernels, PYNQ, 12, cycles=int(50e6 / wanted)).total
    fastest = solve(kernels, PYNQ, 12)
    assert solution.total.lut < fastest.total.lut


@pytest.mark.parametrize(
    ("kernels", "arguments", "message"),
    [
        (
            small_kernels(),
            {"cycles": 20},
            r"cycles: 20 per token don't fit pynq-z2: .* as fast.*do",
        ),
        (small_kernels(), {"cycles": 0}, "cycles: expected 1 to 65536, got 0"),
        (small_kernels(), {"clock_mhz": 0.0}, "clock_mhz: expected 1 to 2000, got 0"),
        (small_kernels(), {"tokens_per_s": -1.0}, "tokens_per_s: expected a positive rate, got -1"),
        ({}, {}, "kernels: expected those of an encoder, got no input_threshold"),
    ],
)
def test_an_impossible_request_is_one_line(
    kernels: Mapping[str, Kernel], arguments: dict[str, float], message: str
) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        solve(kernels, PYNQ, 12, **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_refusal_names_what_binds_what_fits_and_who_would_do() -> None:
    fastest = solve(small_kernels(), PYNQ, 12)
    with pytest.raises(ParameterError) as caught:
        solve(small_kernels(), board(lut=int(0.7 * fastest.total.lut)), 12, cycles=fastest.cycles)
    assert re.fullmatch(
        r"cycles: \d+ per token don't fit mine: LUT binds; \d+ do \([\d,]+ tokens/s at 100 MHz\); "
        r"pynq-z2 or .* would do",
        str(caught.value),
    )


def test_a_model_that_fits_at_no_speed_is_refused_as_such() -> None:
    with pytest.raises(DoesNotFit) as caught:
        solve(small_kernels(), board(lut=900), 12)
    assert re.fullmatch(
        r"board: the model doesn't fit mine at any speed: LUT binds; pynq-z2 or .* would do",
        str(caught.value),
    )


def test_mini_reaches_its_goal_on_pynq_z2() -> None:
    solution = solve(encoder_kernels("mini", 64), PYNQ, 64, cycles=256)
    assert solution.cycles <= 256
    assert solution.total.fits(Resources(45_000, 106_400, 260, 0, 220))
    assert solution.tera_ops >= 2.4
    alike = {tuple(sorted(solution.folding[f"layer{i}_up"].items())) for i in range(4)}
    assert len(alike) == 1


@pytest.mark.slow
def test_minilm_reaches_its_goal_on_kv260() -> None:
    solution = solve(encoder_kernels("minilm", 64), load_board("kv260"), 64, cycles=424)
    assert solution.tera_ops >= 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "base"])
def test_models_larger_than_a_board_are_refused(name: str) -> None:
    with pytest.raises(DoesNotFit, match="doesn't fit pynq-z2 at any speed"):
        solve(encoder_kernels(name, 64), PYNQ, 64)
