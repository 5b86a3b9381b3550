"""The passages of IMDB reviews, with their reviews' labels."""

from pathlib import Path

import pytest

from edgebert import data_imdb
from edgebert.cli import main
from edgebert.data import Example, TaskData
from edgebert.data_imdb import LONGEST, SHORTEST, load_imdb, passages
from edgebert.errors import UserError
from edgebert.sentences import comparable, split_sentences
from edgebert.tasks import load_task


def words(count: int, name: str = "w") -> str:
    """A sentence of that many words."""
    return " ".join(f"{name}{i}" for i in range(count))


def test_passages_are_whole_sentences_of_a_length() -> None:
    a, b, c = words(SHORTEST, "a"), words(LONGEST - SHORTEST, "b"), words(1, "c")
    assert passages([a, b, c]) == [f"{a} {b}"]
    assert passages([a, b, c, a]) == [f"{a} {b}", f"{c} {a}"]
    assert passages([a, words(LONGEST + 1), a, c]) == [a, f"{a} {c}"]
    assert passages([words(SHORTEST - 1)]) == passages([]) == []


def test_a_review_gives_its_first_and_last_passage(monkeypatch: pytest.MonkeyPatch) -> None:
    first, middle, last = (words(30, name).capitalize() + "." for name in "abc")
    rows = [(f"{first} {middle} {last}", "1"), ("It is a short one. No!", "0"), ("Bad.", "0")]
    monkeypatch.setattr(data_imdb, "review_rows", lambda source: iter([*rows, rows[0]]))
    monkeypatch.setattr(data_imdb, "DEV", 0)
    short = Example("It is a short one. No!", None, 0)
    found = load_imdb().train
    assert sorted(found, key=lambda e: e.text) == [
        Example(first, None, 1), Example(last, None, 1), short
    ]  # fmt: skip
    found = load_imdb([last.upper(), "no"]).train
    assert sorted(found, key=lambda e: e.text) == [
        Example(first, None, 1), Example(middle, None, 1), Example("It is a short one.", None, 0)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def task() -> TaskData:
    return load_task("imdb")


def test_no_passage_of_dev_is_in_train(task: TaskData) -> None:
    assert (len(task.train), len(task.dev)) == (45982, 1923)
    assert task == load_imdb() and task.labels == ("negative", "positive")
    dev = {comparable(example.text) for example in task.dev}
    assert not dev & {comparable(example.text) for example in task.train}
    assert 0.49 < sum(int(e.label) for e in task.train) / len(task.train) < 0.51
    assert all(SHORTEST <= len(e.text.split()) <= LONGEST for e in task.train + task.dev)


def test_sentences_of_a_glue_dev_set_are_left_out(task: TaskData, tmp_path: Path) -> None:
    def passages_of(task: TaskData) -> set[str]:
        return {comparable(example.text) for example in task.train + task.dev}

    single = next(e.text for e in task.dev if len(split_sentences(e.text)) == 1)
    assert comparable(single) in passages_of(task)
    folder = tmp_path / "SST-2"
    folder.mkdir()
    (folder / "train.tsv").write_text("sentence\tlabel\ngood\t1\nbad\t0\n")
    (folder / "dev.tsv").write_text(f"sentence\tlabel\n{single.lower()}\t1\n")
    assert comparable(single) not in passages_of(load_task("imdb", tmp_path))


def test_what_is_no_glue_folder_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="expected a folder of GLUE tasks"):
        load_task("imdb", tmp_path)
    arguments = ["train", "--config", "tiny", "--task", "imdb", "--data", str(tmp_path / "no")]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 2
    assert "expected a folder of GLUE tasks" in capsys.readouterr().err
