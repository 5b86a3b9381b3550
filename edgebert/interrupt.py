"""How a user stops a long run, and all its processes together."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from accelerate import Accelerator


class Interrupted(KeyboardInterrupt):
    """The user stopped a run; its message says how to go on."""


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


def agree(stop: Callable[[], bool], accelerator: Accelerator) -> bool:
    """Whether any process was asked to stop. Every process has to call it, so that none waits."""
    if accelerator.num_processes == 1:
        return stop()
    mine = torch.tensor(float(stop()), device=accelerator.device)
    return bool(accelerator.reduce(mine, "sum") > 0)
