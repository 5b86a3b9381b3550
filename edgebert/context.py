"""What all stages of a training run share, and how a run is stopped."""

from collections.abc import Callable
from dataclasses import dataclass

from accelerate import Accelerator

from edgebert.config import Config
from edgebert.inputs import Inputs
from edgebert.rundir import RunFolder
from edgebert.trainlog import TrainLog


class Interrupted(KeyboardInterrupt):
    """The user stopped a run; its message says how to go on."""


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
