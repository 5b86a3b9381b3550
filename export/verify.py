"""The verification ladder: every engine must compute the integers of the reference.

All logits of all sentences are compared with `==`, and every named tensor of a sample of
sentences. The plain reference of hw/reference.py is the judge.
"""

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from edgebert import metrics
from export.package import Export, golden_vectors, load_export
from export.sessions import Integers, OrtSession, QonnxSession, Sentence
from export.tally import Tally
from export.verify_report import Report, Row
from hw.integer_model import IntegerModel
from hw.reference import float_product, integer_product, run

QONNX_CELLS = 1 << 28  # values that qonnx keeps of one batch: 1 GiB of float32
Progress = Callable[[str], None]


class Session(Protocol):
    """An engine that has loaded the model."""

    def logits(self, sentences: Sequence[Sentence]) -> Integers:
        """int64 (sentences, labels)."""

    def intermediates(self, sentence: Sentence, names: Sequence[str]) -> dict[str, Integers]:
        """Tensors of one sentence by their names in docs/arithmetic.md, without batch axis."""


@runtime_checkable
class AcceleratorRun(Protocol):
    """An engine that runs every sentence on an accelerator, and shows all that leaves it."""

    def tensors(self, sentences: Sequence[Sentence]) -> Iterator[dict[str, Integers]]:
        """Of each sentence the tensors by their names, in the order of execution."""

    def figures(self) -> Mapping[str, Any]:
        """`throughput` and `latency` of the logits' run, as docs/build.md describes them."""


@dataclass(frozen=True)
class Engine:
    """A rung of the ladder.

    Attributes:
        name: as the report shows it.
        start: loads the model; its ImportError means that the engine is not installed.
        prefix: of the names of the tensors that it shows; None: it shows only logits.
        partial: whether it may leave some of them out.
        has_logits: False for a part of the model that ends before them.
    """

    name: str
    start: Callable[[], Session]
    prefix: str | None = ""
    partial: bool = False
    has_logits: bool = True


@dataclass(frozen=True)
class NotRun:
    """A rung that can't be tried, and why."""

    name: str
    reason: str


def verify(
    export_dir: Path,
    sentences: Sequence[Sentence],
    labels: ArrayLike | None = None,
    engines: Sequence[Engine | NotRun] | None = None,
    intermediate_samples: int = 4,
    progress: Progress | None = None,
) -> Report:
    """Walk the ladder over an export.

    Args:
        export_dir: what `export` wrote; its hashes are checked first.
        sentences: (token ids, token types) each, of 1 to max_tokens tokens; not empty.
        labels: (sentences,), for the score; None: no score.
        engines: the rungs after the reference; `file_engines` if None.
        intermediate_samples: sentences whose every tensor is compared: the shortest, the
            longest and others between.
        progress: gets a line before each engine.

    Raises:
        UserError: the export is damaged.
    """
    export = load_export(export_dir)
    tell = progress or (lambda line: None)
    judge = _Judge(export.model, sentences, labels)
    rows = [judge.reference_row(tell, intermediate_samples), judge.golden_row(export)]
    for engine in file_engines(export) if engines is None else engines:
        tell(f"{engine.name} ...")
        rows.append(judge.row(engine, intermediate_samples))
    return Report(export.digest, judge.metric, tuple(rows))


