"""The loop of one stage of a pre-training: steps, log, checkpoints, and the encoder at the end."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from edgebert.batches import EncodedSplit
from edgebert.checkpoint import FileRef, load_optimizer, optimizer_tensors
from edgebert.config import Config, parse_schedule, stage_value
from edgebert.encoder_folder import FULL, EncoderFolder, PretrainInfo, StageInfo
from edgebert.encoder_loss import EncoderDistiller, Recorder
from edgebert.errors import UserError
from edgebert.evaluate import model_inputs
from edgebert.feed import Batches, mix
from edgebert.init import encoder_state, quantized_state
from edgebert.interrupt import Interrupted
from edgebert.model import BinaryBert
from edgebert.narrow import is_narrower, narrow
from edgebert.optim import clip_gradients, lr_at, make_optimizer, set_lr, use_sparse_table
from edgebert.precision import autocast
from edgebert.trainlog import TrainLog

Saved = tuple[Mapping[str, Any], Mapping[str, FileRef]]  # a checkpoint's state and files

LOG_EVERY = 50  # steps
START_BATCHES = 8  # that the start is fitted to


class Pretrainer:
    """Trains the student of one stage on unlabelled text."""

    def __init__(
        self,
        config: Config,
        index: int,
        model: EncoderDistiller,
        teacher: BinaryBert,
        split: EncodedSplit,
        info: PretrainInfo,
        folder: EncoderFolder,
        log: TrainLog,
        device: torch.device,
    ) -> None:
        """index: of the stage. info: with the stage, and those before it."""
        self.config, self.index, self.split, self.device = config, index, split, device
        self.info, self.folder, self.log = info, folder, log
        settings = config.pretrain
        schedule = parse_schedule(settings.schedule)
        self.bits = schedule[index]
        self.stage = info.stages[self.bits.name]
        self.first_step = sum(info.stages[bits.name].step for bits in schedule[:index])
        self.batches = Batches(split, settings.batch_size, mix(config.train.seed, index), 1, 0)
        steps = max(1, math.ceil(stage_value(settings.epochs, self.bits) * self.batches.per_epoch))
        self.total = min(steps, info.max_steps or steps)
        hours = math.inf if info.max_hours is None else info.max_hours / len(schedule)
        self.limit = hours * 3600
        self.lr = stage_value(settings.lr, self.bits)
        self.model = model.to(device).train()
        self.student = Recorder(model.student)
        self.teacher = Recorder(teacher.to(device).eval().requires_grad_(False))
        self.step = 0
        self.seconds = 0.0
        self._sums: dict[str, Tensor] = {}  # of the losses since the last log line
        self._logged = (0, 0.0)  # step and seconds of it

    def run(self, stop: Callable[[], bool], progress: bool, saved: Saved | None) -> PretrainInfo:
        """Train to the stage's end; the record with its result, which is in the folder.

        saved: a checkpoint of the stage, or of the end of the one before.
        """
        self._start(saved)
        every = self.config.train.checkpoint_every
        mark = perf_counter()
        with tqdm(
            total=self.total,
            initial=self.step,
            desc=self.bits.name,
            unit="step",
            disable=None if progress else True,
        ) as bar:
            while self.position < self.total:
                self._optimize()
                bar.update()
                now = perf_counter()
                self.seconds, mark = self.seconds + now - mark, now
                last = self.position >= self.total
                if last or self.step % LOG_EVERY == 0:
                    self._write_log(bar)
                if not last and stop():
                    self._interrupt()
                if not last and every and self.step % every == 0:
                    self.save()
        return self._finish()

    @property
    def position(self) -> int:
        """Where the schedule stands: the step, or further on where the time runs out first."""
        return max(self.step, math.floor(self.seconds / self.limit * self.total))

    def save(self) -> None:
        """Save a checkpoint, from which training goes on as if it had never stopped."""
        state = {
            "stage": self.index,
            "step": self.step,
            "seconds": round(self.seconds, 3),
            "log_bytes": self.log.size,
        }
        content: dict[str, Mapping[str, Tensor] | FileRef] = {
            "model": self.model.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
        }
        self.folder.checkpoint.save(state, content, f"{self.bits.name}-{self.step}")

    def _start(self, saved: Saved | None) -> None:
        if saved:
            self.log.rewind(saved[0]["log_bytes"], self.first_step + saved[0]["step"])
        resumed = saved if saved and saved[0]["step"] else None
        if resumed:
            self._restore(*resumed)
        else:
            self._fit()
        use_sparse_table(self.model.student.word, 1)
        # Loading a state makes Brevitas replace the scales' parameters, so it comes first.
        self.optimizer = make_optimizer(self.model, self.config.train)
        if resumed:
            tensors = self.folder.checkpoint.load_tensors(resumed[1]["optimizer"])
            load_optimizer(self.optimizer, tensors)

    def _restore(self, state: Mapping[str, Any], files: Mapping[str, FileRef]) -> None:
        self.model.load_state_dict(self.folder.checkpoint.load_tensors(files["model"]))
        self.step, self.seconds = state["step"], state["seconds"]
        self._logged = (self.step, self.seconds)

    @torch.no_grad()
    def _fit(self) -> None:
        """Let a narrower student, scales and projections begin as the best ones of some text."""
        count = min(START_BATCHES, self.batches.per_epoch)
        inputs = [self._inputs(step) for step in range(count)]
        if self.bits != FULL:
            self.student(inputs[0])  # in training mode, it sets the activation scales
        self.model.eval()
        student, teacher = self.student.model, self.teacher.model
        if is_narrower(student.config, teacher.config):
            narrow(student, teacher, inputs)
        ours, theirs = ([run(i) for i in inputs] for run in (self.student, self.teacher))
        self.model.fit(ours, theirs, [mask for _, _, mask in inputs])
        self.model.train()

    def _optimize(self) -> None:
        train = self.config.train
        # A seed per step: dropout needs no generator state to be saved, whatever the device.
        torch.manual_seed(mix(train.seed, self.index, self.step))
        set_lr(self.optimizer, self.lr * lr_at(self.position, self.total, train.warmup))
        inputs = self._inputs(self.step)
        with torch.no_grad(), autocast(train.precision, self.device, self.teacher.model):
            theirs = self.teacher(inputs)
        with autocast(train.precision, self.device, self.student.model):
            losses = self.model.losses(self.student(inputs), theirs, inputs[2])
        total = self.model.total(losses)
        total.backward()
        if train.grad_clip:
            clip_gradients(self.model.parameters(), train.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        for name, loss in {"loss": total, **losses}.items():
            self._sums[name] = self._sums.get(name, 0) + loss.detach()

    def _inputs(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        return model_inputs(self.split, self.batches.at(step)[1], self.device)

    def _write_log(self, bar: "tqdm[Any]") -> None:
        step, seconds = self._logged
        steps = self.step - step
        means = {name: float(value) / steps for name, value in self._sums.items()}
        if not math.isfinite(means["loss"]):
            raise UserError(
                f"{self.bits.name}, step {self.step}: expected a finite loss, got "
                f"{means['loss']}; train with a smaller --lr, or --set train.precision=fp32"
            )
        speed = steps * self.config.pretrain.batch_size / (self.seconds - seconds)
        self.stage = replace(self.stage, losses=means)
        self._sums, self._logged = {}, (self.step, self.seconds)
        bar.set_postfix({name: f"{value:.4f}" for name, value in means.items()})
        position = min(self.position, self.total - 1)
        lr = self.lr * lr_at(position, self.total, self.config.train.warmup)
        values = {**means, "lr": lr, "sentences_per_second": round(speed, 1)}
        timed = {**values, "seconds": round(self.seconds, 3)}
        self.log.write(self.bits.name, self.step, self.first_step + self.step, timed)

    def _finish(self) -> PretrainInfo:
        """Write the encoder; the checkpoint, three times as large, has then done its service."""
        student = self.model.student
        tensors = encoder_state(student) if self.bits == FULL else quantized_state(student)
        info = self.folder.write_stage(self.bits, tensors, self.info, self._reached())
        state = {"stage": self.index + 1, "step": 0, "log_bytes": self.log.size}
        self.folder.checkpoint.save(state, {}, "")
        return info

    def _interrupt(self) -> None:
        self.save()
        info = self.info.with_stage(self.bits, self._reached())
        self.folder.write_info(replace(info, status="interrupted"))
        raise Interrupted(
            f"stopped at step {self.step} of {self.bits.name}; go on with the same command and "
            "--resume"
        )

    def _reached(self) -> StageInfo:
        """How far the stage came."""
        return replace(self.stage, step=self.step, seconds=round(self.seconds, 3))
