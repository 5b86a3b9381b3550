"""The kernels as FINN operators (docs/lowering.md).

The operators' classes derive from FINN's: they are imported in a `finn_session` only.
"""

from hw.finn.adapter import register


def register_ops() -> None:
    """Make the operators known to FINN. Call it in a `finn_session`."""
    from hw.finn.ops.add_norm import AddNorm, AddNorm_rtl
    from hw.finn.ops.binary_attention import BinaryAttention, BinaryAttention_rtl
    from hw.finn.ops.binary_mvu import BinaryMvu, BinaryMvu_rtl
    from hw.finn.ops.channel_threshold import ChannelThreshold, ChannelThreshold_rtl
    from hw.finn.ops.load_chain import LoadChain, LoadChain_rtl
    from hw.finn.ops.stream_fork import StreamFork, StreamFork_rtl

    register(BinaryMvu, BinaryMvu_rtl)
    register(BinaryAttention, BinaryAttention_rtl)
    register(AddNorm, AddNorm_rtl)
    register(ChannelThreshold, ChannelThreshold_rtl)
    register(StreamFork, StreamFork_rtl)
    register(LoadChain, LoadChain_rtl)
