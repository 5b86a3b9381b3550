"""Accuracy against hardware: what is published covers all runs, and the plot can be read."""

import itertools
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from benchmarks import tradeoff
from benchmarks.accuracy import Record, read_records
from benchmarks.encoders import SIZES, sizes
from benchmarks.tradeoff import Folding, Model, Score
from benchmarks.tradeoff_plot import text_box
from edgebert.config import load_config
from hw.boards import load_board
from hw.resources import Resources

GAP = 0.01  # of the cost: what two of the solver's answers may be away from their optimum
SVG = "{http://www.w3.org/2000/svg}"


def published() -> list[Model]:
    """The models of tradeoff.json."""
    return [
        Model(
            entry["name"],
            {task: Score(**score) for task, score in entry["scores"].items()},
            entry["board"],
            [Folding(**folding) for folding in entry["foldings"]],
        )
        for entry in json.loads(tradeoff.FILE.read_text(encoding="utf-8"))
    ]


def record(config: str, w1a1: float, task: str = "sst2", metric: str = "accuracy") -> Record:
    return Record("", config, task, metric, 0, {"w1a1": w1a1}, 0.0, "held-out", "", 0, 0.0)


def folding(cycles: int, lut: int, bram36: float = 10.0, uram: int = 0) -> Folding:
    return Folding(cycles, 1e8 / cycles, lut, bram36, uram, 0, 0.5, "LUT")


def model(name: str, percent: float | None, *foldings: Folding, board: str = "pynq-z2") -> Model:
    scores = {}
    if percent is not None:
        scores["sst2"] = Score("accuracy", 1, percent, percent, percent, False)
    return Model(name, scores, board if foldings else None, foldings)


def texts(svg: str) -> list[tuple[str, float, float, str]]:
    """Texts of a drawing: what, x, y, anchor."""
    root = ElementTree.fromstring(svg)
    return [
        (t.text or "", float(t.get("x", "")), float(t.get("y", "")), t.get("text-anchor", ""))
        for t in root.iter(f"{SVG}text")
    ]


def test_every_trained_configuration_is_published() -> None:
    names = {m.name for m in published()}
    missing = {r.config for r in read_records()} - names
    assert not missing, "run `make tradeoff`"
    table = tradeoff.TABLE.read_text(encoding="utf-8")
    assert all(f"| {name} |" in table for name in names)
    assert set(tradeoff.CANDIDATES) <= names


@pytest.mark.parametrize("m", published(), ids=lambda m: m.name)
def test_a_slower_folding_costs_less_and_each_fits_its_board(m: Model) -> None:
    assert m.board is not None
    assert len(m.foldings) >= 2
    for faster, slower in itertools.pairwise(m.foldings):
        assert faster.cycles < slower.cycles
        assert slower.share <= (1 + GAP) * faster.share
        assert not faster.equals(slower)
    budget = load_board(m.board).budget
    for f in m.foldings:
        assert Resources(f.lut, 0, round(2 * f.bram36), f.uram, f.dsp).fits(budget)


def test_a_model_is_folded_for_the_first_board_that_holds_it() -> None:
    board, foldings = tradeoff.folded("tiny")
    assert board == tradeoff.BOARDS[0]
    assert foldings == tradeoff.front(foldings)
    assert foldings == next(m for m in published() if m.name == "tiny").foldings


def test_foldings_that_a_faster_one_equals_are_left_out() -> None:
    fast, larger, smaller, memory = folding(1, 9), folding(2, 9), folding(4, 5, 12), folding(8, 5)
    assert tradeoff.front([memory, smaller, larger, fast]) == [fast, smaller, memory]


def test_a_score_is_that_of_the_run_that_held_out_sentences_choose() -> None:
    low, best = (
        replace(record("mini", 0.8), held_out=0.7),
        replace(record("mini", 0.75), held_out=0.8),
    )
    runs = [low, best, record("mini", 0.9), record("mini", 0.5, "cola", "matthews")]
    runs += [record("tiny", 0.1), replace(record("mini", 0.7), chosen_by="dev")]
    scores = tradeoff.scores_of(runs, "mini")
    assert set(scores) == {"sst2", "cola"}
    assert scores["sst2"].value == pytest.approx(75)
    assert replace(scores["sst2"], value=75) == Score("accuracy", 4, 75, 70, 90, False)
    assert tradeoff.score_text(scores["sst2"]) == "75.0 (4 runs, 70.0 to 90.0)"
    assert tradeoff.score_text(scores["cola"]) == "50.0"
    on_dev = tradeoff.scores_of([replace(low, chosen_by="dev")], "mini")["sst2"]
    assert on_dev.on_dev and tradeoff.score_text(on_dev) == "80.0, chosen on dev"


