"""What a simulated design did: its residuals, its cycles, the use of streams, FIFOs, instances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.design import TOP, Connection, Design
from hw.errors import ParameterError
from hw.sim.pace import work_cycles

Integers = NDArray[np.int64]

RESIDUAL_IN, RESIDUAL_OUT = "s_axis_residual", "m_axis_residual"
LENGTH, WEIGHTS = "s_axis_length", "s_axis_weights"


@dataclass(frozen=True)
class StreamUse:
    """What happened on a connection, from the end of the reset on.

    Attributes:
        taken: cycles in which a beat was taken.
        stalled: in which one was offered and not taken.
        starved: in which none was offered and one would have been taken.
        valid, ready: the handshake at the end.
    """

    taken: int
    stalled: int
    starved: int
    valid: bool
    ready: bool


@dataclass(frozen=True)
class FifoUse:
    """Beats of a FIFO: what it can hold, holds at the end, and held at the most."""

    depth: int
    level: int
    high_water: int


@dataclass(frozen=True)
class InstanceUse:
    """What an instance did.

    Attributes:
        inputs, outputs: use of its streams, by port; a fork's copies are `port[i]`.
        busy: share of the run's cycles that its work takes at its best; None for parts without
            work of their own (FIFOs, forks, width converters).
    """

    inputs: dict[str, StreamUse]
    outputs: dict[str, StreamUse]
    busy: float | None


@dataclass(frozen=True)
class AcceleratorResult:
    """What a run gave.

    Attributes:
        residuals: of the last layer, (N, H) for every sentence.
        cycles: from the first residual beat that was taken to the last that was given.
        taken: cycle in which each beat of the design's ports was taken, by port.
        streams: use of each connection, by its source (`str(End)`).
        instances: use of each instance.
        fifos: use of each FIFO.
    """

    residuals: list[Integers]
    cycles: int
    taken: dict[str, Integers]
    streams: dict[str, StreamUse]
    instances: dict[str, InstanceUse]
    fifos: dict[str, FifoUse]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sentence."""
        return [len(residual) for residual in self.residuals]

    def latencies(self) -> list[int]:
        """Cycles of each sentence from its first beat taken to its last beat given."""
        first, _ = self._bounds(RESIDUAL_IN)
        _, last = self._bounds(RESIDUAL_OUT)
        return [int(cycles) for cycles in last - first + 1]

    def cycles_per_token(self, skip: int = 1) -> float:
        """Steady-state cycles per token: from the last beat of one sentence to that of the last.

        Args:
            skip: sentences at the start that are left out, while the pipeline fills.

        Raises:
            ParameterError: no sentence is left, or none left out.
        """
        if not 1 <= skip < len(self.residuals):
            raise ParameterError(
                f"skip: expected 1 to {len(self.residuals) - 1} of the sentences, got {skip}"
            )
        _, last = self._bounds(RESIDUAL_OUT)
        return float(last[-1] - last[skip - 1]) / sum(self.lengths[skip:])

    def _bounds(self, port: str) -> tuple[Integers, Integers]:
        """Cycles of the first and the last beat of every sentence."""
        lengths, times = np.array(self.lengths), self.taken[port]
        ends = np.cumsum(lengths) * (len(times) // lengths.sum())
        return times[np.concatenate([[0], ends[:-1]])], times[ends - 1]


def read_streams(design: Design, lines: Sequence[str]) -> dict[Connection, StreamUse]:
    """Use of each connection, from the lines that the monitors printed."""
    use = {}
    for fields in _fields("stream", lines):
        index, taken, stalled, starved, valid, ready = fields
        connection = design.connections[index]
        use[connection] = StreamUse(taken, stalled, starved, bool(valid), bool(ready))
    return use


def read_fifos(design: Design, lines: Sequence[str]) -> dict[str, FifoUse]:
    """Use of each FIFO, from the lines that they printed."""
    fifos = list(design.fifos().items())
    found = {index: (level, most) for index, level, most in _fields("fifo", lines)}
    return {fifos[i][0]: FifoUse(fifos[i][1].depth, *found[i]) for i in sorted(found)}


def instance_use(
    design: Design, use: dict[Connection, StreamUse], lengths: Sequence[int], cycles: int
) -> dict[str, InstanceUse]:
    """Use of each instance, from that of its streams."""
    inputs: dict[str, dict[str, StreamUse]] = {name: {} for name in design.instances}
    outputs: dict[str, dict[str, StreamUse]] = {name: {} for name in design.instances}
    for connection, stream in use.items():
        source, target = connection.source, connection.target
        if source.instance != TOP:
            copy = "" if source.copy is None else f"[{source.copy}]"
            outputs[source.instance][source.port + copy] = stream
        if target.instance != TOP:
            inputs[target.instance][target.port] = stream
    result = {}
    for name, kernel in design.instances.items():
        work = work_cycles(kernel, lengths)
        busy = None if work is None else work / cycles
        result[name] = InstanceUse(inputs[name], outputs[name], busy)
    return result


def standstill(design: Design, use: dict[Connection, StreamUse], fifos: dict[str, FifoUse]) -> str:
    """What holds a design that doesn't move: full FIFOs, and empty ones that are waited for.

    The last of the data's way come first: what is in front of them is held by them.
    """
    into = {c.target.instance: s for c, s in use.items()}
    out = {c.source.instance: s for c, s in use.items() if c.source.copy is None}
    full = [
        f"{name} ({fifo.level} of {fifo.depth})"
        for name, fifo in fifos.items()
        if into[name].valid and not into[name].ready
    ]
    empty = [name for name in fifos if out[name].ready and not out[name].valid]
    return f"full: {_some(full[::-1])}; empty and waited for: {_some(empty[::-1])}"


def _some(names: Sequence[str], most: int = 8) -> str:
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more]) or "none"


def _fields(kind: str, lines: Sequence[str]) -> list[list[int]]:
    found = [line.split() for line in lines]
    return [[int(value) for value in words[1:]] for words in found if words and words[0] == kind]
