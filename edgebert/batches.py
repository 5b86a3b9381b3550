"""Encoded examples, and their grouping into batches of like length.

Everything here is NumPy and follows from its arguments alone: a run that stops and goes
on, or runs on more processes, sees the same batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgebert.data import Example
from edgebert.tokenizer import Tokenizer

Indices = NDArray[np.int64]

CHUNK_BATCHES = 50  # sorted by length together: enough to save padding, still well shuffled
ENCODE_EXAMPLES = 10_000  # encoded together, which bounds the memory that a large task takes


@dataclass(frozen=True)
class EncodedSplit:
    """Examples as tokens: example i is ids[offsets[i]:offsets[i + 1]].

    ids: int32 (tokens,); types: int8 (tokens,); offsets: int64 (examples + 1,).
    labels: (examples,), int64 classes or float32 numbers; None where unlabelled.
    truncated: how many examples were longer than the tokenizer's max_tokens.
    """

    ids: NDArray[np.int32]
    types: NDArray[np.int8]
    offsets: Indices
    labels: NDArray[np.int64] | NDArray[np.float32] | None
    truncated: int
    pad_id: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Indices:
        """Tokens of each example: int64 (examples,)."""
        return np.diff(self.offsets)


def encode_split(tokenizer: Tokenizer, examples: Sequence[Example]) -> EncodedSplit:
    """Encode examples, all of them labelled or none (else ValueError)."""
    values = [example.label for example in examples if example.label is not None]
    if values and len(values) != len(examples):
        raise ValueError(f"expected a label on all {len(examples)} examples, got {len(values)}")
    labels: NDArray[np.int64] | NDArray[np.float32] | None = None
    if values:
        numbers = any(isinstance(value, float) for value in values)
        labels = np.array(values, np.float32) if numbers else np.array(values, np.int64)
    ids, types, lengths, truncated = [], [], [np.zeros(1, np.int64)], 0
    for start in range(0, len(examples), ENCODE_EXAMPLES):
        part = examples[start : start + ENCODE_EXAMPLES]
        encoded = tokenizer.encode_batch([(example.text, example.text_b) for example in part])
        ids.append(np.array([i for e in encoded for i in e.input_ids], np.int32))
        types.append(np.array([t for e in encoded for t in e.token_type_ids], np.int8))
        lengths.append(np.array([len(e.input_ids) for e in encoded], np.int64))
        truncated += sum(e.truncated for e in encoded)
    return EncodedSplit(
        ids=np.concatenate(ids) if ids else np.zeros(0, np.int32),
        types=np.concatenate(types) if types else np.zeros(0, np.int8),
        offsets=np.cumsum(np.concatenate(lengths)),
        labels=labels,
        truncated=truncated,
        pad_id=tokenizer.pad_id,
    )


def bucketed_batches(lengths: ArrayLike, batch_size: int, seed: int, epoch: int) -> list[Indices]:
    """One epoch of training batches: shuffled, yet each of examples of like length.

    The examples are shuffled, sorted by length within chunks of CHUNK_BATCHES batches, cut
    into batches, and the batches shuffled. Every example occurs once; one batch may be
    smaller than batch_size. Equal arguments give equal batches.
    """
    length = np.asarray(lengths)
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(length))
    batches = []
    for chunk in _cut(order, batch_size * CHUNK_BATCHES):
        # Stable: examples of one length keep their shuffled order.
        batches += _cut(chunk[np.argsort(length[chunk], kind="stable")], batch_size)
    return [batches[i] for i in rng.permutation(len(batches))]


def sequential_batches(lengths: ArrayLike, batch_size: int) -> list[Indices]:
    """Batches for evaluation: every example once, sorted by length."""
    return _cut(np.argsort(np.asarray(lengths), kind="stable"), batch_size)


def shard_batches(batches: Sequence[Indices], world_size: int, rank: int) -> list[Indices]:
    """One process's share of every batch; all shares of a batch have equal size.

    A step's mean gradient over the processes is thus the whole batch's, however many they
    are. A batch that world_size doesn't divide repeats its first examples.
    """
    if not 0 <= rank < world_size:
        raise ValueError(f"expected a rank from 0 to {world_size - 1}, got {rank}")
    return [
        np.resize(batch, -(-len(batch) // world_size) * world_size)[rank::world_size]
        for batch in batches
    ]


def collate(
    split: EncodedSplit, indices: ArrayLike
) -> dict[str, NDArray[np.int64] | NDArray[np.float32]]:
    """The arrays of one batch, padded to its longest example.

    Returns input_ids, token_type_ids, attention_mask (1: a token, 0: padding), each int64
    (batch, tokens), and labels (batch,) where the split has them.
    """
    chosen = np.asarray(indices, np.int64)
    starts = split.offsets[chosen]
    lengths = split.offsets[chosen + 1] - starts
    column = np.arange(lengths.max(initial=0))  # (tokens,)
    mask = column < lengths[:, None]  # (batch, tokens)
    # A padded place reads its own example's start: any valid index, replaced right after.
    at = np.where(mask, starts[:, None] + column, starts[:, None])
    batch: dict[str, NDArray[np.int64] | NDArray[np.float32]] = {
        "input_ids": np.where(mask, split.ids[at], split.pad_id).astype(np.int64),
        "token_type_ids": np.where(mask, split.types[at], 0).astype(np.int64),
        "attention_mask": mask.astype(np.int64),
    }
    if split.labels is not None:
        batch["labels"] = split.labels[chosen]
    return batch


def _cut(order: Indices, size: int) -> list[Indices]:
    if size < 1:
        raise ValueError(f"expected a batch size of at least 1, got {size}")
    return [order[start : start + size] for start in range(0, len(order), size)]
