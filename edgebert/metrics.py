"""The metrics of the tasks, as GLUE defines them.

Every figure is a fraction: 1.0 is perfect. A correlation that is undefined, because one
side is constant, is 0.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_MAIN = {
    "cola": "matthews",
    "stsb": "pearson_spearman",
    "mrpc": "f1_accuracy",
    "qqp": "f1_accuracy",
}


def main_metric(task: str, regression: bool = False) -> str:
    """Name of the one figure that stands for a task.

    accuracy; matthews (CoLA); pearson_spearman (STS-B and regression: the mean of both
    correlations); f1_accuracy (MRPC, QQP: the mean of both).
    """
    return "pearson_spearman" if regression else _MAIN.get(task, "accuracy")


def score(task_metric: str, predictions: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """The metrics that go with a main metric, itself among them.

    predictions, labels: (examples,), class indices, or numbers for pearson_spearman.
    Raises ValueError for an unknown metric, no examples, unequal shapes or a NaN.
    """
    x = np.asarray(predictions, dtype=np.float64)
    y = np.asarray(labels, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1 or not x.size:
        raise ValueError(f"expected equal shapes (examples,), got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("expected finite predictions and labels, got a NaN or an infinity")
    if task_metric == "accuracy":
        return {"accuracy": _accuracy(x, y)}
    if task_metric == "matthews":
        return {"matthews": correlation(x, y)}
    if task_metric == "f1_accuracy":
        f1, accuracy = _f1(x, y), _accuracy(x, y)
        return {"f1": f1, "accuracy": accuracy, "f1_accuracy": (f1 + accuracy) / 2}
    if task_metric == "pearson_spearman":
        pearson, spearman = correlation(x, y), correlation(_ranks(x), _ranks(y))
        return {
            "pearson": pearson,
            "spearman": spearman,
            "pearson_spearman": (pearson + spearman) / 2,
        }
    raise ValueError(f"expected a metric that main_metric names, got {task_metric!r}")


def _accuracy(x: Floats, y: Floats) -> float:
    return float(np.mean(x == y))


def _f1(x: Floats, y: Floats) -> float:
    """F1 of class 1: 2 TP / (2 TP + FP + FN); 0 where it is neither predicted nor there."""
    marked = int(np.sum(x == 1) + np.sum(y == 1))  # = 2 TP + FP + FN
    return 2 * int(np.sum((x == 1) & (y == 1))) / marked if marked else 0.0


def correlation(x: Floats, y: Floats) -> float:
    """Pearson's r. Of two 0/1 vectors it is Matthews' phi:

    cov = (TP TN - FP FN) / n^2, var x = (TP+FP)(TN+FN) / n^2, var y = (TP+FN)(TN+FP) / n^2.
    """
    if np.ptp(x) == 0 or np.ptp(y) == 0:  # exact, where the mean of equal numbers may not be
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    # Scaled first, so that no tiny or huge prediction under- or overflows when squared.
    x, y = x / np.abs(x).max(), y / np.abs(y).max()
    r = float(x @ y / np.sqrt((x @ x) * (y @ y)))
    return min(1.0, max(-1.0, r))


def _ranks(x: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks
