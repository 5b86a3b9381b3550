"""What all stages of a training run share."""

from collections.abc import Callable
from dataclasses import dataclass

from accelerate import Accelerator

from edgebert.batches import EncodedSplit
from edgebert.config import Config
from edgebert.earlier import Start
from edgebert.inputs import Inputs
from edgebert.rundir import RunFolder
from edgebert.soft_labels import SoftLabels
from edgebert.trainlog import TrainLog


@dataclass(frozen=True)
class Context:
    """What all stages of a run share."""

    accelerator: Accelerator
    config: Config
    inputs: Inputs
    folder: RunFolder
    log: TrainLog
    max_steps: int | None
    progress: bool
    say: Callable[[str], None]
    stop: Callable[[], bool]  # whether the user asked to stop
    soft_labels: SoftLabels | None = None  # of train_and_text, where there is distill.teacher
    start: Start | None = None  # what --init RUN goes on from

    def split(self, index: int) -> EncodedSplit:
        """What the stage of that index trains on: unlabelled text too, once a teacher labels it."""
        taught = self.number(index) > 0 or self.soft_labels is not None
        return self.inputs.train_and_text if taught else self.inputs.train

    def number(self, index: int) -> int:
        """Stages before the one of that index, those of an earlier run among them."""
        return index + (len(self.start.record.stages) if self.start else 0)
