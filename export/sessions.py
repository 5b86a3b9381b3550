"""Run an exported graph on sentences, in ONNX Runtime or in qonnx.

A sentence is a pair (token ids, token types) of equal length, without padding.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from export.fast_ops import use_fast_ops

Integers = NDArray[np.int64]
Sentence = tuple[Sequence[int], Sequence[int]]

NOT_AN_INTEGER = np.iinfo(np.int64).min  # stands for a float that is none: equals no tensor


def pad(sentences: Sequence[Sentence], tokens: int) -> dict[str, Integers]:
    """Inputs of the exported graphs: int64 (batch, tokens), zero where padded."""
    names = ("input_ids", "token_type_ids", "attention_mask")
    inputs = {name: np.zeros((len(sentences), tokens), np.int64) for name in names}
    for row, (ids, types) in enumerate(sentences):
        inputs["input_ids"][row, : len(ids)] = ids
        inputs["token_type_ids"][row, : len(ids)] = types
        inputs["attention_mask"][row, : len(ids)] = 1
    return inputs


def batches(sentences: Sequence[Sentence], size: int) -> list[list[int]]:
    """Indices of sentences, sorted by length and cut into batches."""
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i][0]))
    return [order[start : start + size] for start in range(0, len(order), size)]


def integers(values: NDArray[Any]) -> Integers:
    """The int64 of an engine's floats; what is no integer becomes NOT_AN_INTEGER."""
    if values.dtype.kind in "iub":
        return values.astype(np.int64)
    whole = np.abs(values) < 2.0**63  # False for NaN too
    result = np.where(whole, values, 0).astype(np.int64)
    return np.where(whole & (result == values), result, NOT_AN_INTEGER)


def as_model(model: Path | onnx.ModelProto) -> onnx.ModelProto:
    """Read a file, or take a model as it is."""
    return onnx.load(str(model)) if isinstance(model, Path) else model


class OrtSession:
    """ONNX Runtime on one graph whose inputs are token ids, token types and attention mask.

    Fused operators (export/fast_ops.py) take one thread, so that the batches share the threads.
    """

    def __init__(
        self,
        model: Path | onnx.ModelProto,
        threads: int = 1,
        batch: int = 32,
        *,
        fused: bool = True,
    ) -> None:
        """fused: False computes with ONNX Runtime's own operators alone."""
        self.model = as_model(model)
        self.batch = batch
        self._options = onnxruntime.SessionOptions()
        fused = fused and use_fast_ops(self.model, self._options)
        self._workers = threads if fused else 1
        self._options.intra_op_num_threads = 1 if fused else threads
        self._options.inter_op_num_threads = 1
        self._options.log_severity_level = 3  # errors only
        self._session = self._start(self.model)
        self._all_outputs: tuple[list[str], Any] | None = None

    def logits(self, sentences: Sequence[Sentence]) -> Integers:
        """int64 (sentences, labels); sentences of like length are padded into one batch."""
        rows: dict[int, Integers] = {}
        parts = batches(sentences, self.batch)

        def run(indices: list[int]) -> Integers:
            chosen = [sentences[i] for i in indices]
            inputs = pad(chosen, max(len(ids) for ids, _ in chosen))
            return integers(self._session.run(["logits"], inputs)[0])

        with ThreadPoolExecutor(self._workers) as pool:
            for indices, result in zip(parts, pool.map(run, parts), strict=True):
                rows.update(zip(indices, result, strict=True))
        return np.array([rows[i] for i in range(len(sentences))], dtype=np.int64)

    def intermediates(self, sentence: Sentence, names: Sequence[str]) -> dict[str, Integers]:
        """The values of those names that the graph has, for one sentence without padding."""
        inputs = pad([sentence], len(sentence[0]))
        return self.values(inputs, names)

    def values(self, inputs: dict[str, Any], names: Sequence[str]) -> dict[str, Integers]:
        """Values inside the graph for a batch of one, without their batch axis."""
        if self._all_outputs is None or self._all_outputs[0] != list(names):
            self._all_outputs = (list(names), self._start(with_outputs(self.model, names)))
        session = self._all_outputs[1]
        known = [output.name for output in session.get_outputs() if output.name in set(names)]
        results = session.run(known, inputs)
        return {name: integers(value[0]) for name, value in zip(known, results, strict=True)}

    def _start(self, model: onnx.ModelProto) -> Any:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), self._options, providers=["CPUExecutionProvider"]
        )


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy of a model in which the values of those names that it computes are outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    described = {value.name: value for value in graph.value_info}
    outputs = {output.name for output in graph.output}
    computed = {name for node in graph.node for name in node.output}
    for name in names:
        if name in computed and name not in outputs:
            graph.output.append(described.get(name, onnx.ValueInfoProto(name=name)))
            if name in described:
                graph.value_info.remove(described[name])
    return copy


@contextlib.contextmanager
def _unrounded() -> Iterator[None]:
    """Without qonnx's rounding of each tensor to its annotated type.

    It takes four fifths of the time, and a whole data set needs no help to be whole. Only an
    environment variable turns it off. `QonnxSession.intermediates` keeps it on, as a check
    of the annotated types.
    """
    name = "SANITIZE_QUANT_TENSORS"
    before = os.environ.get(name)
    os.environ[name] = "0"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


class QonnxSession:
    """qonnx on `model.onnx`: node by node, so batches are large.

    qonnx fixes every shape, so token counts are rounded up to a multiple of 16 and a batch
    that is not full repeats a sentence; both keep the number of different shapes small.
    """

    def __init__(self, model: Path | onnx.ModelProto, batch: int, max_tokens: int) -> None:
        self.model = as_model(model)
        self.batch = batch
        self.max_tokens = max_tokens

    def logits(self, sentences: Sequence[Sentence]) -> Integers:
        """int64 (sentences, labels)."""
        from export import qonnx_ops

        rows: dict[int, Integers] = {}
        size, wrapper, shape = min(self.batch, len(sentences)), None, (0, 0)
        for indices in batches(sentences, max(size, 1)):
            chosen = [sentences[i] for i in indices]
            longest = max(len(ids) for ids, _ in chosen)
            tokens = min(-(-longest // 16) * 16, self.max_tokens)
            if wrapper is None or shape != (size, tokens):
                shape = (size, tokens)
                wrapper = qonnx_ops.load(self.model, *shape)
            filled = chosen + chosen[:1] * (size - len(chosen))
            with _unrounded():
                result = qonnx_ops.execute(wrapper, pad(filled, tokens))["logits"]
            rows.update(zip(indices, integers(result), strict=False))
        return np.array([rows[i] for i in range(len(sentences))], dtype=np.int64)

    def intermediates(self, sentence: Sentence, names: Sequence[str]) -> dict[str, Integers]:
        """The values of those names that the graph has, for one sentence without padding."""
        from export import qonnx_ops

        tokens = len(sentence[0])
        wrapper = qonnx_ops.load(self.model, 1, tokens)
        context = qonnx_ops.execute(wrapper, pad([sentence], tokens))
        return {name: integers(context[name][0]) for name in names if name in context}
