"""Run a built accelerator on real sentences, and compare it with ONNX Runtime."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgebert import metrics
from edgebert.scoring import sentences_of
from edgebert.tasks import load_task
from edgebert.tokenizer import Tokenizer
from export.accelerator import embeddings, last_residual, logits, onnxruntime_encoder, spread
from export.package import golden_sentences
from export.sessions import Integers, Sentence
from export.tally import Tally
from hw.build import DESIGN, DESIGN_FOLDER, ENCODER, LOWER, MODEL, RTL, TOKENIZER
from hw.build_folder import BuildFolder
from hw.design import Design, load_design
from hw.integer_model import IntegerModel, load_integer_model
from hw.sim.accelerator import Progress, simulate
from hw.sim.bench import Stalls
from hw.sim.pace import ideal_cycles
from hw.sim.usage import AcceleratorResult

Say = Callable[[str], None]
Show = Callable[[int, int], None]  # tokens that are done, of how many
GOLDEN = "golden sentences"


def simulate_sentences(
    build: BuildFolder,
    task: str | None,
    data: str | None,
    *,
    samples: int | None,
    stalls: tuple[float, float] | None,
    trace: Path | None,
    say: Say,
    progress: Show | None = None,
) -> dict[str, Any]:
    """Simulate sentences back to back, in a random order of lengths.

    Args:
        build: with its RTL.
        task, data: whose dev sentences, cut to the accelerator's max_tokens; the export's golden
            sentences if None.
        samples: so many of them, of all lengths.
        stalls: share and mean length of stalls at the accelerator's ports.
        trace: file of a waveform.

    Returns:
        Plain data: what was compared, what differs first, cycles, use of the instances.

    Raises:
        HardwareFileError, UserError, ToolError: the build isn't finished or changed, no such task,
            no compiler.
        SimulationError: the accelerator stands still.
    """
    design = load_design(build.folder(RTL) / DESIGN_FOLDER / DESIGN)
    lowered = build.folder(LOWER)
    model = load_integer_model(lowered / MODEL)
    max_tokens = int(build.request["max_tokens"])
    everything, labels = _sentences(model, lowered / TOKENIZER, max_tokens, task, data, say)
    chosen = spread(everything, samples)
    sentences = [everything[i] for i in chosen]
    inputs = embeddings(model, sentences)
    encode = onnxruntime_encoder(lowered / ENCODER)
    expected = [encode(residual) for residual in inputs]
    begin = time.perf_counter()
    result = simulate(
        design,
        inputs,
        stalls=None if stalls is None else Stalls(1, *stalls),
        trace=trace,
        progress=None if progress is None else lambda at: _tell(progress, at),
    )
    seconds = time.perf_counter() - begin
    compared = _comparison(last_residual(model), expected, result.residuals)
    report = {"task": task or GOLDEN, "manifest_sha256": build.request["export"], **compared}
    if labels is not None and not model.config.get("regression"):
        scored = logits(model, result.residuals).argmax(axis=1)
        metric = str(model.config.get("metric") or metrics.main_metric(str(task), False))
        report[metric] = metrics.score(metric, scored, [labels[i] for i in chosen])[metric]
    report["stalls"] = stalls is not None
    return report | _timing(design, result) | {"seconds": round(seconds, 2)}


def _tell(progress: Show, at: Progress) -> None:
    progress(at.tokens, at.total)


def _sentences(
    model: IntegerModel,
    tokenizer: Path,
    max_tokens: int,
    task: str | None,
    data: str | None,
    say: Say,
) -> tuple[list[Sentence], Any]:
    """Sentences of at most max_tokens, and their labels where there are any."""
    if task is None:
        golden = [(ids.tolist(), types.tolist()) for ids, types in golden_sentences(model)]
        return [(ids[:max_tokens], types[:max_tokens]) for ids, types in golden], None
    from edgebert.batches import encode_split
    from edgebert.inputs import say_truncated

    split = encode_split(Tokenizer.load(tokenizer, max_tokens), load_task(task, data).dev)
    say_truncated(say, split, "dev sentences", max_tokens)
    return list(sentences_of(split)), split.labels


def _comparison(name: str, expected: Sequence[Integers], got: Sequence[Integers]) -> dict[str, Any]:
    tally = Tally()
    for sentence, (one, other) in enumerate(zip(expected, got, strict=True)):
        tally.compare_all(sentence, {name: one}, {name: other})
    lengths = [len(residual) for residual in expected]
    return {
        "sentences": len(lengths),
        "shortest": min(lengths),
        "longest": max(lengths),
        "tokens": sum(lengths),
        "integers": tally.integers,
        "mismatches": tally.mismatches,
        "first_difference": None if tally.first is None else str(tally.first),
    }


def _timing(design: Design, result: AcceleratorResult) -> dict[str, Any]:
    """Cycles of the run, and of a token: in the steady state, and of the slowest at its best."""
    slowest, ideal = ideal_cycles(design, result.lengths)
    tokens = sum(result.lengths)
    clock = float(design.properties["clock_mhz"])
    pace = result.cycles_per_token(_filled(result.lengths)) if len(result.residuals) > 1 else None
    return {
        "cycles": result.cycles,
        "cycles_per_token": None if pace is None else round(pace, 3),
        "ideal_cycles_per_token": round(ideal / tokens, 3),
        "slowest": slowest,
        "clock_mhz": clock,
        "predicted_tokens_per_s": None if pace is None else round(clock * 1e6 / pace),
        "longest_latency_us": round(max(result.latencies()) / clock, 2),
        "utilization": {
            name: round(use.busy, 4) for name, use in result.instances.items() if use.busy
        },
    }


def _filled(lengths: Sequence[int]) -> int:
    """Sentences after which the pipeline is as full as it gets: the longest of the first half.

    Each attention lets a sentence wait until one before it that is longer has gone through.
    """
    first = list(lengths[: max(1, len(lengths) // 2)])
    return 1 + first.index(max(first))
