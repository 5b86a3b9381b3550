"""Training: the same seed gives the same weights, however often it was interrupted."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from edgebert.checkpoint import RECORD
from edgebert.config import Config
from edgebert.errors import UserError
from edgebert.evaluate import evaluate
from edgebert.inputs import prepare_inputs
from edgebert.interrupt import Interrupted
from edgebert.optim import lr_at, make_optimizer
from edgebert.rundir import StageResult, load_run
from edgebert.train import train
from tests.micro import micro_config, write_config, write_reviews
from tests.trained import ONE, small_model

STAGES = ["w32a32", "w1a2", "w1a1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("reviews"))


def run(data: Path, out: Path, config: Config | None = None, **more: Any) -> list[StageResult]:
    more = {"device": "cpu", "progress": False, **more}
    return train(config or micro_config(), "csv", data, out, **more)


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "finished"
    run(data, out, micro_config(eval_every=10))
    return out


def hashes(out: Path) -> list[str]:
    return [load_run(out, stage).stage.checkpoint_sha256 for stage in STAGES]


def log(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    timing = ("seconds", "sentences_per_second")
    return [{k: v for k, v in line.items() if k not in timing} for line in lines]


def test_every_stage_learns_and_the_last_one_is_deployed(data: Path, finished: Path) -> None:
    results = [load_run(finished, stage).stage for stage in STAGES]
    assert [result.deploy for result in results] == [False, False, True]
    assert all(result.metrics["accuracy"] > 0.7 for result in results)
    assert json.loads((finished / "run.json").read_text())["status"] == "done"
    assert list((finished / "tensorboard").iterdir())
    assert {path.name for path in (finished / "checkpoint").iterdir()} == {RECORD}


def test_the_best_step_of_a_stage_goes_on(finished: Path) -> None:
    for stage in STAGES:
        scores = {
            line["step"]: line["dev"]["accuracy"]
            for line in log(finished)
            if line["stage"] == stage and "dev" in line
        }
        result = load_run(finished, stage).stage
        assert result.metrics["accuracy"] == max(scores.values())
        assert result.step == max(s for s, v in scores.items() if v == max(scores.values()))


def test_a_loaded_run_scores_what_its_training_reported(data: Path, finished: Path) -> None:
    inputs = prepare_inputs(micro_config(), "csv", data, None, print)
    for stage in STAGES:
        loaded = load_run(finished, stage)
        assert evaluate(loaded.model, inputs.dev, "accuracy", False).metrics == loaded.stage.metrics


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not(
    data: Path, tmp_path: Path, finished: Path
) -> None:
    run(data, tmp_path / "again", micro_config(eval_every=10))
    assert hashes(tmp_path / "again") == hashes(finished)
    assert log(tmp_path / "again") == log(finished)
    (other,) = run(data, tmp_path / "other", micro_config(schedule="w32a32", epochs=1, seed=1))
    (same,) = run(data, tmp_path / "same", micro_config(schedule="w32a32", epochs=1, seed=2))
    assert other.checkpoint_sha256 != same.checkpoint_sha256


def interrupt_once(after: int) -> Callable[[str], None]:
    """A `say` that presses Ctrl-C at one evaluation."""
    seen: list[str] = []

    def say(message: str) -> None:
        seen.append(message)
        if len(seen) == after:
            os.kill(os.getpid(), signal.SIGINT)

    return say


def test_a_run_interrupted_at_every_evaluation_ends_with_the_same_weights(
    data: Path, tmp_path: Path, finished: Path
) -> None:
    out, config, stops = tmp_path / "run", micro_config(eval_every=10), 0
    while True:
        try:
            run(data, out, config, resume=stops > 0, say=interrupt_once(1))
            break
        except Interrupted as stopped:
            stops += 1
            assert str(stopped).endswith("go on with the same command and --resume")
            assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    assert stops >= 10
    assert hashes(out) == hashes(finished)
    scores = [line for line in log(out) if "dev" in line]
    assert scores == [line for line in log(finished) if "dev" in line]


def test_a_run_that_crashed_goes_on_from_its_last_checkpoint(
    data: Path, tmp_path: Path, finished: Path
) -> None:
    def crash(message: str) -> None:
        if message.startswith("w1a2: step 20"):
            raise RuntimeError("power cut")

    config = micro_config(eval_every=10, checkpoint_every=7)
    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="power cut"):
        run(data, out, config, say=crash)
    assert json.loads((out / "checkpoint" / RECORD).read_text())["state"]["step"] == 14
    run(data, out, config, resume=True)
    assert hashes(out) == hashes(finished)
    assert [(line["stage"], line["step"]) for line in log(out) if "dev" in line] == [
        (line["stage"], line["step"]) for line in log(finished) if "dev" in line
    ]


def test_resuming_a_finished_run_changes_nothing(data: Path, finished: Path) -> None:
    before, said = hashes(finished), []
    run(data, finished, micro_config(eval_every=10), resume=True, say=said.append)
    assert hashes(finished) == before
    assert said == ["nothing to do: every stage is trained"]


@pytest.mark.parametrize(
    ("changes", "more", "named"),
    [
        ({"lr": 1e-3}, {}, r"train\.lr\.default = 0\.02"),
        ({"eval_every": 6}, {}, r"train\.eval_every = 10"),
        ({}, {"max_steps": 3}, "--max-steps = None"),
    ],
)
def test_resuming_with_another_setting_names_it(
    data: Path, finished: Path, changes: dict[str, Any], more: dict[str, Any], named: str
) -> None:
    with pytest.raises(UserError, match=named):
        run(data, finished, micro_config(**{"eval_every": 10, **changes}), resume=True, **more)


def test_resuming_with_other_data_is_refused(finished: Path, tmp_path: Path) -> None:
    other = write_reviews(tmp_path / "other")
    text = (other / "train.csv").read_text()
    (other / "train.csv").write_text(text.replace("negative", "positive", 1))
    with pytest.raises(UserError, match="--data"):
        run(other, finished, micro_config(eval_every=10), resume=True)


def test_a_folder_that_holds_something_is_never_overwritten(
    data: Path, tmp_path: Path, finished: Path
) -> None:
    before = hashes(finished)
    with pytest.raises(UserError, match="holds a run"):
        run(data, finished)
    with pytest.raises(UserError, match=r"model\.attention"):  # a start that fails
        config = micro_config()
        bad = {"attention": "none"}
        run(data, finished, Config(type(config.model)(**{**vars(config.model), **bad})), force=True)
    with pytest.raises(UserError, match="--data"):
        run(tmp_path / "nowhere", finished, force=True)
    assert hashes(finished) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(UserError, match="other files"):
        run(data, tmp_path / "mine", force=True)
    with pytest.raises(UserError, match="no such folder"):
        run(data, tmp_path / "none", resume=True)


def test_force_replaces_a_run(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    config = micro_config(schedule="w32a32", epochs=1)
    run(data, out, config)
    (out / "stale").touch()
    run(data, out, config, force=True)
    assert not (out / "stale").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_held_out_sentences_choose_and_unlabelled_text_is_distilled(
    data: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    lines = ["a warm story", "", "the town is dull\ta dull town", "long " * 40]
    text.write_text("\n".join(lines), encoding="utf-8")
    config = micro_config(held_out=0.25, epochs=1, schedule="w32a32,w1a1")
    config = Config(
        config.model, train=config.train, distill=type(config.distill)(text=(str(text),))
    )
    said: list[str] = []
    inputs = prepare_inputs(config, "csv", data, None, said.append)
    assert (len(inputs.train), len(inputs.choose), len(inputs.train_and_text)) == (72, 24, 75)
    assert said == ["note: 1 of 3 extra sentences were longer than 16 tokens and truncated"]
    results = run(data, tmp_path / "run", config)
    logged = log(tmp_path / "run")
    assert all("dev" not in line for line in logged)
    assert {line["stage"]: line["step"] for line in logged} == {"w32a32": 9, "w1a1": 10}
    assert results[1].chosen_by != {}


def test_pairs_of_extra_text_need_a_second_token_type(data: Path, tmp_path: Path) -> None:
    text = tmp_path / "pairs.txt"
    text.write_text("a warm story\ta cold one\n", encoding="utf-8")
    config = micro_config()
    distill = replace(config.distill, text=(str(text),))
    inputs = prepare_inputs(replace(config, distill=distill), "csv", data, None, print)
    start, end = inputs.train_and_text.offsets[-2:]
    assert set(inputs.train_and_text.types[start:end].tolist()) == {0, 1}
    config = replace(config, model=replace(config.model, token_types=1), distill=distill)
    with pytest.raises(UserError, match=r"model.token_types: .* pairs of .*pairs\.txt, got 1"):
        prepare_inputs(config, "csv", data, None, print)


def test_the_last_part_of_a_stage_compares_no_hidden_states(data: Path, tmp_path: Path) -> None:
    def trained(name: str, **distill: float) -> str:
        config = micro_config(epochs=1, schedule="w32a32,w1a1")
        weights = replace(config.distill, **{"attention": 0.5, **distill})
        return run(data, tmp_path / name, replace(config, distill=weights))[1].checkpoint_sha256

    whole, half, none = (trained(f"part-{part}", hidden_part=part) for part in (1.0, 0.5, 0.0))
    assert none == trained("without", hidden=0.0, attention=0.0)
    assert len({whole, half, none}) == 3


def test_regression_trains_through_all_stages(tmp_path: Path) -> None:
    folder = write_reviews(tmp_path / "data", 32, 16)
    for name in ("train.csv", "dev.csv"):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("negative", "0.0").replace("positive", "2.5"))
    results = run(folder, tmp_path / "run", micro_config(epochs=1))
    assert all(set(r.metrics) == {"pearson", "spearman", "pearson_spearman"} for r in results)
    assert load_run(tmp_path / "run").info.outputs == 1


def test_a_loss_that_diverges_is_a_user_error(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="smaller --lr"):
        run(data, tmp_path / "run", micro_config(lr=1e30, grad_clip=0.0, schedule="w32a32"))


def test_a_changed_model_or_tokenizer_is_found(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(data, out, micro_config(schedule="w32a32", epochs=1))
    path = out / "stage-w32a32" / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"model\.safetensors: expected sha256"):
        load_run(out)
    path.write_bytes(content)
    vocab = out / "tokenizer" / "vocab.txt"
    vocab.write_text(vocab.read_text().replace("warm", "cold2"))
    with pytest.raises(UserError, match=r"vocab\.txt: expected the file that run\.json names"):
        load_run(out)


def test_an_unfinished_stage_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(data, tmp_path / "run", say=interrupt_once(6))
    with pytest.raises(UserError, match="expected a trained stage w1a1, got w32a32"):
        load_run(tmp_path / "run")
    assert load_run(tmp_path / "run", "w32a32").bits.name == "w32a32"
    with pytest.raises(UserError, match="--stage: expected one of w32a32, w1a2, w1a1"):
        load_run(tmp_path / "run", "w9a9")


def test_weight_decay_spares_vectors_and_scales(finished: Path) -> None:
    config = micro_config(weight_decay=0.1, scale_lr_factor=3.0).train
    sizes = replace(load_run(finished).config.model, relative_positions=2)
    model = small_model(sizes, ONE)
    optimizer = make_optimizer(model, config)
    group_of = {
        id(parameter): (group["weight_decay"], group["factor"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for name, parameter in model.named_parameters():
        if name.endswith((".alpha", ".beta")):
            expected = (0.0, 3.0)
        else:
            matrix = parameter.ndim == 2 and "relative_bias" not in name
            expected = (0.1 if matrix else 0.0, 1.0)
        assert group_of[id(parameter)] == expected, name


def test_the_learning_rate_rises_then_falls_linearly() -> None:
    assert [lr_at(step, 10, 0.2) for step in range(10)] == pytest.approx(
        [0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    )
    assert lr_at(0, 1, 0.1) == 1.0
    assert lr_at(0, 3, 0.0) == 1.0


def test_two_processes_have_the_gradients_of_one_with_the_joint_batch(
    data: Path, tmp_path: Path
) -> None:
    # A learning rate so small that both runs' second stages start from the same weights: the
    # least difference could flip an accumulator of zero.
    settings = {"schedule": "w32a32,w1a1", "lr": 1e-300, "grad_clip": 0.0, "precision": "fp32"}
    config = micro_config(**settings)
    assert config.model.dropout > 0  # of which each process draws its own: off here
    path = write_config(tmp_path / "micro.yaml", **settings)
    path.write_text(path.read_text().replace(f"dropout: {config.model.dropout}", "dropout: 0.0"))
    script = str(Path(__file__).parent / "spy_gradients.py")
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    for out, launcher in (
        ("one", [sys.executable]),
        (
            "two",
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"],
        ),
    ):
        command = [*launcher, script, str(path), str(data), str(tmp_path / out)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]

    def load(name: str) -> dict[str, torch.Tensor]:
        return safetensors.torch.load((tmp_path / f"{name}.safetensors").read_bytes())

    for stage in ("w32a32", "w1a1"):
        one, two = load(f"one.{stage}.0-of-1"), load(f"two.{stage}.0-of-2")
        assert one.keys() == two.keys()
        for name in one:
            if not name.endswith(".alpha"):  # LSQ scales it by the elements of a process
                torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-6)
    first, second = load("two.end.0-of-2"), load("two.end.1-of-2")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(bool(tensor.isfinite().all()) for tensor in first.values())
    assert [r.stage for r in (load_run(tmp_path / "two").stage,)] == ["w1a1"]
