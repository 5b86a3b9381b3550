"""What sizing by simulation leaves open of FIFOs: room to wait, and where their memories lie."""

from collections.abc import Mapping
from dataclasses import replace

from hw.boards import Board
from hw.design import Design
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import CONSUMERS
from hw.kernels.stream import StreamFifo
from hw.resources import Resources, resources_of

SKID = 2  # beats that registers hold


def waiting_room(design: Design) -> dict[str, int]:
    """Least depths of the FIFOs in front of attentions, by name: half a longest sentence.

    A sentence waits in an attention until all of it has come and those before it are done. To lose
    no cycle, an attention and what stands before it must hold as many tokens as the longest
    sentence has. Its banks hold sentences, which may be short: these FIFOs hold the rest. Runs of
    few sentences don't show it (mini on SST-2: 282 cycles a token without, 260 with it, of 256).
    """
    depths = {}
    for name, kernel in design.instances.items():
        if isinstance(kernel, BinaryAttention):
            for part in CONSUMERS:
                depths[waiting_fifo(name, part)] = waiting_beats(kernel)
    return depths


def waiting_fifo(attention: str, part: str) -> str:
    """Name of the FIFO in front of an attention for its queries, keys or values (`part`)."""
    return f"{attention}_{part}_fifo"


def waiting_beats(attention: BinaryAttention) -> int:
    """Beats of half a longest sentence."""
    return -(-attention.max_tokens // 2) * (attention.hidden // attention.in_bits)


def place_fifos(design: Design, board: Board, planned: Mapping[str, str]) -> dict[str, StreamFifo]:
    """The design's FIFOs with memories that keep it within a board, if they can.

    The FIFOs that take the fewest LUTs for a block RAM go to LUTs first, until it fits; those whose
    memories the solver planned go last, and only where LUTs are left.

    Args:
        design: with its depths.
        board: its budget.
        planned: memories of FIFOs that the solver chose, by name.
    """
    fifos = design.fifos()
    for name, ram in planned.items():
        if name in fifos:
            fifos[name] = replace(fifos[name], ram=ram)
    total = Resources.total(
        resources_of(fifos.get(name, kernel), board.family)
        for name, kernel in design.instances.items()
    )
    in_block = [name for name, fifo in fifos.items() if fifo.bram18()]
    moves = {name: _move(fifos[name], board.family) for name in in_block}
    for name in sorted(in_block, key=lambda n: (n in planned, _price(moves[n]), n)):
        if total.bram18 <= board.budget.bram18:
            break
        after = total + moves[name]
        if name in planned and after.lut > board.budget.lut:
            continue
        total = after
        fifos[name] = replace(fifos[name], ram="distributed")
    return {name: filled(fifo, board.family) for name, fifo in fifos.items()}


def filled(fifo: StreamFifo, family: str) -> StreamFifo:
    """As deep as its memories allow, up to twice as deep.

    A depth that a few runs have found is just enough for those; what is left of its memories costs
    nothing, and other runs may need it.
    """

    def same(depth: int) -> bool:
        deeper = replace(fifo, depth=depth)
        return _memories(deeper, family) == _memories(fifo, family)

    low, high = fifo.depth, 2 * fifo.depth
    if fifo.depth <= SKID:
        return fifo
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if same(middle) else (low, middle - 1)
    return replace(fifo, depth=low)


def _memories(fifo: StreamFifo, family: str) -> tuple[int, int, int]:
    used = resources_of(fifo, family)
    return used.bram18, used.uram, fifo.lutram_lut()


def _move(fifo: StreamFifo, family: str) -> Resources:
    """What is taken more by it in LUTs than in block RAM."""
    block, distributed = (
        resources_of(replace(fifo, ram=ram), family) for ram in ("block", "distributed")
    )
    return distributed - block


def _price(move: Resources) -> float:
    """LUTs that free one block RAM."""
    return move.lut / max(1, -move.bram18)
