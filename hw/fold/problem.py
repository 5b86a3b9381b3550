"""Choose a variant of every node: the least cost within a budget, as an integer program.

Nodes that may take the same variants make a group, and what is decided is how many nodes of it take
which. Costs of neighbours that depend on both (a width converter) are those of an edge, which
counts pairs of their `out` and `into`. Both counts are integers, so the optimum is exact.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from hw.resources import Resources
from hw.resources.amount import NAMES

Fields = Mapping[str, int | str | bool]
TIME_LIMIT_S = 30.0  # of a program; what is found by then is taken
SMALL_SHARE = 1e-3  # weight of flip-flops and DSPs, which are plenty


@dataclass(frozen=True)
class Variant:
    """A way to build a node.

    Attributes:
        fields: of the kernel's dataclass, that make it so.
        cycles: per token.
        cost: with everything that belongs to it alone.
        into, out: what its neighbours' costs depend on: widths of its input and output.
        tokens: that are under way in it, or that it holds, where it is a FIFO.
    """

    fields: Fields
    cycles: int
    cost: Resources
    into: int = 0
    out: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Group:
    """Nodes with the same variants."""

    nodes: Sequence[str]
    variants: Sequence[Variant]


@dataclass(frozen=True)
class Edge:
    """Streams from nodes of a group to nodes of another.

    Attributes:
        source, target: names of groups.
        streams: of a target; a source has one.
        cost: of a stream from width `out` to width `into`; None if it can't be made.
    """

    source: str
    target: str
    streams: int
    cost: Callable[[int, int], Resources | None]


@dataclass(frozen=True)
class Room:
    """FIFOs that must hold the tokens under way beside them.

    Attributes:
        fifos: name of their group.
        beside: how many nodes of a group lie beside each of them; only one in `parallel` counts.
        parallel: nodes of a group side by side, of which a token is in all at once.
        base: tokens held in any case.
    """

    fifos: str
    beside: Sequence[str]
    parallel: Mapping[str, int]
    base: int


@dataclass(frozen=True)
class Problem:
    """Groups, edges and rooms, by name."""

    groups: Mapping[str, Group]
    edges: Sequence[Edge] = ()
    rooms: Sequence[Room] = ()


@dataclass(frozen=True)
class Choice:
    """A solution of a problem.

    Attributes:
        counts: by group, how many nodes take each variant.
        pairs: by edge, how many streams join an `out` to an `into`.
        cost: sum of all.
        value: of the objective.
    """

    counts: Mapping[str, list[int]]
    pairs: Sequence[Mapping[tuple[int, int], int]]
    cost: Resources
    value: float


@dataclass
class _Program:
    """The integer program under construction."""

    costs: list[Resources] = field(default_factory=list)
    most: list[int] = field(default_factory=list)
    rows: list[dict[int, float]] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def variable(self, cost: Resources, most: int) -> int:
        self.costs.append(cost)
        self.most.append(most)
        return len(self.costs) - 1

    def constrain(self, row: dict[int, float], low: float, high: float) -> None:
        self.rows.append(row)
        self.low.append(low)
        self.high.append(high)


def choose(
    problem: Problem,
    budget: Resources,
    weights: Resources,
    free: Sequence[str] = (),
    gap: float = 1e-4,
    relaxed: bool = False,
) -> Choice | None:
    """The cheapest choice within a budget, or None if there is none.

    Args:
        budget: that the sum of all costs keeps to.
        weights: the objective is the sum over resources of the amount's share of this one.
        free: resources without a bound.
        gap: relative distance of the objective from the optimum that is let pass.
        relaxed: let parts of nodes take a variant: quick, and where there is no such choice, there
            is no other. Only `value` is of use then.
    """
    program = _Program()
    variables = {
        name: [program.variable(v.cost, len(group.nodes)) for v in group.variants]
        for name, group in problem.groups.items()
    }
    for name, group in problem.groups.items():
        if not group.variants:
            return None
        row = dict.fromkeys(variables[name], 1.0)
        program.constrain(row, len(group.nodes), len(group.nodes))
    pairs = [_add_edge(program, problem, edge, variables) for edge in problem.edges]
    for room in problem.rooms:
        _add_room(program, problem, room, variables)
    table = _table(program.costs)
    for index, name in enumerate(NAMES):
        if name not in free:
            column = table[:, index]
            row = {int(i): float(column[i]) for i in np.flatnonzero(column)}
            program.constrain(row, -np.inf, float(getattr(budget, name)))
    objective = table @ _prices(weights)
    solution = _solve(program, objective, gap, relaxed)
    if solution is None:
        return None
    if relaxed:
        return Choice({}, [], Resources(), float(objective @ solution))
    found = np.rint(solution).astype(np.int64)
    total = table.T @ found
    counts = {name: [int(found[i]) for i in group] for name, group in variables.items()}
    chosen = [{key: int(found[i]) for key, i in edge.items() if found[i]} for edge in pairs]
    cost = Resources(*(int(amount) for amount in total))
    return Choice(counts, chosen, cost, float(objective @ found))


def _table(costs: Sequence[Resources]) -> NDArray[np.int64]:
    """(variables, resources)."""
    rows = [[getattr(cost, name) for name in NAMES] for cost in costs]
    return np.array(rows, dtype=np.int64).reshape(-1, len(NAMES))


def _prices(weights: Resources) -> NDArray[np.float64]:
    """Objective's price of each resource; what there is nothing of is dear."""
    amounts = np.array([getattr(weights, name) for name in NAMES], dtype=np.float64)
    prices = np.where(amounts > 0, 1 / np.maximum(amounts, 1), 1.0)
    small = np.array([name in ("ff", "dsp") for name in NAMES])
    return np.where(small, prices * SMALL_SHARE, prices)


