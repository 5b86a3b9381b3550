"""Evaluation: logits of a split, and the task's metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edgebert import metrics
from edgebert.batches import EncodedSplit, Indices, collate, sequential_batches
from edgebert.errors import UserError
from edgebert.model import BinaryBert

EVAL_BATCH = 64


@dataclass(frozen=True)
class Evaluation:
    """Logits (examples, labels) float64, predictions (examples,), and the metrics."""

    logits: NDArray[np.float64]
    predictions: NDArray[np.generic]
    metrics: dict[str, float]


def compute_logits(
    model: BinaryBert,
    split: EncodedSplit,
    batches: Sequence[Indices] | None = None,
    autocast: bool = False,
) -> NDArray[np.float64]:
    """Logits (examples, labels) of a split, in its order; the model's mode is kept.

    batches: only these examples; the rows of all others are 0.
    """
    if batches is None:
        batches = sequential_batches(split.lengths, EVAL_BATCH)
    device = next(model.parameters()).device
    rows: list[torch.Tensor] = []
    training = model.training
    model.eval()
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        for indices in batches:
            inputs = model_inputs(split, indices, device)
            rows.append(model(*inputs).logits.double())
    model.train(training)
    if not rows:
        return np.zeros((len(split), 1))
    values = torch.cat(rows).cpu().numpy()
    logits = np.zeros((len(split), values.shape[1]))
    logits[np.concatenate(batches)] = values
    return logits


def model_inputs(
    split: EncodedSplit, indices: Indices, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """input_ids, token_type_ids and attention_mask of a batch, as the model takes them."""
    batch = collate(split, indices)
    ids, types, mask = (
        torch.from_numpy(batch[name]).to(device, non_blocking=True)
        for name in ("input_ids", "token_type_ids", "attention_mask")
    )
    return ids, types, mask


def predictions(logits: NDArray[np.float64], regression: bool) -> NDArray[np.generic]:
    """The class of the largest logit (the first of equal ones), or the number itself."""
    return logits[:, 0] if regression else logits.argmax(axis=1)


def summarize(
    logits: NDArray[np.float64], split: EncodedSplit, metric: str, regression: bool
) -> Evaluation:
    """Predictions and metrics of given logits, whichever engine they come from."""
    if split.labels is None:
        raise UserError("evaluation: expected labelled sentences, got none with a label")
    if not np.isfinite(logits).all():
        raise UserError(
            "evaluation: expected finite logits, got NaN or infinity: the training diverged; "
            "train with a smaller --lr"
        )
    chosen = predictions(logits, regression)
    return Evaluation(logits, chosen, metrics.score(metric, chosen, split.labels))


def evaluate(model: BinaryBert, split: EncodedSplit, metric: str, regression: bool) -> Evaluation:
    """Run a model over a labelled split and score it."""
    return summarize(compute_logits(model, split), split, metric, regression)
