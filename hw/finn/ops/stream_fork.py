"""StreamFork: the length of a sentence, for every layer."""

from collections.abc import Mapping, Sequence

from hw.finn.ops.base import Integers, KernelOp, StreamTypes, unsigned
from hw.finn.ops.rtl import KernelRtl
from hw.kernels import stream


class StreamFork(KernelOp):
    """Copies of a number (1, 1) of `width` bits."""

    kernel_class = stream.StreamFork
    folding = ()
    fifo_ports = ()

    def stream_types(self) -> StreamTypes:
        kernel: stream.StreamFork = self.kernel()
        kind = ((1, 1), unsigned(kernel.width))
        types: StreamTypes = {("m_axis", copy): kind for copy in range(kernel.copies)}
        return types | {("s_axis", None): kind}

    def compute(
        self, streams: Sequence[Integers], constants: Mapping[str, Integers]
    ) -> list[Integers]:
        return [streams[0]] * self.kernel().copies

    def cycles(self, tokens: int) -> int:
        return 1


class StreamFork_rtl(KernelRtl, StreamFork):
    """The same as the module `stream_fork`."""
