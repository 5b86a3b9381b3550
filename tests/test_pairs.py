"""Unlabelled sentence pairs."""

import math
import re
from pathlib import Path

import pytest

from edgebert.cli import main
from edgebert.corpus import paired_sentences
from edgebert.errors import UserError
from edgebert.held_out import hold_out
from edgebert.pairs import make_pairs, nearest
from edgebert.sentences import comparable
from edgebert.tasks import load_task

SENTENCES = [
    "A dog runs in the snow.",
    "The dog runs in deep snow",
    "Shares of the bank fell today",
    "The bank's shares fell by a third",
    "?!",
    "A man plays the guitar",
    "the man is playing a guitar",
]


def likeness(a: str, b: str) -> float:
    """The cosine of tf-idf, written out."""
    rows = [set(re.findall(r"\w+", s.lower())) for s in SENTENCES]
    x, y = (set(re.findall(r"\w+", s.lower())) for s in (a, b))

    def weight(word: str) -> float:
        return math.log(len(rows) / sum(word in row for row in rows))

    lengths = [math.sqrt(sum(weight(w) ** 2 for w in row)) for row in (x, y)]
    together = sum(weight(w) ** 2 for w in x & y)
    return together / math.prod(lengths) if math.prod(lengths) else 0.0


def test_neighbours_are_the_most_alike_and_never_the_sentence_itself() -> None:
    near = nearest(SENTENCES, 3)
    assert near.shape == (7, 3)
    for i, row in enumerate(near.tolist()):
        assert i not in row
        values = [likeness(SENTENCES[i], SENTENCES[j]) for j in row]
        others = [
            likeness(SENTENCES[i], s) for j, s in enumerate(SENTENCES) if j != i and j not in row
        ]
        assert values == pytest.approx(sorted(values, reverse=True), abs=1e-6)
        assert min(values) >= max(others) - 1e-6
    assert [int(near[i, 0]) for i in (0, 1, 2, 3, 5, 6)] == [1, 0, 3, 2, 6, 5]


def test_neighbours_are_all_others_where_there_are_few() -> None:
    assert nearest(["a b", "b c"], 10).tolist() == [[1], [0]]


def test_pairs_are_different_and_the_same_each_time() -> None:
    pairs = make_pairs(SENTENCES, 40)
    assert pairs == make_pairs(SENTENCES, 40)
    assert len(set(pairs)) == 40
    whole = [pair for pair in pairs if set(pair) <= set(SENTENCES)]
    abridged = [pair for pair in pairs if not set(pair) <= set(SENTENCES)]
    assert whole and abridged and all(a != b for a, b in pairs)
    for pair in abridged:
        long, short = (part.split() for part in sorted(pair, key=lambda p: -len(p.split())))
        words = iter(long)
        assert len(short) < len(long) and all(word in words for word in short)


def test_more_pairs_than_neighbours_is_an_error() -> None:
    with pytest.raises(UserError, match="--pairs: expected from 1 to 42, got 43"):
        make_pairs(SENTENCES, 43)
    with pytest.raises(UserError, match="--pairs: expected from 1 to 42, got 0"):
        make_pairs(SENTENCES, 0)


def write_task(folder: Path) -> None:
    (folder / "train.csv").write_text(
        "text,text_b,label\nOne fish,Two fish,0\nred fish,One  FISH,1\nblue fish swim here,old,0\n"
        "new,this is one that is too long,1\n"
    )
    (folder / "dev.csv").write_text("text,text_b,label\nTwo fish!,unseen,0\n")


def test_sentences_come_from_train_once_without_those_of_dev(tmp_path: Path) -> None:
    write_task(tmp_path)
    found = paired_sentences("csv", tmp_path, 4)
    assert found == ["One fish", "red fish", "blue fish swim here", "old", "new"]


def test_sentences_of_pairs_held_out_are_left_out(glue: Path) -> None:
    _, held = hold_out(load_task("mrpc", glue).train, 0.1)
    keys = {comparable(part) for e in held for part in (e.text, e.text_b or "")}
    found = set(map(comparable, paired_sentences("mrpc", glue, 60, 0.1)))
    assert len(keys) > 500 and keys.isdisjoint(found)
    assert len(found) < len(paired_sentences("mrpc", glue, 60)) < len(found) + len(keys) + 1


def test_the_command_writes_a_pair_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_task(tmp_path)
    out = tmp_path / "pairs.txt"
    task = ["--task", "csv", "--data", str(tmp_path), "--held-out", "0"]
    assert main(["text", "--out", str(out), *task, "--pairs", "8", "--max-words", "4"]) == 0
    lines = out.read_text().splitlines()
    assert len(set(lines)) == 8 and all(len(line.split("\t")) == 2 for line in lines)
    assert "8 pairs" in capsys.readouterr().err


def test_pairs_of_nothing_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["text", "--out", str(tmp_path / "x"), "--pairs", "5"]) == 2
    assert "--pairs: expected --task or --data" in capsys.readouterr().err
    write_task(tmp_path)
    task = ["--task", "csv", "--data", str(tmp_path)]
    assert main(["text", "--out", str(tmp_path / "x"), *task, "--pairs", "5", "--max-words", "0"])
    assert "expected two sentences or more of at most 0 words" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_pairs_of_glue_hold_no_dev_sentence(glue: Path) -> None:
    sentences = paired_sentences("stsb", glue, 30)
    pairs = [(e.text, e.text_b or "") for e in load_task("stsb", glue).dev]
    dev = {comparable(part) for pair in pairs for part in pair}
    assert len(sentences) > 5000 and dev.isdisjoint(map(comparable, sentences))


def test_the_command_pairs_sentences_of_a_file_but_none_of_dev(glue: Path, tmp_path: Path) -> None:
    dev = load_task("rte", glue).dev[0].text_b
    assert dev
    source, out = tmp_path / "own.txt", tmp_path / "pairs.txt"
    source.write_text("\n".join([dev, *SENTENCES]))
    options = ["--task", "rte", "--data", str(glue), "--pairs", "25", "--from", str(source)]
    assert main(["text", "--out", str(out), *options]) == 0
    rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert len(rows) == 25
    known = {word for sentence in SENTENCES for word in sentence.split()}
    assert {word for row in rows for part in row for word in part.split()} <= known
