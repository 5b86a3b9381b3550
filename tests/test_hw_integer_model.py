"""The file of the integer model: exact, deterministic, checked when read."""

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hw.errors import HardwareFileError
from hw.integer_model import (
    IntegerModel,
    check_model,
    expected_shapes,
    load_integer_model,
    model_bytes,
    pack_bits,
    save_integer_model,
    unpack_bits,
)
from tests.models import random_integer_model


@pytest.mark.parametrize("attention", ["softmax", "sps"])
@pytest.mark.parametrize("labels", [1, 3])
def test_a_model_survives_its_file(tmp_path: Path, attention: str, labels: int) -> None:
    model = random_integer_model(hidden=20, ffn=33, attention=attention, labels=labels)
    path = tmp_path / "integer.safetensors"
    save_integer_model(path, model)
    loaded = load_integer_model(path)
    assert loaded.config == model.config
    assert loaded.attachments == model.attachments
    assert loaded.tensors.keys() == model.tensors.keys()
    for name, tensor in model.tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].shape == tensor.shape
        assert (loaded[name] == tensor).all()
    assert model_bytes(loaded) == path.read_bytes()


def test_a_model_from_before_relative_positions_has_none(tmp_path: Path) -> None:
    model = random_integer_model()
    del model.config["model"]["relative_positions"]
    save_integer_model(tmp_path / "old", model)
    assert load_integer_model(tmp_path / "old").dimensions.relative_positions == 0
    biased = random_integer_model(relative_positions=3)
    assert {"layer.0.attention.relative_bias"} <= set(expected_shapes(biased.config))
    biased["layer.0.attention.relative_bias"][0, 0] = biased.dimensions.head_width + 1
    with pytest.raises(HardwareFileError, match="relative_bias"):
        save_integer_model(tmp_path / "wrong", biased)


def test_bits_are_packed_first_column_lowest() -> None:
    signs = np.array([[1, -1, -1, -1, -1, -1, -1, -1, 1, 1]], dtype=np.int8)
    packed = pack_bits(signs)
    assert packed.tolist() == [[1, 3]]
    assert (unpack_bits(packed, 10) == signs).all()


def test_every_expected_tensor_is_needed() -> None:
    model = random_integer_model()
    for name in expected_shapes(model.config):
        tensors = {n: t for n, t in model.tensors.items() if n != name}
        with pytest.raises(HardwareFileError, match=name):
            save_integer_model(Path("never"), IntegerModel(model.config, tensors))


def test_values_out_of_range_are_refused(tmp_path: Path) -> None:
    for name, value in [
        ("layer.0.query.threshold", 34),
        ("layer.0.query.weight", 0),
        ("layer.1.output.shift", 31),
        ("layer.1.attention.probability_threshold", -2),
        ("layer.0.output.input_threshold", 18),
        ("golden.input_ids", 50),
    ]:
        model = random_integer_model()
        model[name].flat[0] = value
        with pytest.raises(HardwareFileError, match=name):
            save_integer_model(tmp_path / "x", model)
    assert list(tmp_path.iterdir()) == []


def test_golden_sentences_are_whole_or_absent() -> None:
    model = random_integer_model()
    for name in ("input_ids", "token_type_ids", "lengths"):
        tensors = {n: t for n, t in model.tensors.items() if n != f"golden.{name}"}
        with pytest.raises(HardwareFileError, match="golden"):
            check_model(IntegerModel(model.config, tensors))
    longest = model["golden.input_ids"].shape[1]
    short = {
        n: t[:, : longest - 1] if t.ndim == 2 and "golden" in n else t
        for n, t in model.tensors.items()
    }
    with pytest.raises(HardwareFileError, match=r"golden\.lengths"):
        check_model(IntegerModel(model.config, short))
    none = {n: t for n, t in model.tensors.items() if "golden" not in n}
    check_model(IntegerModel(model.config, none))


def test_a_damaged_or_foreign_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "integer.safetensors"
    content = model_bytes(random_integer_model())
    for damaged in (b"", b"hello", content[:100], content[:-1], content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(HardwareFileError) as caught:
            load_integer_model(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    save_file({"a": np.zeros(3, np.int8)}, path)
    with pytest.raises(HardwareFileError, match="metadata"):
        load_integer_model(path)
    with pytest.raises(HardwareFileError, match="no such file"):
        load_integer_model(tmp_path / "missing")


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "integer.safetensors"
    save_integer_model(path, random_integer_model(seed=1))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HardwareFileError, match="No space left on device"):
        save_integer_model(path, random_integer_model(seed=2))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_an_unusable_configuration_is_refused(tmp_path: Path) -> None:
    for section, key, value in [
        ("model", "heads", 5),
        ("model", "attention", "linear"),
        ("model", "relative_positions", -1),
        ("model", "relative_positions", 16),
        ("model", "relative_positions", None),
        ("model", "hidden", "32"),
        ("arithmetic", "rsqrt_index_bits", 9),
        ("arithmetic", "word_bits", None),
    ]:
        model = random_integer_model()
        model.config[section][key] = value
        with pytest.raises(HardwareFileError, match=section):
            save_integer_model(tmp_path / "x", model)
