"""Simulate a whole design in Verilator, cycle by cycle, with sentences back to back.

Every instance is the RTL that goes onto the chip, but for what makes the simulation slow without
changing a cycle: three leaf modules have stand-ins (hw/sim/fast) that work on plain bits in place
of parity codes, so that the weights are brought back to plain bits for them; and FIFOs read their
depth from a file, so that one compiled simulation serves all depths. docs/simulation.md has more.
"""

import functools
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw.design import TOP, Design, End
from hw.errors import ParameterError
from hw.kernels import popcount
from hw.kernels.kernel import StreamPort
from hw.kernels.memory import memory_text
from hw.kernels.mvu import BinaryMvu
from hw.sim.beats import Beats, pack, unpack
from hw.sim.bench import SimulationError, Stalls
from hw.sim.usage import (
    LENGTH,
    RESIDUAL_IN,
    RESIDUAL_OUT,
    WEIGHTS,
    AcceleratorResult,
    Integers,
    instance_use,
    read_fifos,
    read_streams,
    standstill,
)
from hw.sim.verilator import HERE, Simulation, Style, build
from hw.stitch import FIFO_DEPTHS, design_sources, simulation_top, top_module

FAST = HERE / "fast"
TIMING = HERE / "timing"
PARTS = (HERE / "stream_monitor.sv", HERE / "simulated_fifo.sv")
PATIENCE = 20_000  # cycles without any beat after which a design stands still, at the least
TAIL_CYCLES = 200  # how long a run waits for beats that should not come
REPORT_CYCLES = 10_000  # between two reports of the progress
WHOLE = Style(checkers=False, optimize="-O2", split=500)  # why: docs/simulation.md


@dataclass(frozen=True)
class Progress:
    """How far a run is: cycles, and tokens given, of how many."""

    cycle: int
    tokens: int
    total: int


def build_accelerator(
    design: Design, *, exact: bool = False, trace: bool = False, timing: bool = False
) -> Simulation:
    """Compile the simulation of a design, or take it from the cache.

    The content of memories and the depths of FIFOs don't count: they are read at the start.

    Args:
        exact: the structural top as it is: no stand-ins, no monitors, FIFOs of fixed depths.
        trace: it can record a waveform.
        timing: without results, in half the time: nothing is summed.

    Raises:
        ToolError: Verilator or the compiler is missing, or refuses the design.
    """
    # What records a waveform is so much code that optimizing it takes longer than it saves.
    style = replace(WHOLE, trace=True, optimize="-O0") if trace else WHOLE
    with tempfile.TemporaryDirectory(prefix="edgebert-") as scratch:
        top = Path(scratch) / f"{design.name}.sv"
        if exact:
            top.write_text(top_module(design))
            return build(design.name, {}, only=[*design_sources(design), top], style=style)
        top.write_text(simulation_top(design))
        folders = (FAST, TIMING) if timing else (FAST,)
        stand_ins = {path.name: path for folder in folders for path in sorted(folder.glob("*.sv"))}
        own = [path for path in design_sources(design) if path.name not in stand_ins]
        only = [*own, *stand_ins.values(), *PARTS, top]
        return build(design.name, {}, only=only, style=style)


def simulate(
    design: Design,
    sentences: Sequence[Integers],
    *,
    stalls: Stalls | None = None,
    arrivals: Integers | None = None,
    exact: bool = False,
    trace: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    max_cycles: int = 1 << 40,
    simulation: Simulation | None = None,
) -> AcceleratorResult:
    """Run sentences through a design, back to back.

    Args:
        sentences: (N, H) of each: the residual behind the embedding.
        stalls: of the design's ports; none if None.
        arrivals: cycle before which each token isn't offered, all sentences' after one another.
        exact: simulate the structural top as it is; the result tells of no stream or FIFO.
        trace: file of a waveform (FST) to write; it gets large with more than a few sentences.
        progress: is told how far the run is, from time to time.
        max_cycles: give up after so many; a run that stands still ends anyhow.
        simulation: what `build_accelerator` gave for this design, to spare many runs its search.

    Raises:
        SimulationError: the design stands still (the message names the FIFOs that are full and
            those that are empty), or a stream breaks its contract.
        ParameterError: no sentence, or one that the design can't take.
        ToolError: Verilator or the compiler is missing.
    """
    _check_sentences(design, sentences)
    simulation = simulation or build_accelerator(design, exact=exact, trace=trace is not None)
    with tempfile.TemporaryDirectory(prefix="edgebert-") as scratch:
        run = _Run(design, simulation, Path(scratch), sentences, plain=not exact)
        run.write_files(arrivals)
        options = [f"trace={trace.resolve()}"] if trace is not None else []
        lines = run.start(stalls or Stalls(), options, progress, max_cycles)
        return run.read(lines)