def test_a_trained_shape_is_no_candidate_any_more() -> None:
    name = next(iter(tradeoff.CANDIDATES))
    found = list(tradeoff.models([record(name, 0.8)], lambda _: (None, [])))
    assert [m.name for m in found] == list(tradeoff.CANDIDATES)
    assert found[0].scores and not found[1].scores


def test_the_default_is_the_most_accurate_model_that_the_first_board_holds() -> None:
    small, large = model("tiny", 80.0, folding(64, 9)), model("mini", 81.0, folding(256, 99))
    above = model("minilm", 85.0, folding(308, 999), board="kv260")
    text = tradeoff.conclusion([small, large, above, model("base", None)]).replace("\n", " ")
    assert text.startswith("**Default for pynq-z2: `mini`**")
    assert "`tiny` has 1.0 points less" in text
    assert "do not settle" in text  # 872 sentences
    assert "`minilm` (+4.0 points) needs kv260" in text
    assert "neither would hold `base`" in text
    sure = tradeoff.conclusion([model("tiny", 70.0, folding(64, 9)), large])
    assert "do not settle" not in sure
    assert tradeoff.conclusion([above]) == "No trained model fits pynq-z2.\n"


def test_models_are_compared_on_the_tasks_that_all_of_them_have() -> None:
    cola = Score("matthews", 1, 20.0, 20.0, 20.0, False)
    small, large = model("tiny", 80.0, folding(64, 9)), model("mini", 79.0, folding(256, 99))
    more = replace(large, scores=large.scores | {"cola": cola})
    assert tradeoff.shared_tasks([small, more]) == ["sst2"]
    assert "`tiny`**" in tradeoff.conclusion([small, more])
    apart = replace(small, scores={"cola": cola})
    assert tradeoff.shared_tasks([apart, more, more]) == ["cola"]


def test_the_plot_is_xml_with_every_name_and_budget() -> None:
    svg = tradeoff.PLOT.read_text(encoding="utf-8")
    assert svg == tradeoff.plot(published())
    words = " ".join(text for text, *_ in texts(svg))
    for m in published():
        assert m.name in words
    for board in map(load_board, tradeoff.BOARDS):
        assert f"{board.name}: {board.budget.lut:,}" in words
        assert f"{board.name}: {board.budget.bram18 // 2}" in words


def crowded() -> list[Model]:
    """Models of almost the same accuracy and costs, one on two tasks, two that fit nowhere."""
    costs = [folding(64 * n, 40000 // n, 129 - n) for n in (1, 2, 4)]
    found = [model(name, 80 + 0.02 * i, *costs) for i, name in enumerate(("tiny", "mini", "base"))]
    on_board = [replace(f, lut=2 * f.lut, uram=60 + i) for i, f in enumerate(costs)]
    found.append(model("minilm", 83.0, *on_board, board="kv260"))
    found[0].scores["cola"] = Score("matthews", 1, -1.0, -1.0, -1.0, False)
    return [*found, model("small", 82.0), model("L24H1024A16F4096", None)]


@pytest.mark.parametrize("found", [published(), crowded()], ids=["published", "crowded"])
def test_texts_of_the_plot_lie_apart_and_on_the_page(found: list[Model]) -> None:
    svg = tradeoff.plot(found)
    root = ElementTree.fromstring(svg)
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    boxes = [(text, text_box(text, x, y, anchor)) for text, x, y, anchor in texts(svg)]
    for text, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
    for (text, box), (other, its) in itertools.combinations(boxes, 2):
        assert not box.meets(its), f"{text!r} lies on {other!r}"


def test_the_page_says_what_is_measured_and_estimated() -> None:
    text = tradeoff.page(published())
    assert "*measured*" in text and "*estimated*" in text
    assert all(len(line) <= 100 for line in text.splitlines() if not line.startswith("|"))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4 + len(published()) + sum(len(m.foldings) for m in published())
    assert re.search(r"\| mini \| pynq-z2 \| \d+ \|", text)


@pytest.mark.parametrize("name", SIZES)
def test_named_sizes_are_those_of_the_configurations(name: str) -> None:
    config = load_config(name)
    m = config.model
    assert sizes(name) == (m.layers, m.hidden, m.heads, m.ffn, config.arithmetic.word_bits)


def test_other_sizes_are_spelt_out() -> None:
    assert sizes("L5H256A4F768") == (5, 256, 4, 768, 17)
    assert sizes("L4H320A5F1280") == (4, 320, 5, 1280, 18)
    assert sizes("L24H1024A16F4096") == (24, 1024, 16, 4096, 18)
    with pytest.raises(ValueError, match="got 'huge'"):
        sizes("huge")
