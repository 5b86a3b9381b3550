"""Simulate a weight-streamed encoder with an external memory of a given bandwidth."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw.integer_model import IntegerModel
from hw.sim import bench
from hw.sim.beats import Beats, pack, unpack
from hw.sim.bench import Stalls
from hw.sim.verilator import Simulation, build
from hw.streamed.cycles import Memory
from hw.streamed.encoder import StreamedEncoder
from hw.streamed.image import layer_images, rom_files
from hw.streamed.top import RTL, check_widths, encoder_parameters, layer_text

MAX_CYCLES = 1 << 24


@dataclass(frozen=True)
class Run:
    """What a simulation gave.

    Attributes:
        residuals: of each sentence, in order, (tokens, hidden): the last layer's.
        cycles: from the first beat of an image that was taken to the last beat that left.
        starts: cycle of the first beat that came, of each batch.
        ends: cycle of the last beat that left, of each batch.
        before: beats that left before a reset.
    """

    residuals: list[NDArray[np.int64]]
    cycles: int
    starts: list[int]
    ends: list[int]
    before: Beats


def compile_system(encoder: StreamedEncoder) -> Simulation:
    """Compile the system, or take it from the cache."""
    check_widths(encoder)
    with tempfile.TemporaryDirectory(prefix="edgebert-") as scratch:
        layer = Path(scratch) / "streamed_layer.sv"
        layer.write_text(layer_text(encoder))
        return build(
            "streamed_system",
            encoder_parameters(encoder),
            extra=[*sorted(RTL.glob("*.sv")), layer],
        )


def simulate(
    encoder: StreamedEncoder,
    model: IntegerModel,
    batches: Sequence[Sequence[NDArray[np.int64]]],
    memory: Memory | None = None,
    stalls: Stalls | None = None,
    reset_at: int | None = None,
) -> Run:
    """Send batches of sentences through the encoder.

    Args:
        batches: for each batch the residual of its sentences, (tokens, hidden):
            `embedding.residual` of the reference.

    Raises:
        ParameterError: a batch that doesn't fit.
        SimulationError: a stream broke its contract, or beats are missing.
    """
    for batch in batches:
        encoder.checked_batch([len(sentence) for sentence in batch])
    kernel = encoder.input
    sentences = [sentence for batch in batches for sentence in batch]
    images = np.concatenate(layer_images(encoder, model) * len(batches))
    expected = sum(len(sentence) for sentence in sentences) * kernel.beats
    result = bench.run(
        "streamed_system",
        {},
        {
            "s_axis_residual": pack(np.concatenate(sentences), kernel.word_bits, kernel.lanes),
            "s_axis_length": _lengths(encoder, batches),
            "s_axis_image": images,
        },
        {"m_axis_residual": expected},
        memories=rom_files(encoder, model),
        stalls=stalls,
        reset_at=reset_at,
        max_cycles=MAX_CYCLES,
        max_idle=1 << 16,
        constants=(memory or Memory()).inputs(),
        simulation=compile_system(encoder),
    )
    return _run(encoder, batches, result.outputs, result.taken, result.before)


def _lengths(encoder: StreamedEncoder, batches: Sequence[Sequence[NDArray[np.int64]]]) -> Beats:
    bits = encoder.max_tokens.bit_length()
    words = [
        len(sentence) | int(index == len(batch) - 1) << bits
        for batch in batches
        for index, sentence in enumerate(batch)
    ]
    return pack(words, bits + 1, 1)


def _run(
    encoder: StreamedEncoder,
    batches: Sequence[Sequence[NDArray[np.int64]]],
    outputs: Mapping[str, Beats],
    taken: Mapping[str, NDArray[np.int64]],
    before: Mapping[str, Beats],
) -> Run:
    kernel = encoder.input
    words = unpack(outputs["m_axis_residual"], kernel.word_bits, kernel.lanes, signed=True)
    tokens = words.reshape(-1, kernel.hidden)
    lengths = [len(sentence) for batch in batches for sentence in batch]
    residuals = np.split(tokens, np.cumsum(lengths)[:-1])
    per_batch = np.cumsum([sum(map(len, batch)) for batch in batches]) * kernel.beats
    left, came = taken["m_axis_residual"], taken["s_axis_residual"]
    return Run(
        residuals=residuals,
        cycles=int(left[-1] - taken["s_axis_image"][0] + 1),
        starts=[int(came[i]) for i in (0, *per_batch[:-1])],
        ends=[int(left[i - 1]) for i in per_batch],
        before=before.get("m_axis_residual", np.zeros((0, 0), dtype=np.uint8)),
    )
