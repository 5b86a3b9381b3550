"""A design: kernels, the streams between them, and their memory files, in one file of JSON.

It is what the compiled graph comes down to: instances, connections and constants. The structural
top, its simulation, the FIFO depths, the drawing and the reports are made from it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hw.errors import HardwareFileError, ParameterError
from hw.integer_model import write_atomically
from hw.kernels.add_norm import AddNorm
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import ChannelThreshold
from hw.kernels.kernel import Kernel, StreamPort
from hw.kernels.load_chain import LoadChain
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import HeadReorder, SkidBuffer, StreamFifo, StreamFork, WidthConverter

FORMAT = "edgebert design"
VERSION = 1
KERNELS: dict[str, type[Any]] = {
    kernel.__name__: kernel
    for kernel in (
        AddNorm,
        BinaryAttention,
        BinaryMvu,
        ChannelThreshold,
        HeadReorder,
        LoadChain,
        SkidBuffer,
        StreamFifo,
        StreamFork,
        WidthConverter,
    )
}
TOP = ""  # name of the design itself as the end of a connection


@dataclass(frozen=True)
class End:
    """A stream port of an instance, or of the design itself (`TOP`).

    Attributes:
        instance: its name.
        port: name of the stream, such as `m_axis_residual`.
        copy: of a fork's output, which.
    """

    instance: str
    port: str
    copy: int | None = None

    def __str__(self) -> str:
        copy = "" if self.copy is None else f"[{self.copy}]"
        return f"{self.instance}.{self.port}{copy}" if self.instance else f"{self.port}{copy}"


@dataclass(frozen=True)
class Connection:
    """A stream from one end to another of equal width."""

    source: End
    target: End


@dataclass(frozen=True)
class Design:
    """Kernels and the streams between them.

    Attributes:
        name: of the top module.
        ports: streams of the design; `s_axis...` enter.
        instances: kernels by name, in the order of the data.
        connections: every used stream of every instance, and every port, is the end of one.
        memories: text of the memory files, by name.
        properties: what else belongs to it: model hash, board, clock; plain JSON data.
    """

    name: str
    ports: tuple[StreamPort, ...]
    instances: Mapping[str, Kernel]
    connections: tuple[Connection, ...]
    memories: Mapping[str, str]
    properties: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_connections()
        self._check_memories()

    def with_kernels(self, kernels: Mapping[str, Kernel]) -> "Design":
        """The same design with other kernels in place of some, such as FIFOs of another depth."""
        unknown = sorted(set(kernels) - set(self.instances))
        if unknown:
            raise ParameterError(f"kernels: expected instances of {self.name}, got {unknown}")
        return replace(self, instances={**self.instances, **kernels})

    def fifos(self) -> dict[str, StreamFifo]:
        """Its FIFOs, by name."""
        return {n: k for n, k in self.instances.items() if isinstance(k, StreamFifo)}

    def stream(self, end: End) -> StreamPort:
        """The stream at an end.

        Raises:
            ParameterError: there is none.
        """
        ports = self.ports if end.instance == TOP else self._streams(end)
        for port in ports:
            if (port.name, port.copy) == (end.port, end.copy):
                return port
        raise ParameterError(f"{self.name}: expected a stream {end}, got none")

    def _streams(self, end: End) -> tuple[StreamPort, ...]:
        if end.instance not in self.instances:
            raise ParameterError(f"{self.name}: expected an instance {end.instance}, got none")
        return self.instances[end.instance].streams()

    def _check_connections(self) -> None:
        waiting = {End(TOP, port.name, port.copy) for port in self.ports}
        for name, kernel in self.instances.items():
            waiting |= {End(name, s.name, s.copy) for s in kernel.streams() if s.used}
        for connection in self.connections:
            source, target = connection.source, connection.target
            if self.stream(source).width != self.stream(target).width:
                raise ParameterError(
                    f"{source} to {target}: expected equal widths, got "
                    f"{self.stream(source).width} and {self.stream(target).width} bits"
                )
            gives = self.stream(source).enters == (source.instance == TOP)
            takes = self.stream(target).enters == (target.instance != TOP)
            if not (gives and takes):
                raise ParameterError(f"{source} to {target}: expected a stream's source and target")
            for end in (source, target):
                if end not in waiting:
                    raise ParameterError(f"{end}: expected one connection of a used stream")
                waiting.remove(end)
        if waiting:
            raise ParameterError(f"{min(map(str, waiting))}: expected a connection, got none")

    def _check_memories(self) -> None:
        for name, kernel in self.instances.items():
            for file, (words, _) in kernel.memory_shapes().items():
                found = self.memories.get(file, "").count("\n")
                if found != words:
                    raise ParameterError(f"{name}: {file}: expected {words} words, got {found}")


def save_design(path: Path, design: Design) -> None:
    """Write a design; the same design gives the same bytes.

    Raises:
        HardwareFileError: the file can't be written.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "name": design.name,
        "properties": dict(design.properties),
        "ports": [asdict(port) for port in design.ports],
        "instances": {
            name: {"kernel": type(kernel).__name__, **vars(kernel)}
            for name, kernel in design.instances.items()
        },
        "connections": [asdict(connection) for connection in design.connections],
        "memories": dict(design.memories),
    }
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def load_design(path: Path) -> Design:
    """Read what `save_design` wrote.

    Raises:
        HardwareFileError: it is missing or damaged.
    """
    try:
        content = json.loads(path.read_text())
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise ValueError("another format or version")
        return Design(
            name=content["name"],
            ports=tuple(StreamPort(**port) for port in content["ports"]),
            instances={n: _kernel(entry) for n, entry in content["instances"].items()},
            connections=tuple(
                Connection(End(**entry["source"]), End(**entry["target"]))
                for entry in content["connections"]
            ),
            memories=content["memories"],
            properties=content["properties"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ParameterError) as error:
        raise HardwareFileError(f"{path}: expected a design, got {error}; build it again") from None


def _kernel(entry: Mapping[str, Any]) -> Kernel:
    values = dict(entry)
    kernel: Kernel = KERNELS[values.pop("kernel")](**values)
    return kernel
