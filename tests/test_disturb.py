"""Unlabelled sentences and pairs with their words disturbed."""

from pathlib import Path

import pytest

from edgebert.cli import main
from edgebert.corpus import source_sentences, usable
from edgebert.disturb import MOST_CHANGES, disturb_pairs, disturb_sentences
from edgebert.errors import UserError
from edgebert.held_out import hold_out
from edgebert.sentences import comparable
from edgebert.tasks import load_task

PAIRS = [
    ("A dog ran in the snow.", "The dog ran"),
    ("the man saw A cat in a hat", "he saw a cat"),
    ("Fred left the room", "the room was left"),
    ("Sue and Ann sang", "Go!"),
]
SENTENCES = ["A dog ran in the snow.", "the man saw A cat in a hat", "Fred left the room", "Go!"]


def spliced(words: list[str], rows: list[list[str]]) -> bool:
    """Whether a beginning and an end of two sentences, joined at a word of both, give `words`."""
    return any(
        words == one[: i + 1] + two[k + 1 :] and one[i].lower() == two[k].lower()
        for one in rows
        for two in rows
        for i in range(len(one))
        for k in range(len(two))
    )


def edits(one: list[str], two: list[str]) -> int:
    """Words to be left out, exchanged or added from one to two: Levenshtein's distance."""
    row = list(range(len(two) + 1))
    for i, word in enumerate(one, 1):
        before, row[0] = row[0], i
        for k, other in enumerate(two, 1):
            before, row[k] = row[k], min(row[k] + 1, row[k - 1] + 1, before + (word != other))
    return row[-1]


def test_sentences_are_spliced_or_changed_in_a_few_words() -> None:
    rows = [sentence.split() for sentence in SENTENCES if len(sentence.split()) > 1]
    made = [sentence.split() for sentence in disturb_sentences(SENTENCES, 200, 60)]
    splices = sum(spliced(words, rows) for words in made)
    assert 10 < splices < 190  # both kinds
    for words in made:
        # A move is a word left out and added.
        near = min(edits(words, row) for row in rows)
        assert spliced(words, rows) or 1 <= near <= 2 * MOST_CHANGES
        assert set(words) <= {word for row in rows for word in row}


def test_sentences_are_new_different_and_the_same_each_time() -> None:
    excluded = disturb_sentences(SENTENCES, 5, 60)
    made = disturb_sentences(SENTENCES, 100, 6, [sentence.upper() for sentence in excluded])
    assert made == disturb_sentences(SENTENCES, 100, 6, [s.upper() for s in excluded])
    keys = [comparable(sentence) for sentence in made]
    assert len(set(keys)) == 100
    assert not set(keys) & {comparable(sentence) for sentence in [*SENTENCES, *excluded, ""]}
    assert all(len(sentence.split()) <= 6 for sentence in made)


def test_short_sentences_are_neither_used_nor_made() -> None:
    made = disturb_sentences([*SENTENCES, "short ones"], 100, 60, shortest=5)
    assert min(len(sentence.split()) for sentence in made) == 5
    assert not any(word in sentence.split() for word in ("Fred", "short") for sentence in made)


def test_one_sentence_of_a_pair_is_disturbed() -> None:
    made = disturb_pairs(PAIRS, 200, 9, ["FRED left the room!", "the dog ran in the snow"])
    assert made == disturb_pairs(PAIRS, 200, 9, ["FRED left the room!", "the dog ran in the snow"])
    assert len({tuple(map(comparable, pair)) for pair in made}) == 200
    # The pair of a sentence of dev and the one of a single word give nothing, nor do their words.
    sides = list(zip(*PAIRS[:2], strict=True))
    kept = [[pair[side] in sides[side] for pair in made] for side in (0, 1)]
    assert all(a or b for a, b in zip(*kept, strict=True))
    assert 10 < sum(kept[0]) < 190 and not all(a and b for a, b in zip(*kept, strict=True))
    for pair in made:
        for side in (0, 1):
            rows = [row.split() for row in sides[side]]
            words = pair[side].split()
            near = min(edits(words, row) for row in rows)
            assert spliced(words, rows) or near <= 2 * MOST_CHANGES
            assert set(words) <= {word for row in rows for word in row} and len(words) <= 9
        assert comparable(pair[0]) != "thedograninthesnow" and tuple(pair) not in PAIRS


