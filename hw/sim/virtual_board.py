"""A board in simulation: the Verilated shell and accelerator, a memory, a host's view of both.

A `VirtualBoard` offers what pynq offers of a board: `mmio.read`, `mmio.write`, `allocate`, `close`,
so that the same driver runs on both. Simulated time passes while the host accesses registers. The
host's caches are not coherent with the memory: what is not flushed, the accelerator doesn't see.
"""

import contextlib
import mmap
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hw.sim.bench import SimulationError
from hw.sim.verilator import RTL, Parameter, Simulation, build

HARNESS = Path(__file__).parent / "board.cpp"
REQUEST, REPLY = struct.Struct("<IIQQd"), struct.Struct("<QQII")
READ, WRITE, RUN, ADD, REMOVE, FAIL, MEND, HOLD, TIMING, RESET, COUNT = range(1, 12)
COUNTED = ("read_bursts", "write_bursts", "read_beats", "write_beats", "longest", "open")
KINDS = {"read": 1, "write": 2, "both": 3}
RESPONSES = {"SLVERR": 2, "DECERR": 3}
PAGE = 4096
BASE = 0x1000_0000
UNWRITTEN = 0xA5  # byte of memory that nobody has written
MODEL_HASH = range(0x008, 0x028)
LEAST_WAIT, LONGEST_WAIT = 16, 4096  # cycles that pass with a read of a register


class VirtualBoardError(SimulationError):
    """The simulation broke a rule of the bus, touched memory that it must not, or died."""


@dataclass(frozen=True)
class Timing:
    """How memory and host behave.

    Attributes:
        latency: cycles from a request to the first beat, or from the last beat to its response.
        jitter: that many more at most, at random.
        read_share, write_share: share of the cycles in which a beat can pass: the bandwidth.
        request_share: share of the cycles in which a request can pass.
        depth: bursts that the memory takes at once, each way.
        host_share: share of the cycles in which the host takes part in a register access.
        address_delay, data_delay, response_delay: cycles of each access before the host gives an
            address, gives data, and is ready for the response.
    """

    latency: int = 20
    jitter: int = 0
    read_share: float = 1.0
    write_share: float = 1.0
    request_share: float = 1.0
    depth: int = 8
    host_share: float = 1.0
    address_delay: int = 0
    data_delay: int = 0
    response_delay: int = 0


class VirtualBuffer(np.ndarray[Any, np.dtype[Any]]):
    """The host's copy of a piece of memory that the accelerator can address."""

    device_address: int
    _board: "VirtualBoard | None"

    def __array_finalize__(self, other: Any) -> None:
        """Views and copies are plain arrays, as to the board."""
        self._board = None

    def flush(self) -> None:
        """Make the memory as the host's copy."""
        place = self._memory()
        place[:] = np.ascontiguousarray(self).view(np.ndarray).reshape(-1).view(np.uint8)

    def invalidate(self) -> None:
        """Make the host's copy as the memory."""
        flat = self.view(np.ndarray).reshape(-1).view(np.uint8)
        flat[:] = self._memory()

    def freebuffer(self) -> None:
        """Give the memory back. Twice does no harm."""
        if self._board is not None:
            self._board.free(self.device_address)
            self._board = None

    def _memory(self) -> NDArray[np.uint8]:
        if self._board is None:
            raise VirtualBoardError("buffer: expected one that is allocated, got a view or a freed")
        return self._board.memory(self.device_address, self.nbytes)


class VirtualMmio:
    """The registers: 32-bit words at byte offsets."""

    def __init__(self, board: "VirtualBoard") -> None:
        self._board = board
        self._last, self._wait = -1, LEAST_WAIT

    def read(self, offset: int = 0) -> int:
        """A register. Time passes after it, more with each read of the same one in a row."""
        self._check(offset)
        value = self._board.call(READ, offset)
        self._wait = min(2 * self._wait, LONGEST_WAIT) if offset == self._last else LEAST_WAIT
        self._last = offset
        self._board.call(RUN, b=self._wait)
        override = self._board.model_hash
        if override is not None and offset in MODEL_HASH:
            return int(override[2 * (offset - 8) :][:8], 16)
        return value

    def write(self, offset: int, value: int, strobe: int = 15) -> None:
        """Set a register, of its bytes those that `strobe` has a bit for."""
        self._check(offset)
        self._last = -1
        self._board.call(WRITE, offset, int(value) & 0xFFFFFFFF, strobe)

    def _check(self, offset: int) -> None:
        if not 0 <= offset < PAGE or offset % 4:
            raise ValueError(f"offset: expected a multiple of 4 below {PAGE}, got {offset}")


