"""A save is whole or absent; a changed file is found."""

import errno
import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from edgebert.checkpoint import (
    CheckpointFolder,
    load_optimizer,
    load_tensors,
    optimizer_tensors,
    read_record,
    save_tensors,
    write_atomic,
    write_record,
)
from edgebert.errors import UserError


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.full((64, 64), value), "n": torch.tensor(3), "empty": torch.zeros(0, 2)}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_tensors_come_back_equal_and_equal_tensors_give_equal_bytes(tmp_path: Path) -> None:
    sha256 = save_tensors(tmp_path / "a", tensors(1.5))
    assert save_tensors(tmp_path / "b", dict(reversed(tensors(1.5).items()))) == sha256
    loaded = load_tensors(tmp_path / "a", sha256)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors(1.5).items())
    assert names(tmp_path) == {"a", "b"}


@pytest.mark.parametrize("change", ["flip", "truncate", "append", "delete"])
def test_a_changed_tensor_file_is_an_error_of_one_line(tmp_path: Path, change: str) -> None:
    path = tmp_path / "model.safetensors"
    sha256 = save_tensors(path, tensors(1.0))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    if change == "delete":
        path.unlink()
    else:
        whole = path.read_bytes()
        changed = {"flip": bytes(data), "truncate": whole[:-7], "append": whole + b"x"}
        path.write_bytes(changed[change])
    with pytest.raises(UserError, match=r"model\.safetensors: expected") as caught:
        load_tensors(path, sha256)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["value", "hash", "truncate", "list"])
def test_a_changed_record_is_an_error(tmp_path: Path, change: str) -> None:
    path = tmp_path / "r.json"
    write_record(path, {"step": 3, "value": 0.1, "list": [1, None]})
    assert read_record(path) == {"step": 3, "value": 0.1, "list": [1, None]}
    text = path.read_text()
    changed = {
        "value": text.replace("3", "4", 1),
        "hash": text.replace('"sha256": "', '"sha256": "0'),
        "truncate": text[: len(text) // 2],
        "list": "[]",
    }
    path.write_text(changed[change])
    with pytest.raises(UserError, match=r"r\.json: expected"):
        read_record(path)


def test_no_space_leaves_the_old_file_and_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    write_atomic(path, b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device; free some space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"f"}


def test_a_save_that_fails_halfway_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    """A file size limit, so that the system itself refuses, in the middle of a file."""
    folder = CheckpointFolder(tmp_path / "c")
    folder.save({"step": 1}, {"model": tensors(1.0)}, "1")
    before = names(folder.folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))
    try:
        with pytest.raises(UserError, match="free some space"):
            folder.save({"step": 2}, {"model": tensors(2.0), "more": {"x": torch.zeros(9999)}}, "2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert names(folder.folder) == before
    saved = folder.load_state()
    assert saved is not None
    assert saved[0] == {"step": 1}
    assert torch.equal(folder.load_tensors(saved[1]["model"])["w"], tensors(1.0)["w"])


def test_a_checkpoint_replaces_the_last_one_and_keeps_named_files(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "c")
    assert folder.load_state() is None
    first = folder.save({"step": 1}, {"model": tensors(1.0), "best": tensors(9.0)}, "a-1")
    folder.save({"step": 2}, {"model": tensors(2.0), "best": first["best"]}, "a-2")
    assert names(folder.folder) == {
        "checkpoint.json",
        "model-a-2.safetensors",
        "best-a-1.safetensors",
    }
    saved = folder.load_state()
    assert saved is not None
    assert float(folder.load_tensors(saved[1]["best"])["w"][0, 0]) == 9.0


def test_a_tampered_checkpoint_is_an_error(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save({"step": 1}, {"model": tensors(1.0)}, "1")
    record = json.loads((tmp_path / "checkpoint.json").read_text())
    record["state"]["step"] = 2
    (tmp_path / "checkpoint.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="got a changed file"):
        folder.load_state()


def test_an_optimizer_goes_on_bitwise_as_if_never_saved(tmp_path: Path) -> None:
    def steps(parameter: torch.nn.Parameter, optimizer: Any, seeds: range) -> None:
        for seed in seeds:
            parameter.grad = torch.randn(8, generator=torch.Generator().manual_seed(seed))
            optimizer.step()

    def make(value: torch.Tensor) -> tuple[torch.nn.Parameter, torch.optim.AdamW]:
        parameter = torch.nn.Parameter(value.clone())
        unused = torch.nn.Parameter(torch.zeros(2))
        return parameter, torch.optim.AdamW([unused, parameter], lr=0.1, fused=True)

    whole, optimizer = make(torch.zeros(8))
    steps(whole, optimizer, range(3))
    resumed, fresh = make(whole.detach())
    sha256 = save_tensors(tmp_path / "o", optimizer_tensors(optimizer))
    load_optimizer(fresh, load_tensors(tmp_path / "o", sha256))
    steps(whole, optimizer, range(3, 6))
    steps(resumed, fresh, range(3, 6))
    assert torch.equal(whole, resumed)
