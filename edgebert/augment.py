"""Sentences altered on the fly: some tokens replaced by near ones, for a teacher to label.

Near tokens are the neighbours of a token's embedding, whole words of whole words and continuing
pieces (##x) of such pieces. A teacher labels what it is shown, so the sentences may lose their
meaning: they only have to be like those of the task.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

NEIGHBOURS = 15
ROWS = 1024  # of the similarities held at a time


class Replacer:
    """Replaces a fraction of the tokens of chosen sentences."""

    def __init__(self, words: Tensor, tokens: Sequence[str], fraction: float) -> None:
        """words: (vocabulary, width) embeddings; tokens: their names; fraction: from 0 to 1."""
        self.near, self.fraction = neighbours(words, tokens), fraction

    def __call__(self, ids: Tensor, chosen: NDArray[np.bool_], seed: int) -> Tensor:
        """(batch, tokens) ids, those of the sentences `chosen` (batch,) altered.

        Special tokens, padding among them, stay. Equal seeds give equal sentences.
        """
        generator = torch.Generator().manual_seed(seed)  # of the CPU: the same on every device
        hit = torch.rand(ids.shape, generator=generator) < self.fraction
        hit &= torch.from_numpy(chosen)[:, None]
        pick = torch.randint(NEIGHBOURS, ids.shape, generator=generator)
        other = self.near[ids, pick.to(ids.device)]
        return torch.where(hit.to(ids.device), other, ids)


@torch.no_grad()
def neighbours(words: Tensor, tokens: Sequence[str]) -> Tensor:
    """(vocabulary, NEIGHBOURS) ids of the tokens nearest to each by the cosine of embeddings.

    A special or unused token, such as [SEP], has itself alone; where there are fewer tokens, their
    row repeats.
    """
    near = torch.arange(len(tokens), device=words.device)[:, None].repeat(1, NEIGHBOURS)
    pieces = np.array([token.startswith("##") for token in tokens])
    special = np.array([token.startswith("[") and token.endswith("]") for token in tokens])
    unit = F.normalize(words.float(), dim=1)
    for group in (pieces & ~special, ~pieces & ~special):
        members = torch.from_numpy(np.flatnonzero(group)).to(words.device)
        count = min(NEIGHBOURS, len(members) - 1)
        if count < 1:
            continue
        columns = torch.arange(NEIGHBOURS, device=words.device) % count
        table = unit[members]
        for start in range(0, len(members), ROWS):
            rows = members[start : start + ROWS]
            similar = unit[rows] @ table.T
            own = torch.arange(len(rows), device=words.device)
            similar[own, start + own] = -torch.inf  # itself
            near[rows] = members[similar.topk(count).indices[:, columns]]
    return near


def every_other(count: int, seed: int) -> NDArray[np.bool_]:
    """Every other one of `count` sentences, beginning with the first or the second by the seed."""
    result: NDArray[np.bool_] = (np.arange(count) + seed) % 2 == 1
    return result
