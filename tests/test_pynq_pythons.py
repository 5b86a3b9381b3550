"""The runtime gives the same under the Pythons and numpys that PYNQ images have."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hw.pynq
from export.accelerator import expected_outputs
from hw.pynq.edgebert_board.__main__ import main
from hw.pynq.edgebert_board.package import Package
from tests.board_elsewhere import digest
from tests.board_model import Integers, ModelDevice
from tests.board_packages import model_device, reference_encoder, write_small_package
from tests.board_pythons import REPOSITORY, VERSIONS, find
from tests.models import random_integer_model
from tests.test_pynq_cli import library_of
from tests.test_pynq_tokenizer import ASSIGNED, library_words
from tests.test_tokenizer import ODD

RUNTIME = Path(hw.pynq.__path__[0]) / "edgebert_board"
MODEL = random_integer_model()
ROWS = [(f"word{4 + i % 40} w\u00f6rd{5 + i % 11}!", None) for i in range(40)]
BOARDS_HAVE = {"numpy", "pynq"} | set(sys.stdlib_module_names)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder for tests.board_elsewhere, and what it must find."""
    folder = tmp_path_factory.mktemp("elsewhere")
    library = library_of(MODEL)
    encoded = library.encode_batch(ROWS)
    sentences = [(e.input_ids, e.token_type_ids) for e in encoded]
    expected = expected_outputs(MODEL, sentences)
    write_small_package(folder, MODEL, expected)
    (folder / "dev.csv").write_text(
        "text,label\n" + "".join(f"{text},label{i % 2}\n" for i, (text, _) in enumerate(ROWS))
    )
    rows: list[tuple[Integers, Integers]] = []

    def recorded(package: Package) -> ModelDevice:
        encoder = reference_encoder(MODEL)

        def encode(residual: Integers) -> Integers:
            rows.append((residual, encoder(residual)))
            return rows[-1][1]

        return model_device(package, encode)

    archive = str(folder / "package.zip")
    assert main(["verify", archive, "--data", str(folder)], recorded) == 0
    assert main(["predict", archive, "word7 word8"], recorded) == 0
    assert main(["bench", archive], recorded) == 0
    named = {f"in{i}": a for i, (a, _) in enumerate(rows)}
    np.savez(folder / "replay.npz", **named, **{f"out{i}": b for i, (_, b) in enumerate(rows)})
    chunks = [" ".join(ASSIGNED[i : i + 2048]) for i in range(0, len(ASSIGNED), 2048)]
    texts = {"rows": [*ROWS, *ODD], "characters": chunks}
    (folder / "texts.json").write_text(json.dumps(texts))
    tokens = [e.input_ids for e in library.encode_batch([*ROWS, *ODD])]
    return folder, {
        "verify": 0,
        "predict": 0,
        "hang": 2,
        "foreign": 2,
        "tokens": digest(tokens),
        "words": [digest(library_words(text)) for text in chunks],
    }


@pytest.mark.parametrize("version", [*VERSIONS, "this"])
def test_the_runtime_works_under_a_boards_python(
    inputs: tuple[Path, dict[str, Any]], version: str
) -> None:
    python = Path(sys.executable) if version == "this" else find(version)
    if python is None:
        pytest.skip(f"no Python {version} with {VERSIONS[version]}: python -m tests.board_pythons")
    folder, expected = inputs
    for name in ("found.json", "result.json"):
        (folder / name).unlink(missing_ok=True)
    command = [python, "-W", "error", "-m", "tests.board_elsewhere", str(folder)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    found = json.loads((folder / "found.json").read_text())
    assert version in ("this", ".".join(map(str, found["python"])))
    assert {name: found[name] for name in expected} == expected
    verified = json.loads((folder / "result.json").read_text())
    golden, dev = verified["engines"]
    assert verified["equal"] and golden["integers"] > 1000
    assert dev["compared_sentences"] == len(ROWS)
    lines = result.stderr.splitlines()
    assert len(lines) == 2 and all(line.startswith("edgebert_board: error: ") for line in lines)


def test_the_runtime_needs_numpy_and_pynq_alone() -> None:
    for path in RUNTIME.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 10))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            assert {name.split(".")[0] for name in names} <= BOARDS_HAVE, path.name


def test_ruff_finds_nothing_newer_than_python_3_10() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--target-version", "py310", str(RUNTIME)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout
