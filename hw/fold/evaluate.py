"""What a folded encoder takes: every kernel, converter and FIFO of it, by name."""

from dataclasses import replace

from hw.fold.encoder import INPUT, QUERIES, Encoder, Folding
from hw.fold.variants import SHALLOW, attention_cycles, mvu_cycles
from hw.kernels.add_norm import AddNorm
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import ChannelThreshold
from hw.kernels.kernel import Kernel
from hw.kernels.load_chain import LoadChain
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import StreamFifo, StreamFork, WidthConverter
from hw.resources import Resources, resources_of


def folded_kernels(encoder: Encoder, folding: Folding) -> dict[str, Kernel]:
    """The kernels of an encoder with the fields of a folding."""
    return {
        name: replace(kernel, **folding.get(name, {}))  # type: ignore[type-var]
        for name, kernel in encoder.kernels.items()
    }


def encoder_instances(encoder: Encoder, folding: Folding) -> dict[str, Kernel]:
    """Every instance of a folded encoder: kernels, converters, FIFOs, forks."""
    kernels = folded_kernels(encoder, folding)
    instances: dict[str, Kernel] = dict(kernels)
    streams = {name: {s.name: s.width for s in k.streams()} for name, k in kernels.items()}

    def connect(source: str, out: str, target: str, port: str, fifo: str = "") -> None:
        have, want = streams[source][out], streams[target][port]
        name = f"{target}_{port.removeprefix('s_axis_').replace('s_axis', 'in')}"
        if have != want:
            instances[f"{name}_width"] = WidthConverter(have, want)
        fields = folding.get(f"{name}_fifo", {"depth": SHALLOW})
        instances[f"{name}_fifo"] = StreamFifo(want, **fields)

    residual = INPUT
    for i in range(encoder.layers):
        layer = f"layer{i}_"
        for n, query in enumerate(QUERIES):
            connect(residual, f"m_axis_bits{n}", layer + query, "s_axis")
            connect(layer + query, "m_axis", layer + "attention", f"s_axis_{query}")
        connect(layer + "attention", "m_axis", layer + "output", "s_axis")
        _add(connect, layer + "output", residual, layer + "attention_norm")
        connect(layer + "attention_norm", "m_axis_bits0", layer + "up", "s_axis")
        connect(layer + "up", "m_axis", layer + "down", "s_axis")
        _add(connect, layer + "down", layer + "attention_norm", layer + "ffn_norm")
        residual = layer + "ffn_norm"
        length = streams[layer + "attention"]["s_axis_length"]
        instances[layer + "attention_length_fifo"] = StreamFifo(length, SHALLOW)
    if encoder.layers > 1:
        instances["length_fork"] = StreamFork(length, encoder.layers)
    for name, kernel in kernels.items():
        if isinstance(kernel, BinaryMvu) and kernel.loadable:
            beats = kernel.words * kernel.load_beats_per_word
            instances[f"{name}_load"] = LoadChain(kernel.load_bits, beats)
    return instances


def node_resources(
    encoder: Encoder, folding: Folding, family: str
) -> tuple[dict[str, Resources], dict[str, int]]:
    """What each instance of a folded encoder takes, and the cycles per token of its kernels."""
    instances = encoder_instances(encoder, folding)
    resources = {name: resources_of(kernel, family) for name, kernel in instances.items()}
    return resources, {name: kernel_cycles(instances[name]) for name in encoder.kernels}


def _add(connect, accumulators: str, residual: str, norm: str) -> None:  # type: ignore[no-untyped-def]
    connect(accumulators, "m_axis", norm, "s_axis_accumulator")
    connect(residual, "m_axis_residual", norm, "s_axis_residual")


def kernel_cycles(kernel: Kernel) -> int:
    """Cycles per token of a kernel; of an attention, for its longest sentences."""
    match kernel:
        case BinaryMvu():
            return mvu_cycles(kernel)
        case BinaryAttention():
            return attention_cycles(kernel)
        case AddNorm() | ChannelThreshold():
            return kernel.interval()
    return 0
