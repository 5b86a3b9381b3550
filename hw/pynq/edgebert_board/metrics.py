"""The metrics of the tasks, as GLUE defines them; fractions, 1.0 is perfect."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import BoardError

Floats = NDArray[np.float64]


def score(metric: str, predictions: Any, labels: Any) -> float:
    """One figure of class indices, or of numbers for pearson_spearman.

    accuracy; matthews; f1_accuracy and pearson_spearman: the mean of both. A correlation that is
    undefined, because one side is constant, is 0.
    """
    x, y = np.asarray(predictions, np.float64), np.asarray(labels, np.float64)
    accuracy = float(np.mean(x == y))
    if metric == "accuracy":
        return accuracy
    if metric == "matthews":
        return _correlation(x, y)  # of 0/1 vectors it is Matthews' phi
    if metric == "f1_accuracy":
        marked = int(np.sum(x == 1) + np.sum(y == 1))
        f1 = 2 * int(np.sum((x == 1) & (y == 1))) / marked if marked else 0.0
        return (f1 + accuracy) / 2
    if metric == "pearson_spearman":
        return (_correlation(x, y) + _correlation(_ranks(x), _ranks(y))) / 2
    raise BoardError(f"manifest: expected a metric of edgebert, got {metric!r}")


def _correlation(x: Floats, y: Floats) -> float:
    if x.max() == x.min() or y.max() == y.min():
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    x, y = x / np.abs(x).max(), y / np.abs(y).max()  # so that no square under- or overflows
    return min(1.0, max(-1.0, float(x @ y / np.sqrt((x @ x) * (y @ y)))))


def _ranks(x: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse.reshape(-1)]
    return ranks
