"""The proof that a board computes the integers of the model, and what it is worth.

Golden sentences: every tensor that is seen outside the accelerator, in both output modes. A dev
set: every logit, and by its hash every residual that leaves the accelerator, of the sentences that
the package knows; the task's metric, latency and throughput.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .bench import latency, throughput
from .classifier import Classifier
from .data import Example
from .driver import Batch
from .metrics import score
from .package import residual_hash, sentence_key
from .tokenizer import Encoding

Progress = Callable[[str], None]
LATENCY_SENTENCES = 32
GROUP = 64  # sentences whose residuals are kept at a time


class Tally:
    """Counts integers and mismatches, and keeps the first one."""

    def __init__(self) -> None:
        self.integers = 0
        self.mismatches = 0
        self.first: dict[str, Any] | None = None

    def compare(self, tensor: str, sentence: int, expected: Any, got: Any) -> None:
        """Compare one tensor of one sentence; another shape counts as wholly wrong."""
        expected, got = np.asarray(expected), np.asarray(got)
        self.integers += expected.size
        first: dict[str, Any] = {"tensor": tensor, "sentence": sentence, "index": []}
        if expected.shape != got.shape:
            self.mismatches += max(expected.size, 1)
        else:
            wrong = np.argwhere(expected != got)
            if not len(wrong):
                return
            self.mismatches += len(wrong)
            index = tuple(int(i) for i in wrong[0])
            first.update(index=list(index), expected=int(expected[index]), got=int(got[index]))
        self.first = self.first or first

    def compare_hash(self, tensor: str, sentence: int, expected: bytes, got: Any) -> None:
        """Compare one tensor with the hash of another; a difference counts as wholly wrong."""
        self.integers += got.size
        if residual_hash(got) != expected:
            self.mismatches += got.size
            first: dict[str, Any] = {"tensor": tensor, "sentence": sentence, "index": []}
            self.first = self.first or first

    def row(
        self, engine: str, sentences: int, seconds: float, metric: float | None
    ) -> dict[str, Any]:
        """An engine of the result, as edgebert's own verification has them."""
        row = {
            "engine": engine,
            "status": "DIFFERS" if self.mismatches else "equal",
            "sentences": sentences,
            "integers": self.integers,
            "mismatches": self.mismatches,
            "score": metric,
            "seconds": round(seconds, 3),
        }
        return row if self.first is None else {**row, "first_difference": self.first}


def verify(
    classifier: Classifier, examples: Sequence[Example], progress: Progress = lambda line: None
) -> dict[str, Any]:
    """Run the golden sentences and a dev set, and compare.

    Args:
        classifier: a package on a device.
        examples: the dev set.
        progress: gets a line now and then.

    Returns:
        Plain data for a JSON file; docs/board.md describes it.

    Raises:
        BoardError: the hardware failed.
    """
    package = classifier.package
    progress("golden sentences")
    golden = _golden(classifier)
    progress("tokenizing")
    sentences = classifier.encode([(e.text, e.text_b) for e in examples])
    dev, hardware = _dev(classifier, sentences, examples, progress)
    progress("latency")
    rows = [golden, dev]
    return {
        "format": "edgebert board verification",
        "format_version": 1,
        "package_sha256": package.digest,
        "manifest_sha256": package.manifest.get("export_sha256"),
        "model_sha256": package.board.model_hash,
        "board": package.board.name,
        "task": package.manifest.get("task"),
        "metric": package.manifest["metric"],
        "equal": not any(row["mismatches"] for row in rows),
        "truncated": sum(sentence.truncated for sentence in sentences),
        "engines": rows,
        "throughput": hardware,
        "latency": latency(classifier, sentences[:LATENCY_SENTENCES]),
    }


def _golden(classifier: Classifier) -> dict[str, Any]:
    package, tally = classifier.package, Tally()
    begin = time.perf_counter()
    last = _last(classifier)
    known = [v for v in package.golden if len(v["input_ids"]) <= package.sizes.max_tokens]
    sentences = [
        Encoding(v["input_ids"].tolist(), v["token_type_ids"].tolist(), False) for v in known
    ]
    found = classifier.tensors(sentences, last)
    for number, (expected, got) in enumerate(zip(known, found, strict=True)):
        for name, value in got.items():
            tally.compare(name, number, expected.get(name, ()), value)
    if sentences:
        lengths = np.array([len(sentence.input_ids) for sentence in sentences])
        residual = np.concatenate([values["embedding.residual"] for values in found])
        accelerator = classifier.accelerator
        rows = accelerator.run(residual, lengths, first_tokens=True)
        again = list(accelerator.stream([Batch(residual, lengths)], first_tokens=True))
        for number, expected in enumerate(known):
            first = expected.get(last, [()])[0]
            tally.compare(f"{last} (first token)", number, first, rows[number])
        tally.compare("second run", 0, rows, np.concatenate(again))
    return tally.row("board, golden sentences", len(known), time.perf_counter() - begin, None)


def _dev(
    classifier: Classifier,
    sentences: Sequence[Encoding],
    examples: Sequence[Example],
    progress: Progress,
) -> tuple[dict[str, Any], dict[str, Any]]:
    package, tally, total = classifier.package, Tally(), len(sentences)
    logits, hardware = throughput(
        classifier, sentences, lambda done: progress(f"sentence {done:,} of {total:,}")
    )
    known = []
    for number, (sentence, row) in enumerate(zip(sentences, logits, strict=True)):
        key = sentence_key(sentence.input_ids, sentence.token_type_ids)
        if key in package.expected:
            known.append(number)
            tally.compare("logits", number, package.expected[key].logits, row)
    last = _last(classifier)
    for start in range(0, len(known), GROUP):
        group = known[start : start + GROUP]
        progress(f"every token of sentence {group[-1] + 1:,} of {total:,}")
        found = classifier.tensors([sentences[number] for number in group], last)
        for number, values in zip(group, found, strict=True):
            key = sentence_key(sentences[number].input_ids, sentences[number].token_type_ids)
            tally.compare_hash(last, number, package.expected[key].residual, values[last])
    predictions = classifier.host.predictions(logits)
    metric = score(package.manifest["metric"], predictions, [e.label for e in examples])
    row = tally.row("board, dev set", total, hardware["seconds"], metric)
    return {**row, "compared_sentences": len(known)}, hardware


def _last(classifier: Classifier) -> str:
    """The name of the residual that leaves the accelerator."""
    return f"layer.{classifier.package.manifest['model']['layers'] - 1}.ffn_norm.residual"
