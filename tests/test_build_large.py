"""The larger models as accelerators, all layers: built whole, simulated on real sentences.

`mini` is the zoo's. `minilm` has random weights, which changes no cycle and no memory; sentences
and vocabulary are real.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgebert.cli import main
from edgebert.zoo import find, model_file
from export.package import write_export
from hw.integer_model import load_integer_model
from tests.models import random_integer_model

MINILM: dict[str, Any] = {"layers": 6, "hidden": 384, "heads": 12, "ffn": 1536}
MINILM["arithmetic"] = {"word_bits": 18}


def mini_export(folder: Path) -> None:
    assert main(["zoo", "get", "mini-sst2", "--out", str(folder)]) == 0


def minilm_export(folder: Path) -> None:
    known = load_integer_model(model_file(find("tiny-sst2")))
    model = random_integer_model(0, vocab=30522, max_tokens=128, golden=3, **MINILM)
    config = {**model.config, **{k: known.config[k] for k in ("task", "labels", "metric")}}
    write_export(folder, replace(model, attachments=known.attachments, config=config), "pynq")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "export, board, sentences",
    [
        pytest.param(mini_export, "pynq-z2", 32, id="mini"),
        pytest.param(minilm_export, "kv260", 4, id="minilm"),
    ],
)
def test_all_layers_compute_onnx_runtimes_integers_at_the_pace_of_the_slowest_node(
    tmp_path: Path, glue: Path, export: Callable[[Path], None], board: str, sentences: int
) -> None:
    build = tmp_path / "build"
    export(tmp_path / "export")
    arguments = [str(tmp_path / "export"), "--board", board, "--max-tokens", "64"]
    assert main(["build", *arguments, "--out", str(build)]) == 0
    report = json.loads((build / "report" / "report.json").read_text())
    assert max(report["estimated"]["share_of_budget"].values()) <= 1
    for timing in report["simulated"]["timings"]:
        assert timing["cycles_per_token"] <= 1.05 * timing["ideal_cycles_per_token"]
    task = ["--task", "sst2", "--data", str(glue), "--samples", str(sentences)]
    for options in ([], ["--stalls"]):
        result = tmp_path / "result.json"
        assert main(["simulate", str(build), *task, *options, "--json", str(result)]) == 0
        data = json.loads(result.read_text())
        assert data["sentences"] == sentences and data["mismatches"] == 0
