"""The command line: what runs a command, and what becomes of its errors."""

import contextlib
import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence

from edgebert.errors import UserError
from edgebert.options import build_parser, function_of
from hw.errors import HardwareFileError, ParameterError, ToolError
from hw.pynq.edgebert_board.errors import BoardError

OK, DIFFERENCE, USER_ERROR, INTERRUPTED = 0, 1, 2, 130

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status: 0 done, 1 a difference found, 2 a user's error."""
    _bound_spinning()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        options = build_parser().parse_args(arguments)
        with _terminated_like_interrupted():
            return function_of(options)(options)
    except SystemExit as stop:  # --help, --version
        return stop.code if isinstance(stop.code, int) else OK
    except KeyboardInterrupt as stop:
        print(f"edgebert: {stop}" if str(stop) else "edgebert: stopped", file=sys.stderr)
        # CPython ends by the signal in place of a status when code in a string was interrupted, as
        # where a dataclass is made, though the interruption was handled; a next string clears that.
        eval("None")
        return INTERRUPTED
    except Exception as error:
        line = _one_line(error)
        if line is None or debug:
            traceback.print_exc()
        if line is None:
            return 3
        print(f"edgebert: error: {line}", file=sys.stderr)
        return USER_ERROR


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: in one line, its programs ended with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    here, before = os.getpid(), signal.getsignal(signal.SIGTERM)

    def interrupt(number: int, frame: object) -> None:
        if os.getpid() != here:  # a forked process, which its pool ends like this
            os._exit(128 + number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _bound_spinning() -> None:
    """Let OpenMP's threads wait busily for a moment only, unless the user says how to wait.

    By default they spin for milliseconds, which makes training crawl on a busy machine; sleeping at
    once slows small models on an idle one. This number keeps most of both: compare by
    `python -m benchmarks.train_speed --sizes tiny`. To be set before torch loads.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "4000"


def _one_line(error: Exception) -> str | None:
    """What to tell the user of an error that is not a defect of edgebert, else None."""
    if isinstance(error, UserError | HardwareFileError | ParameterError | ToolError | BoardError):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and (error.filename or error.errno in NO_SPACE):
        name = error.filename2 or error.filename or "writing"  # of a copy, where it goes to
        advice = "; free some space" if error.errno in NO_SPACE else ""
        return f"{name}: expected access, got: {error.strerror}{advice}"
    if type(error).__name__ == "OutOfMemoryError":  # of torch, which may not be imported here
        return "expected to fit into the device's memory, got too much; use a smaller --batch-size"
    return None


if __name__ == "__main__":  # torchrun -m edgebert.cli train ...
    sys.exit(main())
