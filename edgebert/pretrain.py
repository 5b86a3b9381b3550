"""Pre-training: encoders learn from a larger one on plain text, without labels.

The stage w32a32 learns from the teacher, of whatever sizes; a quantized stage from the
full-precision encoder of its own sizes: the stage w32a32, or the teacher where there is none.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from edgebert.batches import encode_split
from edgebert.config import Bits, Config, parse_schedule, stage_value
from edgebert.corpus import Text, read_text
from edgebert.encoder_folder import (
    FULL,
    EncoderFolder,
    PretrainInfo,
    StageInfo,
    check_new,
    is_pretraining,
)
from edgebert.encoder_loss import EncoderDistiller
from edgebert.errors import UserError
from edgebert.feed import mix
from edgebert.init import (
    encoder_state,
    init_tokenizer,
    initialise,
    load_encoder,
    load_encoder_state,
    load_quantized_state,
)
from edgebert.inputs import say_truncated
from edgebert.interrupt import Interrupted, stop_signal
from edgebert.model import BinaryBert, next_stage
from edgebert.narrow import is_narrower
from edgebert.pretrainer import Pretrainer
from edgebert.provenance import differences, require_equal, versions
from edgebert.train import make_accelerator
from edgebert.trainlog import TrainLog
from edgebert.zoo.encoders import local_encoder

SIZES = ("layers", "hidden", "heads", "ffn", "activation", "layer_norm_eps")


def pretrain(
    config: Config,
    out: str | Path,
    *,
    teacher: str = "minilm",
    text: Sequence[str | Path] = (),
    task: str | None = None,
    data: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    force: bool = False,
    max_steps: int | None = None,
    max_hours: float | None = None,
    progress: bool = True,
    say: Callable[[str], None] = lambda message: None,
) -> PretrainInfo:
    """Distil the stages of `config.pretrain.schedule` into the folder `out`.

    teacher: minilm, an encoder of the zoo, a folder or a hub id. text, task, data: as of
    `corpus.read_text`. max_steps: at most so many optimizer steps in each stage. max_hours: at most
    so long, an equal share for each stage; then the learning rate follows the time that has passed,
    so the weights depend on the machine.
    Raises UserError for what the user can mend, and Interrupted after Ctrl-C or SIGTERM, with a
    checkpoint saved.
    """
    out = Path(out)
    if not resume:
        check_new(out, force=force)
    folder = EncoderFolder(out)
    before = folder.read_info() if resume else None
    _check_limits(max_steps, max_hours)
    place = _one_process(device)
    schedule = parse_schedule(config.pretrain.schedule)
    for bits in schedule:  # or there is an error
        stage_value(config.pretrain.epochs, bits), stage_value(config.pretrain.lr, bits)
    source = _read_teacher(config, teacher, schedule[0])
    tokenizer = init_tokenizer(teacher, config.model.max_tokens, "--teacher")
    config = replace(config, model=replace(config.model, vocab=len(tokenizer.vocab)))
    found = read_text(text, task, data)
    split = encode_split(tokenizer, found.examples)
    say(f"text: {len(split):,} sentences, {len(split.ids):,} tokens from {' '.join(found.sources)}")
    say_truncated(say, split, "sentences", tokenizer.max_tokens)
    info = _info(teacher, found, max_steps, max_hours)
    if before is None:
        folder = EncoderFolder.create(out, config, info, tokenizer)
    else:
        _check_same(folder, config, before, info)
        if before.status == "done":
            say("nothing to do: the encoder is trained")
            return before
        info = replace(info, stages=before.stages)
    if schedule[0] != FULL and FULL.name not in info.stages:
        info = folder.write_stage(FULL, encoder_state(source), info, _teacher_stage(teacher, info))
    saved = folder.checkpoint.load_state()
    begin = saved[0].get("stage", 0) if saved else 0
    with (
        TrainLog(folder.metrics, folder.tensorboard, True) as log,
        stop_signal() as stop,
    ):
        for index, bits in list(enumerate(schedule))[begin:]:
            name = info.teacher if bits == FULL else FULL.name
            info = info.with_stage(bits, info.stages.get(bits.name, StageInfo(name)))
            if bits == FULL:
                tutor, student = source, _first_student(config, source, teacher, say)
            else:
                tutor = _load_stage(folder, info, config, FULL)
                previous = schedule[index - 1] if index else FULL
                student = next_stage(_load_stage(folder, info, config, previous), bits)
            c = tutor.config
            model = EncoderDistiller(student, c.layers, c.hidden, config.pretrain)
            trainer = Pretrainer(config, index, model, tutor, split, info, folder, log, place)
            info = trainer.run(stop, progress, saved)
            saved = None
            if stop() and index + 1 < len(schedule):
                folder.write_info(replace(info, status="interrupted"))
                raise Interrupted(
                    f"stopped at the end of {bits.name}; go on with the same command and --resume"
                )
    return folder.finish(config.model, info, split.pad_id)


def _one_process(device: str) -> torch.device:
    """The device; pre-training knows no other processes."""
    accelerator = make_accelerator(device)
    if accelerator.num_processes > 1:
        raise UserError(
            f"pretrain: expected one process, got {accelerator.num_processes}; start it without "
            "torchrun"
        )
    return torch.device(accelerator.device)


def _read_teacher(config: Config, teacher: str, first: Bits) -> BinaryBert:
    """The teacher, of sizes that serve the first stage."""
    torch.manual_seed(config.train.seed)  # of a pooler, where the teacher has none
    source = load_encoder(teacher, config.model.max_tokens, "--teacher")
    _check_widths(config, source, teacher)
    if first != FULL:
        _check_sizes(config, source, teacher)
    return source


def _first_student(
    config: Config, source: BinaryBert, teacher: str, say: Callable[[str], None]
) -> BinaryBert:
    """The full-precision start. One that is narrower than its teacher gets it from the text."""
    torch.manual_seed(config.train.seed)
    sizes = replace(config.model, dropout=config.pretrain.dropout)
    width, layers = source.config.hidden, source.config.layers
    student = BinaryBert(sizes, config.arithmetic, width, FULL)
    if sizes.hidden == width and sizes.layers <= layers:
        initialise(student, teacher)
    elif not is_narrower(sizes, source.config):
        say(f"note: the start is random, since {teacher} has {layers} layers of width {width}")
    return student


def _load_stage(
    folder: EncoderFolder, info: PretrainInfo, config: Config, bits: Bits
) -> BinaryBert:
    """A finished stage's model; its classifier, of as many outputs as it is wide, is random."""
    torch.manual_seed(mix(config.train.seed, bits.activation))
    sizes = replace(config.model, dropout=0.0)
    model = BinaryBert(sizes, config.arithmetic, sizes.hidden, bits)
    state = folder.load_stage(bits, info)
    load_encoder_state(model, state) if bits == FULL else load_quantized_state(model, state)
    return model


