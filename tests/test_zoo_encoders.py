"""Pre-trained encoders that ship: packed, unpacked, and started from."""

import shutil
from pathlib import Path

import pytest
import torch

from edgebert import zoo
from edgebert.cli import main
from edgebert.config import load_config
from edgebert.encoder_folder import EncoderFolder
from edgebert.errors import UserError
from edgebert.init import load_bert, quantized_state
from edgebert.model import BinaryBert
from edgebert.pretrain import pretrain
from edgebert.quantizers import weight_signs
from edgebert.rundir import RunFolder
from edgebert.zoo.encoders import (
    ZooEncoder,
    local_encoder,
    pack,
    pack_encoder,
    pack_quantized,
    read_encoders,
    unpack,
    unpack_encoder,
    zoo_encoder,
)
from tests.pretraining import micro, write_teacher, write_text
from tests.trained import ONE, small_config, small_model

ENCODERS = list(read_encoders().values())


@pytest.fixture(params=ENCODERS, ids=lambda encoder: encoder.name)
def encoder(request: pytest.FixtureRequest) -> ZooEncoder:
    return request.param


def test_packed_values_are_within_half_a_scale() -> None:
    random = torch.Generator().manual_seed(0)
    state = {"a": torch.randn(50, 30, generator=random), "b": torch.randn(7, generator=random)}
    state["a"][3] = 0
    packed = pack(state)
    assert packed["a"].dtype == torch.int8
    found = unpack(packed)
    assert found.keys() == state.keys() and torch.equal(found["b"], state["b"])
    assert torch.equal(found["a"][3], state["a"][3])
    half = state["a"].abs().amax(-1, keepdim=True) / 127 / 2
    assert ((found["a"] - state["a"]).abs() <= half * 1.001).all()


def test_a_packed_quantized_stage_is_binarized_as_it_was() -> None:
    model = small_model(small_config(), ONE)
    with torch.no_grad():
        model.word.weight[3] = 0.25
        model.word.weight[4] += 0.5
        model.layers[0].up.weight += 0.01  # type: ignore[union-attr, operator]
    state = quantized_state(model)
    packed = pack_quantized(state)
    found = unpack(packed)
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        if tensor.ndim != 2:
            assert torch.equal(found[name], tensor), name
        elif name in ("position.weight", "token_type.weight"):
            assert torch.equal(found[name], unpack(pack({name: tensor}))[name])
        else:
            assert packed[name].abs().max() <= 31
            dim = -1 if name == "word.weight" else None
            (signs, scale), (ours, theirs) = (weight_signs(t, dim) for t in (tensor, found[name]))
            assert torch.equal(signs, ours), name
            torch.testing.assert_close(scale, theirs, rtol=1e-6, atol=0)


def test_an_encoder_is_packed_with_its_quantized_stages(tmp_path: Path) -> None:
    source, text = write_teacher(tmp_path / "teacher"), write_text(tmp_path / "text.txt")
    out, config = tmp_path / "encoder", micro(schedule="w32a32,w1a1")
    pretrain(config, out, teacher=str(source), text=[text], max_steps=2, progress=False)
    content = pack_encoder(out)
    (tmp_path / "micro.zip").write_bytes(content)
    entry = zoo_encoder("micro", out, content)
    assert entry.stages == ("w32a32", "w1a1") and entry.teacher == "teacher"
    unpack_encoder(entry, tmp_path / "unpacked", tmp_path)
    before, after = EncoderFolder(out), EncoderFolder(tmp_path / "unpacked")
    assert after.read_info().status == "done"
    ids = torch.tensor([[2, 6, 9, 12, 3], [2, 7, 3, 0, 0]])
    results = []
    for folder in (before, after):
        state = folder.load_stage(ONE, folder.read_info())
        for name in ("position.weight", "token_type.weight"):  # these alone are rounded
            state[name] = unpack(pack({name: state[name]}))[name]
        model = BinaryBert(micro().model, micro().arithmetic, 2, ONE).eval()
        model.load_state_dict({**model.state_dict(), **state})
        with torch.no_grad():
            results.append(model(ids, torch.zeros_like(ids), (ids != 0).long()).hidden[-1])
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-3)


def test_every_encoder_has_a_card_and_the_sizes_of_its_configuration(encoder: ZooEncoder) -> None:
    card = (zoo.FOLDER / f"{encoder.name}.md").read_text(encoding="utf-8")
    assert card.startswith(f"# {encoder.name}\n") and f"{encoder.step:,} steps" in card
    state, config = load_bert(encoder.name)
    named = load_config(encoder.name).model
    assert state["embeddings.word_embeddings.weight"].shape == (named.vocab, named.hidden)
    assert config.num_hidden_layers == named.layers and config.intermediate_size == named.ffn
    assert all(bool(tensor.isfinite().all()) for tensor in state.values())


def test_it_is_unpacked_once(encoder: ZooEncoder) -> None:
    first = Path(local_encoder(encoder.name))
    assert EncoderFolder(first).read_info().stages["w32a32"].step == encoder.step
    before = (first / "model.safetensors").stat().st_mtime_ns
    assert Path(local_encoder(encoder.name)) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == before


def test_packing_what_was_unpacked_changes_nothing(encoder: ZooEncoder, tmp_path: Path) -> None:
    unpack_encoder(encoder, tmp_path / "first")
    first = load_bert(str(tmp_path / "first"))[0]
    assert all(torch.equal(first[name], tensor) for name, tensor in unpack(pack(first)).items())
    assert pack_encoder(tmp_path / "first") == pack_encoder(tmp_path / "first")


def test_a_training_starts_from_it(encoder: ZooEncoder, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows = "text,label\n" + "fine,good\nawful,bad\n" * 8
    for name in ("train.csv", "dev.csv"):
        (tmp_path / "data" / name).write_text(rows)
    given = ["--config", encoder.name, "--task", "csv", "--data", str(tmp_path / "data")]
    given += ["--init", encoder.name, "--schedule", "w32a32", "--max-steps", "1"]
    assert main(["train", *given, "--out", str(tmp_path / "run")]) == 0
    assert RunFolder(tmp_path / "run").read_info().init == encoder.name


def test_get_writes_a_folder_that_init_takes(
    encoder: ZooEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "encoder"
    assert main(["zoo", "get", encoder.name, "--out", str(out)]) == 0
    assert "model.safetensors" in capsys.readouterr().out
    ours, theirs = load_bert(str(out))[0], load_bert(encoder.name)[0]
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert main(["zoo", "get", encoder.name, "--out", str(out)]) == 2
    assert "expected a new folder" in capsys.readouterr().err
    assert main(["zoo", "get", encoder.name, "--out", str(out), "--target", "onnx"]) == 2
    assert "expected a trained model" in capsys.readouterr().err


def test_the_list_shows_it(encoder: ZooEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "list"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = [encoder.name, ",".join(encoder.stages), encoder.teacher]
    assert any(line[:3] == shown for line in lines)


def test_another_size_is_an_error(
    encoder: ZooEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--config", encoder.name, "--task", "reviews", "--init", encoder.name]
    given += ["--set", "model.layers=1", "--out", str(tmp_path / "run")]
    assert main(["train", *given]) == 2
    assert "as it was pre-trained with, got 1" in capsys.readouterr().err


def test_a_changed_file_is_refused(encoder: ZooEncoder, tmp_path: Path) -> None:
    changed = tmp_path / f"{encoder.name}.zip"
    shutil.copy(zoo.FOLDER / changed.name, changed)
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    with pytest.raises(UserError, match="truncated or changed"):
        unpack_encoder(encoder, tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()
