"""The export directory: rebuilt byte for byte, whole or absent, and guarded by its hashes."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from edgebert.errors import UserError
from export.package import file_hash, load_export, rebuild, write_export
from hw.errors import HardwareFileError
from hw.integer_model import IntegerModel, unpack_bits
from hw.reference import run
from tests.models import random_integer_model


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(("target", "attention"), [("onnx", "softmax"), ("pynq", "sps")])
def test_an_export_is_rebuilt_byte_for_byte(tmp_path: Path, target: str, attention: str) -> None:
    model = random_integer_model(attention=attention)
    first = write_export(tmp_path / "first", model, target)
    rebuild(tmp_path / "second", first.path / "integer.safetensors")
    rebuild(tmp_path / "third", tmp_path / "second" / "integer.safetensors")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert contents(tmp_path / "second") == contents(tmp_path / "third")
    assert not list(tmp_path.glob(".*"))
    assert first.digest == load_export(tmp_path / "third").digest


def test_an_export_has_its_files(tmp_path: Path) -> None:
    model = random_integer_model(labels=3)
    export = write_export(tmp_path / "out", model, "pynq")
    names = {"model.onnx", "encoder.onnx", "fast.onnx", "tables.npz", "golden.npz"}
    names |= {"integer.safetensors", "tokenizer/vocab.txt", "target.yaml"}
    assert contents(export.path).keys() == names | {"manifest.json"}
    manifest = json.loads((export.path / "manifest.json").read_text())
    assert manifest == export.manifest
    assert manifest["files"].keys() == names
    for name, entry in manifest["files"].items():
        assert entry["sha256"] == file_hash(export.path / name)
    assert manifest["formats"] == model.config["arithmetic"]
    assert manifest["model"] == model.config["model"]
    assert manifest["labels"] == ["label0", "label1", "label2"]
    assert manifest["logit_scale"] == 2.0**-24
    assert manifest["source"] == {"run": "runs/random", "checkpoint_sha256": "0" * 64}
    assert manifest["versions"]["numpy"] == np.__version__
    target = yaml.safe_load((export.path / "target.yaml").read_text())
    assert target["board"] == "pynq-z2" and target["part"] == "xc7z020clg400-1"
    assert target["max_tokens"] == 16 and target["resources"]["LUT"] == 53200
    assert (export.path / "tokenizer/vocab.txt").read_bytes() == model.attachments["vocab.txt"]
    assert (export.model["layer.0.up.weight"] == model["layer.0.up.weight"]).all()


def test_golden_vectors_are_the_reference(tmp_path: Path) -> None:
    model = random_integer_model(golden=2)
    export = write_export(tmp_path / "out", model)
    with np.load(export.path / "golden.npz", allow_pickle=False) as golden:
        names = set(golden.files)
        for index in range(2):
            ids, types = golden[f"{index}.input_ids"], golden[f"{index}.token_type_ids"]
            assert len(ids) == model["golden.lengths"][index]
            for name, value in run(model, ids, types).items():
                assert (golden[f"{index}.{name}"] == value).all()
                names.remove(f"{index}.{name}")
    assert names == {f"{i}.{name}" for i in range(2) for name in ("input_ids", "token_type_ids")}


def test_tables_hold_what_the_host_computes_with(tmp_path: Path) -> None:
    model = random_integer_model(hidden=20, ffn=40)
    path = write_export(tmp_path / "out", model).path / "tables.npz"
    with np.load(path, allow_pickle=False) as tables:
        assert (tables["embedding.position"] == model["embedding.position"]).all()
        assert (tables["rsqrt_table"] == model["rsqrt_table"]).all()
        signs = unpack_bits(tables["embedding.word.weight"], 20)
        assert (signs == model["embedding.word.weight"]).all()
        assert not [name for name in tables.files if name.startswith(("layer", "golden", "file"))]
    with zipfile.ZipFile(path) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("damage", ["missing", "truncated", "changed"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    export = write_export(tmp_path / "out", random_integer_model())
    for name in sorted(export.manifest["files"]):
        file = export.path / name
        content = file.read_bytes()
        if damage == "missing":
            file.unlink()
        elif damage == "truncated":
            file.write_bytes(content[:-1])
        else:
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(UserError) as caught:
            load_export(export.path)
        assert str(file) in str(caught.value) and "\n" not in str(caught.value)
        file.write_bytes(content)
    load_export(export.path)


def test_a_damaged_manifest_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json"):
        load_export(tmp_path)
    for text in ("", "{}", "[1]", '{"format_version": 1, "files": {"a": 3}}', "\0"):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(UserError, match="damaged"):
            load_export(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format_version": 2, "files": {}}')
    with pytest.raises(UserError, match="version 1, got 2"):
        load_export(tmp_path)


def test_only_force_replaces_and_only_an_export(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_export(out, random_integer_model(seed=1))
    with pytest.raises(UserError, match="exists already"):
        write_export(out, random_integer_model(seed=2))
    before = contents(out)
    write_export(out, random_integer_model(seed=2), force=True)
    assert contents(out) != before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("text")
    with pytest.raises(UserError, match="something else"):
        write_export(tmp_path / "mine", random_integer_model(), force=True)
    with pytest.raises(UserError, match="--target"):
        write_export(tmp_path / "new", random_integer_model(), "kv260")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_a_failed_export_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_export(out, random_integer_model(seed=1))
    before = contents(out)
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_export(out, random_integer_model(seed=2), force=True)
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_attachments_stay_inside_the_export(tmp_path: Path) -> None:
    model = random_integer_model()
    bad = IntegerModel(model.config, model.tensors, {"../vocab.txt": b""})
    with pytest.raises(HardwareFileError, match="plain file name"):
        write_export(tmp_path / "out", bad)
    assert list(tmp_path.iterdir()) == []
