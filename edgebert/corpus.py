"""Unlabelled English sentences: IMDB reviews, files of text, the train sets of tasks."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgebert.data import Example, TaskData
from edgebert.data_csv import review_rows
from edgebert.data_glue import found_tasks
from edgebert.errors import UserError
from edgebert.held_out import hold_out
from edgebert.tasks import load_task
from edgebert.text import read_sentences

MIN_WORDS, MAX_WORDS = 3, 60

_TAG = re.compile(r"<[^<>]*>")
# A sentence ends at . ! or ? (with closing quotes or brackets), before a space and what begins one.
_END = re.compile(r"""(?<=[.!?])["')\]]*\s+(?=["'(\[]*[A-Z0-9])""")


@dataclass(frozen=True)
class Text:
    """Unlabelled sentences and pairs, each once, and the names of where they are from."""

    examples: list[Example]
    sources: tuple[str, ...]


def read_text(files: Sequence[str | Path], task: str | None, data: str | Path | None) -> Text:
    """The sentences to learn a language from.

    files: of a sentence or pair a line (`read_sentences`); the IMDB reviews without any. task,
    data: a task whose train set comes too; `data` alone: every GLUE task that has a folder in it.
    What stands in a dev set of those tasks is left out, whatever it comes from.
    """
    tasks = _tasks(task, data)
    dev = {comparable(part) for t in tasks for e in [*t.dev, *t.dev_mm] for part in _parts(e)}
    examples = [Example(e.text, e.text_b) for t in tasks for e in t.train]
    names = [t.name for t in tasks]
    if files:
        examples += [example for file in files for example in read_sentences(Path(file))]
        names += [Path(file).name for file in files]
    else:
        examples += [Example(sentence) for sentence in imdb_sentences()]
        names.append("imdb")
    kept: dict[tuple[str, ...], Example] = {}
    for example in examples:
        keys = tuple(comparable(part) for part in _parts(example))
        if any(keys) and dev.isdisjoint(keys):
            kept.setdefault(keys, example)
    if not kept:
        raise UserError(
            f"{' '.join(names)}: expected sentences that are in no dev set, got none; give other "
            "text"
        )
    return Text(list(kept.values()), tuple(names))


def paired_sentences(
    task: str | None, data: str | Path | None, longest: int, held_out: float = 0.0
) -> list[str]:
    """The single sentences of train sets, to make new pairs of.

    task, data: the task; `data` alone: every GLUE task of pairs that has a folder in it. Sentences
    of more than `longest` words are left out, and so is what stands in a dev set of those tasks, or
    in what `train.held_out` of that fraction keeps to choose by.
    Raises UserError where there are fewer than two.
    """
    tasks = [found for found in _tasks(task, data) if task is not None or found.pairs]
    trains, seen = [], set()
    for t in tasks:
        train, judges = usable(t, held_out)
        trains += train
        seen |= judges
    sentences = []
    for part in (part for e in trains for part in _parts(e)):
        key = comparable(part)
        if key and key not in seen and len(part.split()) <= longest:
            seen.add(key)
            sentences.append(part)
    if len(sentences) < 2:
        raise UserError(
            f"--pairs: expected two sentences or more of at most {longest} words in the train sets "
            f"of {' '.join(t.name for t in tasks) or 'tasks of pairs'}, got {len(sentences)}"
        )
    return sentences


def usable(task: TaskData, held_out: float) -> tuple[list[Example], set[str]]:
    """What of train may become new text, and the sentences (`comparable`) that may not.

    Those are of its dev sets and of what `train.held_out` of that fraction keeps to choose by.
    """
    train, held = hold_out(task.train, held_out)
    judges = [*task.dev, *task.dev_mm, *held]
    return train, {comparable(part) for example in judges for part in _parts(example)}


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


def choose_sentences(sentences: Sequence[str], count: int | None, longest: int) -> list[str]:
    """Those of at most `longest` words; `count` of them, the same ones each time, in their order.

    Raises UserError where there are not so many.
    """
    found = [sentence for sentence in sentences if len(sentence.split()) <= longest]
    if count is None:
        return found
    if not 1 <= count <= len(found):
        raise UserError(
            f"--sentences: expected from 1 to {len(found)}, of at most {longest} words, got {count}"
        )
    chosen = np.random.default_rng(0).permutation(len(found))[:count]
    return [found[i] for i in np.sort(chosen).tolist()]


def split_sentences(text: str) -> list[str]:
    """Sentences of a running text, without markup, their white space made single."""
    parts = _END.split(_TAG.sub(" ", text))
    return [sentence for part in parts if (sentence := " ".join(part.split()))]


def comparable(sentence: str) -> str:
    """What of a sentence stays the same however it is tokenized: lower-case letters and digits."""
    return re.sub(r"[\W_]+", "", sentence.lower())


def _parts(example: Example) -> list[str]:
    return [example.text] if example.text_b is None else [example.text, example.text_b]


def _tasks(task: str | None, data: str | Path | None) -> list[TaskData]:
    if task is not None:
        return [load_task(task, data)]
    if data is None:
        return []
    names = found_tasks(Path(data))
    if not names:
        raise UserError(
            f"--data {data}: expected folders of GLUE tasks such as SST-2/train.tsv, got none; "
            "name the --task of other data"
        )
    return [load_task(name, data) for name in names]
