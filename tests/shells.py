"""Boards for tests: the shell around an accelerator that gives its input back."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.pynq.edgebert_board import registers as reg
from hw.shell.shell import Shell, encode_weights
from hw.shell.top import board_top
from hw.sim.verilator import Simulation
from hw.sim.virtual_board import VirtualBoard, build_board

RTL = Path(__file__).parent / "rtl"
LOOP = """\
module loop_{name} (
    input wire logic clk,
    input wire logic rst_n,
    input wire logic [{in_range}:0] s_axis_residual_tdata,
    input wire logic s_axis_residual_tvalid,
    output wire logic s_axis_residual_tready,
    input wire logic [{length_range}:0] s_axis_length_tdata,
    input wire logic s_axis_length_tvalid,
    output wire logic s_axis_length_tready,
    {weights}
    output wire logic [{in_range}:0] m_axis_residual_tdata,
    output wire logic m_axis_residual_tvalid,
    input wire logic m_axis_residual_tready
);
  {no_weights}
  loop_accelerator #(
      .LANES({lanes}), .WORD_BITS({bits}), .LENGTH_BITS({length_bits}), .LOAD_BEATS({beats}),
      .DEPTH({depth})
  ) u_loop (.*);
endmodule
"""
WEIGHTS = (
    "input wire logic [71:0] s_axis_weights_tdata,\n    input wire logic s_axis_weights_tvalid,\n"
    "    output wire logic s_axis_weights_tready,"
)
NO_WEIGHTS = (
    "wire logic [71:0] s_axis_weights_tdata = '0;\n  wire logic s_axis_weights_tvalid = 1'b0;\n"
    "  logic s_axis_weights_tready;"
)


def loop_board(shell: Shell, depth: int = 64) -> Simulation:
    """A board whose accelerator gives its input back, plus `weight_sum` of its weights."""
    key = f"{shell.word_bits}x{shell.in_lanes}_{shell.load_beats}"
    text = LOOP.format(
        name=key,
        in_range=shell.in_lanes * shell.word_bits - 1,
        length_range=shell.length_bits - 1,
        lanes=shell.in_lanes,
        bits=shell.word_bits,
        length_bits=shell.length_bits,
        beats=shell.load_beats,
        depth=depth,
        weights=WEIGHTS if shell.load_beats else "",
        no_weights="" if shell.load_beats else NO_WEIGHTS,
    )
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch) / f"loop_{key}_board.sv"
        top.write_text(board_top(shell, f"loop_{key}", hold=True))
        loop = Path(scratch) / f"loop_{key}.sv"
        loop.write_text(text)
        return build_board(top.stem, [RTL / "loop_accelerator.sv", loop, top])


def weight_sum(beats: NDArray[np.uint8]) -> int:
    """What the loop's accelerator adds to each channel, modulo 2^32."""
    total = 0
    for beat in beats:
        total = 3 * total + int(beat[8]) + int.from_bytes(bytes(beat[:4]), "little")
    return total % (1 << 32)


class Host:
    """A driver with nothing hidden: one run, one buffer each."""

    def __init__(self, board: VirtualBoard, shell: Shell) -> None:
        self.board, self.shell = board, shell
        self.read, self.write = board.mmio.read, board.mmio.write

    def prepare(
        self,
        residual: NDArray[Any],
        lengths: NDArray[Any],
        mode: int = 0,
        rows: int | None = None,
        offset: int = 0,
        spare: int = 0,
    ) -> Any:
        """Buffers and registers of a run, and the output buffer.

        Args:
            rows: of the output buffer, those of the result if None.
            offset: of the buffers from the start of a page.
            spare: rows of the input buffer behind the input.
        """
        wanted = (len(lengths) if mode else len(residual)) if rows is None else rows
        data = self.shell.encode(residual)
        base = 0x1200_0000 + offset
        shape = (len(data) + spare, self.shell.hidden)
        source = self.board.allocate(shape, data.dtype, base)
        counts = self.board.allocate(len(lengths) + 1, "<u2", base + (1 << 20))
        target = self.board.allocate((wanted, self.shell.hidden), data.dtype, base + (2 << 20))
        source[: len(data)], counts[: len(lengths)] = data, lengths
        source.flush()
        counts.flush()
        self.buffers = (source, counts, target)
        self.pointer(reg.IN_ADDRESS, source.device_address)
        self.write(reg.IN_BYTES, data.nbytes)
        self.pointer(reg.LENGTHS_ADDRESS, counts.device_address)
        self.write(reg.SENTENCES, len(lengths))
        self.pointer(reg.OUT_ADDRESS, target.device_address)
        self.write(reg.OUT_BYTES, target.nbytes)
        self.write(reg.OUT_MODE, mode)
        return target

    def run(self, residual: NDArray[Any], lengths: NDArray[Any], mode: int = 0, **how: Any) -> Any:
        """A run's result."""
        target = self.prepare(residual, lengths, mode, **how)
        self.write(reg.CONTROL, reg.CLEAR | reg.START)
        assert self.wait() == reg.DONE | (reg.LOADED if self.shell.load_beats else 0)
        target.invalidate()
        result = np.array(target)
        self.free()
        return result

    def load(self, beats: NDArray[np.uint8]) -> int:
        """Load weights; the status after it."""
        slots = encode_weights(beats)
        buffer = self.board.allocate(slots.shape, np.uint8)
        buffer[:] = slots
        buffer.flush()
        self.pointer(reg.LOAD_ADDRESS, buffer.device_address)
        self.write(reg.CONTROL, reg.LOAD)
        status = self.wait()
        buffer.freebuffer()
        return status

    def reset(self) -> None:
        """Reset by register."""
        self.write(reg.CONTROL, reg.RESET)
        assert self.wait() == 0

    def wait(self, reads: int = 2000) -> int:
        """The status as soon as it isn't busy, or after that many reads."""
        for _ in range(reads):
            status = self.read(reg.STATUS)
            if not status & reg.BUSY:
                break
        return status

    def free(self) -> None:
        """Free the buffers of a run."""
        for buffer in self.buffers:
            buffer.freebuffer()

    def pointer(self, offset: int, address: int) -> None:
        """Write an address."""
        self.write(offset, address & 0xFFFFFFFF)
        self.write(offset + 4, address >> 32)


def sentences(
    rng: np.random.Generator, shell: Shell, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Random lengths, the shortest and the longest among them, and residuals."""
    lengths = rng.integers(1, shell.max_tokens + 1, count)
    lengths[: min(count, 2)] = (1, shell.max_tokens)[:count]
    half = 1 << (shell.word_bits - 1)
    residual = rng.integers(-half, half, (int(lengths.sum()), shell.hidden))
    return residual, lengths


def first_rows(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of the first tokens."""
    return np.cumsum(lengths) - lengths
