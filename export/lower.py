"""Lowering: from a trained W1A1 model to the integer model, in one step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgebert.config import to_dict
from edgebert.errors import UserError
from edgebert.folding import fold, to_grid
from edgebert.quantizers import weight_signs
from edgebert.tokenizer import Encoding
from hw.integer_model import IntegerModel

if TYPE_CHECKING:
    from edgebert.model import BinaryBert
    from edgebert.rundir import LoadedRun

GOLDEN_SENTENCES = 8


def lower_run(run: "LoadedRun", golden: Sequence[Encoding], source: str) -> IntegerModel:
    """The integer model of a run's last stage.

    Args:
        golden: real sentences whose intermediate tensors the export records.
        source: path of the run relative to the export, by which `verify` finds it again.

    Raises:
        UserError: the run was not trained down to w1a1 in the deployed arithmetic.
    """
    if not run.bits.binary or not run.model.deploy:
        raise UserError(
            f"{run.path}: expected a run whose schedule ends in w1a1, got {run.bits.name}; "
            "train with --schedule w32a32,w1a2,w1a1"
        )
    settings = to_dict(run.config)
    config: dict[str, Any] = {
        "model": settings["model"],
        "arithmetic": settings["arithmetic"],
        "task": run.info.task,
        "labels": list(run.info.labels),
        "regression": run.info.regression,
        "metric": run.info.metric,
        "metrics": dict(run.stage.metrics),
        "max_tokens": run.config.model.max_tokens,
        "source": {"run": source, "checkpoint_sha256": run.stage.checkpoint_sha256},
    }
    vocab = "".join(f"{token}\n" for token in run.tokenizer.vocab)
    tensors = lower_tensors(run.model) | golden_tensors(golden)
    return IntegerModel(config, tensors, {"vocab.txt": vocab.encode()})


def lower_tensors(model: "BinaryBert") -> dict[str, NDArray[Any]]:
    """All tensors of docs/arithmetic.md: binary matrices int8 {-1,+1}, the rest int64."""
    integers = dict(fold(model).tensors)
    signs, scale = weight_signs(model.word.weight, dim=-1)
    integers["embedding.word.weight"] = signs
    bits = model.arithmetic.embedding_fraction_bits
    integers["embedding.word.scale"] = to_grid(scale.squeeze(-1), bits)
    return {
        name: tensor.cpu().numpy().astype(np.int8 if _binary(tensor) else np.int64)
        for name, tensor in integers.items()
    }


def golden_tensors(sentences: Sequence[Encoding]) -> dict[str, NDArray[Any]]:
    """Token ids of the golden sentences, zero where padded, and their lengths."""
    longest = max((len(s.input_ids) for s in sentences), default=0)
    ids = np.zeros((len(sentences), longest), np.int64)
    types = np.zeros_like(ids)
    for row, sentence in enumerate(sentences):
        ids[row, : len(sentence.input_ids)] = sentence.input_ids
        types[row, : len(sentence.input_ids)] = sentence.token_type_ids
    return {
        "golden.input_ids": ids,
        "golden.token_type_ids": types,
        "golden.lengths": np.array([len(s.input_ids) for s in sentences], np.int64),
    }


def _binary(tensor: torch.Tensor) -> bool:
    # folding keeps signs in the weights' float32 and every other integer in float64
    return tensor.dtype == torch.float32
