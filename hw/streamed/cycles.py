"""Cycles of the weight-streamed encoder: a pass token by token, and the passes of batches.

A time is the cycle in which the last beat of a token has come. Every kernel works as its own
module says: a matrix on groups of tokens that have come, attention in slots of rows, a norm at its
interval. FIFOs between them count as deep enough, except the one around the attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hw.kernels.add_norm import AddNorm
from hw.kernels.attention import BinaryAttention
from hw.kernels.checks import in_range
from hw.kernels.mvu import BinaryMvu
from hw.streamed.encoder import KERNELS, StreamedEncoder

FEW = 16  # sentences from which a steady state is taken
HOP = 3  # cycles through a FIFO and a width converter
AHEAD, BURST_BYTES = 8, 256  # of memory_model.sv
SWAP = 2 * len(KERNELS) + 10  # cycles between a pass and the next (layer_sequencer.sv)


@dataclass(frozen=True)
class Memory:
    """External memory.

    Attributes:
        bytes_per_cycle: shared by images and, with loop "memory", the residual.
        latency: cycles from a request to its data.
    """

    bytes_per_cycle: float = 8.0
    latency: int = 32

    def inputs(self) -> dict[str, int]:
        """Inputs of hw/streamed/memory_model.sv."""
        in_range("latency", self.latency, 1, 1 << 12)
        rate = round(self.bytes_per_cycle * 256)
        in_range("bytes_per_cycle * 256", rate, 1, 1 << 20)
        return {"rate": rate, "latency": self.latency}


@dataclass(frozen=True)
class Schedule:
    """When things happen in a run of batches; cycle 0 is the first beat of the first image.

    Attributes:
        ends: cycle in which each batch has left.
        passes: cycles of each pass alone, by batch; the same in every layer.
        load: cycles in which an image comes if nothing else uses the memory.
        gap: cycles of them between two passes, for weights of one bank.
        waiting: share of the time in which the hardware is empty and waits for an image.
    """

    ends: list[int]
    passes: list[int]
    load: int
    gap: int
    waiting: float


def token_interval(encoder: StreamedEncoder, tokens: int) -> dict[str, float]:
    """Cycles per token of each kernel, in sentences of so many tokens."""
    found: dict[str, float] = {}
    for name, kernel in encoder.kernels.items():
        if isinstance(kernel, BinaryMvu):
            found[name] = kernel.words / kernel.tokens
        elif isinstance(kernel, BinaryAttention):
            rows = kernel.cycles([tokens, tokens]) - kernel.cycles([tokens])
            found[name] = max(rows, kernel.load_cycles(tokens)) / tokens
        else:
            found[name] = kernel.interval()
    return found


def pass_cycles(encoder: StreamedEncoder, lengths: Sequence[int]) -> int:
    """Cycles of a pass: from the release of the hardware's reset to the last beat that leaves."""
    encoder.checked_batch(lengths)
    whole = _pass(encoder, lengths, [0.0] * sum(lengths))
    room = encoder.waiting_tokens
    if room < sum(lengths):
        # A token can come once the one that is `room` before it has left attention_norm.
        gates = [0.0] * sum(lengths)
        for _ in range(64):
            left = _pass(encoder, lengths, gates)[0]
            again = [left[i - room] if i >= room else 0.0 for i in range(len(gates))]
            if again == gates:
                break
            gates = again
        whole = _pass(encoder, lengths, gates)
    return round(whole[1][-1])


def equal_pass_cycles(encoder: StreamedEncoder, tokens: int, sentences: int) -> int:
    """`pass_cycles` of sentences of equal length; of many, as the later ones of a few go on."""
    few = min(sentences, FEW)
    cycles = pass_cycles(encoder, [tokens] * few)
    if sentences == few:
        return cycles
    half = few // 2
    each = (cycles - pass_cycles(encoder, [tokens] * half)) / (few - half)
    return round(cycles + each * (sentences - few))


def load_cycles(encoder: StreamedEncoder, memory: Memory, beats: int) -> int:
    """Cycles in which so many beats of an image come if nothing else uses the memory."""
    rate = min(1.0, memory.bytes_per_cycle * 8 / encoder.load_bits)
    return round(beats / rate)


def gap_cycles(encoder: StreamedEncoder, memory: Memory, idle: float) -> int:
    """Cycles between two passes in which weights of one bank come.

    Some wait at the port: as many as came in the `idle` cycles for which the memory has waited for
    the pass to end.
    """
    room = memory.latency + AHEAD + BURST_BYTES * 8 // encoder.load_bits
    waiting = min(room, int(idle / max(1, load_cycles(encoder, memory, 1))))
    slow = load_cycles(encoder, memory, max(0, encoder.gap_beats - waiting))
    return max(encoder.gap_beats, slow)


def loop_bytes(encoder: StreamedEncoder, tokens: int) -> float:
    """Bytes of a batch's residual, which each pass but the first reads, but the last writes."""
    if encoder.loop == "chip":
        return 0.0
    return tokens * encoder.input.hidden * encoder.input.word_bits / 8


