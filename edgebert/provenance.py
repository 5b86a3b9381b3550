"""What a run was started with: recorded, and compared when the run goes on."""

import contextlib
import importlib.metadata
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgebert.config import Config, to_dict
from edgebert.data import Example
from edgebert.errors import UserError
from edgebert.inputs import Inputs
from edgebert.rundir import Earlier, RunFolder, RunInfo, Sentence

PACKAGES = ("edgebert", "torch", "brevitas", "accelerate", "transformers", "tokenizers", "numpy")
SENTENCES = 16


def run_info(
    inputs: Inputs,
    data: str | Path | None,
    init: str | None,
    max_steps: int | None,
    earlier: Earlier | None = None,
    quantized_init: Mapping[str, str] | None = None,
) -> RunInfo:
    """What run.json says of a run that starts now. No path of this machine is in it.

    quantized_init: hashes of what `train.quantized_init` names, by stage.
    """
    local = init is not None and Path(init).is_dir()
    return RunInfo(
        task=inputs.task.name,
        labels=tuple(inputs.task.labels),
        regression=inputs.task.regression,
        metric=inputs.task.metric,
        data=Path(data).resolve().name if data else None,
        data_sha256=inputs.data_sha256,
        init=Path(init).resolve().name if init and local else init,
        max_steps=max_steps,
        versions=versions(),
        earlier=earlier,
        quantized_init=dict(quantized_init or {}),
    )


def some_sentences(examples: list[Example], count: int = SENTENCES) -> list[Sentence]:
    """A few sentences from the shortest to the longest."""
    ordered = sorted(examples, key=lambda e: len(e.text) + len(e.text_b or ""))
    count = min(count, len(ordered))
    chosen = [ordered[i * (len(ordered) - 1) // max(count - 1, 1)] for i in range(count)]
    return [(example.text, example.text_b) for example in chosen]


def check_same(folder: RunFolder, config: Config, info: RunInfo) -> None:
    """Raise UserError, naming the first difference, unless a run was started like this."""
    before = folder.read_info()
    pairs = [
        ("--task", before.task, info.task),
        ("--init", before.init, info.init),
        ("--max-steps", before.max_steps, info.max_steps),
        ("the model of --init", _start(before), _start(info)),
        ("the model of train.quantized_init", _short(before) or _short(info), _short(info)),
        *differences(folder.read_config(), config),
        ("--data", before.data_sha256[:12], info.data_sha256[:12]),
    ]
    require_equal(pairs)


def _start(info: RunInfo) -> str | None:
    return info.earlier.checkpoint_sha256[:12] if info.earlier else None


def _short(info: RunInfo) -> dict[str, str]:
    return {stage: sha256[:12] for stage, sha256 in info.quantized_init.items()}


def require_equal(pairs: Iterable[tuple[str, Any, Any]]) -> None:
    """Raise UserError, naming the first option whose old and new value differ."""
    for key, old, new in pairs:
        if old != new:
            raise UserError(
                f"--resume: expected {key} = {old} as the run was started with, got {new}; "
                "give the same, or start again with --force"
            )


def differences(old: Config, new: Config) -> list[tuple[str, Any, Any]]:
    """The keys that differ, such as `train.lr`, with both values."""
    return _differences(to_dict(old), to_dict(new), "")


def versions() -> dict[str, str]:
    """Versions of the packages that a run depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str
) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    for key in dict.fromkeys([*old, *new]):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append((prefix + key, a, b))
    return found
