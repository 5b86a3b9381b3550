"""The rungs of the verification ladder that a build adds: FINN's graph, each kernel, all of it."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.accelerator import embeddings, last_residual, logits
from export.package import Export
from export.sessions import Integers, Sentence
from export.verify import Engine, NotRun
from hw.board_build import board_build, start_board
from hw.build import DESIGN, DESIGN_FOLDER, FINAL, LOWER, MODEL, RTL
from hw.build_folder import BuildFolder
from hw.design import Design, load_design
from hw.errors import HardwareFileError
from hw.integer_model import IntegerModel, load_integer_model
from hw.kernels.stream import StreamFifo, StreamFork, WidthConverter
from hw.pynq.edgebert_board.bench import latency, rates, spread, throughput
from hw.pynq.edgebert_board.classifier import Classifier
from hw.pynq.edgebert_board.driver import Counters
from hw.pynq.edgebert_board.package import open_package
from hw.pynq.edgebert_board.tokenizer import Encoding
from hw.pynq.packager import write_package
from hw.reference import float_product, run, run_embedding
from hw.sim import bench
from hw.sim.accelerator import simulate
from hw.sim.beats import Beats
from hw.sim.usage import AcceleratorResult
from hw.stream_tensors import from_beats, tensors_of, to_beats

TIMEOUT_S = 3600.0  # for a run of the simulated board
MAX_IDLE = 100_000  # cycles without a beat after which a kernel stands still
ALONE = 8  # sentences that latency is measured on, one by one
GROUP = 64  # sentences of which all tensors are kept at a time


def build_engines(build: BuildFolder, export: Export) -> list[Engine | NotRun]:
    """The rungs of a build of an export.

    Raises:
        HardwareFileError: it was built from another export, or isn't finished.
    """
    check_build(build, export)
    folder = build.folder(RTL)
    model = load_integer_model(build.folder(LOWER) / MODEL)

    def design() -> Design:
        return load_design(folder / DESIGN_FOLDER / DESIGN)

    return [
        Engine(
            "finn graph",
            lambda: FinnSession(folder / FINAL, model, build.path / "session"),
            prefix="layer.",
            partial=True,
            has_logits=False,
        ),
        Engine(
            "rtl kernels",
            lambda: KernelSession(design(), model),
            prefix="layer.",
            partial=True,
            has_logits=False,
        ),
        Engine("rtl accelerator", lambda: AcceleratorSession(design(), model), prefix=None),
        Engine("virtual board", lambda: BoardSession(export, build), prefix=None),
    ]


def check_build(build: BuildFolder, export: Export) -> None:
    """Raise HardwareFileError unless a build is of this export."""
    if build.request["export"] != export.digest:
        raise HardwareFileError(
            f"{build.path}: expected a build of this export, got one of another; build it again"
        )


class AcceleratorSession:
    """The whole accelerator in Verilator, between the host's embedding and its pooler."""

    def __init__(self, design: Design, model: IntegerModel) -> None:
        self.design = design
        self.model = model
        self._inputs: list[Integers] = []
        self._result: AcceleratorResult | None = None

    def logits(self, sentences: Sequence[Sentence]) -> Integers:
        """int64 (sentences, labels); all sentences back to back."""
        self._inputs = embeddings(self.model, sentences)
        self._result = simulate(self.design, self._inputs)
        return logits(self.model, self._result.residuals)

    def tensors(self, sentences: Sequence[Sentence]) -> Iterator[dict[str, Integers]]:
        """The last residual of each sentence, of the run that gave the logits."""
        if self._result is not None:
            for residual in self._result.residuals:
                yield {last_residual(self.model): residual}

    def figures(self) -> dict[str, Any]:
        """Cycles of the logits' run, first beat to last; of sentences alone."""
        if self._result is None:
            return {}
        lengths, clock = self._result.lengths, int(self.design.properties["clock_khz"]) * 1000
        counters = Counters(cycles=self._result.cycles, tokens=sum(lengths), sentences=len(lengths))
        alone = [1e3 * simulate(self.design, [x]).cycles / clock for x in self._inputs[:ALONE]]
        single = {"sentences": len(alone), "hardware_ms": spread(alone)}
        rate = {k: v for k, v in rates(counters, clock).items() if not k.endswith("_stalls")}
        return {"throughput": rate, "latency": single}

    def intermediates(self, sentence: Sentence, names: Sequence[str]) -> dict[str, Integers]:
        raise NotImplementedError("the accelerator shows its last residual only")


