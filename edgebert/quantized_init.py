"""Quantized stages that start from the ones that an encoder was pre-trained with.

Everything of such a stage but classifier and pooler starts from the encoder; these come from the
stage before, which stays the teacher. A training run is such an encoder, too, whatever its task,
and so is what one became, for w1a1: an export, or a model of the zoo (edgebert/lift.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from edgebert.config import Bits, ModelConfig, parse_schedule
from edgebert.encoder_folder import (
    FULL,
    EncoderFolder,
    check_encoder,
    check_sizes,
    is_pretraining,
)
from edgebert.errors import UserError
from edgebert.init import init_tokenizer, load_quantized_state, quantized_state
from edgebert.inputs import Inputs
from edgebert.lift import lift
from edgebert.model import BinaryBert
from edgebert.rundir import RunFolder, file_sha256, is_run
from edgebert.zoo import model_file, read_index
from edgebert.zoo.encoders import FLOAT_TABLES, local_encoder
from hw.integer_model import load_integer_model

AUTO, NONE = "auto", "none"
ONE = Bits(1, 1)
INTEGER_MODEL = "integer.safetensors"  # of an export


@dataclass(frozen=True)
class Starts:
    """What quantized stages start from, each by its name."""

    states: Mapping[str, Mapping[str, Tensor]]  # in BinaryBert's names
    sha256: Mapping[str, str]  # of the files that they are from


@dataclass(frozen=True)
class _Origin:
    """A model to start from: its sizes, its words, and its stages."""

    model: ModelConfig
    vocab: Sequence[str]
    starts: Starts


def quantized_starts(inputs: Inputs, init: str | None) -> Starts:
    """What `train.quantized_init` has for the stages of a schedule; empty where that is nothing.

    Raises UserError where it is named but has no such stage, or is of another model, and
    HardwareFileError where an export is damaged.
    """
    config, named = inputs.config, inputs.config.train.quantized_init
    source = init if named == AUTO else named
    nothing = Starts({}, {})
    if source is None or source == NONE:
        return nothing
    schedule = parse_schedule(config.train.schedule)
    stages = [bits for bits in schedule if bits != FULL]
    path = integer_file(source) or Path(local_encoder(source))
    if named == AUTO and is_run(path) and stages == schedule:
        return nothing  # goes on from that run's last stage
    found = _stage_names(path)
    ours = [bits for bits in stages if bits.name in found]
    option = "--init" if named == AUTO else "train.quantized_init"
    what = f"{option} {source}"
    if not ours and named != AUTO:
        raise UserError(
            f"{what}: expected an encoder with a quantized stage of "
            f"{config.train.schedule}, got {', '.join(found) or 'none'}; make one by edgebert "
            "pretrain --schedule"
        )
    if not ours:
        return nothing
    if path.is_file():
        origin = _of_export(path)
    else:
        if is_pretraining(path):
            check_encoder(str(path), config.model, option)
        origin = _of_folder(path, ours, inputs.tokenizer.max_tokens)
    _check(origin, inputs, what)
    return origin.starts


def integer_file(source: str) -> Path | None:
    """The integer model of an export, or of a name of the zoo; None of anything else.

    A folder of that name in the working directory comes first.
    """
    models = read_index()
    if source in models and not Path(source).exists():
        return model_file(models[source])
    file = Path(source) / INTEGER_MODEL
    return file if file.is_file() else None


def _stage_names(path: Path) -> tuple[str, ...]:
    """Of an integer model, a pre-training or a run; none of another folder."""
    if path.is_file():
        return (ONE.name,)
    if is_pretraining(path):
        return tuple(EncoderFolder(path).read_info().stages)
    if is_run(path):
        schedule = RunFolder(path).read_config().train.schedule
        return tuple(bits.name for bits in parse_schedule(schedule))
    return ()


def _of_export(file: Path) -> _Origin:
    integers = load_integer_model(file)
    model = lift(integers)
    vocab = integers.attachments.get("vocab.txt", b"").decode().split("\n")[:-1]
    starts = Starts({ONE.name: quantized_state(model)}, {ONE.name: file_sha256(file)})
    return _Origin(model.config, vocab, starts)


def _of_folder(path: Path, stages: Sequence[Bits], max_tokens: int) -> _Origin:
    """Of a run or a pre-training."""
    states: dict[str, Mapping[str, Tensor]] = {}
    sha256: dict[str, str] = {}
    if is_run(path):
        run = RunFolder(path)
        config, info = run.read_config(), run.read_info()
        for bits in stages:
            states[bits.name] = quantized_state(run.load_stage(bits, config, info))
            sha256[bits.name] = run.read_stage(bits).checkpoint_sha256
    else:
        encoder = EncoderFolder(path)
        config, record = encoder.read_config(), encoder.read_info()
        for bits in stages:
            states[bits.name] = encoder.load_stage(bits, record)
            sha256[bits.name] = record.stages[bits.name].sha256 or ""
    vocab = init_tokenizer(str(path), max_tokens).vocab
    return _Origin(config.model, vocab, Starts(states, sha256))


def start_from(model: BinaryBert, state: Mapping[str, Tensor], pooler: bool) -> None:
    """Let a stage's model start from a pre-trained one. pooler: whether that comes, too."""
    chosen = {name: t for name, t in state.items() if pooler or not name.startswith("pooler.")}
    ours = model.state_dict()
    for name in FLOAT_TABLES:  # of which a model may take the first rows only
        chosen[name] = chosen[name][: len(ours[name])]
    load_quantized_state(model, chosen)


def _check(origin: _Origin, inputs: Inputs, what: str) -> None:
    ours = inputs.config.model
    check_sizes(origin.model, ours, what)
    if origin.model.attention != ours.attention:
        raise UserError(
            f"{what}: expected model.attention = {origin.model.attention} as it was trained with, "
            f"got {ours.attention}; set train.quantized_init={NONE}"
        )
    reach = origin.model.relative_positions
    if reach not in (0, ours.relative_positions):
        raise UserError(
            f"{what}: expected model.relative_positions = {reach} as it was trained with, "
            f"got {ours.relative_positions}; set model.relative_positions={reach}"
        )
    for name in ("max_tokens", "token_types"):
        rows, needed = getattr(origin.model, name), getattr(ours, name)
        if needed > rows:
            raise UserError(f"{what}: expected model.{name} of at most {rows}, got {needed}")
    if list(origin.vocab) != list(inputs.tokenizer.vocab):
        raise UserError(f"{what}: expected the run's vocabulary, got another one's")
