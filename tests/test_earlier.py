"""A run that goes on from a finished one ends as if one schedule had held both."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.accuracy import changes, collect, config_name
from edgebert.checkpoint import read_record, write_record
from edgebert.config import Config, load_config
from edgebert.errors import UserError
from edgebert.interrupt import Interrupted
from edgebert.rundir import RunFolder, load_run
from edgebert.train import train
from tests.micro import micro_config, write_reviews

WHOLE, FIRST, REST = "w32a32,w1a2,w1a1", "w32a32", "w1a2,w1a1"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("reviews"))


def run(data: Path, out: Path, config: Config, **more: Any) -> Path:
    train(config, "csv", data, out, **{"device": "cpu", "progress": False, **more})
    return out


def settings(schedule: str, **model: Any) -> Config:
    config = micro_config(schedule=schedule, epochs=1)
    return replace(config, model=replace(config.model, **model))


@pytest.fixture(scope="module")
def first(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(data, tmp_path_factory.mktemp("runs") / "first", settings(FIRST))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(data, tmp_path_factory.mktemp("runs") / "whole", settings(WHOLE))


def sha256(path: Path, stage: str = "w1a1") -> str:
    return load_run(path, stage).stage.checkpoint_sha256


def test_two_runs_end_like_the_one_with_both_schedules(
    data: Path, first: Path, whole: Path, tmp_path: Path
) -> None:
    rest = run(data, tmp_path / "rest", settings(REST, dropout=0.3), init=str(first))
    assert sha256(rest, "w1a2") == sha256(whole, "w1a2")
    assert sha256(rest) == sha256(whole)
    two = run(data, tmp_path / "two", settings("w1a2"), init=str(first))
    one = run(data, tmp_path / "one", settings("w1a1"), init=str(two))
    assert sha256(one) == sha256(whole)
    record = RunFolder(one).read_info().earlier
    assert record is not None and list(record.stages) == ["w32a32", "w1a2"]
    assert record.checkpoint_sha256 == sha256(two, "w1a2")
    seconds = [RunFolder(path).seconds() for path in (first, two)]
    assert record.seconds == pytest.approx(sum(seconds), abs=2e-3)
    assert str(first) not in (one / "run.json").read_text()


def test_a_stage_that_the_run_has_goes_on_from_itself_taught_by_the_one_before(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    config = settings("w1a1")
    config = replace(config, train=replace(config.train, lr={"default": 1e-30}))
    longer = run(data, tmp_path / "longer", config, init=str(whole), say=said.append)
    assert "w1a1 starts from w1a1 of --init, taught by its w1a2" in said
    before, after = load_run(whole).model.state_dict(), load_run(longer).model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    alone: list[str] = []
    run(data, tmp_path / "again", config, init=str(longer), say=alone.append)
    assert any("w1a1 goes on from --init, taught by itself" in line for line in alone)


def test_a_run_may_go_on_with_another_gradient_of_signs(
    data: Path, first: Path, whole: Path, tmp_path: Path
) -> None:
    changed = settings(REST, sign_gradient="triangle")
    rest = run(data, tmp_path / "rest", changed, init=str(first))
    assert sha256(rest, "w1a2") == sha256(whole, "w1a2")  # without signs
    assert sha256(rest) != sha256(whole)


def test_only_a_binary_stage_has_relative_positions(
    data: Path, first: Path, whole: Path, tmp_path: Path
) -> None:
    rest = run(data, tmp_path / "rest", settings(REST, relative_positions=2), init=str(first))
    assert sha256(rest, "w1a2") == sha256(whole, "w1a2")
    biases = [n for n in load_run(rest).model.state_dict() if n.endswith("relative_bias")]
    assert len(biases) == load_run(rest).config.model.layers
    with pytest.raises(UserError, match=r"expected model\.relative_positions = 2 as it was"):
        run(data, tmp_path / "more", settings("w1a1"), init=str(rest))


def test_the_accuracy_table_names_what_is_no_size_as_a_change(whole: Path) -> None:
    tiny = load_config("tiny")
    model = replace(tiny.model, sign_gradient="triangle", dropout=0.2, relative_positions=4)
    run = replace(load_run(whole), config=replace(tiny, model=model))
    assert config_name(run) == "tiny"
    expected = {"model.sign_gradient=triangle", "model.dropout=0.2", "model.relative_positions=4"}
    assert expected <= set(changes(run, "tiny"))


def test_the_accuracy_table_counts_the_stages_and_hours_before(
    data: Path, first: Path, tmp_path: Path
) -> None:
    rest = run(data, tmp_path / "rest", settings(REST), init=str(first))
    record = collect(rest, data)
    assert list(record.stages) == WHOLE.split(",")
    assert record.stages["w32a32"] == load_run(first).stage.metrics["accuracy"]
    assert record.seconds == round(RunFolder(first).seconds() + RunFolder(rest).seconds())


def test_it_resumes_to_the_same_model_but_not_from_another_start(
    data: Path, first: Path, whole: Path, tmp_path: Path
) -> None:
    out, copy = tmp_path / "rest", tmp_path / "copy"
    shutil.copytree(first, copy)

    def stop(message: str) -> None:
        if ": step" in message:
            os.kill(os.getpid(), signal.SIGINT)

    config = settings(REST)
    config = replace(config, train=replace(config.train, eval_every=5))
    with pytest.raises(Interrupted):
        run(data, out, config, init=str(copy), say=stop)
    other = run(data, tmp_path / "other" / "copy", settings(FIRST, dropout=0.5))
    with pytest.raises(UserError, match=r"expected the model of --init = .*, got"):
        run(data, out, config, init=str(other), resume=True)
    run(data, out, config, init=str(copy), resume=True)
    again = run(data, tmp_path / "again", config, init=str(first))
    assert sha256(out) == sha256(again)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (settings(REST, ffn=48), r"expected model\.ffn = 32 as it was trained with, got 48"),
        (settings(REST, max_tokens=12), r"expected model\.max_tokens = 16"),
        (settings(REST, attention="sps"), r"expected model\.attention = softmax"),
    ],
)
def test_another_model_is_named(
    data: Path, first: Path, tmp_path: Path, config: Config, message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        run(data, tmp_path / "run", config, init=str(first))
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_other_labels_and_an_unfinished_start_are_errors(
    data: Path, first: Path, tmp_path: Path
) -> None:
    other = tmp_path / "data"
    other.mkdir()
    for name in ("train.csv", "dev.csv"):
        (other / name).write_text((data / name).read_text().replace("negative", "bad"))
    with pytest.raises(
        UserError, match=r"expected labels = negative, positive as .*, got bad, pos"
    ):
        run(other, tmp_path / "run", settings(REST), init=str(first))
    half = tmp_path / "half"
    shutil.copytree(first, half)
    shutil.rmtree(half / "stage-w32a32")
    with pytest.raises(UserError, match="expected a trained stage w32a32, got none yet"):
        run(data, tmp_path / "run", settings(REST), init=str(half))


def test_a_run_recorded_before_runs_went_on_is_still_read(first: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(first, old)
    record = read_record(old / "run.json")
    assert record.pop("earlier") is None
    write_record(old / "run.json", record)
    assert load_run(old).info == load_run(first).info
