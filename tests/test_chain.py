"""Chains of runs."""

import json
import shlex
from pathlib import Path

import pytest

from edgebert.chain import CHAIN_DIR, RECORD, read_chain, step_command
from edgebert.cli import INTERRUPTED, OK, USER_ERROR, main
from edgebert.errors import UserError
from edgebert.interrupt import Interrupted
from edgebert.options import build_parser
from edgebert.rundir import RunFolder, load_run
from tests.micro import write_config, write_reviews

CHAINS = sorted(path.stem for path in CHAIN_DIR.glob("*.yaml"))


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """A chain of three steps on a task of a few sentences, and its base."""
    write_reviews(tmp_path / "data")
    config = shlex.quote(str(write_config(tmp_path / "micro.yaml", epochs=1)))
    task = f"train --config {config} --task csv"
    base = f"steps:\n  full: {task} --schedule w32a32\n"
    (tmp_path / "base.yaml").write_text(base)
    file = tmp_path / "chain.yaml"
    file.write_text(
        f"base: {tmp_path / 'base.yaml'}\n"
        "steps:\n"
        "  more: text --task csv --disturbed 20\n"
        f"  one-bit: {task} --schedule w1a1\n"
        "    --init {full} --set distill.text=[{more},{more}]\n"
    )
    return file


def arguments(chain: Path, out: Path, *more: str) -> list[str]:
    return ["chain", str(chain), "--data", str(chain.parent / "data"), "--out", str(out), *more]


def test_every_step_is_taken_once(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = chain.parent / "out, of runs"  # whose comma would part a list of --set
    assert main(arguments(chain, out, "--device", "cpu")) == OK
    run = load_run(out / "one-bit")
    assert run.bits.name == "w1a1" and run.config.distill.text == (str(out / "more.txt"),) * 2
    assert len((out / "more.txt").read_text().splitlines()) == 20
    assert run.info.init == "full" and run.info.earlier is not None
    begun = json.loads((out / RECORD).read_text())["steps"]
    assert list(begun) == ["full", "more", "one-bit"]
    assert begun["full"][-2:] == ["--device", "cpu"] and "--device" not in begun["more"]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(arguments(chain, out, "--device", "cpu")) == OK
    assert capsys.readouterr().err.count("done already") == 3
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def test_ctrl_c_stops_the_chain_and_the_same_command_goes_on(
    chain: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = chain.parent / "out"
    with monkeypatch.context() as patched:
        patched.setattr("edgebert.stages.Stage.run", lambda self: _stop())
        assert main(arguments(chain, out)) == INTERRUPTED
    assert "go on with the same command" in capsys.readouterr().err
    assert RunFolder(out / "full").read_info().status == "interrupted"
    assert not (out / "more.txt").exists()
    assert main(arguments(chain, out)) == OK
    assert RunFolder(out / "one-bit").read_info().status == "done"


def _stop() -> None:
    raise Interrupted("stopped")


def test_a_dry_run_shows_the_commands_and_writes_nothing(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = chain.parent / "out"
    assert main(arguments(chain, out, "--max-steps", "2", "--dry-run")) == OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["edgebert", "train"],
        ["edgebert", "text"],
        ["edgebert", "train"],
    ]
    assert ["--max-steps 2" in line for line in lines] == [True, False, True]
    assert not out.exists()


def test_a_step_that_was_begun_otherwise_is_an_error(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = chain.parent / "out"
    assert main(arguments(chain, out, "--max-steps", "1")) == OK
    capsys.readouterr()
    assert main(arguments(chain, out, "--max-steps", "2")) == USER_ERROR
    error = capsys.readouterr().err
    assert "expected full as it was begun" in error and "--max-steps 1" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- train", "expected steps, and a base or none, got list"),
        ("steps: {}", "expected a command for every step, got "),
        ("stages: {a: train}", "expected steps, and a base or none, got stages"),
        ("steps: {a: [train]}", "a: expected a command, train, average, text, got"),
        ("steps: {a: export x}", "a: expected a command, train, average, text, got 'export x'"),
        ("steps: {a: train --out x}", "a: expected no --out"),
        ("steps: {a: train --force}", "a: expected no --force"),
        ("steps: {A b: train}", "A b: expected another name"),
        ("steps: {a: train --init 'x}", "a: expected a command, got No closing"),
        ("steps:\n  a: train --init {b}\n  b: text", "a: expected the name of a step before it"),
        ("base: nowhere\nsteps: {a: text}", "expected one of"),
        ("steps: [", "expected YAML"),
    ],
)
def test_what_is_no_chain_is_named(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "chain.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        read_chain(str(file))


def test_a_chain_of_itself_or_of_a_name_again_is_an_error(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(f"base: {one}\nsteps: {{a: text}}")
    with pytest.raises(UserError, match="expected another chain as base, got itself"):
        read_chain(str(one))
    one.write_text("steps: {a: text}")
    two.write_text(f"base: {one}\nsteps: {{a: text}}")
    with pytest.raises(UserError, match="a: expected another name"):
        read_chain(str(two))


def test_a_wrong_option_is_an_error_before_any_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "chain.yaml"
    file.write_text("steps:\n  a: text --sentences 5\n  b: train --config tiny --epohcs 2")
    out = tmp_path / "out"
    assert main(["chain", str(file), "--out", str(out)]) == USER_ERROR
    assert "see edgebert train --help" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("name", CHAINS)
def test_the_chains_that_ship_end_at_a_run_of_their_name(name: str) -> None:
    from edgebert.commands import overrides
    from edgebert.config import load_config

    steps = read_chain(name)
    assert steps[-1].name == name
    for step in steps:
        options = build_parser().parse_args(step_command(step, steps, "glue", Path("out")))
        if step.words[0] == "train":
            config = load_config(options.config, overrides(options))
            assert config.train.held_out > 0  # chosen by train alone


def test_only_steps_that_lead_to_the_last_one_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "chain.yaml"
    file.write_text(
        "steps:\n  a: text\n  b: text\n  c: train --init {a}\n  d: train --init {b}\n"
        "  e: train --init {c}\n"
    )
    assert [step.name for step in read_chain(str(file))] == ["a", "c", "e"]


def test_a_chain_averages_runs_and_goes_on_from_their_mean(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = f"train --config {shlex.quote(str(chain.parent / 'micro.yaml'))} --task csv"
    chain.write_text(
        f"base: {chain.parent / 'base.yaml'}\n"
        "steps:\n"
        f"  again: {task} --schedule w32a32 --seed 1\n"
        "  mean: average {full} {again}\n"
        f"  one-bit: {task} --schedule w1a1 --init {{mean}}\n"
    )
    out = chain.parent / "out"
    assert main(arguments(chain, out, "--max-steps", "2")) == OK
    mean, run = load_run(out / "mean"), load_run(out / "one-bit")
    assert list(mean.info.averaged) == ["full", "again"]
    assert run.info.earlier is not None
    assert run.info.earlier.checkpoint_sha256 == mean.stage.checkpoint_sha256
    capsys.readouterr()
    assert main(arguments(chain, out, "--max-steps", "2")) == OK
    assert capsys.readouterr().err.count("done already") == 4
