"""Pre-training: a full-precision encoder learns from a larger one on plain text, without labels."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from edgebert.batches import encode_split
from edgebert.config import Bits, Config
from edgebert.context import stop_signal
from edgebert.corpus import Text, read_text
from edgebert.encoder_folder import EncoderFolder, PretrainInfo, check_new
from edgebert.encoder_loss import EncoderDistiller
from edgebert.errors import UserError
from edgebert.init import init_tokenizer, initialise, load_encoder
from edgebert.inputs import say_truncated
from edgebert.model import BinaryBert
from edgebert.narrow import is_narrower
from edgebert.pretrainer import Pretrainer
from edgebert.provenance import differences, require_equal, versions
from edgebert.train import make_accelerator
from edgebert.trainlog import TrainLog

FULL = Bits(32, 32)


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
    """Distil an encoder of `config.model` from a pre-trained one into the folder `out`.

    teacher: minilm, a folder or a hub id. text, task, data: as of `corpus.read_text`.
    max_steps: at most so many optimizer steps. max_hours: at most so long; then the learning rate
    follows the time that has passed, so the weights depend on the machine.
    Raises UserError for what the user can mend, and Interrupted after Ctrl-C or SIGTERM, with a
    checkpoint saved.
    """
    out = Path(out)
    if not resume:
        check_new(out, force=force)
    folder = EncoderFolder(out)
    before = folder.read_info() if resume else None
    _check_limits(max_steps, max_hours)
    accelerator = make_accelerator(device)
    if accelerator.num_processes > 1:
        raise UserError(
            f"pretrain: expected one process, got {accelerator.num_processes}; start it without "
            "torchrun"
        )
    source = load_encoder(teacher, config.model.max_tokens, "--teacher")
    _check_widths(config, source, teacher)
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
    model = _student(config, source, teacher, say)
    with (
        TrainLog(folder.metrics, folder.tensorboard, True) as log,
        stop_signal() as stop,
    ):
        trainer = Pretrainer(config, model, source, split, info, folder, log, accelerator.device)
        return trainer.run(stop, progress)


def _student(
    config: Config, source: BinaryBert, teacher: str, say: Callable[[str], None]
) -> EncoderDistiller:
    """The model to train. One that is narrower than its teacher gets its start from the text."""
    torch.manual_seed(config.train.seed)
    sizes = replace(config.model, dropout=config.pretrain.dropout)
    width, layers = source.config.hidden, source.config.layers
    student = BinaryBert(sizes, config.arithmetic, width, FULL)
    if sizes.hidden == width and sizes.layers <= layers:
        initialise(student, teacher)
    elif not is_narrower(sizes, source.config):
        say(f"note: the start is random, since {teacher} has {layers} layers of width {width}")
    return EncoderDistiller(student, layers, width, config.pretrain)


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
