"""Simulated timing of a design: latency of a sentence alone, pace of many of its length."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from hw.design import Design
from hw.integer_model import Tensor
from hw.sim.accelerator import build_accelerator, simulate
from hw.sim.pace import ideal_cycles

LENGTHS = (4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Timing:
    """Timing of sentences of one length.

    Attributes:
        tokens: of a sentence.
        latency_cycles: of one alone, from its first beat taken to its last given.
        cycles_per_token: of many, back to back, when the pipeline is full.
        ideal_cycles_per_token: of the slowest instance at its best.
        slowest: its name.
    """

    tokens: int
    latency_cycles: int
    cycles_per_token: float
    ideal_cycles_per_token: float
    slowest: str


def measure(design: Design, lengths: Sequence[int] = LENGTHS) -> list[Timing]:
    """Simulate sentences of each length that the design takes; data don't matter."""
    most = int(design.properties["max_tokens"])
    chosen = [tokens for tokens in sorted({*lengths, most}, reverse=True) if tokens <= most]
    build_accelerator(design)  # once, for all
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = list(pool.map(lambda tokens: _measure(design, tokens, most), chosen))
    return found[::-1]


def _measure(design: Design, tokens: int, max_tokens: int) -> Timing:
    hidden = design.instances["input_threshold"].parameters()["HIDDEN"]
    sentence: Tensor = np.zeros((tokens, int(hidden)), dtype=np.int64)
    (alone,) = simulate(design, [sentence]).latencies()
    slowest, cycles = ideal_cycles(design, [tokens])
    # As many go before as are on their way at once. Tokens leave in the groups that the slowest
    # kernel makes of them, so whole groups are measured.
    filling = 1 + int(alone // cycles)
    group = math.lcm(tokens, getattr(design.instances[slowest], "tokens", 1)) // tokens
    measured = group * -(-max_tokens // (group * tokens))
    run = simulate(design, [sentence] * (filling + measured))
    return Timing(tokens, alone, run.cycles_per_token(skip=filling), cycles / tokens, slowest)
