import math

import numpy as np
import pytest
from scipy import stats

from edgebert.metrics import main_metric, score


def test_main_metric_is_what_glue_reports() -> None:
    expected = {
        "sst2": "accuracy",
        "reviews": "accuracy",
        "csv": "accuracy",
        "mnli": "accuracy",
        "cola": "matthews",
        "stsb": "pearson_spearman",
        "mrpc": "f1_accuracy",
        "qqp": "f1_accuracy",
    }
    assert {task: main_metric(task) for task in expected} == expected
    assert main_metric("csv", regression=True) == "pearson_spearman"


def confusion(tp: int, fp: int, fn: int, tn: int) -> tuple[list[int], list[int]]:
    return [1] * (tp + fp) + [0] * (fn + tn), [1] * tp + [0] * fp + [1] * fn + [0] * tn


@pytest.mark.parametrize(
    ("tp", "fp", "fn", "tn"), [(6, 1, 2, 3), (90, 4, 1, 5), (0, 3, 4, 0), (5, 0, 0, 5)]
)
def test_binary_metrics_equal_their_formulas(tp: int, fp: int, fn: int, tn: int) -> None:
    predictions, labels = confusion(tp, fp, fn, tn)
    accuracy = (tp + tn) / (tp + fp + fn + tn)
    f1 = 2 * tp / (2 * tp + fp + fn)
    matthews = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert score("accuracy", predictions, labels) == {"accuracy": accuracy}
    assert score("matthews", predictions, labels)["matthews"] == pytest.approx(matthews)
    assert score("f1_accuracy", predictions, labels) == pytest.approx(
        {"f1": f1, "accuracy": accuracy, "f1_accuracy": (f1 + accuracy) / 2}
    )


def test_matthews_of_a_published_example() -> None:
    # 12 animals, 8 of them cats, of which 6 are found; one dog is taken for a cat.
    assert score("matthews", *confusion(6, 1, 2, 3))["matthews"] == pytest.approx(0.478, abs=5e-4)


def test_correlations_equal_scipy_with_ties() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 26, 500) / 5
    predictions = np.round(labels + rng.normal(size=500), 1)
    got = score("pearson_spearman", predictions, labels)
    pearson = stats.pearsonr(predictions, labels).statistic
    spearman = stats.spearmanr(predictions, labels).statistic
    assert got == pytest.approx(
        {"pearson": pearson, "spearman": spearman, "pearson_spearman": (pearson + spearman) / 2}
    )


def test_correlation_known_by_hand() -> None:
    # x = 1 2 3, y = 1 4 9: r = 8 / sqrt(2 * 98/3); the order is the same.
    got = score("pearson_spearman", [1, 2, 3], [1, 4, 9])
    assert got["pearson"] == pytest.approx(8 / math.sqrt(2 * 98 / 3))
    assert got["spearman"] == pytest.approx(1.0)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-300, 1e300])
def test_constant_predictions_correlate_by_zero(value: float) -> None:
    labels = [0.0, 1.0, 1.0]
    assert score("pearson_spearman", [value] * 3, labels)["pearson_spearman"] == 0.0
    assert score("matthews", [1] * 3, labels) == {"matthews": 0.0}
    assert score("matthews", labels, [0] * 3) == {"matthews": 0.0}
    assert score("f1_accuracy", [0] * 3, [0] * 3)["f1"] == 0.0


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_scale_does_not_change_a_correlation(size: float) -> None:
    predictions = size * np.array([1.0, 2.0, 4.0])
    assert score("pearson_spearman", predictions, [1, 2, 4])["pearson"] == pytest.approx(1.0)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="equal shapes"):
        score("accuracy", [1, 2], [1])
    with pytest.raises(ValueError, match="equal shapes"):
        score("accuracy", [], [])
    with pytest.raises(ValueError, match="finite"):
        score("pearson_spearman", [math.nan, 1], [0, 1])
    with pytest.raises(ValueError, match="main_metric"):
        score("bleu", [1], [1])
