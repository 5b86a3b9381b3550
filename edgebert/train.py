"""Training: every stage of a schedule, each the teacher and start of the next."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from edgebert import native
from edgebert.batches import sequential_batches
from edgebert.config import Config, parse_schedule
from edgebert.context import Context
from edgebert.earlier import load_start
from edgebert.errors import UserError
from edgebert.evaluate import EVAL_BATCH, model_inputs
from edgebert.feed import stage_steps
from edgebert.inputs import Inputs, prepare_inputs
from edgebert.interrupt import Interrupted, stop_signal
from edgebert.model import BinaryBert, next_stage
from edgebert.provenance import check_same, run_info, some_sentences
from edgebert.quantized_init import Starts, quantized_starts, start_from
from edgebert.rundir import RunFolder, RunInfo, StageResult, check_out, require_run
from edgebert.saturation import shrink_sums
from edgebert.soft_labels import load_teacher, soft_labels
from edgebert.stages import Stage
from edgebert.trainlog import TrainLog


def train(
    config: Config,
    task: str,
    data: str | Path | None,
    out: str | Path,
    *,
    init: str | None = None,
    device: str = "auto",
    resume: bool = False,
    force: bool = False,
    max_steps: int | None = None,
    progress: bool = True,
    say: Callable[[str], None] = lambda message: None,
) -> list[StageResult]:
    """Train all stages of `config.train.schedule` into the folder `out`.

    max_steps: at most so many optimizer steps in each stage.
    say: gets one line per note and evaluation.
    Returns the stages' results. Raises UserError for what the user can mend, and
    Interrupted after Ctrl-C or SIGTERM, with a checkpoint saved.
    """
    out = Path(out)
    if resume:
        require_run(out)
    else:
        check_out(out, force=force)
    _check_config(config, max_steps)
    accelerator = make_accelerator(device)
    if not accelerator.is_main_process:
        say, progress = _silent, False
    inputs = prepare_inputs(config, task, data, init, say)
    config = inputs.config
    start = load_start(init, inputs)
    starts = quantized_starts(inputs, init)
    info = run_info(inputs, data, init, max_steps, start.record if start else None, starts.sha256)
    name = config.distill.teacher
    teacher = None if name is None else load_teacher(name, inputs)
    first = None if resume or start else _first_model(config, inputs, init)
    folder = RunFolder(out)
    if resume:
        check_same(folder, config, info)
    elif accelerator.is_main_process:
        sentences = some_sentences(inputs.task.dev)
        RunFolder.create(out, config, info, inputs.tokenizer, sentences, force=force)
    accelerator.wait_for_everyone()
    with (
        TrainLog(folder.metrics, folder.tensorboard, accelerator.is_main_process) as log,
        stop_signal() as stop,
    ):
        context = Context(accelerator, config, inputs, folder, log, max_steps, progress, say, stop)
        context = replace(context, start=start)
        try:
            if teacher is not None:
                split, precision = inputs.train_and_text, config.train.precision
                soft = soft_labels(
                    teacher, split, accelerator, progress, precision, stop=stop, say=say
                )
                context = replace(context, soft_labels=soft)
            results = _run_stages(context, info, init, first, starts)
        except Interrupted as stopped:
            if accelerator.is_main_process:
                folder.write_info(replace(info, status="interrupted"))
            raise Interrupted(f"{stopped}; go on with the same command and --resume") from None
    if accelerator.is_main_process:
        folder.write_info(replace(info, status="done"))
    return results


def make_accelerator(device: str) -> Accelerator:
    """Accelerate's view of this process: its device, and the other processes of torchrun."""
    cuda = torch.cuda.is_available()
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device: expected auto, cpu or cuda, got {device!r}")
    if device == "cuda" and not cuda:
        raise UserError("--device cuda: expected a CUDA GPU, got none; use --device cpu")
    # Our losses and mixed precision are our own, so Accelerate adds neither.
    ddp = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    return Accelerator(cpu=device == "cpu" or not cuda, kwargs_handlers=[ddp])


