"""Unlabelled sentences of a task with their words disturbed, for a teacher to label.

Whether a sentence is well formed hangs on single words and their order, and a task such as CoLA has
few sentences to learn that from. Half of the new ones are spliced: the beginning of one sentence
and the end of another, joined at a word that both have, which often reads as well as they do. In
the others one to three words are left out, moved, exchanged or added, which seldom does.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

from edgebert.corpus import comparable
from edgebert.errors import UserError

SPLICED = 0.5  # part of the sentences
MOST_CHANGES = 3  # in one of the others
PATIENCE = 20  # tries for every sentence asked for

_Row: TypeAlias = tuple[str, ...]  # the words of a sentence


def disturb_sentences(
    sentences: Sequence[str], count: int, longest: int, excluded: Iterable[str] = ()
) -> list[str]:
    """So many different sentences, the same ones each time, none of more than `longest` words.

    None equals one of `sentences` or of `excluded` in letters and digits (`comparable`). Raises
    UserError where so many are not found.
    """
    rows = [tuple(sentence.split()) for sentence in sentences]
    rows = [row for row in rows if len(row) > 1]
    if count < 1 or not rows:
        raise UserError(
            f"--disturbed: expected 1 or more, of sentences of two words or more, got {count:,} of "
            f"{len(rows):,} such sentences"
        )
    rng = np.random.default_rng(0)
    places = _places(rows)
    vocabulary = [word for row in rows for word in row]  # a frequent word is drawn often
    known = {comparable(sentence) for sentence in [*sentences, *excluded]} | {""}
    made: list[str] = []
    for _ in range(count * PATIENCE):
        row = rows[int(rng.integers(len(rows)))]
        if rng.random() < SPLICED:
            row = _splice(row, rows, places, rng)
        else:
            for _ in range(int(rng.integers(1, MOST_CHANGES + 1))):
                row = _change(row, vocabulary, rng)
        sentence = " ".join(row)
        key = comparable(sentence)
        if len(row) <= longest and key not in known:
            known.add(key)
            made.append(sentence)
        if len(made) == count:
            return made
    raise UserError(
        f"--disturbed: expected at most {len(made):,} of these sentences, got {count:,}"
    )


def _places(rows: Sequence[_Row]) -> dict[str, list[tuple[int, int]]]:
    """Where each word stands: sentences and the places in them."""
    places: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for i, row in enumerate(rows):
        for k, word in enumerate(row):
            places[word.lower()].append((i, k))
    return places


def _splice(
    row: _Row,
    rows: Sequence[_Row],
    places: dict[str, list[tuple[int, int]]],
    rng: np.random.Generator,
) -> _Row:
    """The sentence up to one of its words, and what follows that word in another sentence."""
    at = int(rng.integers(len(row)))
    found = places[row[at].lower()]
    other, place = found[int(rng.integers(len(found)))]
    return row[: at + 1] + rows[other][place + 1 :]


def _change(row: _Row, vocabulary: Sequence[str], rng: np.random.Generator) -> _Row:
    """The sentence with a word left out, moved, exchanged or added."""
    kind = ("leave out", "move", "exchange", "add")[int(rng.integers(4))]
    at = int(rng.integers(max(len(row), 1)))
    other = vocabulary[int(rng.integers(len(vocabulary)))]
    if kind == "add":
        return (*row[:at], other, *row[at:])
    if kind == "exchange":
        return (*row[:at], other, *row[at + 1 :])
    rest = row[:at] + row[at + 1 :]
    if kind == "move":
        to = int(rng.integers(len(row) + 1))
        return rest[:to] + row[at : at + 1] + rest[to:]
    return rest