def file_engines(export: Export, threads: int = 1) -> list[Engine | NotRun]:
    """The engines that execute the files of an export."""
    model, d = export.model, export.model.dimensions
    cells = d.layers * d.max_tokens * (14 * d.hidden + 2 * d.ffn + 2 * d.heads * d.max_tokens)
    batch = max(1, min(64, QONNX_CELLS // cells))
    graph = export.path / "model.onnx"
    encoder, fast = export.path / "encoder.onnx", export.path / "fast.onnx"
    return [
        Engine("onnxruntime model.onnx", lambda: OrtSession(graph, threads)),
        Engine(
            "onnxruntime encoder.onnx",
            lambda: EncoderSession(model, OrtSession(encoder, threads)),
            prefix="layer.",
            has_logits=False,
        ),
        Engine("qonnx model.onnx", lambda: QonnxSession(graph, batch, d.max_tokens)),
        Engine(
            "onnxruntime fast.onnx", lambda: OrtSession(fast, threads, fused=False), prefix=None
        ),
        Engine("fused fast.onnx", lambda: OrtSession(fast, threads), prefix=None),
    ]


class EncoderSession:
    """`encoder.onnx`, fed with the reference's embedding as a board's host would."""

    def __init__(self, model: IntegerModel, session: OrtSession) -> None:
        self.model = model
        self.session = session

    def logits(self, sentences: Sequence[Sentence]) -> Integers:
        raise NotImplementedError("the encoder ends before the logits")

    def intermediates(self, sentence: Sentence, names: Sequence[str]) -> dict[str, Integers]:
        residual = run(self.model, *sentence, float_product)["embedding.residual"]
        inputs = {
            "embedding.residual": residual[None].astype(np.float32),
            "attention_mask": np.ones((1, len(residual)), np.int64),
        }
        return self.session.values(inputs, names)


class _Judge:
    """The reference's integers of the sentences, and the comparison of others with them."""

    def __init__(
        self, model: IntegerModel, sentences: Sequence[Sentence], labels: ArrayLike | None
    ) -> None:
        self.model = model
        self.sentences = sentences
        self.labels = labels
        regression = bool(model.config.get("regression"))
        task = str(model.config.get("task", ""))
        self.metric = str(model.config.get("metric") or metrics.main_metric(task, regression))
        self.logits = np.zeros((0, 0), np.int64)
        self._values: dict[int, dict[str, Integers]] = {}

    def values(self, index: int) -> dict[str, Integers]:
        """Every named tensor of a sentence, by the plain product."""
        if index not in self._values:
            self._values[index] = run(self.model, *self.sentences[index], integer_product)
        return self._values[index]

    def sample(self, count: int) -> list[int]:
        """Sentences from the shortest to the longest."""
        order = sorted(range(len(self.sentences)), key=lambda i: len(self.sentences[i][0]))
        places = np.linspace(0, len(order) - 1, min(count, len(order))).astype(int)
        return [order[place] for place in places]

    def reference_row(self, tell: Progress, samples: int) -> Row:
        """Logits of everything, by the fast product; the plain one must agree on the sample."""
        tell("reference ...")
        start = time.perf_counter()
        rows = [run(self.model, *s, float_product)["logits"] for s in self.sentences]
        self.logits = np.array(rows, dtype=np.int64)
        seconds = time.perf_counter() - start
        tally = Tally()
        for index in self.sample(samples):
            fast = run(self.model, *self.sentences[index], float_product)
            tally.compare_all(index, self.values(index), fast)
        return tally.row("reference", len(rows), seconds, self.score(self.logits), self.logits.size)

    def golden_row(self, export: Export) -> Row:
        """golden.npz against the reference on the golden sentences."""
        start = time.perf_counter()
        expected = golden_vectors(self.model, integer_product)
        content = (export.path / "golden.npz").read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            stored = {name: archive[name].astype(np.int64) for name in archive.files}
        tally = Tally()
        count = 0
        while f"{count}.logits" in expected:
            prefix = f"{count}."
            one, other = (
                {
                    name.removeprefix(prefix): v
                    for name, v in group.items()
                    if name.startswith(prefix)
                }
                for group in (expected, stored)
            )
            tally.compare_all(count, one, other)
            count += 1
        return tally.row("golden.npz", count, time.perf_counter() - start)

    def row(self, engine: Engine | NotRun, samples: int) -> Row:
        """Run one engine and compare it."""
        if isinstance(engine, NotRun):
            return Row(engine.name, not_run=engine.reason)
        start = time.perf_counter()
        try:
            session = engine.start()
        except ImportError as error:
            return Row(engine.name, not_run=f"{error.name or error} is not installed")
        tally, score = Tally(), None
        figures: Mapping[str, Any] = {}
        indices = self.sample(samples) if engine.prefix is not None else []
        sentences = len(indices)
        if engine.has_logits:
            begin = time.perf_counter()
            logits = session.logits(self.sentences)
            figures = self._speed(time.perf_counter() - begin)
            wrong = tally.compare_logits(self.logits, logits)
            sentences, score = len(self.sentences), self.score(logits)
            if engine.prefix is not None and wrong is not None and wrong not in indices:
                indices.append(wrong)  # to find the tensor where it begins
        for index in indices:
            self._compare_tensors(engine, session, index, tally)
        if isinstance(session, AcceleratorRun):
            self._compare_outputs(session, tally)
            figures = session.figures()
        row = tally.row(engine.name, sentences, time.perf_counter() - start, score)
        return replace(row, figures=figures)

    def _speed(self, seconds: float) -> dict[str, Any]:
        """Throughput of software on this machine."""
        tokens = sum(len(ids) for ids, _ in self.sentences)
        rate = {"seconds": seconds, "tokens": tokens, "tokens_per_second": tokens / seconds}
        return {"throughput": rate}

    def _compare_outputs(self, session: AcceleratorRun, tally: Tally) -> None:
        """What leaves the accelerator, of every sentence."""
        found = session.tensors(self.sentences)
        for index, (sentence, got) in enumerate(zip(self.sentences, found, strict=True)):
            expected = run(self.model, *sentence, float_product)
            tally.compare_all(index, {n: v for n, v in expected.items() if n in got}, got)

    def _compare_tensors(self, engine: Engine, session: Session, index: int, tally: Tally) -> None:
        expected = {
            name: value
            for name, value in self.values(index).items()
            if name.startswith(engine.prefix or "")
        }
        got = session.intermediates(self.sentences[index], list(expected))
        if engine.partial:
            expected = {name: value for name, value in expected.items() if name in got}
        tally.compare_all(index, expected, got)

    def score(self, logits: Integers) -> float | None:
        """The task's metric of an engine's logits."""
        if self.labels is None or logits.shape != self.logits.shape:
            return None
        if self.model.config.get("regression"):
            f = self.model.formats
            scale = 2.0 ** -(f.fraction_bits + f.classifier_fraction_bits)
            return metrics.score(self.metric, logits[:, 0] * scale, self.labels)[self.metric]
        return metrics.score(self.metric, logits.argmax(axis=1), self.labels)[self.metric]
