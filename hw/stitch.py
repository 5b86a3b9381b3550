"""A design as one structural top module: instances, connections and constants only.

The top for simulation differs in its FIFOs, whose depths it reads from a file when it starts, and
in a monitor on every connection (hw/sim/accelerator.py).
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from hw.design import TOP, Connection, Design, End, save_design
from hw.errors import HardwareFileError
from hw.integer_model import write_atomically
from hw.kernels.kernel import Kernel, StreamPort
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import StreamFifo
from hw.sim.verilator import closure

LICENCE = "// Copyright (c) 2026 edgebert contributors\n// SPDX-License-Identifier: Apache-2.0\n"
OBSERVERS = {"stream_fifo": ("level", "high_water")}  # outputs that nothing reads
OPEN_PINS = """\
// Streams that a kernel's parameters leave unused, and outputs that nothing reads, stay open.
// verilator lint_off PINCONNECTEMPTY
"""

FIFO_DEPTHS = "fifo_depths.hex"  # a word a FIFO, in the order of Design.fifos
SLACK = 2  # a simulated FIFO holds this many times the beats of its design, at least


def write_design(design: Design, folder: Path, *, behavioural: bool = False) -> Path:
    """Write a design as files: the top, its sources, memory files, the design itself.

    The folder is complete in itself: `files.f` lists the sources, relative to it, in an order in
    which a tool can read them. `design.json` is written last.

    Args:
        folder: made if it isn't there; files of the same names are replaced.
        behavioural: matrices' lanes as plain descriptions, which simulate faster.

    Returns:
        The top's file.

    Raises:
        HardwareFileError: a file can't be written.
    """
    if behavioural:
        design = behavioural_lanes(design)
    top = folder / f"{design.name}.sv"
    try:
        (folder / "rtl").mkdir(parents=True, exist_ok=True)
        write_atomically(top, top_module(design).encode())
        sources = design_sources(design)
        for path in sources:
            shutil.copyfile(path, folder / "rtl" / path.name)
        names = [f"rtl/{path.name}" for path in sources] + [top.name]
        write_atomically(folder / "files.f", "".join(f"{name}\n" for name in names).encode())
        for name, text in design.memories.items():
            write_atomically(folder / name, text.encode())
    except OSError as error:
        raise HardwareFileError(
            f"{folder}: expected a folder to write to, got {error}; choose another"
        ) from None
    save_design(folder / "design.json", design)
    return top


def behavioural_lanes(design: Design) -> Design:
    """The design with its matrices' lanes as plain descriptions: the same in every cycle."""
    mvus = {n: k for n, k in design.instances.items() if isinstance(k, BinaryMvu)}
    return design.with_kernels({n: replace(k, behavioural=True) for n, k in mvus.items()})


def design_sources(design: Design) -> list[Path]:
    """The files of hw/rtl that a design needs, packages first."""
    found: dict[Path, None] = {}
    for module in sorted({kernel.module for kernel in design.instances.values()}):
        found |= dict.fromkeys(closure(module))
    packages = [path for path in found if path.stem.endswith("_pkg")]
    return [*sorted(packages), *sorted(found.keys() - set(packages))]


def top_module(design: Design) -> str:
    """The text of the structural top."""
    return _Top(design).text()


def simulation_top(design: Design) -> str:
    """The text of the top for simulation: the same in every cycle.

    A FIFO is a `simulated_fifo`, whose depth is a word of the file FIFO_DEPTHS, every connection
    has a `stream_monitor`, and output `moving` tells whether any stream's beat is taken.
    """
    return _SimulationTop(design).text()


def fifo_capacity(design: Design, fifo: StreamFifo) -> int:
    """Beats that a FIFO of the top for simulation can hold, whatever its depth in the design.

    Room for sentences enough that the FIFOs' depths never stop a pipeline, and a power of two, so
    that FIFOs of one width are of few kinds.
    """
    tokens = int(design.properties.get("max_tokens", 1))
    channels = max(getattr(kernel, "hidden", 1) for kernel in design.instances.values())
    beats = max(SLACK * tokens * channels, fifo.depth, 64)
    return 1 << (beats - 1).bit_length()


