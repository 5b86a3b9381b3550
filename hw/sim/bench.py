"""Run a module in Verilator: beats in, beats out, under stalls and resets of any kind."""

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw.sim.beats import Beats
from hw.sim.verilator import RTL, Parameter, Port, Simulation, build

TAIL_CYCLES = 200  # how long a run waits for beats that should not come


class SimulationError(AssertionError):
    """The module broke the contract of its streams, or did not end."""


@dataclass(frozen=True)
class Stalls:
    """How the streams' partners behave.

    Attributes:
        seed: of the random stalls, and of the values that registers start with.
        share: share of the cycles in which a port's partner does not take part, in [0, 1).
        burst: mean number of cycles of a stall; at least 1 / (1 - share), which is what it is if
            each cycle is a draw of its own.
        ports: shares of single ports, in place of `share`.
    """

    seed: int = 1
    share: float = 0.0
    burst: float = 1.0
    ports: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What a run gave.

    Attributes:
        outputs: beats of every stream that leaves.
        taken: cycle in which each beat of a port was taken, of every stream.
        before: the outputs before the reset, if there was one.
        cycles: cycles of the run.
    """

    outputs: dict[str, Beats]
    taken: dict[str, NDArray[np.int64]]
    before: dict[str, Beats]
    cycles: int


def run(
    top: str,
    parameters: Mapping[str, Parameter],
    inputs: Mapping[str, Beats],
    expected: Mapping[str, int],
    *,
    memories: Mapping[str, str] | None = None,
    stalls: Stalls | None = None,
    reset_at: int | None = None,
    constants: Mapping[str, int] | None = None,
    max_cycles: int = 1_000_000,
    max_idle: int | None = None,
    folder: Path = RTL,
    simulation: Simulation | None = None,
) -> Result:
    """Simulate a module until it has given every expected beat, and a while longer.

    Args:
        top: module name.
        parameters: values of its parameters.
        inputs: beats of every stream that enters, by port name (`s_axis`, `s_axis_key`).
        expected: number of beats of every stream that leaves.
        memories: content of the memory files that the module reads, by file name.
        stalls: none if None.
        reset_at: cycle of a reset, after which every input starts from its first beat again.
        constants: values of inputs that are no streams.
        max_cycles: give up after so many.
        max_idle: give up after so many in which no port took a beat; max_cycles if None.
        folder: where the module's sources lie.
        simulation: one that is built already, in place of `top` and `parameters`.

    Raises:
        SimulationError: an offered beat changed, valid waited for ready, a beat too many, or
            not all beats within max_cycles or max_idle.
    """
    simulation = simulation or build(top, parameters, folder)
    stalls = stalls or Stalls()
    _check_names(simulation, inputs, expected)
    with tempfile.TemporaryDirectory(prefix="edgebert-") as scratch:
        place = Path(scratch)
        for name, text in (memories or {}).items():
            (place / name).write_text(text)
        for name, beats in inputs.items():
            _padded(simulation.ports[name], beats).tofile(place / f"{name}.in")
        command = [str(simulation.program), f"seed={stalls.seed}", f"max={max_cycles}"]
        command += [f"tail={TAIL_CYCLES}", f"reset={-1 if reset_at is None else reset_at}"]
        command += [f"idle={max_cycles if max_idle is None else max_idle}"]
        for name in simulation.ports:
            share = stalls.ports.get(name, stalls.share)
            command += [f"stall.{name}={share}", f"burst.{name}={stalls.burst}"]
        command += [f"count.{name}={count}" for name, count in expected.items()]
        command += [f"set.{name}={value}" for name, value in (constants or {}).items()]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        cycles = _check_end(top, done)
        return _read_result(simulation, place, cycles)


def _check_names(
    simulation: Simulation, inputs: Mapping[str, Beats], expected: Mapping[str, int]
) -> None:
    for given, enters in ((inputs, True), (expected, False)):
        ports = {name for name, port in simulation.ports.items() if port.enters == enters}
        if set(given) != ports:
            raise ValueError(f"expected the streams {sorted(ports)}, got {sorted(given)}")


def _padded(port: Port, beats: Beats) -> Beats:
    if beats.shape[1] != -(-port.bits // 8):
        raise ValueError(f"{port.name}: expected beats of {port.bits} bits, got {beats.shape[1]} B")
    return np.pad(beats, ((0, 0), (0, port.field_bytes - beats.shape[1])))


def _check_end(top: str, done: "subprocess.CompletedProcess[str]") -> int:
    lines = done.stdout.splitlines()
    last = lines[-1].split(maxsplit=2) if lines else []
    if done.returncode or len(last) != 3 or last[0] != "end" or last[2] != "done":
        raise SimulationError(f"{top}: {done.stdout.strip()} {done.stderr.strip()}")
    return int(last[1])


def _read_result(simulation: Simulation, place: Path, cycles: int) -> Result:
    taken = {
        name: np.fromfile(place / f"{name}.cycles", dtype=np.int64) for name in simulation.ports
    }
    leaving = [port for port in simulation.ports.values() if not port.enters]
    outputs = {port.name: _read_beats(port, place / f"{port.name}.out") for port in leaving}
    before = {
        port.name: _read_beats(port, place / f"before.{port.name}.out")
        for port in leaving
        if (place / f"before.{port.name}.out").exists()
    }
    return Result(outputs, taken, before, cycles)


def _read_beats(port: Port, path: Path) -> Beats:
    beats = np.fromfile(path, dtype=np.uint8).reshape(-1, port.field_bytes)
    return beats[:, : -(-port.bits // 8)]
