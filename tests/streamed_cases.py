"""Weight-streamed encoders for tests, and batches of sentences with what they must give."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw import reference
from hw.integer_model import IntegerModel
from hw.streamed.cycles import Memory, schedule
from hw.streamed.encoder import StreamedEncoder
from hw.streamed.simulate import Run, Stalls, simulate
from tests.models import random_sentences

Residuals = list[NDArray[np.int64]]


def folding(
    square: tuple[int, int, int],
    up: tuple[int, int, int],
    down: tuple[int, int, int],
    attention: dict[str, Any],
    lanes: int = 1,
) -> dict[str, dict[str, Any]]:
    """pe, simd and tokens of matrices; their lanes are plain descriptions, which compile fast."""

    def mvu(fold: tuple[int, int, int]) -> dict[str, Any]:
        return dict(zip(("pe", "simd", "tokens"), fold, strict=True)) | {"behavioural": True}

    squares = {name: mvu(square) for name in ("query", "key", "value", "output")}
    norms = {name: {"lanes": lanes} for name in ("input_threshold", "attention_norm", "ffn_norm")}
    return {**squares, **norms, "up": mvu(up), "down": mvu(down), "attention": attention}


def batch(model: IntegerModel, lengths: Sequence[int], seed: int) -> tuple[Residuals, Residuals]:
    """The residual of a batch's sentences behind the embedding, and behind the last layer."""
    last = f"layer.{model.dimensions.layers - 1}.ffn_norm.residual"
    runs = [
        reference.run(model, ids, types, reference.float_product)
        for ids, types in random_sentences(seed, model, list(lengths))
    ]
    return [run["embedding.residual"] for run in runs], [run[last] for run in runs]


def check(
    encoder: StreamedEncoder,
    model: IntegerModel,
    lengths: Sequence[Sequence[int]],
    memory: Memory,
    stalls: Stalls | None = None,
    reset_at: int | None = None,
) -> Run:
    """Simulate batches; every residual must equal the reference's."""
    batches = [batch(model, part, seed) for seed, part in enumerate(lengths)]
    run = simulate(encoder, model, [b[0] for b in batches], memory, stalls, reset_at)
    expected = [residual for b in batches for residual in b[1]]
    assert all(np.array_equal(a, b) for a, b in zip(run.residuals, expected, strict=True))
    return run


def check_cycles(
    encoder: StreamedEncoder,
    model: IntegerModel,
    lengths: Sequence[Sequence[int]],
    memory: Memory,
    waits: bool | None = None,
) -> None:
    """Simulate batches without stalls: their cycles must be those of the model, within 5 %.

    `waits`: whether the hardware waits for images for a considerable time.
    """
    run = check(encoder, model, lengths, memory)
    predicted = schedule(encoder, lengths, memory)
    assert waits in (None, predicted.waiting > 0.3)
    assert abs(predicted.ends[-1] - run.cycles) <= 0.05 * run.cycles, (predicted, run)