def top_port(design: Design, name: str) -> StreamPort:
    """A port of the design."""
    return design.stream(End(TOP, name))


def load_order(design: Design) -> list[str]:
    """The instances that weights are loaded into, in the order of the chain."""
    follow = {c.source: c.target for c in design.connections}
    found, source = [], End(TOP, WEIGHTS)
    while source in follow:
        target = follow[source]
        if isinstance(design.instances[target.instance], BinaryMvu):
            found.append(target.instance)
            break
        found.append(follow[End(target.instance, "m_axis_local")].instance)
        source = End(target.instance, "m_axis_next")
    return found


@functools.lru_cache(maxsize=256)
def plain_weights(kernel: BinaryMvu, text: str) -> str:
    """A weight file with plain bits in place of parity codes, for the stand-ins."""
    bits = _bits(text, kernel.word_bits)
    return memory_text(_plain(kernel, bits), 1, kernel.word_bits)


def load_beats(design: Design, *, plain: bool) -> Beats:
    """Beats of `s_axis_weights`: the files `NAME.load.hex` of the loadable matrices."""
    parts = [np.zeros((0, top_port(design, WEIGHTS).width // 8), np.uint8)]
    for name in load_order(design):
        kernel = design.instances[name]
        if not isinstance(kernel, BinaryMvu):
            raise ParameterError(f"{name}: expected a matrix at the chain of weights")
        bits = _bits(design.memories[f"{name}.load.hex"], kernel.load_bits)
        if plain:
            words = bits.reshape(kernel.words, -1)
            words[:, : kernel.word_bits] = _plain(kernel, words[:, : kernel.word_bits])
            bits = words.reshape(-1, kernel.load_bits)
        parts.append(np.packbits(bits, axis=1, bitorder="little"))
    return np.concatenate(parts)


def _plain(kernel: BinaryMvu, words: NDArray[np.uint8]) -> NDArray[np.uint8]:
    weights = kernel.pe * kernel.simd
    codes = words[:, :weights].reshape(len(words), kernel.pe, kernel.simd)
    plain = popcount.decode(codes).reshape(len(words), weights)
    return np.concatenate([plain, words[:, weights:]], axis=1)


def _bits(text: str, bits: int) -> NDArray[np.uint8]:
    """Words of a memory file as bits (words, bits), lowest first."""
    digits = 2 * -(-bits // 8)
    data = bytes.fromhex("".join(line.rjust(digits, "0") for line in text.split()))
    words = np.frombuffer(data, np.uint8).reshape(-1, digits // 2)[:, ::-1]
    return np.unpackbits(words, axis=1, bitorder="little", count=bits)


def _check_sentences(design: Design, sentences: Sequence[Integers]) -> None:
    longest = int(design.properties.get("max_tokens", 1 << 30))
    port = top_port(design, RESIDUAL_IN)
    if not sentences:
        raise ParameterError("sentences: expected at least one, got none")
    hidden = sentences[0].shape[-1]
    for sentence in sentences:
        if sentence.ndim != 2 or sentence.shape[1] != hidden or hidden % port.lanes:
            raise ParameterError(f"sentences: expected (tokens, {hidden}), got {sentence.shape}")
        if not 1 <= len(sentence) <= longest:
            raise ParameterError(
                f"sentences: expected 1 to {longest} tokens (max_tokens), got {len(sentence)}"
            )


@dataclass
class _Run:
    """A run of the program in a folder of its own."""

    design: Design
    simulation: Simulation
    place: Path
    sentences: Sequence[Integers]
    plain: bool

    def write_files(self, arrivals: Integers | None) -> None:
        """Memories, FIFO depths, beats of the inputs and the cycles before which they wait."""
        design = self.design
        depths = "".join(f"{fifo.depth:x}\n" for fifo in design.fifos().values())
        (self.place / FIFO_DEPTHS).write_text(depths)
        for name, text in design.memories.items():
            (self.place / name).write_text(text)
        if self.plain:
            for kernel in design.instances.values():
                if isinstance(kernel, BinaryMvu) and not kernel.loadable:
                    text = plain_weights(kernel, design.memories[kernel.weight_file])
                    (self.place / kernel.weight_file).write_text(text)
        port, length = top_port(design, RESIDUAL_IN), top_port(design, LENGTH)
        words = np.concatenate(list(self.sentences))
        self._write(RESIDUAL_IN, pack(words, port.bits, port.lanes))
        self._write(LENGTH, pack([len(s) for s in self.sentences], length.bits, 1))
        if WEIGHTS in self.simulation.ports:
            self._write(WEIGHTS, load_beats(design, plain=self.plain))
        if arrivals is not None:
            times = np.repeat(np.asarray(arrivals, np.int64), words.shape[1] // port.lanes)
            times.tofile(self.place / f"{RESIDUAL_IN}.times")

    def start(
        self,
        stalls: Stalls,
        options: list[str],
        progress: Callable[[Progress], None] | None,
        max_cycles: int,
    ) -> list[str]:
        """Run the program to its end; its lines, without those of the progress."""
        tokens = sum(len(sentence) for sentence in self.sentences)
        beats = self.sentences[0].shape[1] // top_port(self.design, RESIDUAL_OUT).lanes
        command = [str(self.simulation.program), f"seed={stalls.seed}", f"max={max_cycles}"]
        command += [f"idle={self._patience()}", f"tail={TAIL_CYCLES}", *options]
        command += [f"progress={REPORT_CYCLES}", f"count.{RESIDUAL_OUT}={tokens * beats}"]
        for name in self.simulation.ports:
            share = stalls.ports.get(name, stalls.share)
            command += [f"stall.{name}={share}", f"burst.{name}={stalls.burst}"]
        lines = []
        with (
            (self.place / "errors").open("w+") as errors,
            subprocess.Popen(
                command, cwd=self.place, stdout=subprocess.PIPE, stderr=errors, text=True
            ) as program,
        ):
            try:
                for line in program.stdout or ():
                    if not line.startswith("at "):
                        lines.append(line.rstrip())
                    elif progress is not None:
                        _, cycle, given = line.split()
                        progress(Progress(int(cycle), int(given) // beats, tokens))
                code = program.wait()
            finally:
                program.kill()
            errors.seek(0)
            lines += [line.rstrip() for line in errors]
        self._check_end(lines, code)
        return lines

    def read(self, lines: Sequence[str]) -> AcceleratorResult:
        """The result, from the program's lines and files."""
        design, lengths = self.design, [len(sentence) for sentence in self.sentences]
        taken = {
            name: np.fromfile(self.place / f"{name}.cycles", dtype=np.int64)
            for name in self.simulation.ports
        }
        port = top_port(design, RESIDUAL_OUT)
        file = np.fromfile(self.place / f"{RESIDUAL_OUT}.out", dtype=np.uint8)
        beats = file.reshape(-1, self.simulation.ports[RESIDUAL_OUT].field_bytes)
        values = unpack(beats, port.bits, port.lanes, signed=True)
        residuals = np.split(values.reshape(sum(lengths), -1), np.cumsum(lengths)[:-1])
        cycles = int(taken[RESIDUAL_OUT][-1] - taken[RESIDUAL_IN][0]) + 1
        use = read_streams(design, lines)
        return AcceleratorResult(
            residuals,
            cycles,
            taken,
            {str(connection.source): stream for connection, stream in use.items()},
            instance_use(design, use, lengths, cycles),
            read_fifos(design, lines),
        )

    def _patience(self) -> int:
        """Longer than any kernel works without a beat."""
        words = [k.words for k in self.design.instances.values() if isinstance(k, BinaryMvu)]
        return PATIENCE + 8 * max(words, default=0)

    def _check_end(self, lines: Sequence[str], code: int) -> None:
        ends = [line.split(maxsplit=2) for line in lines if line.startswith("end ")]
        if code == 0 and ends and ends[-1][2] == "done":
            return
        name = self.design.name
        if code or not ends or not ends[-1][2].startswith("timeout"):
            found = [line for line in lines if "rror" in line] or [ends[-1][2] if ends else ""]
            if code < 0 and -code in set(signal.Signals):
                found.append(signal.Signals(-code).name)
            raise SimulationError(f"{name}: {'; '.join(found).strip()}")
        _, cycle, state = ends[-1]
        ports = state.removeprefix("timeout ")
        use = read_streams(self.design, lines)
        held = standstill(self.design, use, read_fifos(self.design, lines)) if use else ""
        raise SimulationError(f"{name} stands still at cycle {cycle} ({ports}); {held}")

    def _write(self, name: str, beats: Beats) -> None:
        port = self.simulation.ports[name]
        np.pad(beats, ((0, 0), (0, port.field_bytes - beats.shape[1]))).tofile(
            self.place / f"{name}.in"
        )
