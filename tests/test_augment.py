"""Replaced tokens: near ones of the same kind, in every other sentence, the same when resumed."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgebert.augment import NEIGHBOURS, Replacer, every_other, neighbours
from edgebert.config import Config
from edgebert.distill import UNLABELLED
from edgebert.evaluate import model_inputs
from edgebert.interrupt import Interrupted
from edgebert.model import BinaryBert, Output
from edgebert.rundir import load_run
from edgebert.stages import Stage
from edgebert.tokenizer import SPECIAL
from edgebert.train import train
from tests.micro import micro_config, write_reviews

WORDS = [f"w{i}" for i in range(40)]
TOKENS = [*SPECIAL, "[unused0]", *WORDS, *(f"##p{i}" for i in range(30)), "["]
TABLE = torch.randn(len(TOKENS), 8, generator=torch.Generator().manual_seed(0))


def kind(token: str) -> str:
    if token in SPECIAL or token.startswith("[unused"):
        return token
    return "piece" if token.startswith("##") else "word"


def test_neighbours_are_the_nearest_of_the_same_kind_without_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgebert.augment.ROWS", 7)  # in several parts
    near = neighbours(TABLE, TOKENS).numpy()
    rows = TABLE.double().numpy()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for i, token in enumerate(TOKENS):
        same = [j for j in range(len(TOKENS)) if j != i and kind(TOKENS[j]) == kind(token)]
        best = sorted(same, key=lambda j: -unit[i] @ unit[j])[:NEIGHBOURS]
        assert near[i].tolist() == (best or [i] * NEIGHBOURS), token


def test_a_small_vocabulary_repeats_its_neighbours() -> None:
    tokens = [*SPECIAL, "a", "b", "c", "##d"]
    near = neighbours(TABLE[: len(tokens)], tokens).tolist()
    assert set(near[5]) == {6, 7} and set(near[8]) == {8}


def test_only_chosen_sentences_lose_about_that_fraction_of_their_real_tokens() -> None:
    replacer = Replacer(TABLE, TOKENS, 0.3)
    ids = torch.randint(6, len(TOKENS), (8, 400), generator=torch.Generator().manual_seed(1))
    ids[:, ::4] = 0  # padding
    chosen = every_other(8, 1)
    altered = replacer(ids, chosen, 5)
    different = (altered != ids).numpy()
    assert not different[~chosen].any() and not different[:, ::4].any()
    assert different[chosen][:, np.arange(400) % 4 > 0].mean() == pytest.approx(0.3, abs=0.05)
    for before, after in zip(ids.flatten().tolist(), altered.flatten().tolist(), strict=True):
        assert kind(TOKENS[before]) == kind(TOKENS[after])
    assert torch.equal(altered, replacer(ids, chosen, 5))
    assert not torch.equal(altered, replacer(ids, chosen, 6))


def test_every_other_sentence_begins_by_the_seed() -> None:
    assert every_other(4, 7).tolist() == [True, False, True, False]
    assert every_other(3, 8).tolist() == [False, True, False]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("reviews"))


def settings(teacher: Path | None = None, schedule: str = "w32a32,w1a1", **distill: Any) -> Config:
    config = micro_config(schedule=schedule, epochs=1, eval_every=3)
    name = None if teacher is None else str(teacher)
    changes = replace(config.distill, labels=0.5, teacher=name, **distill)
    return replace(config, distill=changes)


def run(data: Path, out: Path, config: Config, **more: Any) -> Path:
    train(config, "csv", data, out, device="cpu", progress=False, **more)
    return out


@pytest.fixture(scope="module")
def plain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(data, tmp_path_factory.mktemp("runs") / "plain", settings())


def sha256(path: Path, stage: str) -> str:
    return load_run(path, stage).stage.checkpoint_sha256


def test_stages_with_a_teacher_alter_sentences_alike_when_interrupted(
    data: Path, plain: Path, tmp_path: Path
) -> None:
    config = settings(replace=0.4)
    whole = run(data, tmp_path / "whole", config)
    assert sha256(whole, "w32a32") == sha256(plain, "w32a32")
    assert sha256(whole, "w1a1") != sha256(plain, "w1a1")

    def stop(message: str) -> None:
        if message.startswith("w1a1: step 6"):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="step 6 of w1a1"):
        run(data, tmp_path / "run", config, say=stop)
    assert sha256(run(data, tmp_path / "run", config, resume=True), "w1a1") == sha256(whole, "w1a1")


def test_altered_sentences_reach_student_and_teacher_without_label_or_soft_label(
    data: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = run(data, tmp_path / "full", settings(schedule="w32a32"))
    seen: list[torch.Tensor] = []
    labels: list[tuple[list[int], int]] = []
    soft: list[tuple[int, int]] = []
    stages: list[Stage] = []
    forward, start = BinaryBert.forward, Stage.start

    def run_model(model: BinaryBert, ids: torch.Tensor, *more: torch.Tensor) -> Output:
        if len(ids) <= 8:  # of training, not of evaluation
            seen.append(ids)
        return forward(model, ids, *more)

    def label_loss(logits: torch.Tensor, given: torch.Tensor, _: bool, labelled: int) -> Any:
        labels.append((given.tolist(), labelled))
        return logits.sum() * 0

    def logits_loss(student: torch.Tensor, target: torch.Tensor, *more: Any) -> Any:
        soft.append((len(target), more[-1]))
        return (student - target).sum() * 0

    def start_stage(stage: Stage, saved: Any) -> None:
        stages.append(stage)
        start(stage, saved)

    monkeypatch.setattr(BinaryBert, "forward", run_model)
    monkeypatch.setattr("edgebert.distill.label_loss", label_loss)
    monkeypatch.setattr("edgebert.stages.logits_loss", logits_loss)
    monkeypatch.setattr(Stage, "start", start_stage)
    config = settings(plain, "w1a2", replace=1.0)
    run(data, tmp_path / "run", config, init=str(full), max_steps=2)
    (stage,) = stages
    batches = [stage.batches.at(step)[1] for step in (0, 1)]
    whole = [model_inputs(stage.batches.split, batch, torch.device("cpu"))[0] for batch in batches]
    first, *rest = seen
    assert torch.equal(first, whole[0])  # the scales' first values
    assert len(rest) == 4 and len(labels) == len(soft) == 2
    for step, ids in enumerate(whole):
        student, teacher = rest[2 * step : 2 * step + 2]
        assert torch.equal(student, teacher)
        altered = (student != ids).any(1)
        assert altered.sum() == 4
        special = ids < len(SPECIAL)
        assert torch.equal(student != ids, altered[:, None] & ~special)
        given, labelled = labels[step]
        assert [label == UNLABELLED for label in given] == altered.tolist()
        assert labelled == 4 and soft[step] == (4, 4)
