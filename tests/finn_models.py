"""Small encoders for the tests of lowering: exported, with sentences, and folded at random."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.onnx_model import build_encoder
from hw.integer_model import IntegerModel
from hw.reference import run
from tests.models import random_integer_model, random_sentences

SMALL = {"hidden": 16, "heads": 2, "ffn": 24, "max_tokens": 8}
PART = "xc7z020clg400-1"


def exported(folder: Path, seed: int = 0, **sizes: Any) -> tuple[IntegerModel, Path]:
    """A random model, and its encoder.onnx."""
    model = random_integer_model(seed, **{**SMALL, **sizes})
    path = folder / "encoder.onnx"
    path.write_bytes(build_encoder(model).SerializeToString())
    return model, path


def sentences(
    model: IntegerModel, lengths: Sequence[int], seed: int = 1
) -> list[Mapping[str, NDArray[np.int64]]]:
    """Every named tensor of random sentences."""
    return [run(model, *ids) for ids in random_sentences(seed, model, list(lengths))]


def residuals(model: IntegerModel, lengths: Sequence[int]) -> list[NDArray[np.int64]]:
    """What the encoder takes of random sentences."""
    return [values["embedding.residual"] for values in sentences(model, lengths)]


def mixed_folding(folding: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Other lanes at almost every stream of a model of SMALL's sizes."""
    changes = {
        "query": {"pe": 4, "simd": 8, "tokens": 2},
        "key": {"pe": 2, "simd": 16},
        "up": {"pe": 3, "simd": 4, "activation_memory": "block"},
        "down": {"pe": 8, "simd": 6, "weight_memory": "distributed"},
        "attention": {"keys": 2, "simd": 4, "channels": 2, "in_bits": 4, "out_bits": 8, "banks": 4},
        "attention_norm": {"lanes": 2},
        "ffn_norm": {"lanes": 4, "threshold_style": "distributed"},
    }
    result = {name: dict(entry) for name, entry in folding.items()}
    for name, entry in result.items():
        part = name.split("_", 1)[1]
        if name.startswith("layer"):
            entry.update(changes.get(part, {}))
    result["input_threshold"]["lanes"] = 8
    return result
