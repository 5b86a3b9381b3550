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


def place_fifos(design: Design, board: Board, fixed: Mapping[str, str]) -> dict[str, StreamFifo]:
    """The design's FIFOs with memories that keep it within a board, if they can.

    The FIFOs that take the fewest LUTs for a block RAM go to LUTs first, until it fits.

    Args:
        design: with its depths.
        board: its budget.
        fixed: memories of FIFOs that are decided, by name.
    """
    fifos = design.fifos()
    for name, ram in fixed.items():
        if name in fifos:
            fifos[name] = replace(fifos[name], ram=ram)
    total = Resources.total(
        resources_of(fifos.get(name, kernel), board.family)
        for name, kernel in design.instances.items()
    )
    over = total.bram18 - board.budget.bram18
    movable = {
        name: _price(fifo, board.family)
        for name, fifo in fifos.items()
        if name not in fixed and fifo.bram18()
    }
    for name in sorted(movable, key=lambda n: (movable[n], n)):
        if over <= 0:
            break
        over -= fifos[name].bram18()
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


def _price(fifo: StreamFifo, family: str) -> float:
    """LUTs that free one block RAM."""
    before, after = (
        resources_of(replace(fifo, ram=ram), family) for ram in ("block", "distributed")
    )
    return (after.lut - before.lut) / max(1, before.bram18 - after.bram18)