class _Top:
    """Writes the top module."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.sources = {connection.target: connection.source for connection in design.connections}

    def text(self) -> str:
        instances = [self._instance(name, kernel) for name, kernel in self.design.instances.items()]
        parts = [self._ports(), *map(self._wires, self._streams())]
        parts += ["", *instances, *self._extras()]
        parts += [_output(c) for c in self.design.connections if c.target.instance == TOP]
        body = "\n".join(parts).replace("\n\n\n", "\n\n")
        return (
            f"{LICENCE}//\n// {self._purpose()}\n{OPEN_PINS}`default_nettype none\n\n{body}\n"
            "endmodule\n\n`default_nettype wire\n"
        )

    def _purpose(self) -> str:
        return f"{self.design.name}: instances, connections and constants, made by hw/stitch.py."

    def _ports(self) -> str:
        lines = ["    input wire logic clk,", "    input wire logic rst_n"]
        for port in self.design.ports:
            into, out = ("input", "output") if port.enters else ("output", "input")
            lines[-1] += ","
            lines.append("")
            lines += [
                f"    {into} wire logic {_range(port.width)}{port.name}_tdata,",
                f"    {into} wire logic {port.name}_tvalid,",
                f"    {out} wire logic {port.name}_tready",
            ]
        lines += self._more_ports()
        return f"module {self.design.name} (\n" + "\n".join(lines) + "\n);\n"

    def _more_ports(self) -> list[str]:
        return []

    def _wires(self, connection: Connection) -> str:
        source = connection.source
        name, width = _net(source), self.design.stream(source).width
        copies = self._copies(source)
        vector = _range(copies) if source.copy is not None else ""
        return (
            f"  wire logic {_range(width)}{name}_tdata;\n"
            f"  wire logic {vector}{name}_tvalid, {name}_tready;"
        )

    def _streams(self) -> Iterator[Connection]:
        """Connections whose source has wires of its own."""
        for connection in self.design.connections:
            if connection.source.instance != TOP and connection.source.copy in (None, 0):
                yield connection

    def _copies(self, end: End) -> int:
        streams = self.design.instances[end.instance].streams()
        return sum(stream.name == end.port for stream in streams)

    def _instance(self, name: str, kernel: Kernel) -> str:
        streams: dict[str, StreamPort] = {stream.name: stream for stream in kernel.streams()}
        pins = [".clk(clk)", ".rst_n(rst_n)"]
        for port, stream in streams.items():
            pins += self._pins(name, port, stream)
        pins += [f".{output}()" for output in OBSERVERS.get(kernel.module, ())]
        return _instance_text(kernel.module, name, kernel.parameters(), pins)

    def _pins(self, name: str, port: str, stream: StreamPort) -> list[str]:
        if not stream.used:
            if stream.enters:
                return [f".{port}_tdata('0)", f".{port}_tvalid(1'b0)", f".{port}_tready()"]
            return [f".{port}_tdata()", f".{port}_tvalid()", f".{port}_tready(1'b1)"]
        if not stream.enters:
            net = _net(End(name, port))
            return [f".{port}_{signal}({net}_{signal})" for signal in SIGNALS]
        source = self.sources[End(name, port)]
        return [f".{port}_{signal}({_signal(source, signal)})" for signal in SIGNALS]

    def _extras(self) -> list[str]:
        return []


class _SimulationTop(_Top):
    """Writes the top for simulation."""

    def _purpose(self) -> str:
        return f"{self.design.name} for simulation, made by hw/stitch.py."

    def _more_ports(self) -> list[str]:
        return ["", "    , output wire logic moving"]

    def _instance(self, name: str, kernel: Kernel) -> str:
        if not isinstance(kernel, StreamFifo):
            return super()._instance(name, kernel)
        index = list(self.design.fifos()).index(name)
        pins = [".clk(clk)", ".rst_n(rst_n)", f".index({index})", f".depth(depths[{index}])"]
        for stream in kernel.streams():
            pins += self._pins(name, stream.name, stream)
        parameters = {"WIDTH": kernel.width, "CAPACITY": fifo_capacity(self.design, kernel)}
        return _instance_text("simulated_fifo", name, parameters, pins)

    def _extras(self) -> list[str]:
        connections = self.design.connections
        lines = [f"  wire logic {_range(len(connections))}moved;", "  assign moving = |moved;", ""]
        for index, connection in enumerate(connections):
            pins = [".clk(clk)", ".rst_n(rst_n)", f".index({index})", f".moved(moved[{index}])"]
            pins += [f".{signal}({_signal(connection.source, signal)})" for signal in SIGNALS]
            width = self.design.stream(connection.source).width
            name = f"monitor{index}"
            lines.append(_instance_text("stream_monitor", name, {"WIDTH": width}, pins))
        fifos = len(self.design.fifos())
        depths = f"  logic [31:0] depths[{max(fifos, 1)}];\n"
        if fifos:
            depths += f'  initial $readmemh("{FIFO_DEPTHS}", depths);\n'
        return [depths, *lines]


SIGNALS = ("tdata", "tvalid", "tready")


def _net(end: End) -> str:
    """Name of the wires of a stream, from where it leaves."""
    if end.instance == TOP:
        return end.port
    return end.instance + end.port.removeprefix("m_axis")


def _signal(source: End, signal: str) -> str:
    index = "" if source.copy is None or signal == "tdata" else f"[{source.copy}]"
    return f"{_net(source)}_{signal}{index}"


def _output(connection: Connection) -> str:
    """A stream that leaves the design."""
    port, source = connection.target.port, connection.source
    return "".join(
        [
            f"  assign {port}_tdata = {_signal(source, 'tdata')};\n",
            f"  assign {port}_tvalid = {_signal(source, 'tvalid')};\n",
            f"  assign {_signal(source, 'tready')} = {port}_tready;\n",
        ]
    )


def _range(width: int) -> str:
    return f"[{width - 1}:0] "


def _instance_text(
    module: str, name: str, parameters: Mapping[str, int | str], pins: list[str]
) -> str:
    values = [
        f'      .{key}("{value}")' if isinstance(value, str) else f"      .{key}({value})"
        for key, value in parameters.items()
    ]
    connections = ",\n".join(f"      {pin}" for pin in pins)
    return f"  {module} #(\n" + ",\n".join(values) + f"\n  ) {name} (\n{connections}\n  );\n"