def _add_edge(
    program: _Program, problem: Problem, edge: Edge, variables: Mapping[str, list[int]]
) -> dict[tuple[int, int], int]:
    source, target = problem.groups[edge.source], problem.groups[edge.target]
    streams = len(source.nodes)
    outs = sorted({v.out for v in source.variants})
    intos = sorted({v.into for v in target.variants})
    made = {}
    for out in outs:
        for into in intos:
            cost = edge.cost(out, into)
            if cost is not None:
                made[out, into] = program.variable(cost, streams)
    for out in outs:
        row = {i: 1.0 for (a, _), i in made.items() if a == out}
        for v, i in zip(source.variants, variables[edge.source], strict=True):
            if v.out == out:
                row[i] = -1.0
        program.constrain(row, 0, 0)
    for into in intos:
        row = {i: 1.0 for (_, b), i in made.items() if b == into}
        for v, i in zip(target.variants, variables[edge.target], strict=True):
            if v.into == into:
                row[i] = -float(edge.streams)
        program.constrain(row, 0, 0)
    return made


def _add_room(
    program: _Program, problem: Problem, room: Room, variables: Mapping[str, list[int]]
) -> None:
    """In sum over the FIFOs; where all nodes of a group agree, that is each of them."""
    fifos = problem.groups[room.fifos]
    row = {i: float(v.tokens) for v, i in zip(fifos.variants, variables[room.fifos], strict=True)}
    for name in room.beside:
        for v, i in zip(problem.groups[name].variants, variables[name], strict=True):
            row[i] = -v.tokens / room.parallel.get(name, 1)
    program.constrain(row, room.base * len(fifos.nodes) - 1e-6, np.inf)


def _solve(
    program: _Program, objective: NDArray[np.float64], gap: float, relaxed: bool
) -> NDArray[np.float64] | None:
    indices = [(r, c, v) for r, row in enumerate(program.rows) for c, v in row.items()]
    rows, columns, values = zip(*indices, strict=True)
    matrix = csr_array((values, (rows, columns)), shape=(len(program.rows), len(program.costs)))
    result = milp(
        objective,
        integrality=np.full(len(objective), 0 if relaxed else 1),
        bounds=Bounds(0, np.array(program.most, dtype=np.float64)),
        constraints=LinearConstraint(matrix, np.array(program.low), np.array(program.high)),
        options={"mip_rel_gap": gap, "time_limit": TIME_LIMIT_S},
    )
    if result.x is None:
        return None
    return np.asarray(result.x, dtype=np.float64)


def undominated(variants: Sequence[Variant]) -> list[Variant]:
    """Those that no other of the same widths beats in everything."""
    kept: list[Variant] = []
    ordered = sorted(variants, key=lambda v: (v.cost.lut, v.cost.bram18, v.cost.uram, v.tokens))
    by_widths: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    for v in ordered:
        cost = (*(getattr(v.cost, name) for name in NAMES), v.tokens)
        others = by_widths.setdefault((v.into, v.out), [])
        if any(all(a <= b for a, b in zip(o, cost, strict=True)) for o in others):
            continue
        others.append(cost)
        kept.append(v)
    return kept
