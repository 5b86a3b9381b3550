"""A larger model's logits as training targets."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebert.config import Config
from edgebert.errors import UserError
from edgebert.evaluate import compute_logits
from edgebert.inputs import prepare_inputs
from edgebert.interrupt import Interrupted
from edgebert.rundir import RunFolder, load_run
from edgebert.soft_labels import load_teacher, soft_labels
from edgebert.train import make_accelerator, train
from tests.micro import micro_config, write_reviews


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("reviews"))


@pytest.fixture(scope="module")
def teacher(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "teacher"
    config = micro_config(schedule="w32a32,w1a1", epochs=2)
    larger = replace(config, model=replace(config.model, layers=2, hidden=32, heads=4))
    train(larger, "csv", data, out, device="cpu", progress=False)
    return out


def taught(teacher: Path, text: Path | None = None, **distill: Any) -> Config:
    config = micro_config(schedule="w32a32,w1a1", epochs=1)
    files = () if text is None else (str(text),)
    extra = replace(config.distill, teacher=str(teacher), text=files, **distill)
    return replace(config, distill=extra)


def test_soft_labels_are_the_first_stages_logits_and_are_computed_once(
    data: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = prepare_inputs(taught(teacher), "csv", data, None, lambda line: None)
    accelerator = make_accelerator("cpu")
    run = load_teacher(str(teacher), inputs)
    assert run.bits.name == "w32a32"
    first = soft_labels(run, inputs.train, accelerator, False, "fp32")
    expected = compute_logits(load_run(teacher, "w32a32").model, inputs.train)
    assert np.array_equal(first, expected.astype(np.float32))
    monkeypatch.setattr("edgebert.soft_labels.compute_logits", None)  # not called again
    assert np.array_equal(soft_labels(run, inputs.train, accelerator, False, "fp32"), first)


def test_a_run_stopped_while_a_teacher_labels_goes_on_from_there(
    data: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgebert.soft_labels.PART_BATCHES", 1)
    text = tmp_path / "text.txt"
    text.write_text("a warm town\na dull story\n" * 8, encoding="utf-8")
    whole = tmp_path / "whole"
    train(taught(teacher, text), "csv", data, whole, device="cpu", progress=False)
    copy = tmp_path / "teacher"
    shutil.copytree(teacher, copy)
    shutil.rmtree(copy / "soft-labels")
    said: list[str] = []

    def stop(line: str) -> None:
        said.append(line)
        if "labels 112 sentences" in line:
            os.kill(os.getpid(), signal.SIGINT)

    def again(**more: Any) -> None:
        train(taught(copy, text), "csv", data, tmp_path / "run", device="cpu", **more)

    with pytest.raises(Interrupted, match=r"batch 1 of 2 of soft labels; go on with .* --resume"):
        again(progress=False, say=stop)
    assert RunFolder(tmp_path / "run").read_info().status == "interrupted"
    again(progress=False, say=said.append, resume=True)
    assert [line for line in said if "labels" in line] == [
        "teacher labels 112 sentences, from batch 0 on",
        "teacher labels 112 sentences, from batch 1 on",
    ]
    hashes = {load_run(run).stage.checkpoint_sha256 for run in (whole, tmp_path / "run")}
    assert len(hashes) == 1


def test_damaged_soft_labels_are_made_anew(data: Path, teacher: Path, tmp_path: Path) -> None:
    copy = tmp_path / "teacher"
    shutil.copytree(teacher, copy)
    inputs = prepare_inputs(taught(copy), "csv", data, None, lambda line: None)
    run, accelerator = load_teacher(str(copy), inputs), make_accelerator("cpu")
    first = soft_labels(run, inputs.train, accelerator, False, "fp32")
    for path in (copy / "soft-labels").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    assert np.array_equal(soft_labels(run, inputs.train, accelerator, False, "fp32"), first)


def test_logits_in_bfloat16_are_kept_apart(data: Path, teacher: Path) -> None:
    inputs = prepare_inputs(taught(teacher), "csv", data, None, lambda line: None)
    run, accelerator = load_teacher(str(teacher), inputs), make_accelerator("cpu")
    fine, coarse = (
        soft_labels(run, inputs.train, accelerator, False, precision)
        for precision in ("fp32", "bf16")
    )
    assert 0 < np.abs(fine - coarse).max() < 0.05 * np.abs(fine).max()
    again = soft_labels(run, inputs.train, accelerator, False, "bf16")
    assert np.array_equal(again, coarse)


def test_other_sentences_are_labelled_anew(data: Path, teacher: Path) -> None:
    inputs = prepare_inputs(taught(teacher), "csv", data, None, lambda line: None)
    run, accelerator = load_teacher(str(teacher), inputs), make_accelerator("cpu")
    soft_labels(run, inputs.train, accelerator, False, "fp32")
    dev = soft_labels(run, inputs.dev, accelerator, False, "fp32")
    assert np.array_equal(dev, compute_logits(run.model, inputs.dev).astype(np.float32))


def test_every_stage_trains_on_text_and_the_teacher_decides_what_is_learned(
    data: Path, teacher: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a warm story\nthe town is dull\n" * 8, encoding="utf-8")
    train(taught(teacher, text), "csv", data, tmp_path / "run", device="cpu", progress=False)
    log = (tmp_path / "run" / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    steps = {line["stage"]: line["step"] for line in lines}
    assert steps == {"w32a32": 14, "w1a1": 14}  # (96 + 16) / 8
    # A teacher of weight 0 and no labels leaves nothing to learn from: another model.
    none = taught(teacher, text, soft=0.0, logits=0.0, hidden=0.0)
    train(none, "csv", data, tmp_path / "other", device="cpu", progress=False)
    hashes = [load_run(tmp_path / n).stage.checkpoint_sha256 for n in ("run", "other")]
    assert hashes[0] != hashes[1]


def test_a_foreign_teacher_is_an_error(data: Path, teacher: Path, tmp_path: Path) -> None:
    for name in ("train.csv", "dev.csv"):
        text = (data / name).read_text().replace("negative", "bad")
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=r"distill.teacher .*labels"):
        train(taught(teacher), "csv", tmp_path, tmp_path / "run", device="cpu", progress=False)
    with pytest.raises(UserError, match="no such folder"):
        config = taught(tmp_path / "nowhere")
        train(config, "csv", data, tmp_path / "run", device="cpu", progress=False)
    assert not (tmp_path / "run").exists()
