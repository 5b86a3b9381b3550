"""Quantized stages of a training that start from an encoder's."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from edgebert.config import Config, from_dict, to_dict
from edgebert.encoder_folder import FULL, EncoderFolder
from edgebert.errors import UserError
from edgebert.init import encoder_state
from edgebert.pretrain import pretrain
from edgebert.quantized_init import integer_file, start_from
from edgebert.rundir import RunFolder, load_run
from edgebert.train import train
from edgebert.zoo import model_file, read_index
from export.lower import lower_run, lower_tensors
from export.package import file_hash, write_export
from hw.errors import HardwareFileError
from hw.integer_model import load_integer_model, save_integer_model
from tests.micro import write_reviews
from tests.pretraining import micro, write_teacher, write_text
from tests.trained import ONE, small_model

SAID = "w1a1: its encoder starts from an earlier w1a1"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    source, text = write_teacher(folder / "teacher"), write_text(folder / "text.txt")
    config = micro(schedule="w32a32,w1a1")
    out = folder / "encoder"
    pretrain(config, out, teacher=str(source), text=[text], max_steps=20, progress=False)
    return out


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("data"))


def settings(schedule: str, quantized_init: str = "auto", **model: object) -> Config:
    """Of a training that leaves its start as it is."""
    values = {"schedule": schedule, "quantized_init": quantized_init, "lr": 1e-12}
    config = to_dict(micro())
    return from_dict({"model": config["model"] | model, "train": values})


def run(
    config: Config, data: Path, out: Path, init: Path | None, resume: bool = False
) -> tuple[RunFolder, list[str]]:
    """A run of a step a stage, and what it said."""
    said: list[str] = []
    train(
        config,
        "csv",
        data,
        out,
        init=str(init) if init else None,
        device="cpu",
        max_steps=1,
        progress=False,
        resume=resume,
        say=said.append,
    )
    return RunFolder(out), said


def parameters(folder: RunFolder, stage: str) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(folder.path / f"stage-{stage}" / "model.safetensors")


def pretrained(encoder: Path) -> dict[str, Tensor]:
    folder = EncoderFolder(encoder)
    return folder.load_stage(ONE, folder.read_info())


def same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.float(), b.float(), rtol=0, atol=1e-8)


def test_a_stage_starts_from_the_encoders_and_keeps_what_is_of_the_task(
    encoder: Path, data: Path, tmp_path: Path
) -> None:
    folder, said = run(settings("w32a32,w1a1"), data, tmp_path / "run", encoder)
    assert said.count(SAID) == 1
    start, before = pretrained(encoder), parameters(folder, "w32a32")
    found = parameters(folder, "w1a1")
    for name, tensor in found.items():
        if name.startswith("classifier.") or name in ("pooler.weight", "pooler.bias"):
            assert same(tensor, before[name]), name
        elif not name.startswith("pooler."):
            assert same(tensor, start[name]), name
    assert not same(found["pooler.weight"], start["pooler.weight"])
    assert folder.read_stage(ONE).deploy  # on the integers, too
    assert SAID not in run(settings("w32a32,w1a1"), data, folder.path, encoder, resume=True)[1]


def test_none_leaves_a_stage_to_the_one_before(encoder: Path, data: Path, tmp_path: Path) -> None:
    folder, said = run(settings("w32a32,w1a1", "none"), data, tmp_path / "run", encoder)
    assert SAID not in said
    before, found = parameters(folder, "w32a32"), parameters(folder, "w1a1")
    assert all(same(found[name], before[name]) for name in before)


def test_other_stages_than_the_encoders_start_as_ever(
    encoder: Path, data: Path, tmp_path: Path
) -> None:
    folder, said = run(settings("w32a32,w1a2,w1a1"), data, tmp_path / "run", encoder)
    assert [line for line in said if "starts from" in line] == [SAID]
    before, found = parameters(folder, "w32a32"), parameters(folder, "w1a2")
    assert all(same(found[name], before[name]) for name in before)


def test_a_first_stage_starts_from_it_with_its_pooler(
    encoder: Path, data: Path, tmp_path: Path
) -> None:
    folder, said = run(settings("w1a1"), data, tmp_path / "run", encoder)
    assert SAID in said
    found = parameters(folder, "w1a1")
    assert all(same(found[name], tensor) for name, tensor in pretrained(encoder).items())


def test_a_run_that_goes_on_from_another_may_name_the_encoder(
    encoder: Path, data: Path, tmp_path: Path
) -> None:
    first, _ = run(settings("w32a32"), data, tmp_path / "first", encoder)
    config = settings("w1a1", str(encoder))
    folder, said = run(config, data, tmp_path / "second", first.path)
    assert SAID in said
    found, start = parameters(folder, "w1a1"), pretrained(encoder)
    assert same(found["word.weight"], start["word.weight"])
    assert same(found["pooler.weight"], parameters(first, "w32a32")["pooler.weight"])


def test_a_model_of_fewer_tokens_takes_the_first_positions(encoder: Path) -> None:
    config = from_dict({"model": {**to_dict(micro())["model"], "max_tokens": 9}}).model
    model = small_model(config, ONE)
    start_from(model, pretrained(encoder), pooler=False)
    expected = pretrained(encoder)["position.weight"]
    assert torch.equal(model.position.weight, expected[:9])


def test_what_cannot_be_started_from_is_one_line(encoder: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def failure(config: Config, init: Path | None) -> str:
        with pytest.raises(UserError) as caught:
            run(config, data, out, init)
        assert not out.exists() and "\n" not in str(caught.value)
        return str(caught.value)

    assert "expected an encoder with a quantized stage of w32a32,w1a2, got w32a32, w1a1" in failure(
        settings("w32a32,w1a2", str(encoder)), encoder
    )
    assert "got none; make one by edgebert pretrain" in failure(
        settings("w1a1", str(tmp_path)), encoder
    )
    assert "expected model.attention = softmax as it was trained with, got sps" in failure(
        settings("w32a32,w1a1", attention="sps"), encoder
    )
    named = f"train.quantized_init {encoder}: expected"
    assert f"{named} model.hidden = 16" in failure(
        settings("w1a1", str(encoder), hidden=8, vocab=60), None
    )
    assert f"{named} the run's vocabulary" in failure(
        settings("w1a1", str(encoder), vocab=60), None
    )
    changed = tmp_path / "changed"
    shutil.copytree(encoder, changed)
    path = changed / "w1a1.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert "w1a1.safetensors: expected sha256" in failure(settings("w32a32,w1a1"), changed)


def test_an_encoders_files_are_by_stage(encoder: Path) -> None:
    folder = EncoderFolder(encoder)
    full = folder.load_stage(FULL, folder.read_info())
    assert full.keys() == encoder_state(small_model(micro().model, FULL)).keys()


def test_a_run_of_another_task_is_an_encoder_of_all_its_stages(
    encoder: Path, data: Path, tmp_path: Path
) -> None:
    first, _ = run(settings("w32a32,w1a1"), data, tmp_path / "first", encoder)
    other = tmp_path / "data"
    other.mkdir()
    for name in ("train.csv", "dev.csv"):
        lines = (data / name).read_text(encoding="utf-8").splitlines()
        scored = [line.rsplit(",", 1)[0] + ",0.5" for line in lines[1:]]
        (other / name).write_text("\n".join([lines[0], *scored]) + "\n", encoding="utf-8")
    folder, said = run(settings("w32a32,w1a1"), other, tmp_path / "second", first.path)
    assert said.count(SAID) == 1 and folder.read_info().regression
    assert folder.read_info().earlier is None
    for stage in ("w32a32", "w1a1"):
        found, start = parameters(folder, stage), parameters(first, stage)
        for name in start:
            if not name.startswith(("classifier.", "pooler.")):
                assert same(found[name], start[name]), (stage, name)
    assert len(found["classifier.bias"]) == 1
    # the teacher of the second run's w1a1 is its own w32a32, whose pooler w1a1 takes
    assert same(found["pooler.weight"], parameters(folder, "w32a32")["pooler.weight"])


@pytest.fixture(scope="module")
def exported(encoder: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    done, _ = run(settings("w32a32,w1a1"), data, folder / "run", encoder)
    loaded = load_run(done.path)
    golden = [loaded.tokenizer.encode(text, other) for text, other in loaded.sentences]
    write_export(folder / "export", lower_run(loaded, golden, "run"))
    return folder / "export"


def test_an_export_is_an_encoder_too_whose_integers_the_stage_starts_from(
    encoder: Path, exported: Path, data: Path, tmp_path: Path
) -> None:
    first, _ = run(settings("w32a32"), data, tmp_path / "first", encoder)
    folder, said = run(settings("w1a1", str(exported)), data, tmp_path / "second", first.path)
    assert SAID in said
    file = exported / "integer.safetensors"
    assert folder.read_info().quantized_init == {"w1a1": file_hash(file)}
    found = lower_tensors(load_run(folder.path).model)
    for name, tensor in load_integer_model(file).tensors.items():
        if not name.startswith(("classifier.", "pooler.", "golden.")):
            assert np.array_equal(found[name], tensor), name


def test_a_start_without_relative_positions_gets_a_bias_of_nothing_and_one_with_keeps_it(
    encoder: Path, exported: Path, data: Path, tmp_path: Path
) -> None:
    start = load_integer_model(exported / "integer.safetensors")
    first, _ = run(settings("w32a32"), data, tmp_path / "first", encoder)
    config = settings("w1a1", str(exported), relative_positions=3)
    folder, _ = run(config, data, tmp_path / "second", first.path)
    found = lower_tensors(load_run(folder.path).model)
    for name, tensor in found.items():
        if name.endswith("relative_bias"):
            assert tensor.shape == (start.dimensions.heads, 7) and not tensor.any()
        elif not name.startswith(("classifier.", "pooler.")):
            assert np.array_equal(tensor, start[name]), name
    other = settings("w1a1", str(folder.path), relative_positions=2)
    with pytest.raises(UserError, match=r"expected model\.relative_positions = 3 as it was"):
        run(other, data, tmp_path / "third", first.path)
    again = settings("w1a1", str(folder.path), relative_positions=3)
    kept = parameters(run(again, data, tmp_path / "fourth", first.path)[0], "w1a1")
    for name, tensor in parameters(folder, "w1a1").items():
        if not name.startswith(("classifier.", "pooler.")):
            assert same(kept[name], tensor), name


def test_a_run_goes_on_from_the_same_model_only(
    encoder: Path, exported: Path, data: Path, tmp_path: Path
) -> None:
    first, _ = run(settings("w32a32"), data, tmp_path / "first", encoder)
    start = tmp_path / "start"
    shutil.copytree(exported, start)
    config = settings("w1a1", str(start))
    folder, _ = run(config, data, tmp_path / "second", first.path)
    model = load_integer_model(start / "integer.safetensors")
    model["layer.0.query.weight"][0, 0] *= -1
    save_integer_model(start / "integer.safetensors", model)
    with pytest.raises(UserError, match="expected the model of train"):
        run(config, data, folder.path, first.path, resume=True)


def test_a_model_of_the_zoo_is_found_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = read_index()["tiny-sst2"]
    monkeypatch.chdir(tmp_path)
    assert integer_file("tiny-sst2") == model_file(model) and integer_file("tiny") is None
    (tmp_path / "tiny-sst2").mkdir()  # a folder of that name comes first
    assert integer_file("tiny-sst2") is None


def test_an_export_that_does_not_fit_is_one_line(
    exported: Path, data: Path, tmp_path: Path
) -> None:
    named = f"train.quantized_init {exported}: expected"
    for wrong, message in (
        (settings("w1a1", str(exported), hidden=8, vocab=60), f"{named} model.hidden = 16"),
        (
            settings("w1a1", str(exported), attention="sps", vocab=60),
            f"{named} model.attention = softmax",
        ),
        (settings("w1a1", str(exported), vocab=60), f"{named} the run's vocabulary"),
        (
            settings("w1a2", str(exported), vocab=60),
            f"{named} an encoder with a quantized stage of w1a2",
        ),
    ):
        with pytest.raises(UserError) as caught:
            run(wrong, data, tmp_path / "run", None)
        assert message in str(caught.value) and "\n" not in str(caught.value)
    broken = tmp_path / "broken"
    shutil.copytree(exported, broken)
    path = broken / "integer.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(HardwareFileError, match="damaged or foreign file"):
        run(settings("w1a1", str(broken), vocab=60), data, tmp_path / "run", None)
