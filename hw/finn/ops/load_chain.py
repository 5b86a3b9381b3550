"""LoadChain: hands a matrix the beats of its weights, and all later ones on."""

from collections.abc import Mapping, Sequence
from typing import Any

from hw.finn.ops.base import Integers, KernelOp, StreamTypes
from hw.finn.ops.rtl import KernelRtl
from hw.kernels import load_chain


class LoadChain(KernelOp):
    """The first `count` of `total` beats of `width` bits to one output, the others to the next.

    Input (1, total, width), outputs (1, count, width) and (1, total - count, width), all bits.
    """

    kernel_class = load_chain.LoadChain
    folding = ()
    fifo_ports = ()

    def get_nodeattr_types(self) -> dict[str, Any]:
        return {**super().get_nodeattr_types(), "total": ("i", True, 0)}

    def stream_types(self) -> StreamTypes:
        kernel: load_chain.LoadChain = self.kernel()
        total = int(self.get_nodeattr("total"))
        sizes = {"s_axis": total, "m_axis_local": kernel.count, "m_axis_next": total - kernel.count}
        return {(name, None): ((1, n, kernel.width), "BINARY") for name, n in sizes.items()}

    def compute(
        self, streams: Sequence[Integers], constants: Mapping[str, Integers]
    ) -> list[Integers]:
        count = self.kernel().count
        return [streams[0][:count], streams[0][count:]]

    def cycles(self, tokens: int) -> int:
        return 0  # once after a reset, and not for a sentence


class LoadChain_rtl(KernelRtl, LoadChain):
    """The same as the module `load_chain`."""
