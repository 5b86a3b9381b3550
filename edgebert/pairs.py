"""Unlabelled sentence pairs of every degree of likeness, for a teacher to label.

A task of pairs has few of them, and a 1-bit model learns the likeness of two sentences from few
badly. Yet of n sentences one can make n^2 pairs, of which nearly all would be unlike: so most are
made of a sentence and one that shares its rarer words.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from tqdm import tqdm

from edgebert.errors import UserError

NEIGHBOURS = 10  # of each sentence
NEAR, ANY = 0.6, 0.2  # parts of the pairs: of neighbours, of any two; of the rest one is abridged
KEPT = 0.7  # part of the words of an abridged sentence
BLOCK = 1024  # rows of likeness at a time


def make_pairs(sentences: Sequence[str], count: int) -> list[tuple[str, str]]:
    """So many different pairs, the same ones each time, in a random order.

    Raises UserError where there are not so many neighbours.
    """
    most = len(sentences) * min(NEIGHBOURS, len(sentences) - 1)
    if not 1 <= count <= most:
        raise UserError(f"--pairs: expected from 1 to {most:,}, got {count:,}")
    near = nearest(sentences, NEIGHBOURS)
    rng = np.random.default_rng(0)
    pairs: dict[tuple[str, str], None] = {}
    while len(pairs) < count:
        i, kind = int(rng.integers(len(sentences))), rng.random()
        words = sentences[i].split()
        if kind < NEAR:
            other = sentences[near[i, rng.integers(near.shape[1])]]
        elif kind < NEAR + ANY or len(words) < 2:
            other = sentences[(i + int(rng.integers(1, len(sentences)))) % len(sentences)]
        else:
            kept = np.flatnonzero(rng.random(len(words)) < KEPT)[: len(words) - 1]
            other = " ".join(words[k] for k in (kept if kept.size else [0]))
        pair = (sentences[i], other)
        pairs[pair if rng.random() < 0.5 else pair[::-1]] = None
    return list(pairs)


def nearest(sentences: Sequence[str], count: int) -> NDArray[np.int64]:
    """The indices of each sentence's neighbours by the cosine of tf-idf, int64 (sentences, count).

    Fewer than `count` where there are not so many other sentences. A word's weight is
    `log(sentences / sentences with it)`, whatever its number in a sentence.
    """
    table = _word_weights(sentences)
    count = min(count, len(sentences) - 1)
    found = []
    for begin in tqdm(range(0, len(sentences), BLOCK), desc="neighbours", disable=None):
        likeness = (table[begin : begin + BLOCK] @ table.T).toarray()
        rows = np.arange(likeness.shape[0])
        likeness[rows, begin + rows] = -1.0  # not itself
        found += [_largest(row, count) for row in likeness]
    return np.stack(found)


def _largest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The places of the largest values, the largest first, and of equal ones the first first."""
    least = np.partition(values, values.size - count)[values.size - count]
    places = np.flatnonzero(values >= least)
    return places[np.argsort(-values[places], kind="stable")[:count]]


def _word_weights(sentences: Sequence[str]) -> csr_array:
    """Rows of length 1, or 0 where no word of a sentence tells it from another."""
    words = [sorted(set(re.findall(r"\w+", sentence.lower()))) for sentence in sentences]
    occurrences = Counter(word for row in words for word in row)
    column = {word: i for i, word in enumerate(occurrences)}
    weight = np.log(len(sentences) / np.array(list(occurrences.values()), np.float64))
    starts = np.cumsum([0, *map(len, words)])
    columns = np.array([column[word] for row in words for word in row], np.int64)
    values = weight[columns]
    length = np.sqrt(np.add.reduceat(np.append(values**2, 0.0), starts[:-1]))
    length[starts[:-1] == starts[1:]] = 0.0
    values /= np.repeat(np.where(length > 0, length, 1.0), np.diff(starts))
    shape = (len(sentences), len(column))
    return csr_array((values.astype(np.float32), columns, starts), shape=shape)
