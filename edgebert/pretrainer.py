"""The loop of a pre-training: steps, log, checkpoints, and the encoder at the end."""

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
from edgebert.config import Config
from edgebert.context import Interrupted
from edgebert.encoder_folder import EncoderFolder, PretrainInfo
from edgebert.encoder_loss import EncoderDistiller, Recorder
from edgebert.errors import UserError
from edgebert.evaluate import model_inputs
from edgebert.feed import Batches, mix
from edgebert.init import encoder_state
from edgebert.model import BinaryBert
from edgebert.narrow import is_narrower, narrow
from edgebert.optim import clip_gradients, lr_at, make_optimizer, set_lr, use_sparse_table
from edgebert.trainlog import TrainLog

NAME = "pretrain"  # in the log
LOG_EVERY = 50  # steps
START_BATCHES = 8  # that the start is fitted to


class Pretrainer:
    """Trains one student on unlabelled text."""

    def __init__(
        self,
        config: Config,
        model: EncoderDistiller,
        teacher: BinaryBert,
        split: EncodedSplit,
        info: PretrainInfo,
        folder: EncoderFolder,
        log: TrainLog,
        device: torch.device,
    ) -> None:
        self.config, self.split, self.device = config, split, device
        self.info, self.folder, self.log = info, folder, log
        settings = config.pretrain
        self.batches = Batches(split, settings.batch_size, mix(config.train.seed), 1, 0)
        steps = max(1, math.ceil(settings.epochs * self.batches.per_epoch))
        self.total = min(steps, info.max_steps or steps)
        self.limit = math.inf if info.max_hours is None else info.max_hours * 3600
        precision = config.train.precision
        self.bf16 = precision == "bf16" or (precision == "auto" and device.type == "cuda")
        self.model = model.to(device).train()
        self.student = Recorder(model.student)
        self.teacher = Recorder(teacher.to(device).eval().requires_grad_(False))
        self.step = 0
        self.seconds = 0.0
        self._sums: dict[str, Tensor] = {}  # of the losses since the last log line
        self._logged = (0, 0.0)  # step and seconds of it

    def run(self, stop: Callable[[], bool], progress: bool) -> PretrainInfo:
        """Train to the end, from the checkpoint where there is one; the record of the result."""
        self._start()
        every = self.config.train.checkpoint_every
        mark = perf_counter()
        with tqdm(
            total=self.total,
            initial=self.step,
            desc=NAME,
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
            "step": self.step,
            "seconds": round(self.seconds, 3),
            "log_bytes": self.log.size,
        }
        content: dict[str, Mapping[str, Tensor] | FileRef] = {
            "model": self.model.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
        }
        self.folder.checkpoint.save(state, content, str(self.step))

    def _start(self) -> None:
        saved = self.folder.checkpoint.load_state()
        if saved:
            self.model.load_state_dict(self.folder.checkpoint.load_tensors(saved[1]["model"]))
            self.step, self.seconds = saved[0]["step"], saved[0]["seconds"]
            self._logged = (self.step, self.seconds)
            self.log.rewind(saved[0]["log_bytes"], self.step)
        else:
            self._fit()
        use_sparse_table(self.model.student.word, 1)
        self.optimizer = make_optimizer(self.model, self.config.train)
        if saved:
            tensors = self.folder.checkpoint.load_tensors(saved[1]["optimizer"])
            load_optimizer(self.optimizer, tensors)

    @torch.no_grad()
    def _fit(self) -> None:
        """Let a narrower student and the projections begin as the best ones of some text."""
        count = min(START_BATCHES, self.batches.per_epoch)
        inputs = [self._inputs(step) for step in range(count)]
        self.model.eval()
        student, teacher = self.student.model, self.teacher.model
        if is_narrower(student.config, teacher.config):
            narrow(student, teacher, inputs)
        ours, theirs = ([run(i) for i in inputs] for run in (self.student, self.teacher))
        self.model.fit(ours, theirs, [mask for _, _, mask in inputs])
        self.model.train()

    def _optimize(self) -> None:
        train, settings = self.config.train, self.config.pretrain
        # A seed per step: dropout needs no generator state to be saved, whatever the device.
        torch.manual_seed(mix(train.seed, 0, self.step))
        set_lr(self.optimizer, settings.lr * lr_at(self.position, self.total, train.warmup))
        inputs = self._inputs(self.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            with torch.no_grad():
                theirs = self.teacher(inputs)
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
                f"step {self.step}: expected a finite loss, got {means['loss']}; train with a "
                "smaller --lr, or --set train.precision=fp32"
            )
        speed = steps * self.config.pretrain.batch_size / (self.seconds - seconds)
        self.info = replace(self.info, losses=means)
        self._sums, self._logged = {}, (self.step, self.seconds)
        bar.set_postfix({name: f"{value:.4f}" for name, value in means.items()})
        position = min(self.position, self.total - 1)
        lr = self.config.pretrain.lr * lr_at(position, self.total, self.config.train.warmup)
        values = {**means, "lr": lr, "sentences_per_second": round(speed, 1)}
        timed = {**values, "seconds": round(self.seconds, 3)}
        self.log.write(NAME, self.step, self.step, timed)

    def _finish(self) -> PretrainInfo:
        """Write the encoder; the checkpoint, three times as large, has then done its service."""
        tensors, sizes = encoder_state(self.model.student), self.config.model
        info = self.folder.write_encoder(tensors, sizes, self._info("done"), self.split.pad_id)
        self.folder.checkpoint.save({"step": self.step}, {}, "")
        return info

    def _interrupt(self) -> None:
        self.save()
        self.folder.write_info(self._info("interrupted"))
        raise Interrupted(
            f"stopped at step {self.step}; go on with --resume --out {self.folder.path}"
        )

    def _info(self, status: str) -> PretrainInfo:
        seconds = round(self.seconds, 3)
        return replace(self.info, status=status, step=self.step, seconds=seconds)
