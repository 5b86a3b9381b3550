"""One full-precision model of several: their weights' mean.

Runs that start from the same weights and learn the same task end near each other, so near that the
mean of their weights is often better than each of them, at the cost of one (M. Wortsman et al.,
"Model soups", 2022). Weights of one bit have no mean, so this is for w32a32: the teacher.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgebert.batches import EncodedSplit
from edgebert.checkpoint import new_folder
from edgebert.config import TRAINING_ONLY, parse_schedule
from edgebert.encoder_folder import FULL
from edgebert.errors import UserError
from edgebert.evaluate import evaluate
from edgebert.inputs import Inputs, prepare_inputs
from edgebert.model import BinaryBert
from edgebert.provenance import run_info, some_sentences
from edgebert.rundir import LoadedRun, RunFolder, StageResult, check_out, load_run, require_run
from edgebert.scoring import Say
from edgebert.trainlog import TrainLog


@dataclass(frozen=True)
class Scores:
    """Metrics of one model. held_out: on what train kept to choose by; empty where nothing."""

    name: str
    held_out: dict[str, float]
    dev: dict[str, float]


def average(
    paths: Sequence[str | Path],
    data: str | Path | None,
    out: str | Path,
    *,
    force: bool = False,
    say: Say,
) -> list[Scores]:
    """Write the mean of the runs' w32a32 into `out`, a finished run of that stage alone.

    It may be another run's --init or distill.teacher. Its configuration is that of the first run,
    its time that of all. data: folder of the runs' task. Returns the scores of each run, and at
    last of the mean.
    Raises UserError where there are fewer than two runs, or they don't fit each other.
    """
    out = Path(out)
    check_out(out, force=force)
    if len({Path(path).resolve() for path in paths}) < 2:
        raise UserError(f"average: expected two different runs or more, got {len(paths)}")
    for path in map(Path, paths):
        require_run(path)
        schedule = RunFolder(path).read_config().train.schedule
        if FULL not in parse_schedule(schedule):
            raise UserError(f"{path}: expected a run with a stage {FULL.name}, got {schedule}")
    runs = [load_run(path, FULL.name) for path in paths]
    first = runs[0]
    for run in runs[1:]:
        _check(run, first)
    config = replace(
        first.config,
        train=replace(first.config.train, schedule=FULL.name),
        distill=replace(first.config.distill, text=()),
    )
    inputs = prepare_inputs(config, first.info.task, data, str(first.path), say)
    if tuple(inputs.task.labels) != first.info.labels:
        raise UserError(f"--data {data}: expected the labels of {first.path}, got others")
    mean = BinaryBert(config.model, config.arithmetic, first.info.outputs, FULL, False)
    mean.load_state_dict(mean_state([run.model.state_dict() for run in runs]))
    models = [(run.path.name, run.model) for run in runs] + [("mean", mean.eval())]
    scores = []
    for number, (name, model) in enumerate(models, 1):
        say(f"scoring model {number} of {len(models)}, {name}")
        scores.append(_score(name, model, inputs))
    _write(out, runs, mean, scores[-1], inputs, data)
    return scores


def _write(
    out: Path,
    runs: Sequence[LoadedRun],
    mean: BinaryBert,
    scores: Scores,
    inputs: Inputs,
    data: str | Path | None,
) -> None:
    """The folder of a run of w32a32 whose training took the time of all runs' w32a32."""
    seconds = sum(RunFolder(run.path).seconds(FULL.name) for run in runs)
    info = replace(
        run_info(inputs, data, runs[0].info.init, None),
        status="done",
        averaged={run.path.name: run.stage.checkpoint_sha256 for run in runs},
    )
    with new_folder(out.resolve()) as fresh:
        sentences = some_sentences(inputs.task.dev)
        folder = RunFolder.create(
            fresh, inputs.config, info, inputs.tokenizer, sentences, force=False
        )
        with TrainLog(folder.metrics, folder.tensorboard, True) as log:
            log.write(FULL.name, 0, 0, {"dev": scores.dev, "seconds": round(seconds, 3)})
        chosen_by = scores.held_out or scores.dev
        result = StageResult(FULL.name, False, 0, scores.dev, chosen_by, "")
        folder.write_stage(mean.state_dict(), result)
        folder.checkpoint.save({"stage": 1, "step": 0, "log_bytes": log.size}, {}, "")


def mean_state(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each floating-point tensor, taken in float64; others are the first model's."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }


def _check(run: LoadedRun, first: LoadedRun) -> None:
    """Raise UserError, naming the first difference, unless the runs may be averaged."""
    for (what, ours), (_, theirs) in zip(_kind(run), _kind(first), strict=True):
        if ours != theirs:
            raise UserError(
                f"{run.path}: expected {what} = {theirs} as in {first.path}, got {ours}"
            )


def _kind(run: LoadedRun) -> list[tuple[str, Any]]:
    """What runs must have in common."""
    sizes = {k: v for k, v in asdict(run.config.model).items() if k not in TRAINING_ONLY}
    vocabulary = hashlib.sha256("\n".join(run.tokenizer.vocab).encode()).hexdigest()
    return [
        ("task", run.info.task),
        ("labels", ", ".join(run.info.labels)),
        *((f"model.{name}", size) for name, size in sizes.items()),
        ("train.held_out", run.config.train.held_out),
        ("vocabulary", vocabulary[:12]),
    ]


def _score(name: str, model: BinaryBert, inputs: Inputs) -> Scores:
    def metrics(split: EncodedSplit) -> dict[str, float]:
        task = inputs.task
        return evaluate(model, split, task.metric, task.regression).metrics

    held_out = {} if inputs.choose is inputs.dev else metrics(inputs.choose)
    return Scores(name, held_out, metrics(inputs.dev))
