"""The functions of `finn.xsi` that FINN's rtlsim goes through, on Verilator instead of Vivado.

With them `PrepareRTLSim` and `exec_mode="rtlsim"` run for single nodes. FINN hands over the
generated Verilog of a node, streams of integers (one per beat, of any width) and the number of
beats to expect; hw/sim builds and runs the module, and checks the contract of its streams on the
way. `hw.finn.adapter.finn_session` puts these functions in place.

Differences from FINN's own: `FINN_SIMULATION` is always defined, because the models of Xilinx's
primitives are not there; every run starts from a reset; there are no waveforms, no AXI-MM images
and no VHDL.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hw.errors import ToolError
from hw.sim.beats import Beats
from hw.sim.bench import run
from hw.sim.verilator import Names, Port, Simulation, build, read_simulation

NAMES = Names("ap_clk", "ap_rst_n", "_TDATA", "_TVALID", "_TREADY")
DEFINES = ("FINN_SIMULATION",)
SOURCES = (".v", ".sv")
MEMORIES = (".dat", ".mem", ".hex")
FOLDER = "xsim.dir"  # FINN splits the path that it keeps in `rtlsim_so` at this name
MAX_CYCLES = 10**12  # a run that stands still ends by its liveness threshold


@dataclass
class SimEngine:
    """A simulation of one node.

    Attributes:
        top: module name.
        simulation: what hw/sim compiled.
        folders: where the memory files lie that the module reads.
        reset: whether a run may start.
    """

    top: str
    simulation: Simulation
    folders: tuple[Path, ...]
    reset: bool = False


def locate_glbl() -> None:
    """There is no glbl.v without Vivado."""


def get_simkernel_so() -> str:
    """Name of the simulator kernel: there is none."""
    return "verilator"


def compile_sim_obj(
    top_module_name: str,
    source_list: Sequence[str],
    sim_out_dir: Path,
    debug: bool = False,
    behav: bool = False,
    fifosim: bool = False,
) -> tuple[Path, Path]:
    """Compile a module and write where the result lies.

    Generated sources name memory files by absolute paths. Here they are named relative to the
    folder that the simulation runs in, so that equal sources compile once, whatever their folder.

    Args:
        top_module_name: module whose ports FINN drives.
        source_list: Verilog and SystemVerilog files.
        sim_out_dir: an existing folder.
        debug, behav, fifosim: of FINN's signature; without effect.

    Returns:
        sim_out_dir, and the file in it that `load_sim_obj` reads.

    Raises:
        ToolError: a source that Verilator can't read, or see `hw.sim.verilator.build`.
    """
    sources, folders = [], []
    for path in dict.fromkeys(map(Path, source_list)):
        if path.suffix not in SOURCES:
            raise ToolError(f"{top_module_name}: expected {' or '.join(SOURCES)}, got {path.name}")
        text = path.read_text()
        start = f'"{path.parent.resolve()}/'
        if start in text:
            path, folder = sim_out_dir / path.name, path.parent.resolve()
            path.write_text(text.replace(start, '"./'))
            folders.append(str(folder))
        sources.append(path)
    sources.sort(key=lambda path: not re.search(r"^\s*package\b", path.read_text(), re.MULTILINE))
    simulation = build(top_module_name, {}, only=sources, names=NAMES, defines=DEFINES)
    place = Path(FOLDER) / top_module_name / "simulation.json"
    (sim_out_dir / place).parent.mkdir(parents=True, exist_ok=True)
    made = {"program": str(simulation.program), "folders": sorted(set(folders))}
    (sim_out_dir / place).write_text(json.dumps(made))
    return sim_out_dir, place


def load_sim_obj(
    sim_out_dir: Path,
    out_so_relative_path: Path,
    tracefile: str | None = None,
    simkernel_so: str | None = None,
) -> SimEngine:
    """Read what `compile_sim_obj` wrote.

    Raises:
        ToolError: a waveform is asked for, or the compiled simulation is gone from the cache.
    """
    if tracefile:
        raise ToolError(f"expected no rtlsim_trace, got {tracefile}: nodes write no waveform")
    place = sim_out_dir / out_so_relative_path
    made = json.loads(place.read_text())
    program = Path(made["program"])
    if not program.is_file():
        raise ToolError(f"expected a simulation in {program}, found none; run PrepareRTLSim again")
    folders = tuple(map(Path, made["folders"]))
    return SimEngine(place.parent.name, read_simulation(program), folders)


def reset_rtlsim(sim: SimEngine, *_: Any, **__: Any) -> None:
    """Let the next run start; the harness resets the module at its begin."""
    sim.reset = True


def close_rtlsim(sim: SimEngine) -> None:
    """A run leaves nothing open."""


def rtlsim_multi_io(
    sim: SimEngine,
    io_dict: dict[str, dict[str, list[int]]],
    num_out_values: int | np.integer[Any] | Mapping[str, int],
    sname: str = "_V_V",
    liveness_threshold: int = 10000,
    liveness_estimate: float | None = None,
) -> int:
    """Send every input beat and collect the outputs.

    Args:
        sim: from `load_sim_obj`, reset.
        io_dict: beats of `inputs` by port name without `sname`; `outputs` receives those that
            leave. A stream that enters and is not named gets no beat.
        num_out_values: beats to expect: of the one output, or by name.
        sname: suffix of the port names.
        liveness_threshold: give up after so many cycles in which no port took a beat.
        liveness_estimate: of FINN's signature; without effect.

    Returns:
        Cycles from the first beat taken to the last one given, both included.

    Raises:
        SimulationError: see `hw.sim.bench.run`.
    """
    if not sim.reset:
        raise ValueError(f"{sim.top}: expected a reset before the run: no state is kept")
    sim.reset = False
    outputs = io_dict["outputs"]
    if not isinstance(num_out_values, Mapping):
        if len(outputs) != 1:
            raise ValueError(f"{sim.top}: expected a number of beats for each of {list(outputs)}")
        num_out_values = dict.fromkeys(outputs, int(num_out_values))
    ports = sim.simulation.ports
    inputs = {name: _beats([], port) for name, port in ports.items() if port.enters}
    for name, values in io_dict["inputs"].items():
        inputs[name + sname] = _beats(values, ports[name + sname])
    expected = {name: 0 for name, port in ports.items() if not port.enters}
    expected |= {name + sname: int(count) for name, count in num_out_values.items()}
    result = run(
        sim.top,
        {},
        inputs,
        expected,
        memories=_memories(sim.folders),
        max_cycles=MAX_CYCLES,
        max_idle=liveness_threshold,
        simulation=sim.simulation,
    )
    for name in outputs:
        outputs[name] = [
            int.from_bytes(beat.tobytes(), "little") for beat in result.outputs[name + sname]
        ]
    taken = np.concatenate([*result.taken.values()])
    return int(taken.max() - taken.min() + 1) if taken.size else 0


def _beats(values: Sequence[int], port: Port) -> Beats:
    size = -(-port.bits // 8)
    data = b"".join(value.to_bytes(size, "little") for value in values)
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, size)


def _memories(folders: Sequence[Path]) -> dict[str, str]:
    files = (path for folder in folders for path in sorted(folder.iterdir()))
    return {path.name: path.read_text() for path in files if path.suffix in MEMORIES}
