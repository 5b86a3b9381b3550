"""The ladder finds every fault, and names where it begins."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgebert.errors import UserError
from export.onnx_fast import build_fast
from export.onnx_model import build_model
from export.package import write_export
from export.sessions import NOT_AN_INTEGER, Integers, OrtSession, QonnxSession, Sentence, integers
from export.verify import Engine, NotRun, verify
from hw.integer_model import IntegerModel
from hw.reference import run
from tests.models import random_integer_model, random_sentences

LENGTHS = [16, 1, 2, 9, 9, 3, 16, 5, 11, 4]


@pytest.mark.parametrize("relative_positions", [0, 4])
@pytest.mark.parametrize(
    ("attention", "labels", "hidden"), [("softmax", 2, 32), ("sps", 3, 24), ("softmax", 1, 24)]
)
def test_every_engine_computes_the_same_integers(
    tmp_path: Path, attention: str, labels: int, hidden: int, relative_positions: int
) -> None:
    model = random_integer_model(
        seed=labels,
        attention=attention,
        labels=labels,
        hidden=hidden,
        relative_positions=relative_positions,
    )
    if labels == 1:
        model.config["metric"] = "pearson_spearman"
    export = write_export(tmp_path / "out", model)
    sentences = random_sentences(1, model, LENGTHS)
    expected = np.array([run(model, *s)["logits"] for s in sentences])
    answers = expected[:, 0] / 2.0**24 if labels == 1 else expected.argmax(axis=1)
    lines: list[str] = []
    report = verify(export.path, sentences, answers, progress=lines.append)
    assert report.ok, report.text()
    names = [row.engine for row in report.rows]
    files = ("model.onnx", "encoder.onnx", "fast.onnx")
    ort = [f"onnxruntime {name}" for name in files]
    onnx_engines = [ort[0], ort[1], "qonnx model.onnx", ort[2], "fused fast.onnx"]
    assert names == ["reference", "golden.npz", *onnx_engines]
    for row in report.rows:
        assert row.mismatches == 0 and row.first is None and row.not_run is None
        assert row.integers >= len(LENGTHS) * labels
    for row in (report.rows[0], report.rows[2], report.rows[4], report.rows[5]):
        assert row.sentences == len(LENGTHS)
        assert row.score == pytest.approx(1.0)
    assert len(lines) == 6
    assert "DIFFERS" not in report.text()
    data = json.loads(report.to_json())
    assert data["equal"] is True and data["manifest_sha256"] == export.digest


def changed(model: IntegerModel, name: str, index: tuple[int, ...], value: int) -> IntegerModel:
    tensors = dict(model.tensors)
    tensors[name] = tensors[name].copy()
    assert tensors[name][index] != value
    tensors[name][index] = value
    return IntegerModel(model.config, tensors, model.attachments)


def varying(model: IntegerModel, sentences: Sequence[Sentence], name: str) -> int:
    """A channel of a tensor whose bits vary."""
    bits = np.concatenate([run(model, *s)[name] for s in sentences])
    channels = [c for c in range(bits.shape[1]) if len(np.unique(bits[:, c])) == 2]
    return channels[0]


def faults(model: IntegerModel, sentences: Sequence[Sentence]) -> dict[str, IntegerModel]:
    """Models with one wrong integer, by the tensor where that must show first."""
    weight = model["layer.1.key.weight"][3, 4]
    query = varying(model, sentences, "layer.0.query.input")
    up = varying(model, sentences, "layer.0.down.input")
    one = int(model["layer.1.ffn_norm.beta"][5]) + (1 << 18)
    table, relative = "layer.0.attention.exp_table", "layer.0.attention.relative_bias"
    nearer = int(model[relative][0, 3]) + 1
    shift = int(model["layer.1.output.shift"])
    bias = int(model["layer.1.output.bias"][0]) + (1 << shift)
    logit = int(model["classifier.bias"][1]) + 1
    return {
        "layer.0.query.input": changed(
            model, "layer.0.query.input_threshold", (query,), -(1 << 17)
        ),
        "layer.0.attention.scores": changed(model, relative, (0, 3), nearer),
        "layer.0.attention.probabilities": changed(model, table, (0,), 1),
        "layer.0.down.input": changed(model, "layer.0.up.threshold", (up,), -32),
        "layer.1.key.accumulator": changed(model, "layer.1.key.weight", (3, 4), -int(weight)),
        "layer.1.attention_norm.sum": changed(model, "layer.1.output.bias", (0,), bias),
        "layer.1.ffn_norm.residual": changed(model, "layer.1.ffn_norm.beta", (5,), one),
        "logits": changed(model, "classifier.bias", (1,), logit),
    }


def test_every_fault_is_found_where_it_begins(tmp_path: Path) -> None:
    model = random_integer_model(seed=4, relative_positions=3)
    export = write_export(tmp_path / "out", model)
    sentences = random_sentences(2, model, [16, 9, 1, 12, 16, 11, 9, 3])
    for tensor, bad in faults(model, sentences).items():
        engines = [Engine("onnxruntime", lambda bad=bad: OrtSession(build_model(bad)))]
        # qonnx is slow
        if tensor.endswith((".scores", ".probabilities", ".accumulator", "down.input")):
            engines.append(Engine("qonnx", lambda bad=bad: QonnxSession(build_model(bad), 8, 16)))
        report = verify(export.path, sentences, engines=engines, intermediate_samples=1)
        assert not report.ok
        for row in report.rows[2:]:
            assert row.first is not None and row.mismatches > 0
            assert row.first.tensor == tensor, (row.engine, row.first)
            assert row.first.sentence in range(len(sentences))
            assert f"{row.engine}: first at {tensor}, sentence" in report.text()
            _check_place(model, bad, sentences, row.first)


def _check_place(
    model: IntegerModel, bad: IntegerModel, sentences: Sequence[Sentence], first: object
) -> None:
    """The reported integers are those of the two models there."""
    place = vars(first)
    sentence = sentences[place["sentence"]]
    for key, source in (("expected", model), ("got", bad)):
        assert run(source, *sentence)[place["tensor"]][place["index"]] == place[key]


def test_a_fault_of_the_fast_graph_is_found(tmp_path: Path) -> None:
    model = random_integer_model(seed=4, relative_positions=3)
    export = write_export(tmp_path / "out", model)
    sentences = random_sentences(2, model, LENGTHS)
    bad = faults(model, sentences)["layer.0.down.input"]
    engine = Engine("fast", lambda: OrtSession(build_fast(bad)), prefix=None)
    report = verify(export.path, sentences, engines=[engine])
    assert not report.ok and report.rows[-1].first is not None
    assert report.rows[-1].first.tensor == "logits"


def test_a_fault_outside_the_sample_is_located(tmp_path: Path) -> None:
    """Only one sentence has the wrong word, and it is not sampled."""
    model = random_integer_model(seed=6)
    export = write_export(tmp_path / "out", model)
    sentences = [([7] * n, [0] * n) for n in (3, 9, 5)]
    sentences[2][0][1] = 8
    scale = int(model["embedding.word.scale"][8]) + 5000
    bad = changed(model, "embedding.word.scale", (8,), scale)
    engine = Engine("faulty", lambda: OrtSession(build_model(bad)))
    report = verify(export.path, sentences, engines=[engine], intermediate_samples=1)
    first = report.rows[-1].first
    assert first is not None
    assert (first.tensor, first.sentence, first.index) == ("embedding.sum", 2, (1, 0))


class Incomplete:
    """A session that shows one tensor only, and a missing installation."""

    def __init__(self, model: IntegerModel, sign: int = 1) -> None:
        self.model = model
        self.sign = sign

    def logits(self, sentences: Sequence[Sentence]) -> Integers:
        return np.array([run(self.model, *s)["logits"] for s in sentences])

    def intermediates(self, sentence: Sentence, names: Sequence[str]) -> dict[str, Integers]:
        return {"embedding.sum": self.sign * run(self.model, *sentence)["embedding.sum"]}


def test_missing_tensors_and_engines_are_told(tmp_path: Path) -> None:
    model = random_integer_model()
    export = write_export(tmp_path / "out", model)

    def absent() -> Incomplete:
        raise ImportError("no module", name="finn")

    engines = [
        NotRun("torch", "no checkpoint was given"),
        Engine("finn", absent),
        Engine("partial", lambda: Incomplete(model), partial=True),
        Engine("wrong", lambda: Incomplete(model, -1), partial=True),
        Engine("incomplete", lambda: Incomplete(model)),
    ]
    report = verify(export.path, random_sentences(3, model, [4, 5]), engines=engines)
    torch, finn, partial, wrong, incomplete = report.rows[2:]
    assert torch.status == "not run: no checkpoint was given"
    assert finn.status == "not run: finn is not installed"
    assert partial.status == "equal" and partial.integers == 2 * 2 + 9 * 32
    assert wrong.first is not None and wrong.first.tensor == "embedding.sum"
    assert incomplete.first is not None and incomplete.first.tensor == "embedding.residual"
    assert "missing" in str(incomplete.first)
    assert not report.ok


def test_a_damaged_export_is_not_verified(tmp_path: Path) -> None:
    export = write_export(tmp_path / "out", random_integer_model())
    with open(export.path / "model.onnx", "ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=r"model\.onnx"):
        verify(export.path, [([1], [0])])


def test_floats_that_are_no_integers_equal_nothing() -> None:
    values = np.array([1.0, 0.5, np.nan, np.inf, -3.0, 2.0**63])
    n = NOT_AN_INTEGER
    assert integers(values).tolist() == [1, n, n, n, -3, n]
    assert integers(np.array([True, False])).tolist() == [1, 0]
