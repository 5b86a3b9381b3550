"""What is held out of train, and what of it the rest may still say."""

from pathlib import Path

import pytest

from edgebert.data import Example
from edgebert.errors import UserError
from edgebert.held_out import PHRASE, hold_out
from edgebert.tasks import load_task

WHOLE = ["a warm and funny story of a town", "the cast is dull and the jokes are old"]
PHRASES = ["warm and funny story of", "Funny story", "the jokes are old", "dull", "of a town"]


def labelled(texts: list[str], second: str | None = None) -> list[Example]:
    return [Example(text, second, label=i % 2) for i, text in enumerate(texts)]


def test_phrases_are_neither_held_out_nor_trained_on_beside_their_sentence() -> None:
    train, held_out = hold_out(labelled(WHOLE + PHRASES), 0.5)
    assert len(held_out) == 1 and held_out[0].text in WHOLE
    kept = {example.text for example in train}
    other = next(text for text in WHOLE if text != held_out[0].text)
    inside = {t for t in PHRASES if t.lower() in held_out[0].text and len(t.split()) >= PHRASE}
    assert inside and kept == {other, *PHRASES} - inside


def test_without_phrases_every_example_may_be_held_out() -> None:
    texts = [f"sentence number {i}" for i in range(40)]
    train, held_out = hold_out(labelled(texts), 0.25)
    assert len(held_out) == 10 and sorted(e.text for e in train + held_out) == sorted(texts)
    assert hold_out(labelled(texts), 0.25) == (train, held_out)


def test_what_is_held_out_is_not_trained_on_in_other_letters_or_spaces() -> None:
    texts = [f"Story {i}" for i in range(10)] + [f"story   {i}" for i in range(10)]
    train, held_out = hold_out(labelled(texts), 0.2)
    assert len(held_out) == 4
    seen = {" ".join(e.text.lower().split()) for e in held_out}
    assert not any(" ".join(e.text.lower().split()) in seen for e in train)


def test_pairs_are_no_parts_of_each_other() -> None:
    pairs = labelled(["a b c d e f", "a b c d e"], "second") + labelled(["a b c d"], None)
    train, held_out = hold_out(pairs, 0.4)
    assert len(held_out) == 2 and len(train) == 1


def test_long_texts_are_taken_as_whole() -> None:
    long = " ".join(f"word{i}" for i in range(500))
    train, held_out = hold_out(labelled([long, "word1 word2 word3 word4", "other"]), 0.5)
    assert len(train) + len(held_out) == 3


def test_nothing_is_held_out_by_default() -> None:
    examples = labelled(WHOLE + PHRASES)
    assert hold_out(examples, 0.0) == (examples, [])


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (1.0, "expected a fraction from 0 to below 1, got 1.0"),
        (-0.1, "expected a fraction"),
        (0.99, "expected to leave training sentences"),
    ],
)
def test_a_fraction_that_leaves_nothing_is_an_error(fraction: float, said: str) -> None:
    with pytest.raises(UserError, match=said):
        hold_out(labelled(WHOLE), fraction)


def test_sst2_s_held_out_sentences_are_whole_and_unseen(glue: Path) -> None:
    examples = load_task("sst2", glue).train
    train, held_out = hold_out(examples, 0.1)
    assert 500 < len(held_out) < 900 and len(train) > 60_000
    words = [len(example.text.split()) for example in held_out]
    assert sum(words) / len(words) > 15  # dev's have 19.5, train's 9.4
    text = "\n".join(f" {' '.join(example.text.lower().split())} " for example in held_out)
    seen = [
        e.text for e in train if len(e.text.split()) >= PHRASE and f" {e.text.lower()} " in text
    ]
    assert seen == []
