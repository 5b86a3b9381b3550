"""How many steps a stage takes, and how often it is evaluated."""

import pytest

from edgebert.config import TrainConfig
from edgebert.feed import eval_every, stage_steps
from tests.trained import FULL, ONE, TWO


def steps(sentences: int, max_steps: int | None = None) -> list[int]:
    train = TrainConfig(
        epochs={"default": 2, "w1a1": 2.5}, least_steps={"default": 0, "w1a1": 100}, batch_size=8
    )
    return [stage_steps(train, bits, sentences, max_steps) for bits in (FULL, TWO, ONE)]


def test_a_stage_takes_its_epochs_and_on_a_small_set_at_least_so_many_steps() -> None:
    assert steps(1) == [2, 2, 100]
    assert steps(81) == [22, 22, 100]
    assert steps(801) == [202, 202, 253]


def test_max_steps_still_bounds_it() -> None:
    assert steps(81, 50) == [22, 22, 50]
    assert steps(801, 250) == [202, 202, 250]


@pytest.mark.parametrize(
    ("given", "per_epoch", "total", "expected"),
    [(0, 20, 60, 20), (0, 20, 1000, 20), (0, 20, 5000, 100), (7, 20, 5000, 7)],
)
def test_short_epochs_share_an_evaluation(
    given: int, per_epoch: int, total: int, expected: int
) -> None:
    assert eval_every(TrainConfig(eval_every=given), per_epoch, total) == expected
