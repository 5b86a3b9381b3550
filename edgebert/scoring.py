"""Scoring a task with a trained run (torch) or an export (ONNX Runtime)."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert.batches import EncodedSplit, encode_split
from edgebert.data import Example, TaskData
from edgebert.errors import UserError
from edgebert.inputs import say_truncated
from edgebert.rundir import is_run, load_run
from edgebert.tokenizer import Tokenizer

Say = Callable[[str], None]


@dataclass(frozen=True)
class Scorer:
    """A model that gives logits (sentences, labels), float64, with what belongs to it."""

    engine: str  # torch | ort
    task: str
    labels: tuple[str, ...]
    regression: bool
    tokenizer: Tokenizer
    logits: Callable[[EncodedSplit], NDArray[np.float64]]
    source: dict[str, Any]  # names what was scored, in a report

    @property
    def outputs(self) -> int:
        return 1 if self.regression else len(self.labels)

    def encode(self, examples: list[Example], what: str, say: Say) -> EncodedSplit:
        """Encode sentences, and say how many had to be cut."""
        split = encode_split(self.tokenizer, examples)
        say_truncated(say, split, what, self.tokenizer.max_tokens)
        return split


def open_scorer(path: Path, stage: str | None = None) -> Scorer:
    """The model of a run's stage, or of an export."""
    if is_run(path):
        return _open_run(path, stage)
    if stage:
        raise UserError(f"--stage: expected none, since {path} is no run, got {stage}")
    if (path / "manifest.json").is_file():
        return _open_export(path)
    what = "a folder with neither run.json nor manifest.json" if path.is_dir() else "no such folder"
    raise UserError(f"{path}: expected the folder of a run or an export, got {what}")


def score_task(scorer: Scorer, task: TaskData, say: Say) -> dict[str, Any]:
    """Metrics of a task's dev sentences, as plain data."""
    from edgebert.evaluate import summarize

    check_task(scorer, task, say)
    metrics: dict[str, float] = {}
    sentences = truncated = 0
    for examples, suffix in ((task.dev, ""), (task.dev_mm, "_mm")):
        if examples:
            split = scorer.encode(examples, f"dev{suffix} sentences", say)
            result = summarize(scorer.logits(split), split, task.metric, task.regression)
            metrics |= {name + suffix: value for name, value in result.metrics.items()}
            sentences += len(split)
            truncated += split.truncated
    return {
        "task": task.name,
        "engine": scorer.engine,
        **scorer.source,
        "sentences": sentences,
        "truncated": truncated,
        "metrics": metrics,
    }


def sentences_of(split: EncodedSplit) -> list[tuple[list[int], list[int]]]:
    """The sentences of a split as (token ids, token types)."""
    bounds = zip(split.offsets[:-1].tolist(), split.offsets[1:].tolist(), strict=True)
    return [(split.ids[a:b].tolist(), split.types[a:b].tolist()) for a, b in bounds]


def _open_run(path: Path, stage: str | None) -> Scorer:
    from edgebert.evaluate import compute_logits

    run = load_run(path, stage)
    return Scorer(
        engine="torch",
        task=run.info.task,
        labels=run.info.labels,
        regression=run.info.regression,
        tokenizer=run.tokenizer,
        logits=lambda split: compute_logits(run.model, split),
        source={"stage": run.bits.name, "checkpoint_sha256": run.stage.checkpoint_sha256},
    )


def _open_export(path: Path) -> Scorer:
    from export.package import load_export
    from export.sessions import OrtSession

    export = load_export(path)
    manifest = export.manifest

    @functools.cache
    def session() -> OrtSession:
        # The fast graph computes the same integers as model.onnx, which `verify` proves.
        return OrtSession(path / "fast.onnx", threads=len(os.sched_getaffinity(0)))

    return Scorer(
        engine="ort",
        task=manifest["task"],
        labels=tuple(manifest["labels"] or ()),
        regression=bool(manifest["regression"]),
        tokenizer=Tokenizer.load(path / "tokenizer", manifest["max_tokens"]),
        logits=lambda split: np.multiply(
            session().logits(sentences_of(split)), manifest["logit_scale"], dtype=np.float64
        ),
        source={"file": "fast.onnx", "export_sha256": export.digest},
    )


def check_task(scorer: Scorer, task: TaskData, say: Say) -> None:
    """Raise UserError where the model's outputs can't be a task's labels."""
    if (scorer.regression, scorer.outputs) != (task.regression, task.outputs):
        kinds = [
            "numbers (regression)" if regression else f"{outputs} classes"
            for regression, outputs in (
                (scorer.regression, scorer.outputs),
                (task.regression, task.outputs),
            )
        ]
        raise UserError(
            f"--task {task.name}: expected a task with {kinds[0]}, which the model was trained "
            f"for ({scorer.task}), got {kinds[1]}"
        )
    if scorer.task == task.name and scorer.labels != tuple(task.labels):
        raise UserError(
            f"--task {task.name}: expected the labels {', '.join(scorer.labels)} that the model "
            f"was trained for, got {', '.join(task.labels)}"
        )
    if scorer.labels != tuple(task.labels):
        pairs = zip(scorer.labels, task.labels, strict=True)
        say(
            f"note: the model was trained for {scorer.task}; its labels stand for those of "
            f"{task.name}: {', '.join(f'{a} = {b}' for a, b in pairs)}"
        )