def _run_stages(
    context: Context, info: RunInfo, init: str | None, first: BinaryBert | None, starts: Starts
) -> list[StageResult]:
    config, folder = context.config, context.folder
    schedule = parse_schedule(config.train.schedule)
    saved = folder.checkpoint.load_state()
    begin = saved[0]["stage"] if saved else 0
    steps = 0
    if begin == len(schedule):
        context.say("nothing to do: every stage is trained")
    elif context.accelerator.device.type == "cpu":
        threads = torch.get_num_threads()
        context.say(f"training on the CPU: {threads} threads, {native.describe()}")
    for index, bits in enumerate(schedule):
        here = stage_steps(config.train, bits, len(context.split(index)), context.max_steps)
        if index >= begin:
            resumed = saved is not None and index == begin and saved[0]["step"] > 0
            teacher: BinaryBert | None = None
            if index:
                teacher = origin = folder.load_stage(schedule[index - 1], config, info)
                student = next_stage(origin, bits, _deploy(config, index))
            elif context.start:
                teacher, origin = context.start.teacher, context.start.model
                student = next_stage(origin, bits, _deploy(config, index))
                if not resumed:
                    context.say(context.start.describe(bits.name))
            else:
                student = first or _first_model(config, context.inputs, init)
            if bits.name in starts.states and not resumed:
                start_from(student, starts.states[bits.name], pooler=teacher is None)
                context.say(f"{bits.name}: its encoder starts from an earlier {bits.name}")
            if config.train.shrink_sums and student.deploy and not resumed:
                _shrink(context, student)
            stage = Stage(context, index, bits, student, teacher, steps)
            stage.start(saved if index == begin else None)
            if saved and index == begin:
                context.log.rewind(saved[0]["log_bytes"], steps + saved[0]["step"])
            stage.run()
            if context.stop() and index + 1 < len(schedule):
                raise Interrupted(f"stopped at the end of {bits.name}")
        steps += here
    return [folder.read_stage(bits) for bits in schedule]


def _shrink(context: Context, student: BinaryBert) -> None:
    """`train.shrink_sums`, by a batch of the task's train sentences of middle length."""
    if not student.layers[-1].down.quantizer.initialized:  # type: ignore[union-attr]
        return  # the first batch sets the scales
    split = context.inputs.train
    batches = sequential_batches(split.lengths, EVAL_BATCH)
    inputs = model_inputs(split, batches[len(batches) // 2], torch.device("cpu"))
    for name, factor in shrink_sums(student.eval(), inputs).items():
        context.say(f"{student.bits.name}: {name} made {1 / factor:.3g} times as small")


def _first_model(config: Config, inputs: Inputs, init: str | None) -> BinaryBert:
    """The first stage's start: from pretrained weights, or random by the seed."""
    torch.manual_seed(config.train.seed)
    bits = parse_schedule(config.train.schedule)[0]
    model = BinaryBert(
        config.model, config.arithmetic, inputs.task.outputs, bits, _deploy(config, 0)
    )
    if init is not None:
        from edgebert.init import initialise

        initialise(model, init)
    return model


def _deploy(config: Config, index: int) -> bool:
    """Whether a stage trains on the deployed arithmetic: a last stage of 1 bit does."""
    schedule = parse_schedule(config.train.schedule)
    return index == len(schedule) - 1 and schedule[index].binary


def _check_config(config: Config, max_steps: int | None) -> None:
    train = config.train
    for name, value, low in (
        ("--max-steps", max_steps, 1),
        ("--batch-size", train.batch_size, 1),
        ("--seed", train.seed, 0),
        ("train.eval_every", train.eval_every, 0),
        ("train.checkpoint_every", train.checkpoint_every, 0),
    ):
        if value is not None and value < low:
            raise UserError(f"{name}: expected a number of {low} or more, got {value}")


def _silent(message: str) -> None:
    pass
