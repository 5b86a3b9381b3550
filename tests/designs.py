"""The encoder of an integer model as a design, written by hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hw.design import TOP, Connection, Design, End
from hw.integer_model import IntegerModel
from hw.kernels.add_norm import NORMS, AddNorm, NormTensors
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import input_threshold
from hw.kernels.kernel import Kernel, StreamPort
from hw.kernels.load_chain import LoadChain
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import StreamFifo, StreamFork, WidthConverter

Folding = Mapping[str, Mapping[str, Any]]  # fields of the kernel, by instance
MATRICES = ("query", "key", "value", "output", "up", "down")
DEPTH = 2


def even_folding(model: IntegerModel, max_tokens: int, cycles: int) -> Folding:
    """Kernels that take about `cycles` cycles a token, or what they can if that is more."""
    d = model.dimensions
    inner = _least_divisor(d.hidden, lambda n: d.hidden // n <= cycles)
    folding: dict[str, dict[str, Any]] = {"input_threshold": {"lanes": inner}}
    lanes, slot = min(inner, d.hidden // 4), max(1, cycles // d.heads)
    channels = _least_divisor(d.head_width, lambda n: d.head_width // n <= slot)
    # A row of queries must be complete before the slot in front of its own ends.
    in_bits = _least_divisor(
        d.head_width, lambda n: n % channels == 0 and d.head_width // n + 2 <= slot
    )
    for i in range(d.layers):
        for name in MATRICES:
            mh, mw = model[f"layer.{i}.{name}.weight"].shape
            folding[f"layer{i}_{name}"] = _mvu_folding(mh, mw, cycles)
        folding[f"layer{i}_attention"] = {
            "keys": next(
                k for k in range(1, max_tokens + 1) if max_tokens <= k * slot or k == max_tokens
            ),
            "simd": d.head_width,
            "channels": channels,
            "in_bits": in_bits,
            "out_bits": channels,
            "banks": 4,
        }
        for norm in NORMS:
            folding[f"layer{i}_{norm}"] = {"lanes": lanes}
    return folding


def encoder_design(
    model: IntegerModel,
    folding: Folding,
    max_tokens: int,
    fifo_depths: Mapping[str, Mapping[str, Any]] | None = None,
    name: str = "encoder",
) -> Design:
    """The encoder: instances, connections and memory files.

    Args:
        folding: fields of the kernels, by instance.
        max_tokens: longest sentence.
        fifo_depths: fields of the FIFOs, by instance; those that are missing hold two beats.
    """
    return _Builder(model, folding, max_tokens, fifo_depths or {}).build(name)


@dataclass
class _Builder:
    model: IntegerModel
    folding: Folding
    max_tokens: int
    fifo_depths: Mapping[str, Mapping[str, Any]]
    instances: dict[str, Kernel] = field(default_factory=dict)
    connections: list[Connection] = field(default_factory=list)
    memories: dict[str, str] = field(default_factory=dict)
    load: list[str] = field(default_factory=list)  # loadable MVUs
    load_text: str = ""

    def build(self, name: str) -> Design:
        d = self.model.dimensions
        head, memories = input_threshold(self.model, self.folding["input_threshold"]["lanes"])
        self.instances["input_threshold"] = replace(head, threshold_file="input_threshold.hex")
        self.memories["input_threshold.hex"] = memories[head.threshold_file]
        self.connections.append(
            Connection(End(TOP, "s_axis_residual"), End("input_threshold", "s_axis"))
        )
        lengths = [End(TOP, "s_axis_length")]
        if d.layers > 1:
            bits = self.max_tokens.bit_length()
            self.instances["length_fork"] = StreamFork(bits, d.layers)
            self.connections.append(Connection(lengths[0], End("length_fork", "s_axis")))
            lengths = [End("length_fork", "m_axis", i) for i in range(d.layers)]
        source = "input_threshold"
        for i in range(d.layers):
            source = self._layer(i, source, lengths[i])
        last = self.instances[source].streams()[2]
        self.connections.append(
            Connection(End(source, "m_axis_residual"), End(TOP, "m_axis_residual"))
        )
        ports = [
            StreamPort("s_axis_residual", head.lanes, head.word_bits),
            StreamPort("s_axis_length", 1, self.max_tokens.bit_length()),
            StreamPort("m_axis_residual", last.lanes, last.bits),
        ]
        if self.load:
            ports.insert(2, StreamPort("s_axis_weights", 72))
            self._chain()
        return Design(
            name,
            tuple(ports),
            self.instances,
            tuple(self.connections),
            self.memories,
            {"max_tokens": self.max_tokens},
        )

    def _layer(self, i: int, source: str, length: End) -> str:
        parts = [f"layer{i}_{part}" for part in ("query", "key", "value")]
        for part in parts:
            self._mvu(i, part)
        attention = f"layer{i}_attention"
        self._attention(i, attention)
        self._mvu(i, f"layer{i}_output")
        norm = f"layer{i}_attention_norm"
        self._norm(i, norm)
        self._mvu(i, f"layer{i}_up")
        self._mvu(i, f"layer{i}_down")
        last = f"layer{i}_ffn_norm"
        self._norm(i, last)
        for index, part in enumerate(parts):
            self._connect(End(source, f"m_axis_bits{index}"), End(part, "s_axis"))
            port = part.removeprefix(f"layer{i}_")
            self._connect(End(part, "m_axis"), End(attention, f"s_axis_{port}"))
        self._connect(length, End(attention, "s_axis_length"))
        self._connect(End(attention, "m_axis"), End(f"layer{i}_output", "s_axis"))
        self._connect(End(f"layer{i}_output", "m_axis"), End(norm, "s_axis_accumulator"))
        self._connect(End(source, "m_axis_residual"), End(norm, "s_axis_residual"))
        self._connect(End(norm, "m_axis_bits0"), End(f"layer{i}_up", "s_axis"))
        self._connect(End(f"layer{i}_up", "m_axis"), End(f"layer{i}_down", "s_axis"))
        self._connect(End(f"layer{i}_down", "m_axis"), End(last, "s_axis_accumulator"))
        self._connect(End(norm, "m_axis_residual"), End(last, "s_axis_residual"))
        return last

    def _mvu(self, i: int, name: str) -> None:
        prefix = f"layer.{i}." + name.removeprefix(f"layer{i}_")
        weight = self.model[f"{prefix}.weight"]
        raw = name.endswith(("_output", "_down"))
        kernel = BinaryMvu(
            mw=weight.shape[1],
            mh=weight.shape[0],
            raw=raw,
            inputs="binary" if name.endswith("_down") else "bipolar",
            weight_file=f"{name}.hex",
            **self.folding[name],
        )
        tensors = (weight,) if raw else (weight, self.model[f"{prefix}.threshold"])
        self.instances[name] = kernel
        self.memories |= kernel.memories(*tensors)
        if kernel.loadable:
            beats = kernel.load_beats(*tensors)
            rows = [bytes(beat[::-1]).hex() for beat in beats]
            self.memories[f"{name}.load.hex"] = "\n".join(rows) + "\n"
            self.load.append(name)

    def _attention(self, i: int, name: str) -> None:
        d, f, prefix = self.model.dimensions, self.model.formats, f"layer.{i}"
        kernel = BinaryAttention(
            max_tokens=self.max_tokens,
            heads=d.heads,
            head_width=d.head_width,
            sps=d.attention == "sps",
            exp_bits=f.exp_bits,
            probability_bits=f.probability_bits,
            relative_positions=d.relative_positions,
            name=f"{name}_",
            **self.folding[name],
        )
        tensors = {part: self.model[f"{prefix}.attention.{part}"] for part in kernel.tables()}
        self.instances[name] = kernel
        self.memories |= kernel.memories(self.model[f"{prefix}.output.input_threshold"], **tensors)

    def _norm(self, i: int, name: str) -> None:
        norm = name.removeprefix(f"layer{i}_")
        kernel = replace(AddNorm.of_layer(self.model, i, norm), **self.folding[name])
        self.instances[name] = kernel
        self.memories |= kernel.memories(NormTensors.of_layer(self.model, i, norm))

    def _connect(self, source: End, target: End) -> None:
        """A width converter where it is needed, then a FIFO."""
        port = target.port.removeprefix("s_axis").removeprefix("_") or "in"
        kernel = self.instances[source.instance] if source.instance else None
        width = (
            self.max_tokens.bit_length()
            if kernel is None
            else next(
                s.width for s in kernel.streams() if (s.name, s.copy) == (source.port, source.copy)
            )
        )
        streams = self.instances[target.instance].streams()
        wanted = next(s.width for s in streams if s.name == target.port)
        if width != wanted:
            name = f"{target.instance}_{port}_width"
            self.instances[name] = WidthConverter(width, wanted)
            self.connections.append(Connection(source, End(name, "s_axis")))
            source = End(name, "m_axis")
        name = f"{target.instance}_{port}_fifo"
        fields = {"depth": DEPTH, **self.fifo_depths.get(name, {})}
        self.instances[name] = StreamFifo(wanted, **fields)
        self.connections.append(Connection(source, End(name, "s_axis")))
        self.connections.append(Connection(End(name, "m_axis"), target))

    def _chain(self) -> None:
        source = End(TOP, "s_axis_weights")
        for name in self.load[:-1]:
            kernel = self.instances[name]
            assert isinstance(kernel, BinaryMvu)
            link = f"{name}_load"
            self.instances[link] = LoadChain(72, kernel.words * kernel.load_beats_per_word)
            self.connections.append(Connection(source, End(link, "s_axis")))
            target = End(name, "s_axis_weights")
            self.connections.append(Connection(End(link, "m_axis_local"), target))
            source = End(link, "m_axis_next")
        self.connections.append(Connection(source, End(self.load[-1], "s_axis_weights")))


def _mvu_folding(mh: int, mw: int, cycles: int) -> dict[str, Any]:
    """As many inputs at once as 64, then as many channels as are needed."""
    simd = _least_divisor(mw, lambda n: mw // n <= cycles and n >= min(mw, 64))
    pe = _least_divisor(mh, lambda n: (mh // n) * (mw // simd) <= cycles)
    return {"pe": pe, "simd": simd}


def _least_divisor(whole: int, fits: Callable[[int], bool]) -> int:
    return next((n for n in range(1, whole + 1) if whole % n == 0 and fits(n)), whole)
