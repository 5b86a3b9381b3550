"""Random integer models for tests: small, and with bits that really vary."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.integer_model import IntegerModel
from hw.layout import Dimensions, Formats, dimensions, formats
from hw.tables import exp_table, rsqrt_table

Tensors = dict[str, NDArray[Any]]

ARITHMETIC = {
    "fraction_bits": 12,
    "word_bits": 18,
    "embedding_fraction_bits": 16,
    "exp_bits": 12,
    "probability_bits": 16,
    "multiplier_bits": 15,
    "rsqrt_index_bits": 10,
    "norm_fraction_bits": 20,
    "gamma_fraction_bits": 10,
    "classifier_fraction_bits": 12,
}


def random_integer_model(
    seed: int = 0,
    layers: int = 2,
    hidden: int = 32,
    heads: int = 2,
    ffn: int = 64,
    vocab: int = 50,
    max_tokens: int = 16,
    attention: str = "softmax",
    labels: int = 2,
    token_types: int = 2,
    arithmetic: Mapping[str, int] | None = None,
    golden: int = 3,
    relative_positions: int = 0,
) -> IntegerModel:
    """A model of random tensors that looks like a trained one.

    Some channels are always or never 1, one channel of the first LayerNorm saturates often.
    `labels` = 1 makes a regression; `golden` is the number of golden sentences.
    """
    config: dict[str, Any] = {
        "model": {
            "layers": layers,
            "hidden": hidden,
            "heads": heads,
            "ffn": ffn,
            "max_tokens": max_tokens,
            "vocab": vocab,
            "token_types": token_types,
            "attention": attention,
            "relative_positions": relative_positions,
            "activation": "gelu",
            "layer_norm_eps": 1e-12,
            "dropout": 0.1,
        },
        "arithmetic": {**ARITHMETIC, **(arithmetic or {})},
        "task": "random",
        "labels": [f"label{i}" for i in range(labels)] if labels > 1 else [],
        "regression": labels == 1,
        "metric": "accuracy",
        "max_tokens": max_tokens,
        "source": {"run": "runs/random", "checkpoint_sha256": "0" * 64},
    }
    rng = np.random.default_rng(seed)
    d, f = dimensions(config), formats(config)
    tensors = _embedding(rng, d, f)
    for i in range(layers):
        tensors |= {f"layer.{i}.{name}": t for name, t in _layer(rng, d, f).items()}
    tensors |= _requantized(rng, d, f, "pooler", d.hidden, d.hidden)
    tensors["pooler.input_threshold"] = _residual_thresholds(rng, d, f)
    tensors["classifier.weight"] = _normal(rng, (labels, hidden), 400.0)
    tensors["classifier.bias"] = _normal(rng, (labels,), 2.0 ** (f.fraction_bits + 10))
    tensors["rsqrt_table"] = rsqrt_table(f.rsqrt_index_bits)
    if golden:
        tensors |= _golden(rng, d, golden)
    words = "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + [f"word{i}" for i in range(4, vocab)])
    return IntegerModel(config, tensors, {"vocab.txt": (words + "\n").encode()})


def random_sentences(
    seed: int, model: IntegerModel, lengths: list[int]
) -> list[tuple[list[int], list[int]]]:
    """Sentences as (token ids, token types), of the given lengths."""
    rng = np.random.default_rng(seed)
    d = model.dimensions
    return [
        (rng.integers(0, d.vocab, n).tolist(), np.sort(rng.integers(0, d.token_types, n)).tolist())
        for n in lengths
    ]


def _normal(
    rng: np.random.Generator, shape: tuple[int, ...], scale: float, mean: float = 0.0
) -> NDArray[np.int64]:
    return np.asarray(np.rint(rng.normal(mean, scale, shape)), dtype=np.int64)


def _signs(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.int8]:
    return (2 * rng.integers(0, 2, (rows, columns)) - 1).astype(np.int8)


def _constant_channels(
    rng: np.random.Generator, thresholds: NDArray[np.int64], low: int, high: int
) -> NDArray[np.int64]:
    """Clip to [low, high + 1], with about one channel in 16 always 1 and one never 1."""
    kind = rng.integers(0, 16, thresholds.shape)
    result = np.clip(thresholds, low, high + 1)
    result[kind == 0] = low
    result[kind == 1] = high + 1
    return result


def _residual_thresholds(rng: np.random.Generator, d: Dimensions, f: Formats) -> NDArray[np.int64]:
    half = 1 << (f.word_bits - 1)
    scale = 0.4 * 2.0**f.fraction_bits
    return _constant_channels(rng, _normal(rng, (d.hidden,), scale), -half, half - 1)


def _norm(rng: np.random.Generator, d: Dimensions, f: Formats) -> Tensors:
    gamma = rng.normal(1.0, 0.2, d.hidden)
    beta = rng.normal(0.0, 0.3, d.hidden)
    unit = f.norm_fraction_bits + f.gamma_fraction_bits
    return {
        "gamma": np.rint(gamma * np.sqrt(d.hidden) * 2.0**f.gamma_fraction_bits).astype(np.int64),
        "beta": np.rint(beta * 2.0**unit).astype(np.int64),
    }


def _embedding(rng: np.random.Generator, d: Dimensions, f: Formats) -> Tensors:
    unit = 2.0**f.embedding_fraction_bits
    norm = _norm(rng, d, f)
    norm["gamma"][-1] *= 30  # saturates often
    return {
        "embedding.word.weight": _signs(rng, d.vocab, d.hidden),
        "embedding.word.scale": np.abs(_normal(rng, (d.vocab,), 0.01 * unit, 0.04 * unit)),
        "embedding.position": _normal(rng, (d.max_tokens, d.hidden), 0.02 * unit),
        "embedding.token_type": _normal(rng, (d.token_types, d.hidden), 0.02 * unit),
        "embedding.norm.gamma": norm["gamma"],
        "embedding.norm.beta": norm["beta"],
    }


def _layer(rng: np.random.Generator, d: Dimensions, f: Formats) -> Tensors:
    h, spread = d.hidden, np.sqrt(d.hidden)
    tensors: Tensors = {}
    for name in ("query", "key", "value"):
        accumulator = _normal(rng, (h,), 0.5 * spread)
        tensors[f"{name}.input_threshold"] = _residual_thresholds(rng, d, f)
        tensors[f"{name}.weight"] = _signs(rng, h, h)
        tensors[f"{name}.threshold"] = _constant_channels(rng, accumulator, -h, h)
    tensors |= _attention(rng, d, f)
    tensors |= _requantized(rng, d, f, "output", h, h)
    context = _normal(rng, (h,), 1.5)
    tensors["output.input_threshold"] = _constant_channels(
        rng, context, -d.max_tokens, d.max_tokens
    )
    tensors |= {f"attention_norm.{name}": t for name, t in _norm(rng, d, f).items()}
    tensors["up.input_threshold"] = _residual_thresholds(rng, d, f)
    tensors["up.weight"] = _signs(rng, d.ffn, h)
    up = _normal(rng, (d.ffn,), 0.5 * spread, 0.5 * spread)
    tensors["up.threshold"] = _constant_channels(rng, up, -h, h)
    tensors |= _requantized(rng, d, f, "down", h, d.ffn)
    return tensors | {f"ffn_norm.{name}": t for name, t in _norm(rng, d, f).items()}


def _attention(rng: np.random.Generator, d: Dimensions, f: Formats) -> Tensors:
    tensors = _probabilities(rng, d, f)
    if d.relative_positions:
        bias = _normal(rng, (d.heads, 2 * d.relative_positions + 1), 0.3 * d.head_width)
        bias[0, 0], bias[-1, -1] = -d.head_width, d.head_width
        bias = np.clip(bias, -d.head_width, d.head_width)
        tensors = {"attention.relative_bias": bias} | tensors
    return tensors


def _probabilities(rng: np.random.Generator, d: Dimensions, f: Formats) -> Tensors:
    if d.attention == "sps":
        scores = _normal(rng, (d.heads,), 1.0, 0.5 * np.sqrt(d.head_width))
        return {"attention.score_threshold": np.clip(scores, -d.head_width, d.head_width + 1)}
    fraction = rng.uniform(0.3, 1.2, d.heads) * 2 / d.max_tokens
    return {
        "attention.exp_table": exp_table(d.head_width, f.exp_bits, 0.5 / np.sqrt(d.head_width)),
        "attention.probability_threshold": (fraction * 2.0**f.probability_bits).astype(np.int64),
    }


def _requantized(
    rng: np.random.Generator, d: Dimensions, f: Formats, name: str, rows: int, columns: int
) -> Tensors:
    """A binary matrix whose requantized outputs have a standard deviation of about 0.7."""
    scale = 0.7 / np.sqrt(columns) * 2.0**f.fraction_bits
    shift = int(np.clip(f.multiplier_bits - 1 - np.floor(np.log2(scale)), 0, 30))
    tensors: Tensors = {
        f"{name}.weight": _signs(rng, rows, columns),
        f"{name}.multiplier": np.array(round(scale * 2.0**shift), dtype=np.int64),
        f"{name}.shift": np.array(shift, dtype=np.int64),
        f"{name}.bias": _normal(rng, (rows,), 0.1 * 2.0 ** (f.fraction_bits + shift)),
    }
    return tensors


def _golden(rng: np.random.Generator, d: Dimensions, count: int) -> Tensors:
    lengths = rng.integers(1, d.max_tokens + 1, count)
    padding = np.arange(lengths.max()) >= lengths[:, None]
    ids = rng.integers(0, d.vocab, padding.shape)
    types = np.sort(rng.integers(0, d.token_types, padding.shape), axis=1)
    return {
        "golden.input_ids": np.where(padding, 0, ids).astype(np.int64),
        "golden.token_type_ids": np.where(padding, 0, types).astype(np.int64),
        "golden.lengths": lengths.astype(np.int64),
    }
