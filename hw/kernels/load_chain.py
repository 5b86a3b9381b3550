"""Load chain: hands the weights of many matrices on, from one to the next."""

from dataclasses import dataclass
from typing import ClassVar

from hw.kernels.checks import in_range
from hw.kernels.kernel import StreamPort
from hw.kernels.memory import MemoryShapes

MAX_WIDTH = 1 << 16
MAX_COUNT = 1 << 24


@dataclass(frozen=True)
class LoadChain:
    """`load_chain`: the first beats after a reset to its own consumer, all later ones on.

    Attributes:
        width: bits of a beat.
        count: beats that its own consumer gets.
    """

    module: ClassVar[str] = "load_chain"

    width: int = 72
    count: int = 1

    def __post_init__(self) -> None:
        in_range("width", self.width, 1, MAX_WIDTH)
        in_range("count", self.count, 1, MAX_COUNT)

    def parameters(self) -> dict[str, int | str]:
        """Parameters of the SystemVerilog module."""
        return {"WIDTH": self.width, "COUNT": self.count}

    def streams(self) -> tuple[StreamPort, ...]:
        """Its streams, those that enter first."""
        return (
            StreamPort("s_axis", self.width),
            StreamPort("m_axis_local", self.width),
            StreamPort("m_axis_next", self.width),
        )

    def memory_shapes(self) -> MemoryShapes:
        """It reads no memory file."""
        return {}

    def latency(self) -> int:
        """Cycles from a beat's arrival to its offer."""
        return 1
