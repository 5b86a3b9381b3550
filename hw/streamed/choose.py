"""Choose folding, banks, batch and buffers of a weight-streamed encoder for a board."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hw.boards import Board
from hw.fold.encoder import folding_of
from hw.fold.problem import choose as least_cost
from hw.fold.solver import FINAL_GAP, FIRST_GAP, SLOWEST, DoesNotFit
from hw.layout import Dimensions, Formats
from hw.resources import Resources
from hw.resources.amount import LABELS, NAMES
from hw.streamed.cycles import Memory, equal_pass_cycles, loop_bytes, schedule
from hw.streamed.encoder import MATRICES, RAMS, StreamedEncoder, Widths, encoder_of_size
from hw.streamed.resources import encoder_resources, load_resources
from hw.streamed.variants import layer_problem

DRAM_SHARE = 0.7  # of the memory's peak bandwidth that is counted on
PORT_BITS = {"xc7": 64, "xcup": 128}  # of a port of the processor's memory
SINGLE = ((), ("up", "down"), MATRICES)  # matrices whose weights have one bank, in order of trial
ON_CHIP = (256, 512)  # tokens of a batch, without external memory
OUTSIDE = (512, 1024, 2048, 4096)  # with it
STEP = 16  # the search for the fewest cycles ends at this part of them
GOOD = 0.97  # a batch may be smaller if this share of the best rate is left


@dataclass(frozen=True)
class Performance:
    """What a plan does with sentences of equal length, predicted by hw/streamed/cycles.py.

    Attributes:
        tokens: of a sentence.
        sentences: of a batch.
        tokens_per_s, sentences_per_s: in a steady state.
        latency_s: of a batch, from its first token to its last result.
        tops: binary operations of the matrices, two per multiply-accumulate, in 10^12 a second.
        bytes_per_s: of external memory: images, and residuals that go in, round and out.
        waiting: share of the time in which the hardware waits for an image.
    """

    tokens: int
    sentences: int
    tokens_per_s: float
    sentences_per_s: float
    latency_s: float
    tops: float
    bytes_per_s: float
    waiting: float


@dataclass(frozen=True)
class Plan:
    """A weight-streamed encoder for a board.

    Attributes:
        encoder: folded.
        board, clock_mhz: what it is for.
        memory: external memory as the encoder sees it.
        nodes: what each part takes, by name.
    """

    encoder: StreamedEncoder
    board: Board
    clock_mhz: float
    memory: Memory
    nodes: dict[str, Resources]

    @property
    def total(self) -> Resources:
        """Sum of all parts."""
        return Resources.total(self.nodes.values())

    @property
    def macs(self) -> int:
        """Binary multiply-accumulates of the matrices per token, in all layers."""
        mvus = [self.encoder.mvu(name) for name in MATRICES]
        return self.encoder.layers * sum(kernel.mw * kernel.mh for kernel in mvus)

    def performance(self, tokens: int) -> Performance:
        """What it does with sentences of so many tokens, in batches as large as may be."""
        encoder, hertz = self.encoder, self.clock_mhz * 1e6
        sentences = min(encoder.batch_tokens // tokens, encoder.batch_sentences)
        lengths = [tokens] * sentences
        passes = [equal_pass_cycles(encoder, tokens, sentences)] * 2
        run = schedule(encoder, [lengths] * 2, self.memory, passes)
        period = run.ends[1] - run.ends[0]
        rate = hertz * tokens * sentences / period
        residual = encoder.input.hidden * encoder.input.word_bits / 8 * tokens * sentences
        moved = 2 * residual + 2 * (encoder.layers - 1) * loop_bytes(encoder, tokens * sentences)
        return Performance(
            tokens=tokens,
            sentences=sentences,
            tokens_per_s=rate,
            sentences_per_s=rate / tokens,
            latency_s=period / hertz,
            tops=2 * self.macs * rate / 1e12,
            bytes_per_s=(encoder.layers * encoder.image_bytes + moved) * hertz / period,
            waiting=run.waiting,
        )


def choose(
    sizes: Dimensions,
    formats: Formats,
    board: Board,
    *,
    clock_mhz: float | None = None,
    widths: Widths | None = None,
    tokens: int = 0,
) -> Plan:
    """The fastest weight-streamed encoder that a board holds.

    Args:
        sizes: of the model; its max_tokens is that of the longest sentence.
        clock_mhz: that of the board if None.
        widths: of a model's constants; typical ones if None.
        tokens: of the sentences whose rate counts; half of max_tokens if 0.

    Raises:
        DoesNotFit: no layer fits; says what binds.
    """
    clock = board.clock_mhz if clock_mhz is None else clock_mhz
    best: list[tuple[float, Plan]] = []
    for single in SINGLE:
        if best and single:
            break  # banks that fit twice are always better
        for loop, batches in (("chip", ON_CHIP), ("memory", OUTSIDE)):
            plans = _plans(sizes, formats, board, clock, widths, single, loop, batches)
            best += [
                (p.performance(tokens or sizes.max_tokens // 2).tokens_per_s, p) for p in plans
            ]
    if not best:
        raise DoesNotFit(_refusal(sizes, formats, board, widths))
    most = max(rate for rate, _ in best)
    good = [plan for rate, plan in best if rate >= GOOD * most]
    return min(good, key=lambda plan: plan.encoder.batch_tokens)


def board_memory(board: Board, clock_mhz: float, latency: int = 60) -> Memory:
    """External memory of a board in cycles of a clock."""
    return Memory(board.dram_bytes_per_s * DRAM_SHARE / (clock_mhz * 1e6), latency)


def _plans(
    sizes: Dimensions,
    formats: Formats,
    board: Board,
    clock: float,
    widths: Widths | None,
    single: Sequence[str],
    loop: str,
    batches: Sequence[int],
) -> Iterator[Plan]:
    """A plan for each batch that fits; on the chip more tokens leave less for the rest."""
    memory, folded = board_memory(board, clock), None
    for batch in batches:
        if batch < sizes.max_tokens:
            continue
        plain = _unfolded(sizes, formats, board, widths, single, loop, batch)
        if loop == "chip" or folded is None:
            folded = _least_cycles(plain, board)
        if folded is None:
            return
        found = replace(folded, batch_tokens=batch, batch_sentences=plain.batch_sentences)
        nodes = encoder_resources(found, board.family, PORT_BITS[board.family])
        yield Plan(found, board, clock, memory, nodes)


def _unfolded(
    sizes: Dimensions,
    formats: Formats,
    board: Board,
    widths: Widths | None,
    single: Sequence[str],
    loop: str,
    batch: int,
) -> StreamedEncoder:
    load_bits = PORT_BITS[board.family] * 9 // 8  # as wide as memories are
    return encoder_of_size(
        sizes,
        formats,
        {},
        widths,
        batch_tokens=batch,
        batch_sentences=max(1, batch // 4),
        load_bits=load_bits,
        loop=loop,
        single=tuple(single),
    )


def _least_cycles(plain: StreamedEncoder, board: Board) -> StreamedEncoder | None:
    """The encoder of the fewest cycles per token that fit, or None."""
    if not _fits(plain, board, SLOWEST):
        return None
    high = 512
    while not _fits(plain, board, high):
        high *= 4
    low = 32 if high == 512 else high // 4
    while high - low > max(1, high // STEP):
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(plain, board, middle) else (middle, high)
    return _fold(plain, board, high)


def _budget(plain: StreamedEncoder, board: Board) -> Resources:
    port = PORT_BITS[board.family]
    return board.budget - load_resources(plain.load_bits, port, board.family)


def _fits(plain: StreamedEncoder, board: Board, cycles: int) -> bool:
    problem = layer_problem(plain, board.family, cycles, board.budget.uram > 0)
    if isinstance(problem, str):
        return False
    return least_cost(problem, _budget(plain, board), board.resources, gap=FIRST_GAP) is not None


def _fold(plain: StreamedEncoder, board: Board, cycles: int) -> StreamedEncoder | None:
    """The cheapest encoder of so many cycles per token."""
    problem = layer_problem(plain, board.family, cycles, board.budget.uram > 0)
    if isinstance(problem, str):
        return None
    choice = least_cost(problem, _budget(plain, board), board.resources, gap=FINAL_GAP)
    if choice is None:
        return None
    fields = folding_of(problem, choice)
    fifos = {name: fields.pop(name) for name in RAMS if name in fields}
    kernels = {name: replace(k, **fields[name]) for name, k in plain.kernels.items()}
    beats = plain.input.hidden // kernels["input_threshold"].lanes  # type: ignore[union-attr]
    return replace(
        plain,
        kernels=kernels,
        residual_tokens=fifos[RAMS[0]]["depth"] // beats,
        ffn_tokens=fifos[RAMS[1]]["depth"] // beats,
        rams={name: str(fifo["ram"]) for name, fifo in fifos.items()},
    )


def _refusal(sizes: Dimensions, formats: Formats, board: Board, widths: Widths | None) -> str:
    """Why no layer fits, with one bank of weights and external memory for the batch."""
    batch = max(OUTSIDE[0], sizes.max_tokens)
    plain = _unfolded(sizes, formats, board, widths, MATRICES, "memory", batch)
    problem = layer_problem(plain, board.family, SLOWEST, board.budget.uram > 0)
    weights = sum(plain.mvu(name).mw * plain.mvu(name).mh for name in MATRICES)
    text = f"board: a layer doesn't fit {board.name}, even with its weights in one bank: "
    if isinstance(problem, str):
        return text + problem
    budget = _budget(plain, board)
    binding = [
        LABELS[name]
        for name in NAMES
        if least_cost(problem, budget, board.resources, [name], FIRST_GAP) is not None
    ]
    held = budget.bram18 * 18 * 1024 + budget.uram * 288 * 1024
    return (
        f"{text}{' or '.join(binding) or 'more than one resource'} binds; its weights are "
        f"{weights / 1e6:.1f} Mb, the board's memories hold {held / 1e6:.1f} Mb"
    )
