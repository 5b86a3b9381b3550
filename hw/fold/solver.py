"""The folding solver: the fastest encoder that fits a board, or the smallest of a given speed."""

from collections.abc import Mapping
from dataclasses import dataclass

from hw.boards import Board, known_boards
from hw.errors import ParameterError
from hw.fold.encoder import Encoder, Folding, encoder_problem, folding_of
from hw.fold.evaluate import node_resources
from hw.fold.problem import Problem, choose
from hw.kernels.checks import in_range
from hw.kernels.kernel import Kernel
from hw.resources import Resources
from hw.resources.amount import LABELS, NAMES

SLOWEST = 1 << 16  # cycles per token that are looked at
FIRST_GAP = 0.5  # any choice that fits will do where only that is asked
FINAL_GAP = 5e-3
STEP = 0.01  # by which the cycles grow until an integer program has a solution


class DoesNotFit(ParameterError):
    """A model whose weights or residuals a board can't hold at any speed."""


@dataclass(frozen=True)
class Solution:
    """A folding.

    Attributes:
        folding: fields of the kernels' dataclasses, by instance name; FIFOs of residuals too.
        cycles: most cycles per token of a kernel, for sentences of max_tokens.
        node_cycles: of each kernel.
        nodes: what each kernel takes, its converters and FIFOs by their own names.
        total: their sum.
        budget: what the board leaves for it.
        clock_mhz: clock.
        macs: binary multiply-accumulates per token.
    """

    folding: Folding
    cycles: int
    node_cycles: Mapping[str, int]
    nodes: Mapping[str, Resources]
    total: Resources
    budget: Resources
    clock_mhz: float
    macs: int

    @property
    def tokens_per_s(self) -> float:
        """Tokens per second of long runs of sentences."""
        return self.clock_mhz * 1e6 / self.cycles

    @property
    def tera_ops(self) -> float:
        """Binary operations per second, in 10^12: two a multiply-accumulate of a matrix."""
        return 2 * self.macs * self.tokens_per_s / 1e12

    @property
    def shares(self) -> dict[str, float]:
        """Share of the budget, by resource."""
        return self.total.shares(self.budget)

    @property
    def binds(self) -> str:
        """The resource of which the largest share is taken."""
        return LABELS[max(NAMES, key=lambda name: self.shares[name])]


def solve(
    kernels: Mapping[str, Kernel],
    board: Board,
    max_tokens: int,
    *,
    clock_mhz: float | None = None,
    cycles: int | None = None,
    tokens_per_s: float | None = None,
) -> Solution:
    """Fold an encoder for a board.

    Args:
        kernels: unfolded, by instance name.
        max_tokens: of the longest sentence.
        clock_mhz: that of the board if None.
        cycles, tokens_per_s: a target, at most one of them: the smallest encoder that takes no
            more cycles per token, or is as fast. Without, the fastest that fits.

    Raises:
        ParameterError: it can't be as fast, or doesn't fit; says what binds and what would fit.
        DoesNotFit: nor does it at any speed.
    """
    encoder = Encoder(kernels, max_tokens)
    clock = board.clock_mhz if clock_mhz is None else clock_mhz
    if not 1 <= clock <= 2000:
        raise ParameterError(f"clock_mhz: expected 1 to 2000, got {clock:g}")
    if tokens_per_s is not None:
        if not tokens_per_s > 0:
            raise ParameterError(f"tokens_per_s: expected a positive rate, got {tokens_per_s:g}")
        cycles = max(1, min(SLOWEST, int(clock * 1e6 / tokens_per_s)))
    search = _Search(encoder, board)
    if cycles is None:
        cycles = search.least_cycles()
    else:
        in_range("cycles", cycles, 1, SLOWEST)
    found = search.solution(cycles)
    if found is None:
        raise search.refusal(cycles, clock)
    folding, nodes, node_cycles = found
    return Solution(
        folding,
        max(node_cycles.values()),
        node_cycles,
        nodes,
        Resources.total(nodes.values()),
        board.budget,
        clock,
        encoder.macs(),
    )


def rate(sentences_per_s: float, tokens: int) -> float:
    """Tokens per second of so many sentences per second of so many tokens."""
    return sentences_per_s * tokens


_Found = tuple[Folding, dict[str, Resources], dict[str, int]]


