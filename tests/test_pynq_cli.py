"""`python -m edgebert_board` on a board in software: verify, predict, bench and every error."""

import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebert import metrics as library_metrics
from edgebert import zoo
from edgebert.data_csv import load_csv
from edgebert.data_glue import TASKS, load_folder
from edgebert.tokenizer import Tokenizer
from export.accelerator import expected_outputs
from export.package import rebuild
from hw.integer_model import IntegerModel, load_integer_model
from hw.pynq.edgebert_board import registers as reg
from hw.pynq.edgebert_board.__main__ import main, stop_gently
from hw.pynq.edgebert_board.data import GLUE, load_dev
from hw.pynq.edgebert_board.errors import BoardError
from hw.pynq.edgebert_board.metrics import score
from hw.pynq.edgebert_board.package import Package
from hw.pynq.packager import BoardBuild, write_package
from tests.board_model import Encoder, Fault, ModelDevice
from tests.board_packages import model_device, reference_encoder, write_small_package
from tests.models import random_integer_model

MODEL = random_integer_model(max_tokens=16)
PAIR_MODEL = random_integer_model(2, labels=1, attention="sps")
ENCODERS = [reference_encoder(MODEL), reference_encoder(PAIR_MODEL)]
ROWS = [(f"word{4 + i % 40} word{5 + i % 11}!", i % 2) for i in range(60)]

Open = Callable[[Package], ModelDevice]


def opener(encoder: Encoder, **settings: Any) -> Open:
    return lambda package: model_device(package, encoder, **settings)


def library_of(model: IntegerModel) -> Tokenizer:
    vocab = model.attachments["vocab.txt"].decode().split("\n")[:-1]
    return Tokenizer(vocab, model.dimensions.max_tokens)


