"""The whole path on real text: train, export, verify, in the project's own configurations."""

import json
from pathlib import Path

import pytest

from edgebert.cli import main
from edgebert.tokenizer import Tokenizer
from hw.integer_model import IntegerModel, model_bytes
from tests.models import random_integer_model

ENGINES = {
    "reference",
    "golden.npz",
    "torch",
    "onnxruntime model.onnx",
    "onnxruntime encoder.onnx",
    "qonnx model.onnx",
    "onnxruntime fast.onnx",
    "fused fast.onnx",
}


def ladder(tmp_path: Path, config: str, task: list[str], steps: int, *settings: str) -> dict:
    """Train a few steps a stage, export, verify; the JSON of the verification."""
    run, out, result = tmp_path / "run", tmp_path / "export", tmp_path / "verify.json"
    trained = ["--config", config, "--max-steps", str(steps), "--out", str(run), *settings]
    assert main(["train", *task, *trained]) == 0
    assert main(["export", str(run), "--target", "pynq", "--out", str(out)]) == 0
    assert main(["verify", str(out), *task, "--json", str(result)]) == 0
    return json.loads(result.read_text(encoding="utf-8"))


def check(report: dict, sentences: int) -> None:
    rows = {row["engine"]: row for row in report["engines"]}
    assert set(rows) == ENGINES
    assert all(row["mismatches"] == 0 and row["integers"] > 0 for row in rows.values())
    whole = ("reference", "torch", "qonnx model.onnx", "onnxruntime fast.onnx", "fused fast.onnx")
    for name in whole:
        assert rows[name]["sentences"] == sentences


@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_every_engine_computes_the_integers_of_tiny_on_every_review(
    tmp_path: Path, attention: str
) -> None:
    task = ["--task", "reviews"]
    check(ladder(tmp_path, "tiny", task, 4, "--set", f"model.attention={attention}"), 1000)


@pytest.mark.slow
def test_every_engine_computes_the_integers_of_tiny_on_sst2_dev(tmp_path: Path, glue: Path) -> None:
    check(ladder(tmp_path, "tiny", ["--task", "sst2", "--data", str(glue)], 100), 872)


@pytest.mark.slow
def test_every_engine_computes_the_integers_of_minilm_on_rte_dev(
    tmp_path: Path, glue: Path
) -> None:
    task = ["--task", "rte", "--data", str(glue)]
    check(ladder(tmp_path, "minilm", task, 4, "--batch-size", "8"), 277)


def test_the_integer_model_of_mini_takes_less_than_3_megabytes() -> None:
    model = random_integer_model(
        0, layers=4, hidden=256, heads=4, ffn=1024, vocab=30522, max_tokens=128
    )
    vocab = "\n".join(Tokenizer.load_minilm().vocab).encode()
    size = len(model_bytes(IntegerModel(model.config, model.tensors, {"vocab.txt": vocab})))
    assert 1_400_000 < size < 3_000_000
