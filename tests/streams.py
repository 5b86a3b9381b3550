"""Stream modules under random stalls: beats in, the beats that must come, and a reset."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hw.sim.beats import Beats
from hw.sim.bench import Result, Stalls, run
from hw.sim.verilator import Simulation, build

RTL = Path(__file__).parent / "rtl"

# No stalls, frequent short ones, rare long ones, and a partner that is almost always away.
STALLS = (
    Stalls(1),
    Stalls(2, share=0.5),
    Stalls(3, share=0.3, burst=9),
    Stalls(4, share=0.9, burst=3),
)


def wrapped(top: str, parameters: Mapping[str, int]) -> Simulation:
    """A module of tests/rtl, with those of hw/rtl that it needs."""
    return build(top, parameters, extra=[RTL / f"{top}.sv"])


def random_beats(seed: int, count: int, bits: int) -> Beats:
    """Beats with the bits above `bits` of their last byte zero."""
    rng = np.random.default_rng(seed)
    beats = rng.integers(0, 256, (count, -(-bits // 8)), dtype=np.uint8)
    beats[:, -1] &= 0xFF >> (-bits % 8)
    return beats


def check(
    top: str,
    parameters: Mapping[str, int | str],
    inputs: Mapping[str, Beats],
    expected: Mapping[str, Beats],
    stalls: Stalls = STALLS[0],
    reset_at: int | None = None,
    simulation: Simulation | None = None,
) -> Result:
    """Run a module; what leaves must equal `expected`, and begin like it before a reset."""
    counts = {name: len(beats) for name, beats in expected.items()}
    result = run(
        top,
        parameters,
        inputs,
        counts,
        stalls=stalls,
        reset_at=reset_at,
        simulation=simulation,
    )
    for name, beats in expected.items():
        assert np.array_equal(result.outputs[name], beats), f"{name} differs"
        if reset_at is not None:
            before = result.before[name]
            assert np.array_equal(before, beats[: len(before)]), f"{name} differs before the reset"
    return result