@pytest.mark.parametrize(
    ("pairs", "count", "message"),
    [
        (PAIRS, 0, "expected 1 or more"),
        ([("Go!", "the room")], 5, "got 5 of 0"),
        ([("two words", "two words")], 10_000, "expected at most"),
    ],
)
def test_too_many_pairs_are_an_error(
    pairs: list[tuple[str, str]], count: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        disturb_pairs(pairs, count, 60)


@pytest.mark.parametrize(
    ("sentences", "count", "message"),
    [
        (SENTENCES, 0, "expected 1 or more"),
        (["Go!", ""], 5, "got 5 of 0"),
        (["two words"], 10_000, "expected at most"),
    ],
)
def test_too_many_sentences_are_an_error(sentences: list[str], count: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        disturb_sentences(sentences, count, 60)


def test_the_command_writes_a_sentence_a_line(glue: Path, tmp_path: Path) -> None:
    out = tmp_path / "cola.txt"
    options = ["--task", "cola", "--data", str(glue), "--disturbed", "3000", "--max-words", "12"]
    assert main(["text", "--out", str(out), *options]) == 0
    keys = {comparable(line) for line in out.read_text().splitlines()}
    assert len(keys) == 3000
    task = load_task("cola", glue)
    assert not keys & {comparable(example.text) for example in [*task.train, *task.dev]}


def test_the_command_writes_a_pair_a_line(glue: Path, tmp_path: Path) -> None:
    out = tmp_path / "rte.txt"
    options = ["--task", "rte", "--data", str(glue), "--disturbed", "2000", "--max-words", "40"]
    assert main(["text", "--out", str(out), *options]) == 0
    rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert len({(comparable(a), comparable(b)) for a, b in rows}) == 2000
    task = load_task("rte", glue)
    dev = {comparable(part or "") for e in task.dev for part in (e.text, e.text_b)}
    assert dev.isdisjoint(comparable(part) for row in rows for part in row)
    train = {comparable(part or "") for e in task.train for part in (e.text, e.text_b)}
    assert all(comparable(a) in train or comparable(b) in train for a, b in rows)


def test_the_command_disturbs_imdb_sentences(glue: Path, tmp_path: Path) -> None:
    out = tmp_path / "cola.txt"
    options = ["--task", "cola", "--data", str(glue), "--disturbed", "2000", "--from", "imdb"]
    assert main(["text", "--out", str(out), *options, "--min-words", "5", "--max-words", "9"]) == 0
    rows = out.read_text().splitlines()
    keys = set(map(comparable, rows))
    assert len(keys) == 2000 and all(5 <= len(row.split()) <= 9 for row in rows)
    sentences = source_sentences("imdb")
    assert not keys & set(map(comparable, sentences))
    words = {word for sentence in sentences for word in sentence.split()}
    assert {word for row in rows for word in row.split()} <= words


def test_the_command_disturbs_one_of_two_copies_of_a_sentence(glue: Path, tmp_path: Path) -> None:
    sentences = ["The cat sat on the mat", "A man plays the loud guitar", "Rain fell on the town"]
    source, out = tmp_path / "own.txt", tmp_path / "pairs.txt"
    source.write_text("\n".join(sentences))
    options = ["--task", "stsb", "--data", str(glue), "--disturbed", "50", "--from", str(source)]
    assert main(["text", "--out", str(out), *options]) == 0
    rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert len(rows) == 50
    assert all(a != b and (a in sentences or b in sentences) for a, b in rows)


def test_the_command_disturbs_one_of_two_copies_of_a_train_sentence(
    glue: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pairs.txt"
    options = ["--task", "mrpc", "--data", str(glue), "--disturbed", "300", "--from", "train"]
    assert main(["text", "--out", str(out), *options, "--max-words", "30"]) == 0
    train, judges = usable(load_task("mrpc", glue), 0.1)
    known = {comparable(part) for example in train for part in example.parts} - judges
    rows = [tuple(map(comparable, line.split("\t"))) for line in out.read_text().splitlines()]
    assert len(set(rows)) == 300
    assert all(a != b and (a in known or b in known) for a, b in rows)


def test_train_as_a_source_needs_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["text", "--out", str(tmp_path / "x"), "--from", "train"]) == 2
    assert "--from train: expected a --task with it, got none" in capsys.readouterr().err


def test_what_is_held_out_from_train_is_not_disturbed(tmp_path: Path) -> None:
    rows = [f"w{i}a w{i}b w{i}c,{i % 2}" for i in range(20)]
    for name in ("train", "dev"):
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
        rows = ["this is dev,0", "that is dev,1"]
    out, where = tmp_path / "x.txt", ["--task", "csv", "--data", str(tmp_path)]
    _, held = hold_out(load_task("csv", tmp_path).train, 0.3)
    away = {word for example in held for word in example.text.split()}
    assert len(away) == 18
    for more, found in ((["--held-out", "0.3"], 42), ([], 54), (["--held-out", "0"], 60)):
        assert main(["text", "--out", str(out), *where, "--disturbed", "900", *more]) == 0
        words = set(out.read_text().split())
        assert len(words) == found and (found != 42 or away.isdisjoint(words))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--disturbed: expected a --task"),
        (["--task", "cola", "--held-out", "1"], "held_out: expected a fraction from 0 to below 1"),
        (["--task", "mrpc", "--min-words", "4"], "expected a task of single sentences, got mrpc"),
        (["--task", "cola", "--pairs", "4"], "not allowed with"),
    ],
)
def test_the_command_names_what_is_missing(
    options: list[str], message: str, glue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x"
    where = ["--data", str(glue)]
    assert main(["text", "--out", str(out), "--disturbed", "5", *where, *options]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_min_words_without_disturbed_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["text", "--out", str(tmp_path / "x"), "--min-words", "4"]) == 2
    assert "--min-words: expected --disturbed with it, got 4 alone" in capsys.readouterr().err