class _Search:
    def __init__(self, encoder: Encoder, board: Board) -> None:
        self.encoder, self.board = encoder, board
        self.weights = board.resources
        self._problems: dict[int, Problem | str] = {}
        self._solutions: dict[int, _Found | None] = {}

    def problem(self, cycles: int) -> Problem | str:
        if cycles not in self._problems:
            ultra = self.board.budget.uram > 0
            family = self.board.family
            self._problems[cycles] = encoder_problem(self.encoder, family, cycles, ultra)
        return self._problems[cycles]

    def fits(self, cycles: int, relaxed: bool = False) -> bool:
        problem = self.problem(cycles)
        if isinstance(problem, str):
            return False
        budget = self.board.budget
        return choose(problem, budget, self.weights, (), FIRST_GAP, relaxed) is not None

    def least_cycles(self) -> int:
        """The fewest cycles per token that fit, within STEP of a bound that none can be below.

        More cycles never fit worse. Halving finds the fewest that fit if parts of nodes could take
        a variant; from there on, the first that really fit.

        Raises:
            DoesNotFit: none do.
        """
        low, high = 0, 64
        while not self.fits(high, relaxed=True):
            low, high = high, 4 * high
            if high > SLOWEST:
                raise self.does_not_fit()
        while high - low > 1:
            middle = (low + high) // 2
            fits = self.fits(middle, relaxed=True)
            low, high = (low, middle) if fits else (middle, high)
        while self.solution(high) is None:
            high = max(high + 1, int(high * (1 + STEP)))
            if high > SLOWEST:
                raise self.does_not_fit()
        return high

    def solution(self, cycles: int) -> tuple[Folding, dict[str, Resources], dict[str, int]] | None:
        problem = self.problem(cycles)
        if isinstance(problem, str):
            return None
        budget = self.board.budget
        for _ in range(6):
            choice = choose(problem, budget, self.weights, gap=FINAL_GAP)
            if choice is None:
                return None
            folding = folding_of(problem, choice)
            nodes, cycles_of = node_resources(self.encoder, folding, self.board.family)
            total = Resources.total(nodes.values())
            if total.fits(self.board.budget):
                return folding, nodes, cycles_of
            # Where layers differ, FIFOs are counted in sum only: leave room for the difference.
            budget = budget - total.excess(self.board.budget)
        return None

    def binding(self, problem: Problem) -> str:
        """Resources without whose bound it would fit."""
        alone = [n for n in NAMES if self._without(problem, [n])]
        if alone:
            return " or ".join(LABELS[n] for n in alone)
        return " and ".join(LABELS[n] for n in NAMES if not self._enough(problem, n))

    def _without(self, problem: Problem, free: list[str]) -> bool:
        """Whether it would fit if some resources had no bound."""
        return choose(problem, self.board.budget, self.weights, free, relaxed=True) is not None

    def _enough(self, problem: Problem, name: str) -> bool:
        return self._without(problem, [n for n in NAMES if n != name])

    def refusal(self, cycles: int, clock: float) -> ParameterError:
        """Why so few cycles don't fit, and what would."""
        try:
            least = self.least_cycles()
        except DoesNotFit as error:
            return error
        problem = self.problem(cycles)
        rate_text = f"{clock * 1e6 / least:,.0f} tokens/s at {clock:g} MHz"
        if isinstance(problem, str):
            reason = problem
            others = ""
        else:
            reason = f"{self.binding(problem)} binds"
            others = self.other_boards(cycles)
        return ParameterError(
            f"cycles: {cycles} per token don't fit {self.board.name}: {reason}; "
            f"{least} do ({rate_text}){others}"
        )

    def does_not_fit(self) -> DoesNotFit:
        """Why nothing fits, and what would."""
        problem = self.problem(SLOWEST)
        reason = problem if isinstance(problem, str) else f"{self.binding(problem)} binds"
        return DoesNotFit(
            f"board: the model doesn't fit {self.board.name} at any speed: {reason}"
            f"{self.other_boards(SLOWEST)}"
        )

    def other_boards(self, cycles: int) -> str:
        """Known boards with more of everything that is taken."""
        names = []
        for board in known_boards().values():
            other = _Search(self.encoder, board)
            if board.name != self.board.name and other.fits(cycles, relaxed=True):
                names.append(board.name)
        return f"; {' or '.join(names)} would do" if names else "; no known board would do"
