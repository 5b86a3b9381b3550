"""Depths of a design's FIFOs, found by simulating all of it.

Timing depends on the lengths of sentences alone, not on their data. A run whose FIFOs never fill,
with tokens that come at the pace of the slowest kernel, shows how many beats each FIFO ever holds:
with these depths nothing is lost. Then depths are halved, those of equal role in all layers
together, as long as no mix of sentences takes longer than `TOLERANCE` allows; so halving any of
them once more costs throughput, or stops the design. Large ones are then searched more finely.

Of more than two layers, two are simulated for that (hw/sim/two_layers.py), and all of them at the
end, with stalls.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from hw.design import Design
from hw.kernels.attention import BinaryAttention
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import StreamFifo, takes_block_ram
from hw.sim.accelerator import build_accelerator, simulate
from hw.sim.bench import SimulationError, Stalls
from hw.sim.pace import ideal_cycles
from hw.sim.two_layers import layers, two_layers
from hw.sim.usage import AcceleratorResult
from hw.sim.verilator import Simulation
from hw.stitch import fifo_capacity

TOLERANCE = 0.01  # share of all cycles that shallower FIFOs may cost
LEAST = 2  # beats: a skid buffer
FINE_DEPTH = 64  # from here on a depth is searched more finely than to a half
WORKERS = os.cpu_count() or 1
TURNS, GROUPS = 3, 5  # how often all that is under way goes through; groups under way in a layer
SPARE_CYCLES = 1000  # between the cycles that count and those of a run
LENGTHS = "attention_length_fifo"  # role of those that lengths of sentences wait in
STALLS = Stalls(seed=7, share=0.3, burst=20)

T = TypeVar("T")
Lengths = tuple[int, ...]
Fields = dict[str, dict[str, int | str]]


@dataclass(frozen=True)
class Pace:
    """What a mix of sentences takes.

    Attributes:
        lengths: of the sentences.
        cycles_per_token: steady state, between the ends of two sentences of one length.
        ideal: cycles per token of the slowest kernel on those sentences.
        slowest: its name.
    """

    lengths: Lengths
    cycles_per_token: float
    ideal: float
    slowest: str

    @property
    def loss(self) -> float:
        """How much longer it takes than the ideal, as a share."""
        return self.cycles_per_token / self.ideal - 1


def sentence_mixes(design: Design, seed: int = 1) -> tuple[Lengths, ...]:
    """Sentences of the greatest length, the least, both by turns, and random ones.

    They are more than are on their way through the layers at once: in each layer about a longest
    sentence, and a few groups of the tokens that share weights.
    """
    n = int(design.properties["max_tokens"])
    layers = sum(isinstance(kernel, BinaryAttention) for kernel in design.instances.values())
    group = max(
        (k.tokens for k in design.instances.values() if isinstance(k, BinaryMvu)), default=1
    )
    long = -(-TURNS * max(layers, 1) * (n + GROUPS * group) // n)
    rng = np.random.default_rng(seed)
    short = tuple(1 + i % min(3, n) for i in range(24 * max(layers, 1)))
    # More short ones than long ones, as in text: several wait where a long one is at work.
    random = tuple(1 + int(length) for length in (n - 1) * rng.random(24) ** 2)
    return (n,) * long, short, (n, 1, 1) * (long // 2), (n, *random, n)


def size_fifos(
    design: Design,
    mixes: Sequence[Lengths] | None = None,
    *,
    report: Callable[[str], None] = lambda line: None,
) -> Fields:
    """Depths for every FIFO of a design, as small as its throughput allows to within a half.

    Args:
        design: its own depths don't count.
        mixes: lengths of sentences, back to back; `sentence_mixes` if None.
        report: is told of each trial, in a line.

    Returns:
        `depth` and `ram` by name of the FIFO; the same for the same design.

    Raises:
        SimulationError: the design stops even with FIFOs that never fill.
        ToolError: Verilator or the compiler is missing.
    """
    small = two_layers(design)
    mixes = mixes or sentence_mixes(small)
    small = with_depths(small, unlimited(small))
    # One for all depths. That of a whole design serves others too, so it is made as they want it.
    timing = len(small.instances) < len(design.instances)
    sizing = _Sizing(small, build_accelerator(small, timing=timing), mixes, report)
    sizing.start()
    sizing.halve(sizing.by_size())
    for role in sizing.by_size():
        sizing.refine(role)
    sizing.halve(sizing.by_size())
    final = with_depths(design, _all_layers(design, sizing.found, sizing.narrowest))
    simulation = build_accelerator(final)
    report("all layers, with stalls")

    def stalled(lengths: Lengths) -> AcceleratorResult:
        return _simulate(final, simulation, lengths, STALLS)  # raises if it stops

    _parallel(stalled, mixes[1:] or mixes)  # the first takes longest and has one length only
    return {name: _fields(fifo) for name, fifo in final.fifos().items()}


def measure_pace(design: Design, mixes: Iterable[Lengths] | None = None) -> list[Pace]:
    """Cycles per token of a design, and those of its slowest kernel, for each mix of sentences."""
    found, simulation = [], build_accelerator(design)
    for lengths in mixes or sentence_mixes(design):
        ends = [i for i, length in enumerate(lengths[:-1]) if length == lengths[-1]]
        skip = 1 + next((i for i in ends if i >= len(lengths) // 4), ends[0] if ends else 0)
        slowest, ideal = ideal_cycles(design, lengths[skip:])
        measured = _simulate(design, simulation, lengths).cycles_per_token(skip)
        found.append(Pace(lengths, measured, ideal / sum(lengths[skip:]), slowest))
    return found


def with_depths(design: Design, depths: Mapping[str, int]) -> Design:
    """The design with other depths of some FIFOs."""
    fifos = design.fifos()
    return design.with_kernels({n: replace(fifos[n], depth=depth) for n, depth in depths.items()})


def _all_layers(
    design: Design, found: Mapping[str, int], narrowest: Mapping[str, int]
) -> dict[str, int]:
    """Depths of every FIFO, from those that two layers need.

    A length waits while its sentence passes the layers before, so its FIFO is as many times deeper.
    """
    passed = max(1, layers(design) - 1)
    depths = _as_wide(design, found, narrowest)
    return {n: depth * (passed if role(n) == LENGTHS else 1) for n, depth in depths.items()}


def _as_wide(
    design: Design, found: Mapping[str, int], narrowest: Mapping[str, int]
) -> dict[str, int]:
    """Depths of every FIFO that hold as many bits as those of a role's narrowest."""
    return {
        name: max(LEAST, -(-found[role(name)] * narrowest[role(name)] // fifo.width))
        for name, fifo in design.fifos().items()
    }


def _narrowest(design: Design) -> dict[str, int]:
    """Bits of the narrowest FIFO of each role."""
    widths: dict[str, int] = {}
    for name, fifo in design.fifos().items():
        widths[role(name)] = min(fifo.width, widths.get(role(name), fifo.width))
    return widths


def unlimited(design: Design) -> dict[str, int]:
    """Depths that never stop a pipeline: what a simulated FIFO can hold."""
    shallow = {name: replace(fifo, depth=LEAST) for name, fifo in design.fifos().items()}
    return {name: fifo_capacity(design, fifo) for name, fifo in shallow.items()}


def role(name: str) -> str:
    """What FIFOs of equal place in all layers have in common."""
    return re.sub(r"^layer\d+_", "", name)


@dataclass
class _Sizing:
    """The search: depths by role, in beats of its narrowest FIFO; wider ones hold as many bits."""

    design: Design  # FIFOs that never fill
    simulation: Simulation
    mixes: Sequence[Lengths]
    report: Callable[[str], None]
    found: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)  # greatest depth known as too shallow
    limits: list[float] = field(default_factory=list)  # cycles, by mix
    trials: int = 0

    def __post_init__(self) -> None:
        self.narrowest = _narrowest(self.design)

    def start(self) -> None:
        """Depths at which nothing is lost, and the cycles of each mix with them."""
        most: dict[str, int] = {}

        def paced(mix: Lengths) -> AcceleratorResult:
            return _simulate(self.design, self.simulation, mix, paced=True)

        for result in _parallel(paced, self.mixes):
            for name, fifo in result.fifos.items():
                narrow, width = self.narrowest[role(name)], self.design.fifos()[name].width
                beats = -(-fifo.high_water * width // narrow)
                most[role(name)] = max(most.get(role(name), LEAST), beats)
        self.found = most
        cycles = self._cycles(self.found)
        if cycles is None:
            raise SimulationError(f"{self.design.name}: expected to run with FIFOs that never fill")
        self.limits = [(1 + TOLERANCE) * count for count in cycles]
        self.report(f"FIFOs at most as full as {sum(most.values())} beats in {len(most)} roles")

    def by_size(self) -> list[str]:
        """Roles that can be smaller, the largest memory first."""
        fifos = self.design.fifos()
        bits = {role(n): self.narrowest[role(n)] * self.found[role(n)] for n in fifos}
        able = [r for r in self.found if self.found[r] > LEAST]
        return sorted(able, key=lambda r: (-bits[r], r))

    def halve(self, roles: list[str]) -> None:
        """Halve the depths of these, together where that works, until none can be halved."""
        roles = [r for r in roles if self._half(r) > self.failed.get(r, 0)]
        if not roles:
            return
        if self._try({r: self._half(r) for r in roles}):
            self.halve([r for r in roles if self.found[r] > LEAST])
        elif len(roles) == 1:
            self.failed[roles[0]] = self._half(roles[0])
        else:
            self.halve(roles[: len(roles) // 2])
            self.halve(roles[len(roles) // 2 :])

    def refine(self, role: str) -> None:
        """Search a large depth to an eighth of a power of two, as memories come."""
        while self.found[role] >= FINE_DEPTH:
            low, high = self.failed.get(role, LEAST), self.found[role]
            step = 1 << (high.bit_length() - 4)
            middle = (low + high) // 2 // step * step
            if middle <= low:
                middle = (high - 1) // step * step
            if middle <= low:
                return
            if not self._try({role: middle}):
                self.failed[role] = middle

    def _all(self, found: Mapping[str, int]) -> dict[str, int]:
        return _as_wide(self.design, found, self.narrowest)

    def _half(self, role: str) -> int:
        return max(LEAST, (self.found[role] + 1) // 2) if self.found[role] > LEAST else 0

    def _try(self, change: Mapping[str, int]) -> bool:
        """Take these depths if no mix becomes too slow."""
        trial = {**self.found, **change}
        cycles = self._cycles(trial)
        fits = cycles is not None and all(
            count <= limit for count, limit in zip(cycles, self.limits, strict=True)
        )
        if fits:
            self.found = trial
        self.trials += 1
        names = ", ".join(f"{r} {depth}" for r, depth in change.items())
        self.report(f"trial {self.trials}: {names}: {'kept' if fits else 'too shallow'}")
        return fits

    def _cycles(self, found: Mapping[str, int]) -> list[int] | None:
        """Cycles of each mix; None if the design stops, or takes too long."""
        design = with_depths(self.design, self._all(found))
        limits = dict(zip(self.mixes, self.limits, strict=False))

        def cycles(lengths: Lengths) -> int | None:
            # A run that goes on for long is too slow; one that is just too slow may end.
            most = int(limits[lengths]) + SPARE_CYCLES if lengths in limits else None
            try:
                return _simulate(design, self.simulation, lengths, max_cycles=most).cycles
            except SimulationError:
                return None

        counts: list[int] = []
        for start in range(0, len(self.mixes), WORKERS):  # most fail at the first mixes already
            results = _parallel(cycles, self.mixes[start : start + WORKERS])
            counts += [count for count in results if count is not None]
            if None in results:
                return None
        return counts


def _parallel(work: Callable[[Lengths], T], mixes: Sequence[Lengths]) -> list[T]:
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(work, mixes))


def _simulate(
    design: Design,
    simulation: Simulation,
    lengths: Lengths,
    stalls: Stalls | None = None,
    *,
    paced: bool = False,
    max_cycles: int | None = None,
) -> AcceleratorResult:
    """Run sentences of these lengths; `paced`: tokens come as fast as the slowest kernel."""
    hidden = max(getattr(kernel, "hidden", 1) for kernel in design.instances.values())
    sentences = [np.zeros((length, hidden), dtype=np.int64) for length in lengths]
    arrivals = None
    if paced:
        ideal = ideal_cycles(design, lengths)[1] / sum(lengths)
        arrivals = (ideal * np.arange(sum(lengths))).astype(np.int64)
    return simulate(
        design,
        sentences,
        stalls=stalls,
        arrivals=arrivals,
        max_cycles=max_cycles or 1 << 40,
        simulation=simulation,
    )


def _fields(fifo: StreamFifo) -> dict[str, int | str]:
    block = fifo.depth > LEAST and takes_block_ram(fifo.depth - 1, fifo.width)
    return {"depth": fifo.depth, "ram": "block" if block else "distributed"}
