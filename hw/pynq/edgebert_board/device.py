"""A real board by way of pynq, and the lock that keeps two processes from using it at once."""

import fcntl
import importlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from .driver import Mmio
from .errors import BoardError
from .package import Package

# Registers of the Zynq-7000's memory port HP0 (AFI0_RDCHAN_CTRL, AFI0_WRCHAN_CTRL).
HP0, HP0_BYTES, HP0_READ, HP0_WRITE, NARROW = 0xF800_8000, 0x1000, 0x00, 0x14, 1
LOCK_FILE = Path("/run/lock/edgebert_board.lock")


class BoardLock:
    """Held by one process at a time; the system lets go of it when the process ends."""

    def __init__(self, path: Path = LOCK_FILE) -> None:
        """Raises BoardError, naming the process that has it, if the lock is taken."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._file = os.open(path, flags, 0o666)
        except OSError as error:
            raise BoardError(
                f"{path}: expected to open the board's lock, got: {error.strerror}; run as root"
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise BoardError(
                f"board: expected it free, got it in use by process {holder}; "
                "wait for its end, or end it"
            ) from None
        except BaseException:
            os.close(self._file)
            raise

    def release(self) -> None:
        """Let others have the board. Twice does no harm."""
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)

    def __enter__(self) -> "BoardLock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class PynqDevice:
    """The board that this runs on, with a package's bitstream loaded."""

    mmio: Mmio

    def __init__(self, package: Package, lock_file: Path = LOCK_FILE) -> None:
        """Take the lock, then load the bitstream.

        Raises:
            BoardError: the board is in use, this is no PYNQ board, or the package has no
                bitstream.
        """
        board = package.board
        if board.bitstream is None:
            raise BoardError(f"{package.path}: expected a bitstream in the package, got none")
        self._lock = BoardLock(lock_file)
        try:
            self._pynq = _import_pynq()
            self._load(package.path / board.bitstream, board.hwh is not None, board.clock_khz)
            self.mmio = self._pynq.MMIO(board.base_address, board.address_bytes)
        except BaseException as error:
            self._lock.release()
            if isinstance(error, (OSError, RuntimeError, ValueError)):
                reason = " ".join(str(error).split())
                raise BoardError(f"{board.bitstream}: expected to load it, got: {reason}") from None
            raise

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """A buffer in contiguous memory."""
        return self._pynq.allocate(shape=shape, dtype=dtype)

    def close(self) -> None:
        """Let others have the board. Its bitstream stays."""
        self._lock.release()

    def _load(self, bitstream: Path, has_hwh: bool, clock_khz: int) -> None:
        if has_hwh:  # which tells pynq clocks and port widths too
            self._overlay = self._pynq.Overlay(str(bitstream))
        else:  # of the open tool chain, for the Zynq-7000
            importlib.import_module("pynq.ps").Clocks.fclk0_mhz = clock_khz / 1000
            self._pynq.Bitstream(str(bitstream)).download()
            self._widen_memory_port()

    def _widen_memory_port(self) -> None:
        """Port HP0 with 64 bits: whatever was loaded before may have left it with 32."""
        port = self._pynq.MMIO(HP0, HP0_BYTES)
        for offset in (HP0_READ, HP0_WRITE):
            port.write(offset, port.read(offset) & ~NARROW)


def _import_pynq() -> Any:
    try:
        return importlib.import_module("pynq")
    except ImportError as error:
        raise BoardError(
            f"pynq: expected a PYNQ board's Python, got: {error}; on a board, run as root with "
            "pynq's environment: sudo -s, then source /etc/profile.d/pynq_venv.sh"
        ) from None
