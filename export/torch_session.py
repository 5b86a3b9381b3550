"""The trained model in torch, as an engine of the verification."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgebert.deploy import trace_forward
from edgebert.errors import UserError
from edgebert.model import BinaryBert
from edgebert.rundir import is_run, load_run
from export.sessions import Integers, Sentence, batches, integers, pad
from export.verify import Engine, NotRun

NAME = "torch"
BATCH = 64


class TorchSession:
    """A model in deploy mode: the same integers as the export's."""

    def __init__(self, model: BinaryBert) -> None:
        self.model = model.eval()
        formats = model.arithmetic
        self._unit = 2.0 ** (formats.fraction_bits + formats.classifier_fraction_bits)

    def logits(self, sentences: Sequence[Sentence]) -> Integers:
        """int64 (sentences, labels), in units of 2^-(fraction_bits + classifier_fraction_bits)."""
        logits = np.zeros((len(sentences), self.model.labels), np.int64)
        for indices in batches(sentences, BATCH):
            longest = max(len(sentences[i][0]) for i in indices)
            inputs = _tensors([sentences[i] for i in indices], longest)
            with torch.no_grad():
                rows = self.model(*inputs).logits * self._unit
            logits[indices] = integers(rows.numpy())
        return logits

    def intermediates(self, sentence: Sentence, names: Sequence[str]) -> dict[str, Integers]:
        """Tensors of one sentence, by their names in docs/arithmetic.md."""
        trace = trace_forward(self.model, *_tensors([sentence], len(sentence[0])))
        return {name: trace[name][0].numpy() for name in names if name in trace}


def torch_engine(
    export_dir: Path, source: dict[str, Any] | None, run: Path | None
) -> Engine | NotRun:
    """The engine of the run that was exported, or why there is none.

    source: of the manifest, which names the run relative to the export, and its hash.
    run: where the run is now, if it is given; then it must be the right one.
    """
    source = source or {}
    path = run or export_dir / str(source.get("run", ""))
    if run is None and (not source.get("run") or not is_run(path)):
        return NotRun(NAME, "the run isn't where it was at the export; give --run RUN")
    loaded = load_run(path)
    if loaded.stage.checkpoint_sha256 != source.get("checkpoint_sha256"):
        if run is not None:
            raise UserError(
                f"--run {run}: expected the run that was exported (sha256 "
                f"{str(source.get('checkpoint_sha256'))[:12]}...), got "
                f"{loaded.stage.checkpoint_sha256[:12]}..."
            )
        return NotRun(NAME, "the run was trained again since the export")
    return Engine(NAME, lambda: TorchSession(loaded.model))


def _tensors(
    sentences: Sequence[Sentence], tokens: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    inputs = pad(sentences, tokens)
    ids, types, mask = (
        torch.from_numpy(inputs[name]) for name in ("input_ids", "token_type_ids", "attention_mask")
    )
    return ids, types, mask
