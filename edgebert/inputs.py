"""What a training run reads: a task's sentences as tokens, and the tokenizer."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgebert.batches import EncodedSplit, encode_split
from edgebert.config import Config
from edgebert.data import Example, TaskData
from edgebert.distill import UNLABELLED
from edgebert.errors import UserError
from edgebert.held_out import hold_out
from edgebert.rundir import RunFolder, require_run
from edgebert.tasks import load_task
from edgebert.text import read_sentences
from edgebert.tokenizer import Tokenizer

BERT_VOCAB = 30522


@dataclass(frozen=True)
class Inputs:
    """The tokens of a run's sentences. `choose` picks the best model: dev or held out."""

    config: Config  # with the tokenizer's vocabulary size
    task: TaskData
    tokenizer: Tokenizer
    train: EncodedSplit
    train_and_text: EncodedSplit  # for stages with a teacher: with distill.text
    dev: EncodedSplit
    choose: EncodedSplit
    data_sha256: str


def prepare_inputs(
    config: Config, task: str, data: str | Path | None, init: str | None, say: Callable[[str], None]
) -> Inputs:
    """Load a task's sentences and encode them. Raises UserError for whatever is unusable."""
    loaded = load_task(task, data)
    files = {file: read_sentences(Path(file)) for file in config.distill.text}
    text = [example for examples in files.values() for example in examples]
    paired = {file: any(e.text_b is not None for e in found) for file, found in files.items()}
    for source, pairs in {f"task {task}": loaded.pairs, **paired}.items():
        if pairs and config.model.token_types < 2:
            raise UserError(
                f"model.token_types: expected 2 or more for the sentence pairs of {source}, "
                f"got {config.model.token_types}"
            )
    train, held_out = hold_out(loaded.train, config.train.held_out)
    tokenizer = _tokenizer(config, train + text, init)
    model = dataclasses.replace(config.model, vocab=len(tokenizer.vocab))
    encoded = encode_split(tokenizer, train)
    extra = encode_split(tokenizer, text) if text else None
    dev = encode_split(tokenizer, loaded.dev)
    for name, split in (("training", encoded), ("extra", extra), ("dev", dev)):
        if split is not None:
            say_truncated(say, split, f"{name} sentences", tokenizer.max_tokens)
    return Inputs(
        config=dataclasses.replace(config, model=model),
        task=loaded,
        tokenizer=tokenizer,
        train=encoded,
        train_and_text=join(encoded, extra) if extra else encoded,
        dev=dev,
        choose=encode_split(tokenizer, held_out) if held_out else dev,
        data_sha256=_fingerprint(loaded, text),
    )


def say_truncated(
    say: Callable[[str], None], split: EncodedSplit, what: str, max_tokens: int
) -> None:
    """Report how many sentences were cut, where any were."""
    if split.truncated:
        say(
            f"note: {split.truncated:,} of {len(split):,} {what} were longer than "
            f"{max_tokens} tokens and truncated"
        )


def join(labelled: EncodedSplit, text: EncodedSplit) -> EncodedSplit:
    """A labelled split followed by an unlabelled one, whose labels say so."""
    assert labelled.labels is not None
    none = math.nan if labelled.labels.dtype.kind == "f" else UNLABELLED
    return EncodedSplit(
        ids=np.concatenate([labelled.ids, text.ids]),
        types=np.concatenate([labelled.types, text.types]),
        offsets=np.concatenate([labelled.offsets, text.offsets[1:] + labelled.offsets[-1]]),
        labels=np.concatenate([labelled.labels, np.full(len(text), none, labelled.labels.dtype)]),
        truncated=labelled.truncated + text.truncated,
        pad_id=labelled.pad_id,
    )


def _tokenizer(config: Config, examples: list[Example], init: str | None) -> Tokenizer:
    """The start's or teacher's vocabulary, BERT's own, or, at another size, one of the text."""
    length = config.model.max_tokens
    if init is not None:
        from edgebert.init import init_tokenizer

        return init_tokenizer(init, length)
    if config.distill.teacher is not None:
        require_run(Path(config.distill.teacher))
        teacher = RunFolder(Path(config.distill.teacher)).read_tokenizer()
        return Tokenizer(teacher.vocab, length)
    if config.model.vocab == BERT_VOCAB:
        return Tokenizer.load_minilm(length)
    texts = (text for e in examples for text in e.parts)
    return Tokenizer.train(texts, config.model.vocab, length)


def _fingerprint(task: TaskData, text: list[Example]) -> str:
    digest = hashlib.sha256()
    for examples in (task.train, task.dev, text):
        for example in examples:
            row = [example.text, example.text_b, example.label]
            digest.update(json.dumps(row).encode() + b"\n")
        digest.update(b"\n")
    return digest.hexdigest()
