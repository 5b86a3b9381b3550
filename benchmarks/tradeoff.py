"""Accuracy of the trained W1A1 models against what they take on a board: tradeoff.md, .svg, .json.

    python -m benchmarks.tradeoff

Accuracies are those of benchmarks/accuracy.json. Costs are estimated, from the shapes alone, by the
folding solver and hw.resources: nothing is synthesized.
"""

import json
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from statistics import mean

from benchmarks.accuracy import Record, choose, read_records
from benchmarks.encoders import encoder_kernels, sizes
from benchmarks.tradeoff_plot import Column, Row, Series, draw
from edgebert.zoo import read_index
from hw.boards import Board, load_board
from hw.fold.solver import SLOWEST, DoesNotFit, Solution, solve

FILE = Path(__file__).with_suffix(".json")
TABLE = Path(__file__).with_suffix(".md")
PLOT = Path(__file__).with_suffix(".svg")
MAX_TOKENS = 64
BOARDS = ("pynq-z2", "kv260")  # a model is folded for the first that holds it
SLOWER = (2, 4, 8)  # times the fewest cycles per token that fit
CANDIDATES = {  # shapes without accuracy so far
    "L5H256A4F1024": "`mini` with a fifth layer",
    "L5H256A4F768": "`mini` with a fifth layer, a narrower FFN",
    "L4H256A4F1536": "`mini` with a wider FFN",
    "L4H320A5F1280": "`mini`, 320 wide",
    "L3H320A5F1280": "three layers, 320 wide",
    "small": "",
}
HEADER = """# Accuracy against hardware

![accuracy against LUT and block RAM](tradeoff.svg)

Accuracy is *measured*: the deployed integers on the task's dev set, in percent, of the run of
benchmarks/accuracy.md that held-out sentences choose; in brackets the range of all. Costs are
*estimated*, from the shape alone (`hw.resources`; benchmarks/resources.md compares it with
synthesis; LUTs before placement): the encoder on {boards}, the first that holds it, at the
board's clock, softmax attention, sentences of up to {tokens} tokens. Shares are of what the board
has beside its shell. Per model the fastest folding that fits, and those for {slower} times its
cycles per token, each the smallest by the sum of its shares of LUT, block RAM and URAM; without
any that a faster one equals in all of these. Made by `make tradeoff`.

"""
LIMITS = """
Only one-bit activations are compared: the kernels take no others, so two bits ({0..3}) inside the
FFN are out of scope.
"""
MODEL_HEADS = "model|layers, hidden, heads, FFN|Mb of binary weights|{tasks}board|what"
FOLDING_HEADS = (
    "model|board|cycles per token|sentences/s of {tokens} tokens|LUT|BRAM36|URAM|DSP|binds"
)


@dataclass(frozen=True)
class Score:
    """The main metric of a model's runs on a task's dev set, in percent.

    Attributes:
        runs: how many there are.
        value: of the run that held-out sentences choose (`benchmarks.accuracy.choose`).
        low, high: of all.
        on_dev: whether dev itself picked that run's model, which flatters.
    """

    metric: str
    runs: int
    value: float
    low: float
    high: float
    on_dev: bool


@dataclass(frozen=True)
class Folding:
    """What a model takes at a speed, estimated.

    Attributes:
        cycles: per token.
        tokens_per_s: at the board's clock.
        lut, bram36, uram, dsp: amounts.
        share: sum of the part's shares of LUT, block RAM and URAM, which the solver makes small.
        binds: the resource of which the largest share of the board's budget is taken.
    """

    cycles: int
    tokens_per_s: float
    lut: int
    bram36: float
    uram: int
    dsp: int
    share: float
    binds: str

    def equals(self, other: "Folding") -> bool:
        """Whether it is no slower and takes no more LUT, block RAM or URAM than another."""
        mine = (self.cycles, self.lut, self.bram36, self.uram)
        its = (other.cycles, other.lut, other.bram36, other.uram)
        return all(a <= b for a, b in zip(mine, its, strict=True))


Fold = Callable[[str], tuple[str | None, list[Folding]]]


