"""Unlabelled sentences, or pairs, of a task with their words disturbed, for a teacher to label.

Whether a sentence is well formed, what it feels and whether it says the same as another hang on
single words and their order, and a small task has few sentences to learn that from. Half of the new
ones are spliced: the beginning of one sentence and the end of another, joined at a word that both
have, which often reads as well as they do. In the others one to three words are left out, moved,
exchanged or added, which seldom does. Of a pair, one sentence is disturbed.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeAlias, TypeVar

import numpy as np

from edgebert.errors import UserError
from edgebert.sentences import comparable

SPLICED = 0.5  # part of the sentences
MOST_CHANGES = 3  # in one of the others
PATIENCE = 20  # tries for every sentence asked for

_Row: TypeAlias = tuple[str, ...]  # the words of a sentence
_Key = TypeVar("_Key", bound=Hashable)
_Made = TypeVar("_Made")


def disturb_sentences(
    sentences: Sequence[str],
    count: int,
    longest: int,
    excluded: Iterable[str] = (),
    shortest: int = 1,
) -> list[str]:
    """So many different sentences, the same ones each time, of `shortest` to `longest` words.

    Sentences of fewer than `shortest` words, or than two, are not used. None equals one of
    `sentences` or of `excluded` in letters and digits (`comparable`). Raises UserError where so
    many are not found.
    """
    least = max(shortest, 2)
    rows = [row for row in map(_words, sentences) if len(row) >= least]
    _check(count, len(rows), f"sentences of {least} words or more")
    rng = np.random.default_rng(0)
    disturber = _Disturber(rows, rng)

    def make() -> tuple[str, str] | None:
        row = disturber.disturb(rows[int(rng.integers(len(rows)))])
        if not shortest <= len(row) <= longest:
            return None
        sentence = " ".join(row)
        return comparable(sentence), sentence

    known = {comparable(sentence) for sentence in [*sentences, *excluded]} | {""}
    return _different(count, make, known)


def disturb_pairs(
    pairs: Sequence[tuple[str, str]], count: int, longest: int, excluded: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """So many different pairs, the same ones each time, with one sentence of each disturbed.

    No sentence has more than `longest` words; one is spliced with another of its own side of the
    pairs. Pairs with a sentence of fewer than two words are not used. No pair equals one of
    `pairs`, and no sentence one of `excluded`, in letters and digits (`comparable`). Raises
    UserError where so many are not found.
    """
    banned = {comparable(sentence) for sentence in excluded} | {""}
    rows = [(_words(a), _words(b)) for a, b in pairs if banned.isdisjoint(map(comparable, (a, b)))]
    rows = [pair for pair in rows if all(2 <= len(row) <= longest for row in pair)]
    _check(count, len(rows), f"pairs of sentences of 2 to {longest} words, none of dev,")
    rng = np.random.default_rng(0)
    disturbers = [_Disturber([pair[side] for pair in rows], rng) for side in (0, 1)]

    def make() -> tuple[tuple[str, str], tuple[str, str]] | None:
        first, second = rows[int(rng.integers(len(rows)))]
        if rng.random() < 0.5:
            first = disturbers[0].disturb(first)
        else:
            second = disturbers[1].disturb(second)
        pair = " ".join(first), " ".join(second)
        key = comparable(pair[0]), comparable(pair[1])
        fits = len(first) <= longest and len(second) <= longest and banned.isdisjoint(key)
        return (key, pair) if fits else None

    return _different(count, make, {(comparable(a), comparable(b)) for a, b in pairs})


def _words(sentence: str) -> _Row:
    return tuple(sentence.split())


def _check(count: int, found: int, what: str) -> None:
    if count < 1 or not found:
        raise UserError(f"--disturbed: expected 1 or more, of {what}, got {count:,} of {found:,}")


def _different(
    count: int, make: Callable[[], tuple[_Key, _Made] | None], known: set[_Key]
) -> list[_Made]:
    """So many of what `make` gives, or None, together with a key, whose keys are new."""
    made: list[_Made] = []
    for _ in range(count * PATIENCE):
        new = make()
        if new is not None and new[0] not in known:
            known.add(new[0])
            made.append(new[1])
        if len(made) == count:
            return made
    raise UserError(f"--disturbed: expected at most {len(made):,} of these, got {count:,}")


class _Disturber:
    """Disturbs sentences with the words and the ends of `rows`."""

    def __init__(self, rows: Sequence[_Row], rng: np.random.Generator) -> None:
        self._rows, self._rng = rows, rng
        # A frequent word is drawn often.
        self._vocabulary = [word for row in rows for word in row]
        self._places: dict[str, list[tuple[int, int]]] = defaultdict(list)  # sentence, place in it
        for i, row in enumerate(rows):
            for k, word in enumerate(row):
                self._places[word.lower()].append((i, k))

    def disturb(self, row: _Row) -> _Row:
        """A sentence of `rows`, spliced or with some words changed."""
        if self._rng.random() < SPLICED:
            return self._splice(row)
        for _ in range(int(self._rng.integers(1, MOST_CHANGES + 1))):
            row = self._change(row)
        return row

    def _splice(self, row: _Row) -> _Row:
        """The sentence up to one of its words, and what follows that word in another sentence."""
        at = int(self._rng.integers(len(row)))
        found = self._places[row[at].lower()]
        other, place = found[int(self._rng.integers(len(found)))]
        return row[: at + 1] + self._rows[other][place + 1 :]

    def _change(self, row: _Row) -> _Row:
        """The sentence with a word left out, moved, exchanged or added."""
        kind = ("leave out", "move", "exchange", "add")[int(self._rng.integers(4))]
        at = int(self._rng.integers(max(len(row), 1)))
        other = self._vocabulary[int(self._rng.integers(len(self._vocabulary)))]
        if kind == "add":
            return (*row[:at], other, *row[at:])
        if kind == "exchange":
            return (*row[:at], other, *row[at + 1 :])
        rest = row[:at] + row[at + 1 :]
        if kind == "move":
            to = int(self._rng.integers(len(row) + 1))
            return rest[:to] + row[at : at + 1] + rest[to:]
        return rest
