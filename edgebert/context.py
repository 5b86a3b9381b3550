"""What all stages of a training run share, and how a run is stopped."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from accelerate import Accelerator

from edgebert.batches import EncodedSplit
from edgebert.config import Config
from edgebert.earlier import Start
from edgebert.inputs import Inputs
from edgebert.rundir import RunFolder
from edgebert.soft_labels import SoftLabels
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
    soft_labels: SoftLabels | None = None  # of train_and_text, where there is distill.teacher
    start: Start | None = None  # what --init RUN goes on from

    def split(self, index: int) -> EncodedSplit:
        """What the stage of that index trains on: unlabelled text too, once a teacher labels it."""
        taught = self.number(index) > 0 or self.soft_labels is not None
        return self.inputs.train_and_text if taught else self.inputs.train

    def number(self, index: int) -> int:
        """Stages before the one of that index, those of an earlier run among them."""
        return index + (len(self.start.record.stages) if self.start else 0)


@contextmanager
def stop_signal() -> Iterator[Callable[[], bool]]:
    """Make Ctrl-C and SIGTERM ask for a stop, which the yielded function tells.

    A second Ctrl-C ends the run at once.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set  # only the main thread may set handlers
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
