"""Configuration: frozen dataclasses, read from YAML and validated in one place."""

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edgebert.errors import UserError
from edgebert.text import read_yaml

CONFIG_DIR = Path(__file__).parent / "configs"
RECIPE_DIR = Path(__file__).parent / "recipes"  # trainings of a named size for a task
PRETRAIN_LOSSES = ("relations", "hidden", "embedding", "sentence")
TRAINING_ONLY = ("dropout", "sign_gradient")  # of ModelConfig: no property of the trained model
BINARY_ONLY = ("relative_positions",)  # of ModelConfig: other stages than w1a1 don't have it


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of a BERT encoder classifier."""

    layers: int
    hidden: int
    heads: int
    ffn: int
    max_tokens: int = 128  # positions; longer sentences are truncated
    vocab: int = 30522
    token_types: int = 2
    attention: str = "softmax"  # softmax (BiT) | sps (threshold per head, COBRA)
    relative_positions: int = 0  # in w1a1: distances up to R each have a bias per head; 0: none
    activation: str = "gelu"  # of full-precision stages; quantized stages use ReLU
    layer_norm_eps: float = 1e-12
    dropout: float = 0.1  # in full-precision stages only
    sign_gradient: str = "clip"  # of signs: clip (BiT) | triangle (quantizers.sign_slope)

    @property
    def head_width(self) -> int:
        return self.hidden // self.heads

    def __post_init__(self) -> None:
        if self.hidden % self.heads:
            raise UserError(
                f"model.hidden: expected a multiple of model.heads ({self.heads}), "
                f"got {self.hidden}; change one of them"
            )
        _choice("model.attention", self.attention, ("softmax", "sps"))
        _choice("model.activation", self.activation, ("gelu", "relu"))
        _choice("model.sign_gradient", self.sign_gradient, ("clip", "triangle"))
        for name in ("layers", "hidden", "heads", "ffn", "max_tokens", "vocab", "token_types"):
            if getattr(self, name) < 1:
                raise UserError(f"model.{name}: expected at least 1, got {getattr(self, name)}")
        if not 0 <= self.relative_positions < self.max_tokens:
            raise UserError(
                "model.relative_positions: expected 0 or more, below model.max_tokens "
                f"({self.max_tokens}), got {self.relative_positions}"
            )


@dataclass(frozen=True)
class ArithmeticConfig:
    """Fixed-point formats of the integer model (docs/arithmetic.md)."""

    fraction_bits: int = 12  # f: residual stream
    word_bits: int = 18  # W: residual stream saturates to W-bit signed
    embedding_fraction_bits: int = 16  # embedding sum, before its LayerNorm
    exp_bits: int = 12  # E[0] = 2**exp_bits
    probability_bits: int = 16  # k: fraction bits of the probability threshold
    multiplier_bits: int = 15  # requantization multiplier
    rsqrt_index_bits: int = 10  # b: even; the table has 3 * 2**(b-2) entries
    norm_fraction_bits: int = 20  # q: normalized value, before gamma
    gamma_fraction_bits: int = 10  # g
    classifier_fraction_bits: int = 12

    def __post_init__(self) -> None:
        if self.rsqrt_index_bits % 2 or not 4 <= self.rsqrt_index_bits <= 16:
            raise UserError(
                "arithmetic.rsqrt_index_bits: expected an even number from 4 to 16, "
                f"got {self.rsqrt_index_bits}"
            )
        if not self.fraction_bits < self.word_bits <= 20:
            raise UserError(
                "arithmetic.word_bits: expected more than fraction_bits "
                f"({self.fraction_bits}) and at most 20, got {self.word_bits}"
            )


@dataclass(frozen=True)
class TrainConfig:
    """Optimization. Per-stage values map a stage name (or `default`) to a number."""

    schedule: str = "w32a32,w1a2,w1a1"
    init: str | None = None  # pre-trained start of the first stage: minilm, a folder, a hub id
    # start of quantized stages: auto (init's) | none | an encoder, a run, an export, a zoo's model
    quantized_init: str = "auto"
    epochs: Mapping[str, float] = field(default_factory=lambda: {"default": 3})
    least_steps: Mapping[str, float] = field(default_factory=lambda: {"default": 0})
    lr: Mapping[str, float] = field(default_factory=lambda: {"default": 5e-4})
    shrink_sums: bool = False  # at the start of w1a1: scale down what saturates (saturation.py)
    scale_lr_factor: float = 1.0  # learning rate of alpha and beta, relative to lr
    batch_size: int = 32
    weight_decay: float = 0.01
    warmup: float = 0.1  # fraction of the steps
    grad_clip: float = 1.0
    seed: int = 0
    precision: str = "auto"  # auto | fp32 | bf16: of the float matmuls (edgebert/precision.py)
    eval_every: int = 0  # steps between evaluations; 0: once an epoch, at most 50 in a stage
    checkpoint_every: int = 500  # steps between checkpoints; always at a stage's end
    choose: str = "best"  # best (the later of equal ones) | last: what a stage hands on
    held_out: float = 0.0  # of the sentences of train, to choose by in place of dev (held_out.py)

    def __post_init__(self) -> None:
        parse_schedule(self.schedule)
        _choice("train.precision", self.precision, ("auto", "fp32", "bf16"))
        _choice("train.choose", self.choose, ("best", "last"))
        for name in ("epochs", "lr"):
            _stage_keys(f"train.{name}", getattr(self, name))
        _stage_keys("train.least_steps", self.least_steps, zero=True)


@dataclass(frozen=True)
class DistillConfig:
    """Losses of a quantized stage against its teacher."""

    logits: float = 1.0
    hidden: float = 1.0
    hidden_from: int = 0  # the first state that is compared: 0 the embeddings, i layer i - 1's
    hidden_part: float = 1.0  # of a stage's steps, after which hidden and attention are 0
    attention: float = 0.0
    labels: float = 0.0  # weight of the loss on the task's own labels
    temperature: float = 1.0
    text: tuple[str, ...] = ()  # files of extra unlabelled text, a sentence or pair a line
    teacher: str | None = None  # run of any size whose logits teach every stage, too
    soft: float = 1.0  # weight of the loss against that teacher's logits
    replace: float = 0.0  # of the tokens of every other sentence, by near ones (augment.py)

    def __post_init__(self) -> None:
        for name in ("replace", "hidden_part"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(
                    f"config distill.{name}: expected from 0 to 1, got {getattr(self, name)}"
                )


@dataclass(frozen=True)
class PretrainConfig:
    """Distillation of an encoder on plain text, before any task (`pretrain`).

    Weight decay, warm-up, clipping, seed, precision and checkpoints are those of `train`; per-stage
    values as there.
    """

    schedule: str = "w32a32"  # such as w32a32,w1a1; without w32a32 the teacher is that stage
    epochs: Mapping[str, float] = field(default_factory=lambda: {"default": 10.0})
    lr: Mapping[str, float] = field(default_factory=lambda: {"default": 1e-3})
    batch_size: int = 64
    dropout: float = 0.0
    relations: float = 1.0  # weights of the losses: Q-Q, K-K, V-V relations of the last layers
    hidden: float = 1.0  # hidden states of chosen layers, through learned projections
    embedding: float = 1.0  # the same of the embeddings
    sentence: float = 1.0  # the teacher's mean of the last states, from the pooled first token
    relation_heads: int = 16  # divides the widths of student and teacher

    def __post_init__(self) -> None:
        if any(bits.weight == 32 for bits in parse_schedule(self.schedule)[1:]):
            raise UserError(
                "config pretrain.schedule: expected w32a32 first or not at all, got "
                f"{self.schedule!r}"
            )
        for name in ("epochs", "lr"):
            _stage_keys(f"pretrain.{name}", getattr(self, name))
        for name in ("batch_size", "relation_heads"):
            _at_least(f"pretrain.{name}", getattr(self, name), 0, above=True)
        weights = {name: getattr(self, name) for name in PRETRAIN_LOSSES}
        for name, weight in weights.items():
            _at_least(f"pretrain.{name}", weight, 0)
        if not any(weights.values()):
            raise UserError(
                f"config pretrain: expected a weight above 0 of {', '.join(PRETRAIN_LOSSES)}, "
                "got 0 for all"
            )
        if not 0 <= self.dropout < 1:
            raise UserError(
                f"config pretrain.dropout: expected from 0 to below 1, got {self.dropout}"
            )


@dataclass(frozen=True)
class Config:
    """A whole configuration."""

    model: ModelConfig
    arithmetic: ArithmeticConfig = field(default_factory=ArithmeticConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)

    def __post_init__(self) -> None:
        if self.model.max_tokens << self.arithmetic.exp_bits >= 1 << 24:
            raise UserError(
                "arithmetic.exp_bits: expected model.max_tokens * 2^exp_bits below 2^24 (float32 "
                f"holds a row's sum exactly), got {self.model.max_tokens} * 2^"
                f"{self.arithmetic.exp_bits}; lower one of them"
            )
        if not 0 <= self.distill.hidden_from <= self.model.layers:
            raise UserError(
                "config distill.hidden_from: expected from 0 to model.layers "
                f"({self.model.layers}), got {self.distill.hidden_from}"
            )


@dataclass(frozen=True)
class Bits:
    """Bit widths of one stage: weights and activations, 32 meaning full precision."""

    weight: int
    activation: int

    @property
    def name(self) -> str:
        return f"w{self.weight}a{self.activation}"

    @property
    def binary(self) -> bool:
        return self.weight == 1 and self.activation == 1


def parse_schedule(text: str) -> list[Bits]:
    """Read a schedule such as `w32a32,w1a2,w1a1`."""
    stages = []
    for part in text.split(","):
        match = re.fullmatch(r"w(1|32)a(1|2|4|8|32)", part.strip().lower())
        if not match or (match[1] == "32") != (match[2] == "32"):
            raise UserError(
                "schedule: expected stages such as w32a32,w1a8,w1a4,w1a2,w1a1 separated by "
                f"commas, got {part.strip()!r} in {text!r}"
            )
        stages.append(Bits(int(match[1]), int(match[2])))
    names = [stage.name for stage in stages]
    if len(set(names)) != len(names):
        raise UserError(f"schedule: expected every stage once, got {text!r}")
    return stages


def load_config(name_or_path: str, overrides: typing.Sequence[str] = ()) -> Config:
    """Read a named configuration, a recipe or a YAML file, with `section.key=value` overrides.

    A YAML file may name a `base` configuration that it changes. An unknown key is an
    error that names the nearest known one.
    """
    data = _read(name_or_path)
    for override in overrides:
        key, found, value = override.partition("=")
        if not found:
            raise UserError(f"--set: expected section.key=value, got {override!r}")
        data = _merge(data, _nest(key.strip(), yaml.safe_load(value)))
    return from_dict(data)


def from_dict(data: Mapping[str, Any]) -> Config:
    """Build and validate a Config from nested plain data."""
    result = _build(Config, data, "")
    assert isinstance(result, Config)
    return result


def to_dict(config: Config) -> dict[str, Any]:
    """Nested plain data, such that `from_dict(to_dict(c)) == c`."""
    return dataclasses.asdict(config)


def stage_value(values: Mapping[str, float], stage: Bits) -> float:
    """The value of a per-stage mapping for one stage."""
    if stage.name in values:
        return values[stage.name]
    if "default" in values:
        return values["default"]
    raise UserError(
        f"per-stage value: expected a key {stage.name!r} or 'default', got {sorted(values)}"
    )


def _read(name_or_path: str, reading: tuple[Path, ...] = ()) -> dict[str, Any]:
    folders = (CONFIG_DIR, RECIPE_DIR)
    named = [folder / f"{name_or_path}.yaml" for folder in folders]
    path = next((p for p in named if p.is_file()), Path(name_or_path))
    if not path.is_file():
        sizes, recipes = (", ".join(sorted(p.stem for p in f.glob("*.yaml"))) for f in folders)
        raise UserError(
            f"--config: expected one of {sizes}, a recipe ({recipes}), or a YAML file, got "
            f"{name_or_path!r}"
        )
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected a mapping of sections, got {type(data).__name__}")
    base = data.pop("base", None)
    if path in reading:
        raise UserError(f"{path}: expected another configuration as base, got itself")
    return _merge(_read(str(base), (*reading, path)), data) if base else data


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _nest(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _build(cls: type, data: Any, prefix: str) -> Any:
    if not isinstance(data, Mapping):
        raise UserError(f"config {prefix.rstrip('.') or 'file'}: expected a mapping, got {data!r}")
    hints = typing.get_type_hints(cls)
    values = {}
    for key, value in data.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            advice = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(hints)}"
            raise UserError(f"config: unknown key {prefix}{key}; {advice}")
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            values[key] = _build(typing.cast(type, hint), value, f"{prefix}{key}.")
        else:
            values[key] = _convert(hint, value, prefix + key)
    try:
        return cls(**values)
    except TypeError:
        missing = [
            f.name
            for f in dataclasses.fields(cls)
            if f.name not in values
            and f.default is dataclasses.MISSING
            and f.default_factory is dataclasses.MISSING
        ]
        raise UserError(f"config: expected a value for {prefix}{missing[0]}, got none") from None


def _convert(hint: Any, value: Any, key: str) -> Any:
    if hint == tuple[str, ...]:
        values = [] if value is None else value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(str, item, key) for item in values)
    origin = typing.get_origin(hint)
    if origin is types.UnionType:
        if value is None:
            return None
        hint = next(t for t in typing.get_args(hint) if t is not type(None))
    if typing.get_origin(hint) is not None:  # Mapping[str, float]
        if isinstance(value, Mapping):
            return {str(k): _convert(float, v, f"{key}.{k}") for k, v in value.items()}
        return {"default": _convert(float, value, key)}
    elif hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:  # YAML reads 5e-4 as a string
            return float(value)
        except ValueError:
            pass
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    name = getattr(hint, "__name__", str(hint))
    raise UserError(f"config {key}: expected {name}, got {value!r}")


def _choice(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        near = difflib.get_close_matches(value, known, n=1)
        advice = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"config {key}: expected {' or '.join(known)}, got {value!r}{advice}")


def _at_least(key: str, value: float, low: float, above: bool = False) -> None:
    if not (value > low if above else value >= low):
        what = "above" if above else "of at least"
        raise UserError(f"config {key}: expected a number {what} {low}, got {value}")


def _stage_keys(key: str, values: Mapping[str, float], zero: bool = False) -> None:
    for name, value in values.items():
        if name != "default":
            parse_schedule(name)
        if value < 0 or (value == 0 and not zero):
            what = "a number of 0 or more" if zero else "a positive number"
            raise UserError(f"config {key}.{name}: expected {what}, got {value}")
