"""Layout of the integer model: its tensors, their shapes and ranges (docs/arithmetic.md)."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar

from hw.errors import HardwareFileError

Shape = tuple[int, ...]
Range = tuple[int, int]

WIDE = 1 << 52  # bound of biases, so that every sum stays below 2^53


@dataclass(frozen=True)
class Dimensions:
    """Sizes of the encoder; the section `model` of a configuration holds them."""

    layers: int
    hidden: int
    heads: int
    ffn: int
    max_tokens: int
    vocab: int
    token_types: int
    attention: str  # softmax | sps
    relative_positions: int = 0  # R: of the relative position bias of scores; 0: none

    @property
    def head_width(self) -> int:
        return self.hidden // self.heads


@dataclass(frozen=True)
class Formats:
    """Fixed-point formats; the section `arithmetic` of a configuration holds them."""

    fraction_bits: int  # f
    word_bits: int  # W
    embedding_fraction_bits: int
    exp_bits: int
    probability_bits: int  # k
    multiplier_bits: int
    rsqrt_index_bits: int  # b
    norm_fraction_bits: int  # q
    gamma_fraction_bits: int  # g
    classifier_fraction_bits: int


T = TypeVar("T", Dimensions, Formats)


def dimensions(config: Mapping[str, Any]) -> Dimensions:
    """Read the section `model`; an unusable one raises HardwareFileError."""
    sizes = _section(Dimensions, config, "model")
    sized = {name: value for name, value in vars(sizes).items() if name != "relative_positions"}
    numbers = [value for value in sized.values() if isinstance(value, int)]
    if min(numbers) < 1 or sizes.hidden % sizes.heads:
        raise HardwareFileError(f"model: expected sizes that make a BERT, got {sizes}")
    if sizes.attention not in ("softmax", "sps"):
        raise HardwareFileError(
            f"model.attention: expected softmax or sps, got {sizes.attention!r}"
        )
    if not 0 <= sizes.relative_positions < sizes.max_tokens:
        raise HardwareFileError(
            "model.relative_positions: expected 0 or more, below max_tokens "
            f"({sizes.max_tokens}), got {sizes.relative_positions}"
        )
    return sizes


def formats(config: Mapping[str, Any]) -> Formats:
    """Read the section `arithmetic`; an unusable one raises HardwareFileError."""
    result = _section(Formats, config, "arithmetic")
    low, high = min(vars(result).values()), max(vars(result).values())
    b = result.rsqrt_index_bits
    if low < 0 or high > 32 or b % 2 or not 4 <= b <= 16 or result.word_bits > 20:
        raise HardwareFileError(f"arithmetic: expected formats in their ranges, got {result}")
    return result


def _section(cls: type[T], config: Mapping[str, Any], name: str) -> T:
    data = config.get(name)
    values: dict[str, Any] = {}
    for item in fields(cls):
        default = None if item.default is MISSING else item.default
        value = data.get(item.name, default) if isinstance(data, Mapping) else None
        if not isinstance(value, item.type if isinstance(item.type, type) else object):
            raise HardwareFileError(
                f"configuration of the model: expected {name}.{item.name}, got {value!r}"
            )
        values[item.name] = value
    return cls(**values)


def expected_shapes(config: Mapping[str, Any]) -> dict[str, tuple[Shape, bool]]:
    """Every tensor that a model of this configuration has, in the order of docs/arithmetic.md.

    Returns:
        name -> (shape of the unpacked tensor, whether it is a binary matrix).
    """
    d, f = dimensions(config), formats(config)
    h, labels = d.hidden, label_count(config)
    shapes: dict[str, tuple[Shape, bool]] = {
        "embedding.word.weight": ((d.vocab, h), True),
        "embedding.word.scale": ((d.vocab,), False),
        "embedding.position": ((d.max_tokens, h), False),
        "embedding.token_type": ((d.token_types, h), False),
        "embedding.norm.gamma": ((h,), False),
        "embedding.norm.beta": ((h,), False),
    }
    for i in range(d.layers):
        shapes |= {f"layer.{i}.{name}": entry for name, entry in _layer_shapes(d).items()}
    shapes |= _requantized("pooler", h, h)
    shapes["classifier.weight"] = ((labels, h), False)
    shapes["classifier.bias"] = ((labels,), False)
    shapes["rsqrt_table"] = ((3 << (f.rsqrt_index_bits - 2),), False)
    return shapes


def label_count(config: Mapping[str, Any]) -> int:
    """Number of logits: one per label, a single one of a regression."""
    labels = config.get("labels")
    count = len(labels) if isinstance(labels, list | tuple) else 0
    return 1 if config.get("regression") else max(count, 1)


def _layer_shapes(d: Dimensions) -> dict[str, tuple[Shape, bool]]:
    h, width = d.hidden, d.head_width
    shapes: dict[str, tuple[Shape, bool]] = {}
    for matrix in ("query", "key", "value"):
        shapes[f"{matrix}.input_threshold"] = ((h,), False)
        shapes[f"{matrix}.weight"] = ((h, h), True)
        shapes[f"{matrix}.threshold"] = ((h,), False)
    if d.relative_positions:
        shapes["attention.relative_bias"] = ((d.heads, 2 * d.relative_positions + 1), False)
    if d.attention == "softmax":
        shapes["attention.exp_table"] = ((width + 1,), False)
        shapes["attention.probability_threshold"] = ((d.heads,), False)
    else:
        shapes["attention.score_threshold"] = ((d.heads,), False)
    shapes |= _requantized("output", h, h)
    shapes |= {"attention_norm.gamma": ((h,), False), "attention_norm.beta": ((h,), False)}
    shapes["up.input_threshold"] = ((h,), False)
    shapes["up.weight"] = ((d.ffn, h), True)
    shapes["up.threshold"] = ((d.ffn,), False)
    shapes |= _requantized("down", h, d.ffn)
    del shapes["down.input_threshold"]  # up.threshold already gives bits
    shapes |= {"ffn_norm.gamma": ((h,), False), "ffn_norm.beta": ((h,), False)}
    return shapes


def _requantized(name: str, rows: int, columns: int) -> dict[str, tuple[Shape, bool]]:
    return {
        f"{name}.input_threshold": ((columns,), False),
        f"{name}.weight": ((rows, columns), True),
        f"{name}.multiplier": ((), False),
        f"{name}.shift": ((), False),
        f"{name}.bias": ((rows,), False),
    }


def value_range(config: Mapping[str, Any], name: str) -> Range:
    """Smallest and largest value that a tensor other than a binary matrix may hold."""
    d, f = dimensions(config), formats(config)
    half = 1 << (f.word_bits - 1)
    reach = d.head_width * (3 if d.relative_positions else 1)  # of scores
    patterns: tuple[tuple[str, Range], ...] = (
        (r".*output\.input_threshold", (-d.max_tokens, d.max_tokens + 1)),
        (r".*input_threshold", (-half, half)),
        (r".*probability_threshold", (-1, 1 << f.probability_bits)),
        (r".*relative_bias", (-d.head_width, d.head_width)),
        (r".*score_threshold", (-reach, reach + 1)),
        (r".*\.threshold", (-d.hidden, d.hidden + 1)),
        (r".*exp_table", (0, 1 << f.exp_bits)),
        (r".*multiplier", (-(1 << f.multiplier_bits), 1 << f.multiplier_bits)),
        (r".*shift", (0, 30)),
        (r"rsqrt_table", (0, 1 << 15)),
        (r".*(bias|beta)", (-WIDE, WIDE)),
        (r"golden\.input_ids", (0, d.vocab - 1)),
        (r"golden\.token_type_ids", (0, d.token_types - 1)),
        (r"golden\.lengths", (1, d.max_tokens)),
    )
    for pattern, limits in patterns:
        if re.fullmatch(pattern, name):
            return limits
    return -(1 << 31), (1 << 31) - 1
