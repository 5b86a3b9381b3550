"""Unlabelled sentences of the IMDB reviews and of files."""

from pathlib import Path

import pytest

from edgebert import corpus
from edgebert.cli import main
from edgebert.corpus import choose_sentences, source_sentences
from edgebert.errors import UserError


def test_every_sentence_comes_once_and_excluded_ones_never(monkeypatch: pytest.MonkeyPatch) -> None:
    reviews = ["I liked it a lot. Not for me, sorry. Bad.", "i liked it, a lot! A new one here."]
    monkeypatch.setattr(corpus, "review_rows", lambda source: [(text, "1") for text in reviews])
    first, second, third = "I liked it a lot.", "Not for me, sorry.", "A new one here."
    assert source_sentences("imdb") == [first, second, third]
    assert source_sentences("imdb", ["not for me , sorry ."]) == [first, third]


def test_the_command_writes_a_sentence_a_line(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path_factory.mktemp("text") / "imdb.txt"
    assert main(["text", "--out", str(out)]) == 0
    lines = out.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines)) > 200_000
    assert all(3 <= len(line.split()) <= 60 and "<br" not in line for line in lines)
    assert f"{len(lines):,} sentences" in capsys.readouterr().err


def test_a_file_of_sentences_is_a_source(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("One two three.\n\nToo short\none, TWO, three\nFour five six seven\n")
    assert source_sentences(str(file)) == ["One two three.", "Four five six seven"]
    assert source_sentences(str(file), longest=3) == ["One two three."]


def test_a_file_of_pairs_is_no_source(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("One two three.\tFour five six\n")
    with pytest.raises(UserError, match="expected a sentence a line, got a pair"):
        source_sentences(str(file))


def test_the_command_takes_sentences_of_a_file(tmp_path: Path) -> None:
    file, out = tmp_path / "own.txt", tmp_path / "text.txt"
    file.write_text("".join(f"This is sentence {i}\n" for i in range(30)))
    options = ["--from", str(file), "--sentences", "20"]
    assert main(["text", "--out", str(out), *options]) == 0
    lines = out.read_text().splitlines()
    assert len(set(lines)) == 20 and set(lines) < set(file.read_text().splitlines())


def test_data_without_a_task_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["text", "--out", "x.txt", "--data", "somewhere"]) == 2
    assert "--data: expected a --task with it" in capsys.readouterr().err


def test_a_number_of_short_sentences_is_chosen_alike_each_time() -> None:
    sentences = [f"sentence {'word ' * (i % 5)}{i}" for i in range(40)]
    chosen = choose_sentences(sentences, 10, 4)
    assert chosen == choose_sentences(sentences, 10, 4)
    assert len(set(chosen)) == 10 and all(len(s.split()) <= 4 for s in chosen)
    assert [sentences.index(s) for s in chosen] == sorted(sentences.index(s) for s in chosen)
    assert choose_sentences(sentences, None, 3) == [s for s in sentences if len(s.split()) <= 3]


def test_more_sentences_than_there_are_is_an_error() -> None:
    with pytest.raises(UserError, match="--sentences: expected from 1 to 2, of at most 3 words"):
        choose_sentences(["one", "two", "far too many words here"], 3, 3)
