"""What `edgebert text` does."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from edgebert.checkpoint import write_atomic
from edgebert.errors import UserError
from edgebert.output import say

TRAIN = "train"  # as a source: the task's train sentences, those of a pair by themselves


def text(options: argparse.Namespace) -> int:
    """`edgebert text`."""
    from edgebert.corpus import MAX_WORDS

    longest = MAX_WORDS if options.max_words is None else options.max_words
    if options.min_words is not None and options.disturbed is None:
        raise UserError(f"--min-words: expected --disturbed with it, got {options.min_words} alone")
    if options.pairs is not None:
        lines = _pairs(options, longest)
    elif options.disturbed is not None:
        lines = _disturbed(options, longest)
    else:
        lines = _sentences(options, longest)
    write_atomic(Path(options.out), ("\n".join(lines) + "\n").encode())
    what = "pairs" if any("\t" in line for line in lines[:1]) else "sentences"
    say(f"{options.out}: {len(lines):,} {what}")
    return 0


def _sentences(options: argparse.Namespace, longest: int) -> list[str]:
    from edgebert.corpus import choose_sentences
    from edgebert.tasks import load_task

    if options.data is not None and options.task is None:
        raise UserError(f"--data: expected a --task with it, got {options.data!r} alone")
    examples = load_task(options.task, options.data).dev if options.task else []
    pairs = [(example.text, example.text_b) for example in examples]
    dev = [part for pair in pairs for part in pair if part is not None]
    return choose_sentences(_source(options, dev, longest), options.sentences, longest)


def _source(options: argparse.Namespace, excluded: Iterable[str], longest: int) -> list[str]:
    """The sentences of --from."""
    from edgebert.corpus import paired_sentences, source_sentences

    if options.source != TRAIN:
        return source_sentences(options.source or "imdb", excluded, longest)
    if options.task is None:
        raise UserError(f"--from {TRAIN}: expected a --task with it, got none")
    return paired_sentences(options.task, options.data, longest, options.held_out)


def _disturbed(options: argparse.Namespace, longest: int) -> list[str]:
    from edgebert.corpus import usable
    from edgebert.disturb import disturb_pairs, disturb_sentences
    from edgebert.tasks import load_task

    if options.task is None:
        raise UserError("--disturbed: expected a --task, whose sentences to disturb, got none")
    task = load_task(options.task, options.data)
    examples, judges = usable(task, options.held_out)
    texts = None
    if options.source is not None:
        texts = _source(options, judges, longest)
    if not task.pairs:
        shortest = 1 if options.min_words is None else options.min_words
        texts = [example.text for example in examples] if texts is None else texts
        return disturb_sentences(texts, options.disturbed, longest, judges, shortest)
    if options.min_words is not None:
        raise UserError(f"--min-words: expected a task of single sentences, got {options.task}")
    pairs = [(example.text, example.text_b or "") for example in examples]
    if texts is not None:
        pairs = [(sentence, sentence) for sentence in texts]
    return ["\t".join(pair) for pair in disturb_pairs(pairs, options.disturbed, longest, judges)]


def _pairs(options: argparse.Namespace, longest: int) -> list[str]:
    from edgebert.corpus import paired_sentences
    from edgebert.pairs import make_pairs

    if options.data is None and options.task is None:
        raise UserError("--pairs: expected --task or --data, whose sentences to pair, got neither")
    where = options.task, options.data, longest, options.held_out, options.source
    pairs = make_pairs(paired_sentences(*where), options.pairs)
    return ["\t".join(" ".join(part.split()) for part in pair) for pair in pairs]
