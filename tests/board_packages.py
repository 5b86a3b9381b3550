"""Packages of models, and devices that compute them."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from export.package import MODEL_FILE, golden_vectors, host_tables, npz_bytes
from hw.integer_model import IntegerModel, model_bytes
from hw.pynq.edgebert_board.package import Package, open_package
from hw.pynq.packager import BoardBuild, Expected, write_package
from hw.reference import float_product, run_layer
from tests.board_model import Encoder, Integers, ModelDevice


def write_small_export(folder: Path, model: IntegerModel) -> Path:
    """The files of an export that a package is made of, without the graphs."""
    contents = {
        MODEL_FILE: model_bytes(model),
        "tables.npz": npz_bytes(host_tables(model)),
        "golden.npz": npz_bytes(golden_vectors(model)),
        "tokenizer/vocab.txt": model.attachments["vocab.txt"],
    }
    config = model.config
    manifest = {
        **{key: config.get(key) for key in ("task", "labels", "regression", "metric", "source")},
        "model": config["model"],
        "formats": config["arithmetic"],
        "files": {n: {"sha256": hashlib.sha256(c).hexdigest()} for n, c in contents.items()},
    }
    contents["manifest.json"] = json.dumps(manifest).encode()
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_small_package(
    folder: Path,
    model: IntegerModel,
    expected: Iterable[Expected] = (),
    **build: Any,
) -> Path:
    """A package of a model, as a zip; `build` overrides what its BoardBuild has."""
    values = {"max_tokens": model.dimensions.max_tokens, "clock_khz": 100_000, **build}
    export = write_small_export(folder / "export", model)
    write_package(folder / "package.zip", export, BoardBuild("pynq-z2", **values), expected)
    return folder / "package.zip"


def small_package(folder: Path, model: IntegerModel, **build: Any) -> Package:
    """The same, opened."""
    return open_package(write_small_package(folder, model, **build))


def reference_encoder(model: IntegerModel) -> Encoder:
    """The layers of the reference; the same sentence is computed once."""
    known: dict[bytes, Integers] = {}

    def encode(residual: Integers) -> Integers:
        key = residual.tobytes()
        if key not in known:
            values: dict[str, Integers] = {}
            for layer in range(model.dimensions.layers):
                residual = run_layer(model, f"layer.{layer}", residual, values, float_product)
            known[key] = residual
        return known[key]

    return encode


def model_device(package: Package, encoder: Encoder, **settings: Any) -> ModelDevice:
    """A device that a package fits; `settings` of ModelDevice."""
    sizes = package.sizes
    weights = package.content("weights.bin") if package.board.load_beats else b""
    values = {
        "model_hash": package.board.model_hash,
        "hidden": sizes.hidden,
        "word_bits": sizes.word_bits,
        "max_tokens": sizes.max_tokens,
        "weights": weights,
        **settings,
    }
    return ModelDevice(encoder, **values)


def with_real_vocabulary(model: IntegerModel, words: Iterable[str]) -> IntegerModel:
    """The model with other tokens in its vocabulary, after the special ones."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokens = [*special, *words][: model.dimensions.vocab]
    tokens += [f"[unused{i}]" for i in range(model.dimensions.vocab - len(tokens))]
    return replace(model, attachments={"vocab.txt": ("\n".join(tokens) + "\n").encode()})
