"""A part of train to choose by, which the rest of train does not give away.

SST-2's train set holds the phrases of its sentences as examples of their own. A phrase held out at
random stands in a sentence that is trained on, and says nothing of a sentence that was never seen.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from edgebert.data import Example
from edgebert.errors import UserError

SEED = 0  # not the training seed, so that runs hold out the same sentences
PHRASE = 4  # words: a shorter part of a held-out sentence may be trained on
LONGEST = 80  # words: of longer texts no parts are looked for


def hold_out(examples: Sequence[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """Examples to train on, and those held out.

    Held out is a fraction of the examples that are no part of another. Trained on is the rest,
    without what equals one that is held out, or is a part of it of PHRASE words or more. A pair
    is never a part.

    Raises:
        UserError: the fraction is not from 0 to below 1, or leaves nothing to train on.
    """
    if not 0 <= fraction < 1:
        raise UserError(f"train.held_out: expected a fraction from 0 to below 1, got {fraction}")
    if not fraction:
        return list(examples), []
    keys = [_key(example) for example in examples]
    known = set(keys)
    within = {part for key in known for part in _parts(key) if part in known}
    whole = [i for i, key in enumerate(keys) if key not in within]
    count = math.ceil(len(whole) * fraction)
    held = {whole[i] for i in np.random.default_rng(SEED).permutation(len(whole))[:count].tolist()}
    seen = {keys[i] for i in held}
    seen |= {part for key in seen for part in _parts(key) if len(part.split()) >= PHRASE}
    train = [e for i, (e, key) in enumerate(zip(examples, keys, strict=True)) if key not in seen]
    if not train:
        raise UserError(
            f"train.held_out: expected to leave training sentences, got {fraction} of "
            f"{len(examples)}"
        )
    return train, [example for i, example in enumerate(examples) if i in held]


def _key(example: Example) -> str:
    """Words in lower case, single spaces between them; of a pair, with a mark that no part has."""
    key = " ".join(example.text.lower().split())
    return key if example.text_b is None else f"{key}\0{example.text_b.lower()}"


def _parts(key: str) -> Iterator[str]:
    """What stands in a text, from word to word, but for all of it."""
    if "\0" in key:
        return
    starts = [0, *(i + 1 for i, letter in enumerate(key) if letter == " ")]
    if len(starts) > LONGEST:
        return
    ends = [*(start - 1 for start in starts[1:]), len(key)]
    for first, start in enumerate(starts):
        for end in ends[first:]:
            if (start, end) != (0, len(key)):
                yield key[start:end]
