"""A folding that is given instead of solved: what it takes, and whether it fits."""

from collections.abc import Mapping
from typing import Any

from hw.boards import Board
from hw.errors import ParameterError
from hw.fold.encoder import Encoder
from hw.fold.evaluate import node_resources
from hw.fold.solver import Solution
from hw.kernels.kernel import Kernel
from hw.resources import Resources
from hw.resources.amount import LABELS, NAMES


def given_solution(
    kernels: Mapping[str, Kernel],
    folding: Mapping[str, Mapping[str, Any]],
    board: Board,
    max_tokens: int,
    clock_mhz: float,
) -> Solution:
    """The solution that a folding stands for.

    Args:
        kernels: unfolded, by instance name.
        folding: fields of the kernels' dataclasses and of FIFOs, by instance name.

    Raises:
        ParameterError: a field that a kernel can't have, or more than the board has.
    """
    encoder = Encoder(kernels, max_tokens)
    chosen = {name: dict(fields) for name, fields in folding.items()}
    try:
        nodes, cycles = node_resources(encoder, chosen, board.family)
    except TypeError as error:
        raise ParameterError(f"folding: expected fields of the kernels, got {error}") from None
    total = Resources.total(nodes.values())
    for name in NAMES:
        takes, has = getattr(total, name), getattr(board.budget, name)
        if takes > has:
            raise ParameterError(
                f"folding: expected at most {has:,} {LABELS[name]} for {board.name}, got {takes:,}"
            )
    return Solution(
        chosen,
        max(cycles.values()),
        cycles,
        nodes,
        total,
        board.budget,
        clock_mhz,
        encoder.macs(),
    )
