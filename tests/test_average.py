"""The mean of runs: its weights by hand, its scores, and what can't be averaged."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgebert.average import average, mean_state
from edgebert.checkpoint import read_record
from edgebert.cli import main
from edgebert.config import Config
from edgebert.errors import UserError
from edgebert.rundir import RunFolder, load_run
from edgebert.train import train
from tests.micro import micro_config, write_reviews

FULL = "w32a32"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/ and the runs a and b, which differ in their seed."""
    base = tmp_path_factory.mktemp("average")
    write_reviews(base / "data")
    for name, seed in (("a", 0), ("b", 1)):
        run(base, name, micro_config(schedule=FULL, epochs=2, seed=seed, held_out=0.2))
    return base


def run(base: Path, name: str, config: Config) -> Path:
    train(config, "csv", base / "data", base / name, device="cpu", progress=False)
    return base / name


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return load_run(path, FULL).model.state_dict()


def test_the_mean_by_hand_keeps_types_and_whole_numbers() -> None:
    first = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor([3])}
    second = {"w": torch.tensor([2.0, -4.0]), "n": torch.tensor([5])}
    third = {"w": torch.tensor([6.0, 5.0]), "n": torch.tensor([7])}
    found = mean_state([first, second, third])
    assert found["w"].tolist() == [3.0, 1.0] and found["w"].dtype == torch.float32
    assert found["n"].tolist() == [3]
    # 2^24 + 1 is no float32: two sums in float32 would lose it.
    large = [{"w": torch.tensor([value])} for value in (2.0**24, 1.0, 1.0)]
    assert mean_state(large)["w"].item() == pytest.approx((2**24 + 2) / 3, rel=1e-7)


def test_the_mean_is_a_finished_run(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, out, file = base / "a", base / "b", base / "mean", base / "scores.json"
    arguments = ["average", str(a), str(b), "--data", str(base / "data"), "--out", str(out)]
    assert main([*arguments, "--json", str(file)]) == 0
    ours, theirs, found = tensors(a), tensors(b), tensors(out)
    assert found.keys() == ours.keys()
    assert all(torch.equal(found[k], mean_state([ours, theirs])[k]) for k in found)
    assert not torch.equal(found["classifier.weight"], ours["classifier.weight"])

    scores = json.loads(file.read_text())["models"]
    assert [score["name"] for score in scores] == ["a", "b", "mean"]
    for score, path in zip(scores, (a, b, out), strict=True):
        stage = load_run(path, FULL).stage
        assert score["dev"] == stage.metrics and score["held_out"] == stage.chosen_by
    assert f"{scores[2]['dev']['accuracy']:.4f}" in capsys.readouterr().out

    folder = RunFolder(out)
    info = folder.read_info()
    assert info.status == "done" and folder.read_config().train.schedule == FULL
    assert info.averaged == {
        path.name: read_record(path / f"stage-{FULL}" / "stage.json")["checkpoint_sha256"]
        for path in (a, b)
    }
    assert folder.seconds() == pytest.approx(sum(RunFolder(p).seconds() for p in (a, b)), abs=1e-3)
    assert str(base) not in (out / "run.json").read_text()

    assert main(arguments) == 2
    assert "expected a new folder" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0
    assert all(torch.equal(tensors(out)[k], found[k]) for k in found)


def test_a_stage_goes_on_from_the_mean_and_is_taught_by_it(base: Path) -> None:
    out = base / "teacher"
    average([base / "a", base / "b"], base / "data", out, say=print)
    config = micro_config(schedule="w1a1", epochs=1, held_out=0.2)
    train(
        config, "csv", base / "data", base / "one-bit", init=str(out), device="cpu", progress=False
    )
    earlier = RunFolder(base / "one-bit").read_info().earlier
    stage = RunFolder(out).read_stage(load_run(out, FULL).bits)
    assert earlier is not None and earlier.checkpoint_sha256 == stage.checkpoint_sha256
    assert earlier.stages == {FULL: stage.metrics}
    assert earlier.seconds == pytest.approx(RunFolder(out).seconds(), abs=1e-3)


def test_of_longer_schedules_the_first_stage_counts(base: Path, tmp_path: Path) -> None:
    both = run(base, "both", micro_config(schedule="w32a32,w1a1", epochs=1, held_out=0.2))
    scores = average([base / "a", both], base / "data", tmp_path / "out", say=print)
    assert scores[1].dev == load_run(both, FULL).stage.metrics
    total = RunFolder(base / "a").seconds() + RunFolder(both).seconds(FULL)
    assert RunFolder(tmp_path / "out").seconds() == pytest.approx(total, abs=1e-3)
    assert RunFolder(both).seconds(FULL) < RunFolder(both).seconds()


def test_without_a_held_out_part_dev_alone_is_shown(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for seed in (2, 3):
        config = micro_config(schedule=FULL, epochs=1, seed=seed, held_out=0.0)
        paths.append(str(run(base, f"all-{seed}", config)))
    out = tmp_path / "out"
    assert main(["average", *paths, "--data", str(base / "data"), "--out", str(out)]) == 0
    assert "held out" not in capsys.readouterr().out
    stage = load_run(out, FULL).stage
    assert stage.chosen_by == stage.metrics


def test_what_cannot_be_averaged_is_one_line(base: Path, tmp_path: Path) -> None:
    def refused(message: str, *names: str, data: str = "data") -> None:
        with pytest.raises(UserError, match=message):
            average([base / name for name in names], base / data, tmp_path / "out", say=print)
        assert not (tmp_path / "out").exists()

    refused("expected two different runs or more, got 1", "a")
    refused("expected two different runs or more, got 2", "a", "a")
    refused("nowhere: expected the folder of a training run, got no such folder", "a", "nowhere")
    run(base, "one", micro_config(schedule="w1a1", epochs=1, held_out=0.2))
    refused("one: expected a run with a stage w32a32, got w1a1", "a", "one")
    config = micro_config(schedule=FULL, epochs=1, held_out=0.2)
    run(base, "wide", replace(config, model=replace(config.model, ffn=48)))
    refused("wide: expected model.ffn = 32 as in .*a, got 48", "a", "wide")
    run(base, "other", replace(config, train=replace(config.train, held_out=0.1)))
    refused("other: expected train.held_out = 0.2 as in .*a, got 0.1", "a", "other")
    refused("expected train.csv and dev.csv in it", "a", "b", data="a")