@dataclass(frozen=True)
class Model:
    """A model: scores by task, none if it was not trained; no board if none of BOARDS holds it."""

    name: str
    scores: dict[str, Score]
    board: str | None
    foldings: Sequence[Folding]

    @property
    def best(self) -> Folding:
        """The fastest."""
        return self.foldings[0]

    def mean(self, tasks: Sequence[str]) -> float:
        """Mean score over tasks, in percent."""
        return mean(self.scores[task].value for task in tasks)


def scores_of(records: Sequence[Record], config: str) -> dict[str, Score]:
    """Scores of a configuration by task."""
    found = {}
    for task in sorted({r.task for r in records if r.config == config}):
        runs = [r for r in records if (r.config, r.task) == (config, task)]
        values = [100 * r.stages["w1a1"] for r in runs]
        best = choose(runs)
        value, on_dev = 100 * best.stages["w1a1"], best.chosen_by == "dev"
        found[task] = Score(best.metric, len(runs), value, min(values), max(values), on_dev)
    return found


def folded(name: str) -> tuple[str | None, list[Folding]]:
    """The first board that holds a model, and its foldings there, from the fastest on."""
    kernels = encoder_kernels(name, MAX_TOKENS)
    for board in map(load_board, BOARDS):
        try:
            best = solve(kernels, board, MAX_TOKENS)
        except DoesNotFit:
            continue
        targets = [min(SLOWEST, factor * best.cycles) for factor in SLOWER]
        slower = [solve(kernels, board, MAX_TOKENS, cycles=cycles) for cycles in targets]
        return board.name, front([folding_of(solution, board) for solution in (best, *slower)])
    return None, []


def folding_of(solution: Solution, board: Board) -> Folding:
    """The figures of a solution."""
    total, shares = solution.total, solution.total.shares(board.resources)
    return Folding(
        cycles=solution.cycles,
        tokens_per_s=round(solution.tokens_per_s),
        lut=total.lut,
        bram36=total.bram18 / 2,
        uram=total.uram,
        dsp=total.dsp,
        share=round(shares["lut"] + shares["bram18"] + shares["uram"], 4),
        binds=solution.binds.replace("BRAM18", "BRAM36"),
    )


def front(foldings: Sequence[Folding]) -> list[Folding]:
    """Those that no faster one equals, from the fastest on."""
    kept: list[Folding] = []
    for folding in sorted(foldings, key=lambda f: (f.cycles, f.share)):
        if not any(other.equals(folding) for other in kept):
            kept.append(folding)
    return kept


def models(records: Sequence[Record], fold: Fold) -> Iterator[Model]:
    """The models that have runs, from the narrowest on, then the candidates that have none."""
    trained = sorted({r.config for r in records}, key=weight_bits)
    names = [*trained, *(name for name in CANDIDATES if name not in trained)]
    for name in names:
        yield Model(name, scores_of(records, name), *fold(name))


def weight_bits(name: str) -> int:
    """Binary weights of a model's encoder."""
    layers, hidden, _, ffn, _ = sizes(name)
    return layers * (4 * hidden * hidden + 2 * hidden * ffn)


def page(found: Sequence[Model]) -> str:
    """The text of tradeoff.md."""
    boards = " or ".join(BOARDS)
    slower = ", ".join(map(str, SLOWER))
    return (
        HEADER.format(boards=boards, tokens=MAX_TOKENS, slower=slower)
        + conclusion(found)
        + "\n## Models\n\n"
        + model_table(found)
        + "\n## Foldings\n\n"
        + folding_table(found)
        + LIMITS
    )


def tasks_of(found: Sequence[Model]) -> list[str]:
    """Tasks that any of the models was trained on."""
    return sorted({task for model in found for task in model.scores})


def model_table(found: Sequence[Model]) -> str:
    """A row for each model: shape, scores, board."""
    tasks = tasks_of(found)
    rows = []
    for m in found:
        layers, hidden, heads, ffn, _ = sizes(m.name)
        cells = [m.name, f"{layers}, {hidden}, {heads}, {ffn}", f"{weight_bits(m.name) / 1e6:.2f}"]
        cells += [score_text(m.scores.get(task)) for task in tasks]
        rows.append([*cells, m.board or "neither", CANDIDATES.get(m.name, "")])
    return table(MODEL_HEADS.format(tasks="".join(f"{task}|" for task in tasks)), rows)