class BoardSession:
    """The board's own driver and host code, on the accelerator in its shell in Verilator."""

    def __init__(self, export: Export, build: BuildFolder) -> None:
        self.export = export
        self.build = build
        self._figures: dict[str, Any] = {}

    def logits(self, sentences: Sequence[Sentence]) -> Integers:
        """int64 (sentences, labels), as deployed: of each sentence the first token leaves."""
        encodings = _encodings(sentences)
        with self._classifier() as classifier:
            found, rate = throughput(classifier, encodings)
            self._figures = _hardware(rate, latency(classifier, encodings[:ALONE]))
        return found

    def tensors(self, sentences: Sequence[Sentence]) -> Iterator[dict[str, Integers]]:
        """All that is seen outside the accelerator, in a run that gives all tokens."""
        last, encodings = last_residual(self.export.model), _encodings(sentences)
        with self._classifier() as classifier:
            for start in range(0, len(encodings), GROUP):
                yield from classifier.tensors(encodings[start : start + GROUP], last)

    def figures(self) -> Mapping[str, Any]:
        """What the hardware counted in the logits' run."""
        return self._figures

    def intermediates(self, sentence: Sentence, names: Sequence[str]) -> dict[str, Integers]:
        raise NotImplementedError("the board shows what leaves the accelerator only")

    @contextlib.contextmanager
    def _classifier(self) -> Iterator[Classifier]:
        """A package as it goes onto a board, on a board that is simulated."""
        with tempfile.TemporaryDirectory(prefix="edgebert-") as scratch:
            path = Path(scratch) / "package.zip"
            write_package(path, self.export.path, board_build(self.build))
            with open_package(path) as package:
                board = start_board(self.build)
                with Classifier(package, board, timeout_s=TIMEOUT_S) as classifier:
                    yield classifier


def _encodings(sentences: Sequence[Sentence]) -> list[Encoding]:
    return [Encoding(list(ids), list(types), False) for ids, types in sentences]


def _hardware(rate: Mapping[str, Any], single: Mapping[str, Any]) -> dict[str, Any]:
    """Figures without those of the host, whose time is the simulator's here."""
    return {
        "throughput": {k: v for k, v in rate.items() if k != "seconds" and "host" not in k},
        "latency": {k: v for k, v in single.items() if "host" not in k},
    }


class KernelSession:
    """Every kernel of a design by itself in Verilator, on the reference's tensors."""

    def __init__(self, design: Design, model: IntegerModel) -> None:
        parts = (StreamFifo, StreamFork, WidthConverter)
        self.design = design
        self.model = model
        self.names = [
            name
            for name, kernel in design.instances.items()
            if not isinstance(kernel, parts) and not name.endswith("_load")
        ]

    def logits(self, sentences: Sequence[Sentence]) -> Integers:
        raise NotImplementedError("kernels end before the logits")

    def intermediates(self, sentence: Sentence, names: Sequence[str]) -> dict[str, Integers]:
        """The tensors that kernels give, each computed from the reference's."""
        values = run(self.model, *sentence, float_product)
        found: dict[str, Integers] = {}
        for name in self.names:
            found |= self._outputs(name, values, len(sentence[0]))
        return {name: value for name, value in found.items() if name in set(names)}

    def _outputs(self, name: str, values: dict[str, Integers], tokens: int) -> dict[str, Integers]:
        kernel, tensors = self.design.instances[name], tensors_of(name)
        inputs: dict[str, Beats] = {}
        expected: dict[str, int] = {}
        for port in kernel.streams():
            if port.name == "s_axis_length":
                inputs[port.name] = to_beats(np.array([[tokens]]), port)
            elif port.name == "s_axis_weights":
                inputs[port.name] = self._weights(name, port.width)
            elif port.enters:
                inputs[port.name] = to_beats(values[tensors[port.name]], port)
            elif port.used:
                expected[port.name] = values[tensors[port.name]].size // port.lanes
            else:
                expected[port.name] = 0
        memories = {file: self.design.memories[file] for file in kernel.memory_shapes()}
        result = bench.run(
            kernel.module,
            kernel.parameters(),
            inputs,
            expected,
            memories=memories,
            max_cycles=1 << 40,
            max_idle=MAX_IDLE,
        )
        return {
            tensors[port.name]: from_beats(
                result.outputs[port.name], port, tensors[port.name], tokens
            )
            for port in kernel.streams()
            if not port.enters and port.used
        }

    def _weights(self, name: str, bits: int) -> Beats:
        words = self.design.memories.get(f"{name}.load.hex", "").split()
        rows = [bytes.fromhex(word)[::-1] for word in words]
        return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, -(-bits // 8))


class FinnSession:
    """FINN's final graph, executed by FINN node by node in Python."""

    def __init__(self, graph: Path, model: IntegerModel, folder: Path) -> None:
        self.graph = graph
        self.model = model
        self.folder = folder

    def logits(self, sentences: Sequence[Sentence]) -> Integers:
        raise NotImplementedError("the encoder ends before the logits")

    def intermediates(self, sentence: Sentence, names: Sequence[str]) -> dict[str, Integers]:
        """The tensors that the graph still has by their names."""
        from hw.finn.adapter import finn_session

        residual = run_embedding(self.model, *sentence)["embedding.residual"]
        with finn_session(self.folder):
            from hw.finn.execute import execute

            return execute(self.graph, residual, names)
