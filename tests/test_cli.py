"""The command line: what it prints, and one line for every mistake."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgebert import commands
from edgebert.cli import main
from tests.micro import write_config, write_reviews

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/, micro.yaml, a finished run/ and its export/."""
    base = tmp_path_factory.mktemp("cli")
    write_reviews(base / "data")
    write_config(base / "micro.yaml", epochs=2)
    assert main(train_arguments(base, "run")) == 0
    assert main(["export", str(base / "run"), "--target", "onnx", "--out", str(base / "ex")]) == 0
    return base


def train_arguments(base: Path, out: str, *more: str, data: Path | None = None) -> list[str]:
    return [
        "train", "--config", str(base / "micro.yaml"), "--task", "csv",
        "--data", str(data or base / "data"), "--out", str(base / out), "--device", "cpu", *more,
    ]  # fmt: skip


def error_of(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """Run a command that must fail for a user's mistake; its one line."""
    capsys.readouterr()
    status = main(arguments)
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert status == 2, err
    assert len(lines) == 1 and lines[0].startswith("edgebert: error: "), err
    return lines[0]


def copy(base: Path, name: str, to: Path) -> Path:
    return Path(shutil.copytree(base / name, to / name))


def test_help_answers_without_importing_torch() -> None:
    code = (
        "import sys; from edgebert.cli import main; main(['--help']); main(['train', '--help']);"
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'transformers', 'onnx')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    for word in ("train", "eval", "predict", "export", "verify", "--schedule", "--resume"):
        assert word in done.stdout


def test_eval_prints_a_table_and_writes_json(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = ["--task", "csv", "--data", str(base / "data")]
    results = []
    for path, more in (("run", []), ("ex", ["--engine", "ort"]), ("run", ["--stage", "w32a32"])):
        file = tmp_path / "result.json"
        assert main(["eval", str(base / path), *task, *more, "--json", str(file)]) == 0
        results.append(json.loads(file.read_text()))
        assert f"{results[-1]['metrics']['accuracy']:.4f}" in capsys.readouterr().out
    assert [r["engine"] for r in results] == ["torch", "ort", "torch"]
    assert results[0]["metrics"] == results[1]["metrics"]
    assert results[0]["sentences"] == 32
    assert results[2]["stage"] == "w32a32"


def test_agree_compares_two_models_on_plain_text(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, file = tmp_path / "text.txt", tmp_path / "result.json"
    text.write_text("a warm lovely film\na dull story\nthe people meet\n")
    models = [str(base / "run"), str(base / "ex")]
    assert main(["agree", *models, "--text", str(text), "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert (found["sentences"], found["same"], found["divergence"]) == (3, 1.0, 0.0)
    assert found["model"]["stage"] == "w1a1" and found["other"]["file"] == "fast.onnx"
    full = ["agree", models[0], models[0], "--text", str(text), "--other-stage", "w32a32"]
    assert main([*full, "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["divergence"] > 0 and f"{found['divergence']:.4f}" in capsys.readouterr().out
    wrong = ["agree", *models, "--text", str(text), "--other-stage", "w32a32"]
    assert "--stage: expected none" in error_of(capsys, wrong)
    assert "expected a readable file" in error_of(capsys, ["agree", *models, "--text", "nowhere"])


@pytest.mark.parametrize("text", ["a warm lovely film", "", "😀 🎬", "film " * 300, "\0\t\n"])
def test_predict_gives_a_label_and_the_same_probabilities_for_run_and_export(
    base: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    shown = []
    for path in ("run", "ex"):
        assert main(["predict", str(base / path), text]) == 0
        captured = capsys.readouterr()
        shown.append(captured.out)
        note = "note: 1 of 1 sentences were longer than 16 tokens and truncated\n"
        assert captured.err == (note if len(text) > 1000 else "")
    assert shown[0] == shown[1]
    label, _, negative, positive = shown[0].splitlines()
    odds = {line.split()[0]: float(line.split()[1]) for line in (negative, positive)}
    assert sum(odds.values()) == pytest.approx(1.0, abs=2e-4)
    assert odds[label] == max(odds.values())


def test_predict_takes_a_pair(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(base / "run"), "a film", "a story"]) == 0
    assert capsys.readouterr().out.splitlines()[0] in ("negative", "positive")


def test_verify_finds_no_difference_in_any_engine(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["verify", str(base / "ex"), "--task", "csv", "--data", str(base / "data")]
    file = tmp_path / "verify.json"
    assert main([*arguments, "--samples", "9", "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    rows = {row["engine"]: row for row in report["engines"]}
    assert report["equal"]
    assert {"reference", "torch", "onnxruntime model.onnx", "qonnx model.onnx"} <= rows.keys()
    assert all(row["status"] == "equal" and row["mismatches"] == 0 for row in rows.values())
    assert rows["torch"]["sentences"] == 9
    assert "equal" in capsys.readouterr().out


def test_report_shows_training_beside_the_engines_of_its_export(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = ["--task", "csv", "--data", str(base / "data")]
    verified, scored, result = (str(tmp_path / f"{name}.json") for name in "abc")
    engines = ["--engines", "torch,ort,fast", "--json", verified]
    assert main(["verify", str(base / "ex"), *task, *engines]) == 0
    assert main(["eval", str(base / "ex"), *task, "--json", scored]) == 0
    capsys.readouterr()
    arguments = ["report", scored, verified, str(base / "ex"), str(base / "run")]
    assert main([*arguments, "--json", result]) == 0
    report = json.loads(Path(result).read_text())
    rungs = {rung["engine"]: rung for rung in report["rungs"]}
    assert list(rungs) == [
        "training w32a32", "training w1a2", "training w1a1", "reference", "golden.npz", "torch",
        "onnxruntime fast.onnx", "onnxruntime model.onnx",
    ]  # fmt: skip
    accuracy = {rung["score"] for name, rung in rungs.items() if "w1a1" in name or "onnx" in name}
    assert len(accuracy) == 1 and report["equal"]
    assert rungs["torch"]["tokens_per_second"] > 0 == rungs["torch"]["mismatches"]
    out = capsys.readouterr().out
    assert f"accuracy {accuracy.pop():.4f}" in out and "0 of " in out


def test_report_refuses_what_is_of_another_model_or_no_result(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, ex = str(base / "run"), str(base / "ex")
    wrong = tmp_path / "wrong.json"
    engine = {"engine": "torch", "integers": 8, "mismatches": 2, "sentences": 1, "score": None}
    content = {"manifest_sha256": "0" * 64, "task": "csv", "metric": "x", "engines": [engine]}
    wrong.write_text(json.dumps(content))
    assert main(["report", str(wrong), run]) == 1
    assert "2 of 8" in capsys.readouterr().out
    assert "expected results of one export" in error_of(capsys, ["report", ex, str(wrong)])
    main(train_arguments(base, "other", "--seed", "3", "--max-steps", "1", "--force"))
    other = ["report", str(base / "other"), ex]
    assert "expected results of one trained model" in error_of(capsys, other)
    assert "got none yet" in error_of(capsys, ["report", ex])
    assert "required: RESULT" in error_of(capsys, ["report"])
    for content in ("", "[]", "{}", '{"engines": [{"integers": 1}]}'):
        wrong.write_text(content)
        assert "got another or a damaged file" in error_of(capsys, ["report", str(wrong)])
    for path in (str(base), str(base / "none")):
        assert f"{path}: expected the folder of a run, an" in error_of(capsys, ["report", path])


def test_verify_says_why_torch_is_absent_and_takes_the_run_that_moved(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = copy(base, "ex", tmp_path)
    arguments = ["verify", str(export), "--task", "csv", "--data", str(base / "data"),
                 "--engines", "torch,fast", "--samples", "3"]  # fmt: skip
    assert main(arguments) == 0
    assert "not run: the run isn't where it was at the export" in capsys.readouterr().out
    assert main([*arguments, "--run", str(base / "run")]) == 0
    assert "not run" not in capsys.readouterr().out
    main(train_arguments(base, "other", "--seed", "3", "--max-steps", "1", "--force"))
    error = error_of(capsys, [*arguments, "--run", str(base / "other")])
    assert "expected the run that was exported" in error


def test_verify_exits_with_1_where_a_bit_differs(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The export isn't of the run that it claims: its logits are off by one unit."""
    from edgebert.rundir import load_run
    from export.lower import lower_run
    from export.package import write_export

    run = load_run(base / "run")
    model = lower_run(run, run.tokenizer.encode_batch(run.sentences), "run")
    model.tensors["classifier.bias"] = model.tensors["classifier.bias"] + 1
    write_export(tmp_path / "ex", model)
    arguments = ["verify", str(tmp_path / "ex"), "--task", "csv", "--data", str(base / "data")]
    assert main([*arguments, "--run", str(base / "run"), "--engines", "torch"]) == 1
    assert "torch: first at logits, sentence " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train", "--config", "tiny"], "required: --task, --out"),
        (["train", "--config", "tiny", "--task", "sst", "--out", "x"], "did you mean sst2?"),
        (["train", "--config", "tinny", "--task", "reviews", "--out", "x"], "expected one of base"),
        (["train", "--config", "tiny", "--task", "reviews", "--out", "x", "--epochs", "many"],
         "argument --epochs"),
        (["eval", "nowhere", "--task", "reviews"], "no such folder"),
        (["predict", "nowhere", "text"], "no such folder"),
        (["export", "nowhere", "--target", "onnx", "--out", "x"], "no such folder"),
        (["verify", "nowhere", "--task", "reviews"], "expected an export"),
    ],
)  # fmt: skip
def test_a_wrong_command_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert expected in error_of(capsys, arguments)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--set", "train.shedule=w1a1"], "unknown key train.shedule; did you mean train.schedule"),
        (["--set", "trian.seed=1"], "unknown key trian; did you mean train?"),
        (["--set", "seed"], "expected section.key=value"),
        (["--set", "distill.text=nowhere.txt"], "nowhere.txt: expected a readable file"),
        (["--schedule", "w32a32,w2a2"], "got 'w2a2'"),
        (["--schedule", "w1a1,w1a1"], "every stage once"),
        (["--batch-size", "0"], "--batch-size: expected a number of 1 or more, got 0"),
        (["--lr", "-1"], "positive number"),
        (["--seed", "-1"], "--seed: expected a number of 0 or more"),
        (["--max-steps", "0"], "--max-steps: expected a number of 1 or more"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--resume"], "expected the folder of a training run, got no such folder"),
        (["--set", "train.held_out=1.5"], "train.held_out: expected a fraction"),
        (["--set", "model.vocab=5"], "vocabulary size: expected at least"),
    ],
)
def test_a_wrong_setting_is_one_line_and_makes_no_run(
    base: Path, capsys: pytest.CaptureFixture[str], more: list[str], expected: str
) -> None:
    assert expected in error_of(capsys, train_arguments(base, "never", *more))
    assert not (base / "never").exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "got no train.csv"),
        (b"", "expected text, got an empty file"),
        (b"text,label\n", "expected examples, got the header only"),
        (b"sentence,label\na,0\n", "expected the columns text, label"),
        (b"text,label\na,\nb,1\n", "expected a label, got none"),
        (b"text,label\ncaf\xe9,0\n", "expected UTF-8, got byte 0xe9"),
        (b'text,label\n"a,0\n', "check its quotes"),
        (b"text,label\na,b,c\n", "quote a text that has a comma"),
    ],
)
def test_bad_data_is_one_line_naming_the_file(
    base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    expected: str,
) -> None:
    data = copy(base, "data", tmp_path)
    (data / "train.csv").unlink()
    if content is not None:
        (data / "train.csv").write_bytes(content)
    line = error_of(capsys, train_arguments(base, "never", data=data))
    assert expected in line and "train.csv" in line
    assert not (base / "never").exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("sentence\tlabel\nfine\t1\n", None),
        ("text\tlabel\nfine\t1\n", "sentence"),
        ("sentence\tlabel\nfine\t7\n", "7"),
    ],
)
def test_a_bad_tsv_is_one_line(
    base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str,
    expected: str | None,
) -> None:
    folder = tmp_path / "SST-2"
    folder.mkdir()
    (folder / "train.tsv").write_text("sentence\tlabel\nbad\t0\ngood\t1\n")
    (folder / "dev.tsv").write_text(content)
    arguments = ["eval", str(base / "run"), "--task", "sst2", "--data", str(tmp_path)]
    if expected is None:
        assert main(arguments) == 0
    else:
        line = error_of(capsys, arguments)
        assert "dev.tsv" in line and expected in line


def test_a_run_is_not_overwritten(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (base / "run" / "run.json").read_bytes()
    line = error_of(capsys, train_arguments(base, "run"))
    assert "--resume" in line and "--force" in line
    line = error_of(capsys, train_arguments(base, "run", "--resume", "--lr", "0.1"))
    assert "train.lr.default = 0.02" in line
    assert (base / "run" / "run.json").read_bytes() == before
    line = error_of(
        capsys, ["export", str(base / "run"), "--target", "onnx", "--out", str(base / "ex")]
    )
    assert "--force" in line


@pytest.mark.parametrize("name", ["stage-w1a1/model.safetensors", "run.json", "config.yaml"])
@pytest.mark.parametrize("truncate", [True, False])
def test_a_damaged_run_is_one_line(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, truncate: bool
) -> None:
    run = copy(base, "run", tmp_path)
    damage(run / name, truncate)
    assert name.split("/")[-1] in error_of(capsys, ["predict", str(run), "text"])
    export = ["export", str(run), "--target", "onnx", "--out", str(tmp_path / "ex")]
    assert name.split("/")[-1] in error_of(capsys, export)
    assert not (tmp_path / "ex").exists()


@pytest.mark.parametrize("name", ["integer.safetensors", "fast.onnx", "manifest.json"])
def test_a_damaged_export_is_one_line(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    export = copy(base, "ex", tmp_path)
    damage(export / name, truncate=True)
    assert name in error_of(capsys, ["predict", str(export), "text"])
    task = ["--task", "csv", "--data", str(base / "data")]
    assert name in error_of(capsys, ["verify", str(export), *task])


def damage(path: Path, truncate: bool) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content[: len(content) // 2] if truncate else content))


def test_a_model_refuses_a_task_of_another_kind(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = copy(base, "data", tmp_path)
    for file in data.iterdir():
        file.write_text(file.read_text().replace("negative", "0.5").replace("positive", "1.5"))
    for path in ("run", "ex"):
        arguments = ["eval", str(base / path), "--task", "csv", "--data", str(data)]
        assert "expected a task with 2 classes" in error_of(capsys, arguments)
    assert "expected torch for a run" in error_of(
        capsys, ["eval", str(base / "run"), "--task", "reviews", "--engine", "ort"]
    )


def test_truncated_sentences_are_counted(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = copy(base, "data", tmp_path)
    with open(data / "dev.csv", "a") as file:
        file.write("long " * 200 + ",positive\n")
    assert main(["eval", str(base / "run"), "--task", "csv", "--data", str(data)]) == 0
    assert capsys.readouterr().err == (
        "note: 1 of 33 dev sentences were longer than 16 tokens and truncated\n"
    )


def test_no_space_during_a_save_keeps_the_last_checkpoint(
    base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = train_arguments(base, "full", "--set", "train.checkpoint_every=5")
    with monkeypatch.context() as patch:
        patch.setattr(commands, "say", lambda message: os.kill(os.getpid(), signal.SIGINT))
        assert main(arguments) == 130
    assert "go on with the same command and --resume" in capsys.readouterr().err
    checkpoint = base / "full" / "checkpoint"
    before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    monkeypatch.setattr(commands, "say", lambda message: None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (25000, limits[1]))  # the system refuses more
    try:
        line = error_of(capsys, [*arguments, "--resume"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "free some space" in line
    assert {path.name: path.read_bytes() for path in checkpoint.iterdir()} == before
    assert main([*arguments, "--resume"]) == 0


def test_ctrl_c_saves_a_checkpoint_and_exits_with_130(base: Path) -> None:
    arguments = train_arguments(base, "stopped", "--epochs", "100000")
    process = subprocess.Popen(
        [sys.executable, "-m", "edgebert.cli", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 90
    while not (base / "stopped" / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("edgebert: stopped at step ")
    assert (base / "stopped" / "checkpoint" / "checkpoint.json").is_file()


def test_an_interruption_while_a_class_is_made_exits_with_130_too(tmp_path: Path) -> None:
    """CPython then kills itself by the signal, as of any code in a string that Ctrl-C ends."""
    code = (
        "import sys\nfrom edgebert import cli\n"
        "def interrupted(options): exec('raise KeyboardInterrupt')\n"
        "cli.function_of = lambda options: interrupted\n"
        "if __name__ == '__main__': sys.exit(cli.main(['zoo', 'list']))\n"
    )
    (tmp_path / "program.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "program"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (130, "edgebert: stopped\n")


def test_debug_shows_the_traceback(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(base / "nowhere"), "text", "--debug"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("edgebert: error: ")
