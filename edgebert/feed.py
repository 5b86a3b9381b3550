"""Which sentences each step of a stage sees, on each process."""

import math

import numpy as np
from numpy.typing import NDArray

from edgebert.batches import EncodedSplit, Indices, bucketed_batches, shard_batches
from edgebert.config import Bits, TrainConfig, stage_value
from edgebert.distill import Counts

EVALUATIONS = 50  # of a stage of many epochs


class Batches:
    """The batches of a stage by step, and this process's share of each.

    Follows from its arguments alone, so a resumed run sees the same ones.
    """

    def __init__(self, split: EncodedSplit, size: int, seed: int, world: int, rank: int) -> None:
        self.split = split
        self.per_epoch = math.ceil(len(split) / size)
        self._lengths = split.lengths
        self._size, self._seed, self._world, self._rank = size, seed, world, rank
        self._epoch = -1
        self._batches: list[Indices] = []

    def at(self, step: int) -> tuple[Indices, Indices]:
        """Sentences of a step: of all processes together, and of this one."""
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._batches = bucketed_batches(self._lengths, self._size, self._seed, epoch)
            self._epoch = epoch
        batch = self._batches[index]
        shares = [shard_batches([batch], self._world, rank)[0] for rank in range(self._world)]
        return np.concatenate(shares), shares[self._rank]

    def counts(self, indices: Indices, altered: NDArray[np.bool_] | None = None) -> Counts:
        """What the losses of these sentences divide by."""
        labels = None if self.split.labels is None else self.split.labels[indices]
        return Counts.of(self._lengths[indices], labels, altered)


def stage_steps(train: TrainConfig, bits: Bits, sentences: int, max_steps: int | None) -> int:
    """Optimizer steps of a stage: those of its epochs, of a small set at least so many."""
    epochs = stage_value(train.epochs, bits)
    steps = math.ceil(epochs * math.ceil(sentences / train.batch_size))
    steps = max(1, steps, math.ceil(stage_value(train.least_steps, bits)))
    return min(steps, max_steps) if max_steps else steps


def eval_every(train: TrainConfig, per_epoch: int, total: int) -> int:
    """Steps between evaluations of a stage: by default an epoch, or more where epochs are short."""
    return train.eval_every or max(per_epoch, total // EVALUATIONS)


def mix(*numbers: int) -> int:
    """One seed from several numbers; different numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint32)[0])