def score_text(score: Score | None) -> str:
    """A cell of the table of models."""
    if score is None:
        return "not trained"
    text = f"{score.value:.1f}"
    if score.runs > 1:
        text += f" ({score.runs} runs, {score.low:.1f} to {score.high:.1f})"
    return text + (", chosen on dev" if score.on_dev else "")


def folding_table(found: Sequence[Model]) -> str:
    """A row for each folding of each model."""
    rows = []
    for m in found:
        if m.board is None:
            rows.append([m.name, "neither", *[""] * 7])
            continue
        budget = load_board(m.board).budget
        for f in m.foldings:
            amounts = [(f.lut, budget.lut), (f.bram36, budget.bram18 / 2)]
            amounts += [(f.uram, budget.uram), (f.dsp, budget.dsp)]
            cells = [m.name, m.board, str(f.cycles), f"{f.tokens_per_s / MAX_TOKENS:,.0f}"]
            rows.append([*cells, *(amount_text(*pair) for pair in amounts), f.binds])
    return table(FOLDING_HEADS.format(tokens=MAX_TOKENS), rows)


def amount_text(amount: float, budget: float) -> str:
    """An amount and its share of a budget."""
    return f"{amount:,g} ({100 * amount / budget:.0f} %)" if amount else "0"


def table(heads: str, rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown; heads are separated by bars."""
    names = heads.split("|")
    lines = [f"| {' | '.join(cells)} |" for cells in (names, *rows)]
    return "\n".join([lines[0], "|" + " --- |" * len(names), *lines[1:]]) + "\n"


def conclusion(found: Sequence[Model]) -> str:
    """Which of the trained models is the default for the first board, and why; a paragraph."""
    held = [m for m in found if m.scores and m.board == BOARDS[0]]
    if not held:
        return f"No trained model fits {BOARDS[0]}.\n"
    tasks = shared_tasks(held)
    held = sorted((m for m in held if set(tasks) <= set(m.scores)), key=lambda m: -m.mean(tasks))
    best, others = held[0], held[1:]
    where = ", ".join(tasks)
    sentences = [
        f"**Default for {BOARDS[0]}: `{best.name}`**, the most accurate of the trained models that "
        f"it holds, with {best.mean(tasks):.1f} on {where}: {takes(best)}.",
        slower_text(best),
        *(beside(other, best, tasks) for other in others),
        doubt(held, tasks),
        *(larger(m, best, tasks) for m in found if m.scores and m.board != BOARDS[0]),
        candidates(found),
    ]
    text = " ".join(filter(None, sentences))
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False) + "\n"


def shared_tasks(held: Sequence[Model]) -> list[str]:
    """Tasks that all of them have; where there is none, the one that most of them have."""
    tasks = tasks_of(held)
    shared = [task for task in tasks if all(task in m.scores for m in held)]
    return shared or [max(tasks, key=lambda task: sum(task in m.scores for m in held))]


def takes(m: Model) -> str:
    """Speed and costs of a model's fastest folding."""
    assert m.board is not None
    best, budget = m.best, load_board(m.board).budget
    amounts = [("LUT", best.lut, budget.lut), ("BRAM36", best.bram36, budget.bram18 / 2)]
    amounts += [("URAM", best.uram, budget.uram)] if best.uram else []
    texts = [f"{amount:,g} {name} ({100 * amount / most:.0f} %)" for name, amount, most in amounts]
    rate = f"{best.tokens_per_s / MAX_TOKENS:,.0f} sentences/s of {MAX_TOKENS} tokens"
    return ", ".join([rate, *texts])


def slower_text(m: Model) -> str:
    """What the slowest folding saves."""
    if len(m.foldings) < 2:
        return ""
    last = m.foldings[-1]
    return (
        f"At {last.cycles} cycles per token instead of {m.best.cycles} it takes {last.lut:,} LUT "
        f"and {last.bram36:g} BRAM36."
    )


def beside(other: Model, best: Model, tasks: Sequence[str]) -> str:
    """A smaller or less accurate model beside the default."""
    points = best.mean(tasks) - other.mean(tasks)
    return f"`{other.name}` has {points:.1f} points less: {takes(other)}."


def doubt(held: Sequence[Model], tasks: Sequence[str]) -> str:
    """Whether the difference to the next model could be chance."""
    if len(held) < 2:
        return ""
    error = standard_error(held[0], tasks)
    if error is None:
        return "Differences of a point or two can be chance."
    points = held[0].mean(tasks) - held[1].mean(tasks)
    settled = "more" if points > 2 * error else "less"
    ending = "" if settled == "more" else ": these runs do not settle the choice"
    return (
        f"The standard error of these scores, by the number of dev sentences, is {error:.1f} "
        f"points, and the difference is {settled} than two of them{ending}."
    )


def standard_error(m: Model, tasks: Sequence[str]) -> float | None:
    """Of a mean of accuracies, in percent; None where a task has another metric or unknown size."""
    sentences = {model.task: model.sentences for model in read_index().values()}
    scores = [(m.scores[task], sentences.get(task)) for task in tasks]
    total = 0.0
    for score, count in scores:
        if score.metric != "accuracy" or not count:
            return None
        total += score.value * (100 - score.value) / count
    return sqrt(total) / len(tasks)


def larger(m: Model, best: Model, tasks: Sequence[str]) -> str:
    """A trained model that the first board doesn't hold."""
    if not set(tasks) <= set(m.scores):
        return ""
    points = f"{m.mean(tasks) - best.mean(tasks):+.1f} points"
    if m.board is None:
        return f"`{m.name}` ({points}) fits neither board."
    return f"`{m.name}` ({points}) needs {m.board}: {takes(m)}."


def candidates(found: Sequence[Model]) -> str:
    """Models that were not trained, by the board that would hold them."""
    idle = [m for m in found if not m.scores]
    texts = []
    for board in (*BOARDS, None):
        names = [
            f"`{m.name}` ({m.best.cycles} cycles per token)" if m.board else f"`{m.name}`"
            for m in idle
            if m.board == board
        ]
        if names:
            place = f"{board} would hold" if board else "neither would hold"
            texts.append(f"{place} {', '.join(names)}")
    return f"Of those not trained, {'; '.join(texts)}." if texts else ""


def plot(found: Sequence[Model]) -> str:
    """The text of tradeoff.svg: a row for each task, and one for models without a score."""
    budgets = {name: load_board(name).budget for name in BOARDS}
    columns = [
        Column("LUT, estimated", {name: b.lut for name, b in budgets.items()}),
        Column("BRAM36, estimated", {name: b.bram18 / 2 for name, b in budgets.items()}),
    ]
    lut, bram = (column.title for column in columns)

    def series(m: Model, value: float) -> Series:
        texts = [f"{f.cycles}" for f in m.foldings]
        amounts: dict[str, list[float]] = {
            lut: [f.lut for f in m.foldings],
            bram: [f.bram36 for f in m.foldings],
        }
        notes = {} if m.board else {lut: "fits neither board"}
        ultra = sorted({f.uram for f in m.foldings if f.uram})
        if ultra:
            notes[bram] = f"+ {'-'.join(map(str, dict.fromkeys((ultra[0], ultra[-1]))))} URAM"
        return Series(m.name, m.board or "", value, texts, amounts, notes)

    rows = []
    for task in tasks_of(found):
        scored = [m for m in found if task in m.scores]
        metric = scored[0].scores[task].metric
        title = f"{task}: {metric} of the deployed integers on dev, %"
        rows.append(Row(title, [series(m, m.scores[task].value) for m in scored]))
    if idle := [m for m in found if not m.scores]:
        rows.append(Row("not trained", [series(m, 0) for m in idle], scaled=False))
    title = (
        "W1A1 models against what they take (numbers at the marks: cycles per token, "
        f"sentences of up to {MAX_TOKENS} tokens)"
    )
    return draw(title, columns, rows)


def main() -> None:
    found = []
    for model in models(read_records(), folded):
        found.append(model)
        print(f"{model.name}: {model.board or 'fits no board'}", flush=True)
    content = [asdict(model) for model in found]
    FILE.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    TABLE.write_text(page(found), encoding="utf-8")
    PLOT.write_text(plot(found), encoding="utf-8")


if __name__ == "__main__":
    main()
