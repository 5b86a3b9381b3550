"""The log of a run: metrics.jsonl, one JSON object a line, and TensorBoard."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


Values = Mapping[str, float | Mapping[str, float]]


class TrainLog:
    """Appends to both; does nothing where `enabled` is false (all processes but one)."""

    def __init__(self, path: Path, tensorboard: Path, enabled: bool) -> None:
        self._path = path
        self._tensorboard = tensorboard
        self._enabled = enabled
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> "TrainLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer:
            self._writer.close()

    @property
    def size(self) -> int:
        """Bytes of metrics.jsonl: where a resumed run cuts it off."""
        return self._path.stat().st_size if self._path.exists() else 0

    def rewind(self, size: int, step: int) -> None:
        """Forget what was written after a checkpoint: all beyond `size`, and from `step` on."""
        if not self._enabled:
            return
        if self.size > size:
            os.truncate(self._path, size)
        if self._writer:
            self._writer.close()
        self._open(step)

    def write(self, stage: str, step: int, total_step: int, values: Values) -> None:
        """Log values of a stage's step; `total_step` counts the steps of all stages."""
        if not self._enabled:
            return
        line = json.dumps({"stage": stage, "step": step, **values})
        with open(self._path, "a", encoding="utf-8", newline="\n") as file:
            file.write(line + "\n")
        writer = self._writer or self._open(None)
        for key, value in values.items():
            for name, number in value.items() if isinstance(value, Mapping) else [("", value)]:
                writer.add_scalar(f"{stage}/{key}{'/' if name else ''}{name}", number, total_step)

    def _open(self, purge_step: int | None) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self._tensorboard), purge_step=purge_step)
        return self._writer