def _teacher_stage(teacher: str, info: PretrainInfo) -> StageInfo:
    """What the full-precision stage's record says where the teacher is that stage."""
    folder = Path(local_encoder(teacher))
    if not is_pretraining(folder):
        return StageInfo(info.teacher)
    return EncoderFolder(folder).read_info().stages[FULL.name]


def _info(teacher: str, text: Text, max_steps: int | None, max_hours: float | None) -> PretrainInfo:
    """What pretrain.json says at the start. No path of this machine is in it."""
    digest = hashlib.sha256()
    for example in text.examples:
        digest.update(json.dumps([example.text, example.text_b]).encode() + b"\n")
    return PretrainInfo(
        teacher=Path(teacher).resolve().name if Path(teacher).is_dir() else teacher,
        sources=text.sources,
        sentences=len(text.examples),
        text_sha256=digest.hexdigest(),
        max_steps=max_steps,
        max_hours=max_hours,
        versions=versions(),
    )


def _check_limits(max_steps: int | None, max_hours: float | None) -> None:
    if max_steps is not None and max_steps < 1:
        raise UserError(f"--max-steps: expected a number of 1 or more, got {max_steps}")
    if max_hours is not None and not max_hours > 0:
        raise UserError(f"--max-hours: expected a number above 0, got {max_hours}")


def _check_widths(config: Config, source: BinaryBert, teacher: str) -> None:
    heads = config.pretrain.relation_heads
    for what, width in (
        (f"--teacher {teacher}", source.config.hidden),
        ("model", config.model.hidden),
    ):
        if width % heads:
            raise UserError(
                f"pretrain.relation_heads: expected a divisor of the width {width} of {what}, got "
                f"{heads}; set it to one of both widths"
            )


def _check_sizes(config: Config, source: BinaryBert, teacher: str) -> None:
    for name in SIZES:
        theirs, ours = getattr(source.config, name), getattr(config.model, name)
        if theirs != ours:
            raise UserError(
                f"--teacher {teacher}: expected model.{name} = {ours} of a schedule that begins "
                f"quantized, got {theirs}; choose another teacher, or begin pretrain.schedule with "
                f"{FULL.name}"
            )


def _check_same(
    folder: EncoderFolder, config: Config, before: PretrainInfo, now: PretrainInfo
) -> None:
    """Raise UserError unless a pre-training was started like this; its hours may change."""
    require_equal(
        [
            ("--teacher", before.teacher, now.teacher),
            ("--max-steps", before.max_steps, now.max_steps),
            *differences(folder.read_config(), config),
            ("--text, --task, --data", before.text_sha256[:12], now.text_sha256[:12]),
        ]
    )
