"""What every kernel tells of its module: parameters, streams, memory files."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from hw.kernels.memory import MemoryShapes


@dataclass(frozen=True)
class StreamPort:
    """An AXI-stream of a module.

    Attributes:
        name: its signals' name without `_tdata`: `s_axis...` enters, `m_axis...` leaves.
        lanes: fields of a beat, lane 0 lowest.
        bits: bits of a field.
        used: False if the kernel's parameters leave it without beats.
        copy: of several streams that share one tdata: its bit of tvalid and tready.
    """

    name: str
    lanes: int
    bits: int = 1
    used: bool = True
    copy: int | None = None

    @property
    def width(self) -> int:
        """Bits of a beat."""
        return self.lanes * self.bits

    @property
    def enters(self) -> bool:
        """Whether the module takes its beats."""
        return self.name.startswith("s_axis")


class Kernel(Protocol):
    """A frozen dataclass of a kernel's parameters.

    Attributes:
        module: name of the SystemVerilog module in hw/rtl.
    """

    module: ClassVar[str]

    def __hash__(self) -> int: ...

    def parameters(self) -> dict[str, int | str]:
        """Parameters of the SystemVerilog module."""

    def streams(self) -> tuple[StreamPort, ...]:
        """Its streams: those that enter first, each group in the order of the module's ports."""

    def memory_shapes(self) -> MemoryShapes:
        """Words and bits of each memory file."""
