"""Speed of a board: throughput from its counters, latency of single sentences."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .classifier import Classifier
from .driver import Counters
from .integer_host import Integers
from .tokenizer import Encoding

SEED = 0
SENTENCES = 64


def bench(classifier: Classifier, progress: Callable[[str], None]) -> dict[str, Any]:
    """Throughput and latency of random sentences, by their length in tokens."""
    results = []
    longest = classifier.package.sizes.max_tokens
    for tokens in sorted({min(longest, n) for n in (1, 8, 16, 32, 64, 128, longest)}):
        progress(f"{tokens} tokens")
        sentences = random_sentences(classifier, tokens, SENTENCES)
        _, figures = throughput(classifier, sentences)
        single = latency(classifier, sentences[:8])
        results.append({"tokens": tokens, "throughput": figures, "latency": single})
    return {"board": classifier.package.board.name, "lengths": results}


def random_sentences(classifier: Classifier, tokens: int, count: int) -> list[Encoding]:
    """Sentences of random tokens; the same ones each time."""
    rng = np.random.default_rng(SEED)
    ids = rng.integers(0, classifier.package.sizes.vocab, (count, tokens))
    return [Encoding(row.tolist(), [0] * tokens, False) for row in ids]


def throughput(
    classifier: Classifier,
    sentences: Sequence[Encoding],
    progress: Callable[[int], None] | None = None,
) -> tuple[Integers, dict[str, Any]]:
    """Logits of sentences back to back, and the figures; `seconds` is the host's, all included."""
    accelerator = classifier.accelerator
    accelerator.counters = Counters()
    begin = time.perf_counter()
    logits = classifier.logits(sentences, progress)
    seconds = time.perf_counter() - begin
    figures = rates(accelerator.counters, accelerator.clock_hz)
    host = {"seconds": seconds, "host_sentences_per_second": _ratio(len(sentences), seconds)}
    return logits, {**host, **figures}


def rates(counters: Counters, clock_hz: int) -> dict[str, Any]:
    """What the hardware counted, and what that comes to at its clock."""
    busy = _ratio(counters.cycles, clock_hz)
    return {
        "clock_hz": clock_hz,
        **vars(counters),
        "hardware_seconds": busy,
        "tokens_per_second": _ratio(counters.tokens, busy),
        "sentences_per_second": _ratio(counters.sentences, busy),
        "cycles_per_token": _ratio(counters.cycles, counters.tokens),
    }


def latency(classifier: Classifier, sentences: Sequence[Encoding]) -> dict[str, Any]:
    """Milliseconds from tokens to logits of one sentence at a time, and the hardware's part."""
    whole, busy = [], []
    clock = classifier.accelerator.clock_hz
    for sentence in sentences:
        classifier.accelerator.counters = Counters()
        begin = time.perf_counter()
        classifier.logits([sentence])
        whole.append(1e3 * (time.perf_counter() - begin))
        busy.append(_ratio(1e3 * classifier.accelerator.counters.cycles, clock))
    return {"sentences": len(whole), "host_ms": spread(whole), "hardware_ms": spread(busy)}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, median, 95th percentile and maximum."""
    if not values:
        return {}
    return {
        "mean": float(np.mean(values)),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
        "max": float(np.max(values)),
    }


def _ratio(a: float, b: float) -> float:
    return a / b if b else 0.0