def schedule(
    encoder: StreamedEncoder,
    batches: Sequence[Sequence[int]],
    memory: Memory,
    passes: Sequence[int] | None = None,
) -> Schedule:
    """Cycles of batches, given by the lengths of their sentences, one after the other.

    While a pass computes, the image of the next one comes, and the residual, which goes first;
    what goes to memories of one bank comes when the pass has ended. `passes`: of each batch, if
    known.
    """
    load = load_cycles(encoder, memory, encoder.image_beats - encoder.gap_beats) + memory.latency
    if passes is None:
        passes = [pass_cycles(encoder, lengths) for lengths in batches]
    loaded, end, ends, waits, gap = float(load), 0.0, [], 0.0, 0
    for lengths, compute in zip(batches, passes, strict=True):
        part = loop_bytes(encoder, sum(lengths))
        for layer in range(encoder.layers):
            gap = gap_cycles(encoder, memory, max(0.0, end - loaded))
            start = max(end, loaded) + gap + SWAP
            waits += max(0.0, loaded - end) + gap
            moved = part * ((layer > 0) + (layer < encoder.layers - 1))
            delay = 2 * memory.latency if layer and part else 0
            end = start + max(compute + delay, moved / memory.bytes_per_cycle)
            # The residual takes its share of the memory until the pass ends.
            busy = moved / memory.bytes_per_cycle
            loaded = start + max(load, load + busy - memory.latency if busy else 0)
        ends.append(round(end))
    return Schedule(ends, list(passes), load + gap, gap, waits / end)


def _pass(
    encoder: StreamedEncoder, lengths: Sequence[int], gates: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Times at which tokens leave attention_norm and ffn_norm; `gates`: when each may come."""
    kernel, came, time = encoder.input, [], 0.0
    for gate in gates:
        time = max(time, gate) + kernel.beats
        came.append(time)
    bits = [t + kernel.latency() + HOP for t in came]
    query, key, value = (_mvu(encoder.mvu(n), bits) for n in ("query", "key", "value"))
    context = _attention(encoder.attention, lengths, query, key, value)
    output = _mvu(encoder.mvu("output"), context)
    normed = _norm(encoder.norm("attention_norm"), encoder.mvu("output"), output)
    down = _mvu(encoder.mvu("down"), _mvu(encoder.mvu("up"), normed))
    left = _norm(encoder.norm("ffn_norm"), encoder.mvu("down"), down)
    return normed, left


def _mvu(kernel: BinaryMvu, came: Sequence[float]) -> list[float]:
    """When tokens leave a matrix, as BinaryMvu.cycles counts."""
    prologue = kernel.synapse_folds + 1
    to_last = kernel.latency() - 2 * kernel.synapse_folds + kernel.words
    group, size, out, left = float(prologue - kernel.words), 0, 0.0, []
    for time in came:
        if size == kernel.tokens or time + 1 > group:
            group, size = max(group + kernel.words, time + 1), 0
        size += 1
        out = max(out + kernel.neuron_folds, group + to_last)
        left.append(out + HOP)
    return left


def _norm(kernel: AddNorm, source: BinaryMvu, came: Sequence[float]) -> list[float]:
    """When tokens leave an add + LayerNorm."""
    taken, left = 0.0, []
    early = min(kernel.beats, source.neuron_folds)  # beats that come before the token's last
    for time in came:
        taken = max(taken + kernel.interval(), time + kernel.beats - early)
        left.append(taken + kernel.latency() + kernel.beats + HOP)
    return left


def _attention(
    kernel: BinaryAttention,
    lengths: Sequence[int],
    query: Sequence[float],
    key: Sequence[float],
    value: Sequence[float],
) -> list[float]:
    """When tokens leave the attention: slot by slot, as BinaryAttention.slots says."""
    per_token = kernel.hidden // kernel.channels
    slots = _Slots(kernel)
    left: list[int] = []
    freed: list[int] = []  # slot of the last row of a sentence
    loaded, first = 0.0, 0
    for index, tokens in enumerate(lengths):
        if index >= kernel.banks:
            loaded = max(loaded, slots.end(freed[index - kernel.banks]) + kernel.steps)
        for token in range(first, first + tokens):
            loaded = max(loaded, value[token] - per_token, key[token] - per_token) + per_token
        loaded += 3
        for token in range(first, first + tokens):
            for head in range(kernel.heads):
                last = slots.issue(max(loaded, query[token]), tokens, token - first, head)
            left.append(last)
        freed.append(left[-1])
        first += tokens
    # A row leaves `lag` slots after its own, whose lengths are known when all have been issued.
    return [slots.end(slot) + kernel.steps + HOP + 8 for slot in left]


class _Slots:
    """Slots of the attention: rows enter at their beginnings, and the engine runs on while any is
    in it."""

    def __init__(self, kernel: BinaryAttention) -> None:
        self.kernel = kernel
        self.starts: list[float] = []
        self.now = 0.0  # end of the last slot
        self.last = -(1 << 30)  # slot of the last row
        self.held = -(-kernel.max_tokens // kernel.keys)

    def issue(self, ready: float, tokens: int, token: int, head: int) -> int:
        """Issue a row; its slot."""
        while self.now < ready and len(self.starts) - self.last <= self.kernel.lag:
            self._slot()
        self.now = max(self.now, ready)
        own = -(-tokens // self.kernel.keys)
        fresh = token * self.kernel.heads + head < 3 and not self.kernel.sps
        self.held = max(self.held, own) if fresh else own
        self.last = len(self.starts)
        self._slot()
        return self.last

    def end(self, slot: int) -> float:
        """When the context of a row begins."""
        while len(self.starts) <= slot + self.kernel.lag:
            self._slot()
        return self.starts[slot + self.kernel.lag]

    def _slot(self) -> None:
        self.starts.append(self.now)
        self.now += self.kernel._slot(self.held)