class VirtualBoard:
    """A running simulation of a board. A context manager."""

    def __init__(
        self,
        simulation: Simulation,
        memories: Mapping[str, str] | None = None,
        *,
        timing: Timing | None = None,
        seed: int = 1,
        strict: bool = True,
        max_burst: int = 256,
        base: int = BASE,
        memory_bytes: int = 64 << 20,
        model_hash: str | None = None,
    ) -> None:
        """Start it, and reset the hardware.

        Args:
            simulation: of a board's top, as `build_board` compiles it.
            memories: content of the memory files of the accelerator.
            timing: of memory and host.
            seed: of everything random.
            strict: also look for paths from the inputs to the outputs of the top. Without it time
                passes faster, but a simulation with checkers on its streams needs it.
            max_burst: a longer burst is an error.
            base: address of the memory.
            memory_bytes: its size.
            model_hash: read in place of the real one, as of a board with another bitstream.
        """
        self.model_hash = model_hash
        self.cycles = 0
        self._base, self._size = base, memory_bytes
        self._buffers: dict[int, int] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="edgebert-board-")
        place = Path(self._folder.name)
        for name, text in (memories or {}).items():
            (place / name).write_text(text)
        with (place / "memory.bin").open("w+b") as file:
            file.truncate(memory_bytes)
            self._map = mmap.mmap(file.fileno(), memory_bytes)
        self._log = (place / "log.txt").open("w+b")
        options = {
            "memory": "memory.bin",
            "base": base,
            "bytes": memory_bytes,
            "seed": seed,
            "burst": max_burst,
            "strict": int(strict),
        }
        self._process = subprocess.Popen(
            [str(simulation.program), *(f"{key}={value}" for key, value in options.items())],
            cwd=place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # a terminal's Ctrl-C ends what waits on it first
        )
        self.mmio = VirtualMmio(self)
        self.set_timing(timing or Timing())

    def __enter__(self) -> "VirtualBoard":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the simulation. Twice does no harm."""
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # it has ended by itself
                self._process.stdin.close()
            self._process.wait(timeout=60)
            for stream in (self._process.stdout, self._log):
                if stream:
                    stream.close()
            self._folder.cleanup()

    def allocate(
        self, shape: int | Sequence[int], dtype: DTypeLike = np.uint32, address: int | None = None
    ) -> Any:
        """A buffer of memory, zeros for the host, something else for the accelerator.

        Args:
            shape, dtype: of the array.
            address: where; the lowest free page if None.
        """
        dimensions = (shape,) if isinstance(shape, int) else tuple(shape)
        array = np.zeros(dimensions, dtype)
        start = self._free_page(array.nbytes) if address is None else address
        buffer = array.view(VirtualBuffer)
        buffer.device_address = start
        buffer._board = self
        size = -(-array.nbytes // 8) * 8  # the bus has words of 8 bytes
        self._buffers[start] = size
        self.memory(start, size)[:] = UNWRITTEN
        self.call(ADD, b=start, c=size)
        return buffer

    def free(self, address: int) -> None:
        """Give the buffer at an address back."""
        del self._buffers[address]
        if self._process.stdin and not self._process.stdin.closed:
            self.call(REMOVE, b=address)

    def memory(self, address: int, size: int) -> NDArray[np.uint8]:
        """The memory's bytes themselves, as the accelerator sees them: a copy of none."""
        view = np.frombuffer(self._map, np.uint8)
        return view[address - self._base : address - self._base + size]

    def run(self, cycles: int) -> None:
        """Let time pass."""
        self.call(RUN, b=cycles)

    def set_timing(self, timing: Timing) -> None:
        """Change how memory and host behave."""
        keys = [field.name for field in fields(Timing)]
        for index, key in enumerate(keys):
            self.call(TIMING, index, d=float(getattr(timing, key)))

    def fail(
        self, address: int, size: int = 8, kind: str = "both", response: str = "SLVERR"
    ) -> None:
        """Answer accesses to a piece of memory with an error, until `mend`.

        Args:
            kind: "read", "write" or "both".
            response: "SLVERR" or "DECERR".
        """
        self.call(FAIL, KINDS[kind] << 8 | RESPONSES[response], address, size)

    def mend(self) -> None:
        """End what `fail` began."""
        self.call(MEND)

    def hang(self, on: bool = True) -> None:
        """Keep the accelerator from taking residuals, or let it again."""
        self.call(HOLD, b=int(on))

    def reset(self, cycles: int = 4) -> None:
        """The board's reset; what the memory has not answered is forgotten."""
        self.call(RESET, b=cycles)

    def counts(self) -> dict[str, int]:
        """Bursts and beats of each way, the longest burst, and what is under way now."""
        return {name: self.call(COUNT, index) for index, name in enumerate(COUNTED)}

    def call(self, operation: int, a: int = 0, b: int = 0, c: int = 0, d: float = 0.0) -> int:
        """A request to the simulation, and its answer.

        Raises:
            VirtualBoardError: the hardware broke a rule since the last call.
        """
        requests, replies = self._process.stdin, self._process.stdout
        if requests is None or replies is None or requests.closed:
            raise VirtualBoardError("board: expected an open one, got one that was closed")
        try:
            requests.write(REQUEST.pack(operation, a, b, c, d))
            requests.flush()
            value, self.cycles, size, _ = REPLY.unpack(self._read(replies, REPLY.size))
            text = self._read(replies, size).decode()
        except (BrokenPipeError, struct.error):
            self._log.seek(0)
            log = self._log.read().decode(errors="replace").strip()
            raise VirtualBoardError(f"board: the simulation ended: {log[-2000:]}") from None
        except BaseException:  # interrupted: its answer would be taken for the next request's
            self._process.kill()
            self.close()
            raise
        if text:
            raise VirtualBoardError(f"board: {text.strip()}")
        return int(value)

    @staticmethod
    def _read(stream: IO[bytes], size: int) -> bytes:
        return stream.read(size) if size else b""

    def _free_page(self, size: int) -> int:
        start = self._base
        for taken in sorted(self._buffers):
            if start + size <= taken:
                break
            start = -(-(taken + self._buffers[taken]) // PAGE) * PAGE
        if start + size > self._base + self._size:
            raise MemoryError(f"buffer: expected {size} bytes of memory, got none free")
        return start


def build_board(
    top: str,
    sources: Sequence[Path],
    folder: Path = RTL,
    parameters: Mapping[str, Parameter] | None = None,
) -> Simulation:
    """Compile the simulation of a board's top, or take it from the cache.

    Args:
        top: module with the ports that hw/shell/top.py gives a board.
        sources: of the top and what it holds, besides `folder`.
        folder: where the other modules lie.
        parameters: of the top.
    """
    return build(top, parameters or {}, folder, list(sources), harness=HARNESS)