def expected_logits(model: IntegerModel, rows: list[tuple[str, str | None]]) -> list[Any]:
    """Sentences with their logits and last residuals."""
    encoded = library_of(model).encode_batch(rows)
    return list(expected_outputs(model, [(e.input_ids, e.token_type_ids) for e in encoded]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    lines = [f'"{text}",label{label}' for text, label in ROWS]
    (folder / "dev.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    expected = expected_logits(MODEL, [(text, None) for text, _ in ROWS])
    write_small_package(folder, MODEL, expected)
    (folder / "pairs").mkdir()
    write_small_package(folder / "pairs", PAIR_MODEL)
    (folder / "pairs" / "dev.csv").write_text(
        "text,text_b,label\n" + "".join(f"word{i},word{i + 1} a,{i / 7}\n" for i in range(4, 30))
    )
    return folder


def verify(folder: Path, *options: str, open_device: Open | None = None) -> tuple[int, Any]:
    path = folder / "result.json"
    path.unlink(missing_ok=True)
    arguments = ["verify", str(folder / "package.zip"), "--data", str(folder), "--json", str(path)]
    status = main([*arguments, *options], open_device or opener(ENCODERS[0]))
    return status, json.loads(path.read_text()) if path.exists() else None


def test_verify_proves_every_integer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, result = verify(folder)
    assert status == 0 and result["equal"] is True
    golden, dev = result["engines"]
    assert golden["status"] == dev["status"] == "equal"
    assert golden["sentences"] == 3 and golden["integers"] > 1000
    assert dev["sentences"] == dev["compared_sentences"] == 60
    assert dev["integers"] == 60 * (2 + 5 * 32)
    predicted = [
        int(row.argmax()) for _, row, _ in expected_logits(MODEL, [(t, None) for t, _ in ROWS])
    ]
    accuracy = np.mean([p == label for p, (_, label) in zip(predicted, ROWS, strict=True)])
    assert dev["score"] == accuracy and result["metric"] == "accuracy"
    assert result["throughput"]["tokens"] == 5 * 60 and result["throughput"]["sentences"] == 60
    assert result["throughput"]["tokens_per_second"] == pytest.approx(1e6)
    assert result["throughput"]["cycles_per_token"] == 100
    assert result["latency"]["hardware_ms"]["median"] == pytest.approx(0.005)
    assert result["board"] == "pynq-z2" and result["task"] == "random"
    out, err = capsys.readouterr()
    assert "board, golden sentences: equal, 3 sentences" in out and not err
    assert f"accuracy {accuracy:.4f}" in out and "1,000,000 tokens/s" in out


@pytest.mark.parametrize("forever", [False, True])
def test_a_wrong_integer_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str], forever: bool
) -> None:
    faults = [Fault("flip", 0, forever)]
    status, result = verify(folder, open_device=opener(ENCODERS[0], faults=faults))
    assert status == 1 and result["equal"] is False
    first = result["engines"][0]["first_difference"]
    assert first["tensor"] == "layer.1.ffn_norm.residual" and first["sentence"] == 2
    assert first["expected"] ^ first["got"] == 1
    assert "first at layer.1.ffn_norm.residual, sentence 2, index (" in capsys.readouterr().out


def test_a_wrong_logit_of_the_dev_set_is_found(folder: Path) -> None:
    golden_calls = 3 * 3  # three sentences, each in three runs
    calls = iter(range(1000))

    def encode(residual: np.ndarray) -> np.ndarray:
        return ENCODERS[0](residual) + (20_000 if next(calls) >= golden_calls else 0)

    status, result = verify(folder, open_device=opener(encode))
    golden, dev = result["engines"]
    assert status == 1 and golden["status"] == "equal" and dev["status"] == "DIFFERS"
    assert dev["first_difference"]["tensor"] == "logits"


def test_a_wrong_token_of_the_dev_set_is_found(folder: Path) -> None:
    """The last one of a sentence, in the run that gives all tokens: no logit depends on it."""
    golden_calls, sentences = 3 * 3, len(ROWS)
    calls = iter(range(1000))

    def encode(residual: np.ndarray) -> np.ndarray:
        rows = ENCODERS[0](residual).copy()
        rows[-1, 0] ^= next(calls) == golden_calls + sentences + 7
        return rows

    status, result = verify(folder, open_device=opener(encode))
    golden, dev = result["engines"]
    assert status == 1 and golden["status"] == "equal"
    assert dev["mismatches"] == 5 * 32
    first = {"tensor": "layer.1.ffn_norm.residual", "sentence": 7, "index": []}
    assert dev["first_difference"] == first


def test_pairs_and_a_regression(folder: Path) -> None:
    status, result = verify(folder / "pairs", open_device=opener(ENCODERS[1]))
    assert status == 0 and result["engines"][1]["compared_sentences"] == 0
    rows = [(f"word{i}", f"word{i + 1} a") for i in range(4, 30)]
    values = [row[0] * 2.0**-24 for _, row, _ in expected_logits(PAIR_MODEL, rows)]
    expected = np.mean(np.array(values) == np.arange(4, 30) / 7)
    assert result["engines"][1]["score"] == expected


def test_samples_limit_the_dev_set(folder: Path) -> None:
    assert verify(folder, "--samples", "7")[1]["engines"][1]["sentences"] == 7


def test_predict_names_the_class(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["predict", str(folder / "package.zip"), "word7 word8"]
    assert main(arguments, opener(ENCODERS[0])) == 0
    lines = capsys.readouterr().out.splitlines()
    row = expected_logits(MODEL, [("word7 word8", None)])[0][1] * 2.0**-24
    shares = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
    assert lines[0] == f"label{row.argmax()}"
    assert lines[1:] == [f"label{i}  {share:.4f}" for i, share in enumerate(shares)]


def test_predict_takes_a_pair(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["predict", str(folder / "pairs" / "package.zip"), "word7", "word9"]
    assert main(arguments, opener(ENCODERS[1])) == 0
    row = expected_logits(PAIR_MODEL, [("word7", "word9")])[0][1]
    assert capsys.readouterr().out == f"{row[0] * 2.0**-24:.4f}\n"


def test_bench_measures_every_length(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "bench.json"
    arguments = ["bench", str(folder / "package.zip"), "--json", str(path)]
    assert main(arguments, opener(ENCODERS[0])) == 0
    rows = json.loads(path.read_text())["lengths"]
    assert [row["tokens"] for row in rows] == [1, 8, 16]
    assert all(row["throughput"]["cycles_per_token"] == 100 for row in rows)
    assert len(capsys.readouterr().out.splitlines()) == 4


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_terminals(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert verify(folder)[0] == 0
    shown = terminal.getvalue()
    assert "\rgolden sentences" in shown and "sentence 60 of 60" in shown
    assert shown.endswith("\r") and "\n" not in shown


def test_interruption_is_no_traceback(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = [Fault("interrupt", 0, forever=True)]
    assert verify(folder, open_device=opener(ENCODERS[0], faults=faults))[0] == 130
    assert capsys.readouterr().err == "edgebert_board: stopped\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_hardware_too(folder: Path, number: signal.Signals) -> None:
    boards: list[ModelDevice] = []

    def encode(residual: np.ndarray) -> np.ndarray:
        os.kill(os.getpid(), number)
        return residual

    def open_device(package: Package) -> ModelDevice:
        boards.append(model_device(package, encode))
        return boards[0]

    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)]
    try:
        stop_gently()
        assert verify(folder, open_device=open_device) == (130, None)
    finally:
        for n, handler in zip((signal.SIGTERM, signal.SIGHUP), before, strict=True):
            signal.signal(n, handler)
    assert boards[0].closed and not boards[0].memory and not boards[0].status & reg.BUSY


ERRORS: list[tuple[list[str], str]] = [
    ([], "the following arguments are required: COMMAND"),
    (["sing"], "invalid choice"),
    (["verify", "ZIP"], "required: --data"),
    (["verify", "ZIP", "--data", "none"], "none: expected none/dev.csv, got none of them"),
    (["verify", "none.zip", "--data", "DIR"], "none.zip: No such file"),
    (["verify", "ZIP", "--data", "DIR", "--samples", "0"], "--samples: expected 1 or more"),
    (["verify", "ZIP", "--data", "DIR", "--json", "/none/x"], "expected to write it"),
    (["predict", "ZIP"], "required: text"),
    (["predict", "ZIP", "a\ud800"], "half a surrogate pair"),
    (["predict", "ZIP", "a", "--timeout", "0"], "--timeout: expected seconds above 0"),
    (["bench", "ZIP", "--timeout", "x"], "invalid float value"),
    (["predict", "ZIP", "a", "--time", "3"], "unrecognized arguments"),
]


@pytest.mark.parametrize(("arguments", "message"), ERRORS)
def test_an_error_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    names = {"ZIP": str(folder / "package.zip"), "DIR": str(folder)}
    assert main([names.get(a, a) for a in arguments], opener(ENCODERS[0])) == 2
    err = capsys.readouterr().err
    assert err.startswith("edgebert_board: error: ") and err.count("\n") == 1
    assert message in err and ("Traceback" not in err)


@pytest.mark.parametrize("kind", ["read", "write", "length", "overflow", "hang", "lost"])
def test_a_hardware_error_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    for run in (0, 4):
        open_device = opener(ENCODERS[0], faults=[Fault(kind, run)])
        assert verify(folder, "--timeout", "0.05", open_device=open_device) == (2, None)
        err = capsys.readouterr().err
        assert err.startswith("edgebert_board: error: accelerator: ") and err.count("\n") == 1


def test_another_model_on_the_board_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(folder, open_device=opener(ENCODERS[0], model_hash="0" * 64)) == (2, None)
    assert "the bitstream belongs to another package" in capsys.readouterr().err


def test_debug_shows_where(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "none", "--debug"], opener(ENCODERS[0])) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_model_of_single_sentences_refuses_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = write_small_package(tmp_path, random_integer_model(token_types=1))
    assert main(["predict", str(package), "a", "b"], opener(ENCODERS[0])) == 2
    assert "the model knows no pairs" in capsys.readouterr().err


def test_the_package_runs_by_itself(folder: Path, tmp_path: Path) -> None:
    """From its own folder, without the rest of the project; no board is here, which it says."""
    with zipfile.ZipFile(folder / "package.zip") as archive:
        archive.extractall(tmp_path)
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    for arguments, status, text in (
        (["--version"], 0, "edgebert_board 0.1.0"),
        (["verify", ".", "--data", str(folder)], 2, "expected a bitstream in the package"),
    ):
        command = [sys.executable, "-I", "-c", RUN, *arguments]
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        assert (result.returncode, text in result.stdout + result.stderr) == (status, True)


RUN = """
import runpy, sys
sys.path.insert(0, "")
for name in "torch onnx transformers tokenizers safetensors yaml edgebert export hw".split():
    sys.modules[name] = None
sys.argv[0] = "edgebert_board"
runpy.run_module("edgebert_board", run_name="__main__")
"""


@pytest.mark.parametrize("task", [name for name in TASKS if name not in ("qnli", "mnli", "qqp")])
def test_glue_dev_sets_are_read_as_edgebert_reads_them(glue: Path, task: str) -> None:
    expected = load_folder(task, glue)
    for place in (glue, glue / TASKS[task].folder, glue / TASKS[task].folder / "dev.tsv"):
        got = load_dev(place, task, expected.labels)
        assert [(e.text, e.text_b, e.label) for e in got] == [
            (e.text, e.text_b, e.label) for e in expected.dev
        ]


def test_every_glue_task_is_known_with_its_columns() -> None:
    assert GLUE.keys() == TASKS.keys()
    for name, task in TASKS.items():
        ours = GLUE[name]
        assert (ours.folder, ours.columns, ours.named) == (task.folder, task.columns, task.named)
        assert (ours.header, ours.skip_short) == (task.header, task.skip_short)
        assert ours.file == f"{task.dev[0]}.tsv"


@pytest.mark.parametrize(
    "labels", [["good", "bad"], ["2", "10"], ["-1", "1"], ["1.5", "2.5"]], ids=str
)
def test_csv_is_read_as_edgebert_reads_it(tmp_path: Path, labels: list[str]) -> None:
    lines = ["text , label,x", 'a "b",LABEL0,1', '"c, d ""e""\nf",LABEL1,2', "", "\ufeffg,LABEL0,3"]
    text = "\n".join(lines).replace("LABEL0", labels[0]).replace("LABEL1", labels[1])
    for name in ("train.csv", "dev.csv"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    expected = load_csv(tmp_path)
    got = load_dev(tmp_path, "csv", expected.labels)
    assert [(e.text, e.text_b, e.label) for e in got] == [
        (e.text, e.text_b, e.label) for e in expected.dev
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("dev.csv", b"", "an empty file"),
        ("dev.csv", b"text,label\n", "the header only"),
        ("dev.csv", b"text,labels\na,1\n", "expected the columns text and label"),
        ("dev.csv", b"text,label\na,b,1\n", r"dev\.csv:2: expected 2 columns, got 3"),
        ("dev.csv", b'text,label\n"a,1\n', "check its quotes"),
        ("dev.csv", b"text,label\na,maybe\n", r":2: expected a label no or yes, got 'maybe'"),
        ("dev.csv", b"text,label\n\xff,no\n", "expected UTF-8"),
        ("dev.tsv", b"sentence\tlabel\na\t2\n", r":2: expected a label 0 or 1, got '2'"),
        ("dev.tsv", b"sentence\tlabel\na\n", ":2: expected 2 columns separated by tabs, got 1"),
        ("dev.tsv", b"sentence\tmark\na\t1\n", "expected the columns sentence and label"),
    ],
)
def test_odd_data_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BoardError, match=message):
        load_dev(tmp_path, "sst2", ["no", "yes"])


def test_a_number_is_wanted_of_a_regression(tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_text("text,label\na,1.5\nb,nan\n")
    with pytest.raises(BoardError, match=r":3: expected a label a number, got 'nan'"):
        load_dev(tmp_path, "csv", [])


@pytest.mark.parametrize("metric", ["accuracy", "matthews", "f1_accuracy", "pearson_spearman"])
def test_metrics_are_those_of_edgebert(metric: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.integers(0, 2, (2, 30))
        if metric == "pearson_spearman":
            x, y = x + rng.integers(0, 4, 30) / 3, y + rng.integers(0, 4, 30) / 3
        for a, b in ((x, y), (x, x), (x, np.zeros(30)), (np.ones(30), np.ones(30))):
            assert score(metric, a, b) == library_metrics.score(metric, a, b)[metric]
    with pytest.raises(BoardError, match="expected a metric of edgebert"):
        score("bleu", [1], [1])


@pytest.fixture(scope="module")
def zoo_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, IntegerModel]]:
    folder = tmp_path_factory.mktemp("zoo")
    file = zoo.FOLDER / "tiny-sst2.safetensors"
    export = rebuild(folder / "export", file)
    write_package(folder / "package.zip", export.path, BoardBuild("pynq-z2", 128, 100_000))
    yield folder / "package.zip", load_integer_model(file)


def test_the_trained_model_of_the_zoo_is_proved(
    zoo_package: tuple[Path, IntegerModel], glue: Path, tmp_path: Path
) -> None:
    """A whole dev set: the accuracy is the one that the zoo states."""
    package, model = zoo_package
    arguments = ["verify", str(package), "--data", str(glue), "--json", str(tmp_path / "out")]
    assert main(arguments, opener(reference_encoder(model))) == 0
    result = json.loads((tmp_path / "out").read_text())
    golden, dev = result["engines"]
    assert golden["sentences"] == 6 and golden["mismatches"] == 0
    assert dev["sentences"] == 872
    assert dev["score"] == zoo.find("tiny-sst2").w1a1
