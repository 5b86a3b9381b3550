"""Quantized stages that start from the ones that an encoder was pre-trained with.

Everything of such a stage but classifier and pooler starts from the encoder; these come from the
stage before, which stays the teacher. A training run is such an encoder, too, whatever its task,
and so is what one became, for w1a1: an export, or a model of the zoo (edgebert/lift.py).
"""

from collections.abc import Mapping, Sequence
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
from edgebert.rundir import RunFolder, is_run
from edgebert.zoo import model_file, read_index
from edgebert.zoo.encoders import FLOAT_TABLES, local_encoder
from hw.integer_model import load_integer_model

AUTO, NONE = "auto", "none"
ONE = Bits(1, 1)
INTEGER_MODEL = "integer.safetensors"  # of an export

Starts = Mapping[str, Mapping[str, Tensor]]  # by the stage's name, in BinaryBert's names


def quantized_starts(inputs: Inputs, init: str | None) -> Starts:
    """What `train.quantized_init` has for the stages of a schedule.

    Raises UserError where it is named but has no such stage, or is of another model, and
    HardwareFileError where an export is damaged.
    """
    config, named = inputs.config, inputs.config.train.quantized_init
    source = init if named == AUTO else named
    if source is None or source == NONE:
        return {}
    stages = [bits for bits in parse_schedule(config.train.schedule) if bits != FULL]
    option = "--init" if named == AUTO else "train.quantized_init"
    what = f"{option} {source}"
    exported = integer_file(source)
    if exported and ONE in stages and named != AUTO:
        return {ONE.name: _lifted(exported, inputs, what)}
    path = Path(local_encoder(source))
    if named == AUTO and is_run(path) and len(stages) == len(parse_schedule(config.train.schedule)):
        return {}  # goes on from that run's last stage
    found = (ONE.name,) if exported else _stage_names(path)
    ours = [bits for bits in stages if bits.name in found]
    if named != AUTO and not ours:
        raise UserError(
            f"{what}: expected an encoder with a quantized stage of "
            f"{config.train.schedule}, got {', '.join(found) or 'none'}; make one by edgebert "
            "pretrain --schedule"
        )
    if not ours:
        return {}
    if is_run(path):
        run = RunFolder(path)
        theirs, info = run.read_config(), run.read_info()
        check_sizes(theirs.model, config.model, what)
        states = [quantized_state(run.load_stage(bits, theirs, info)) for bits in ours]
    else:
        check_encoder(str(path), config.model, option)
        encoder = EncoderFolder(path)
        theirs, record = encoder.read_config(), encoder.read_info()
        states = [encoder.load_stage(bits, record) for bits in ours]
    vocab = init_tokenizer(str(path), inputs.tokenizer.max_tokens).vocab
    _check(theirs.model, vocab, inputs, what)
    return {bits.name: state for bits, state in zip(ours, states, strict=True)}


def integer_file(source: str) -> Path | None:
    """The integer model of an export, or of a name of the zoo; None of anything else.

    A folder of that name in the working directory comes first.
    """
    models = read_index()
    if source in models and not Path(source).exists():
        return model_file(models[source])
    file = Path(source) / INTEGER_MODEL
    return file if file.is_file() else None


def _lifted(file: Path, inputs: Inputs, what: str) -> Mapping[str, Tensor]:
    integers = load_integer_model(file)
    model = lift(integers)
    check_sizes(model.config, inputs.config.model, what)
    vocab = integers.attachments.get("vocab.txt", b"").decode().split("\n")[:-1]
    _check(model.config, vocab, inputs, what)
    return quantized_state(model)


def _stage_names(path: Path) -> tuple[str, ...]:
    """Of a pre-training or a run; none of another folder."""
    if is_pretraining(path):
        return tuple(EncoderFolder(path).read_info().stages)
    if is_run(path):
        schedule = RunFolder(path).read_config().train.schedule
        return tuple(bits.name for bits in parse_schedule(schedule))
    return ()


def start_from(model: BinaryBert, state: Mapping[str, Tensor], pooler: bool) -> None:
    """Let a stage's model start from a pre-trained one. pooler: whether that comes, too."""
    chosen = {name: t for name, t in state.items() if pooler or not name.startswith("pooler.")}
    ours = model.state_dict()
    for name in FLOAT_TABLES:  # of which a model may take the first rows only
        chosen[name] = chosen[name][: len(ours[name])]
    load_quantized_state(model, chosen)


def _check(theirs: ModelConfig, vocab: Sequence[str], inputs: Inputs, what: str) -> None:
    was, now = theirs.attention, inputs.config.model.attention
    if was != now:
        raise UserError(
            f"{what}: expected model.attention = {was} as it was pre-trained with, got {now}; set "
            f"train.quantized_init={NONE}"
        )
    for name in ("max_tokens", "token_types"):
        rows, needed = getattr(theirs, name), getattr(inputs.config.model, name)
        if needed > rows:
            raise UserError(f"{what}: expected model.{name} of at most {rows}, got {needed}")
    if list(vocab) != list(inputs.tokenizer.vocab):
        raise UserError(f"{what}: expected the run's vocabulary, got another one's")
