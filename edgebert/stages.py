"""One stage of a run: a student, its teacher, and the loop that trains it."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from edgebert.augment import Replacer, every_other
from edgebert.batches import EncodedSplit, Indices, sequential_batches
from edgebert.checkpoint import FileRef, load_optimizer, optimizer_tensors
from edgebert.config import Bits, DistillConfig, stage_value
from edgebert.context import Context
from edgebert.distill import UNLABELLED, Counts, distill_loss, label_loss, logits_loss
from edgebert.errors import UserError
from edgebert.evaluate import EVAL_BATCH, Evaluation, compute_logits, model_inputs, summarize
from edgebert.feed import Batches, eval_every, mix, stage_steps
from edgebert.interrupt import Interrupted, agree
from edgebert.model import BinaryBert
from edgebert.optim import clip_gradients, lr_at, make_optimizer, set_lr, use_sparse_table
from edgebert.precision import autocast, uses_bf16
from edgebert.rundir import StageResult
from edgebert.saturation import advice, saturation

LOG_EVERY = 50  # steps
AGREE_EVERY = 10  # steps between the processes' agreeing whether to stop


@dataclass(frozen=True)
class Best:
    """The model that a stage would hand on if it ended now."""

    step: int
    value: float
    metrics: Mapping[str, float]
    tensors: Mapping[str, Tensor]


class Stage:
    """Trains one student. `model` is it, `teacher` None in a first stage."""

    def __init__(
        self,
        context: Context,
        index: int,
        bits: Bits,
        model: BinaryBert,
        teacher: BinaryBert | None,
        first_step: int,
    ) -> None:
        """first_step: steps of all stages before, for the log."""
        self.context, self.index, self.bits = context, index, bits
        self.number = context.number(index)
        self.model, self.teacher, self.first_step = model, teacher, first_step
        accelerator, train = context.accelerator, context.config.train
        self.deploy = model.deploy
        self.regression = context.inputs.task.regression
        self.metric = context.inputs.task.metric
        split = context.split(index)
        self.batches = Batches(
            split,
            train.batch_size,
            mix(train.seed, self.number),
            accelerator.num_processes,
            accelerator.process_index,
        )
        self.total = stage_steps(train, bits, len(split), context.max_steps)
        self.lr = stage_value(train.lr, bits)
        self.eval_every = eval_every(train, self.batches.per_epoch, self.total)
        device = accelerator.device
        self.step = 0
        self.seconds = 0.0
        self.best: Best | None = None
        self.best_file: FileRef | None = None
        self._loss = torch.zeros((), device=device)  # summed since the last log line
        self._loss_steps = 0
        self._loss_seconds = 0.0
        self._shown: dict[str, str] = {}  # beside the progress bar
        model.to(device).train()
        self.replacer: Replacer | None = None
        if teacher:
            teacher.to(device).eval().requires_grad_(False)
            fraction = context.config.distill.replace
            if fraction:
                vocab = context.inputs.tokenizer.vocab
                self.replacer = Replacer(teacher.word.weight, vocab, fraction)

    def start(self, saved: tuple[Mapping[str, Any], Mapping[str, FileRef]] | None) -> None:
        """Begin the stage, or go on from a checkpoint of it."""
        resumed = saved if saved and saved[0]["step"] else None
        if resumed:
            self._restore_model(*resumed)
        elif self.bits.weight != 32:
            self._initialise_scales()
        use_sparse_table(self.model.word, self.context.accelerator.num_processes)
        # Loading a state makes Brevitas replace the scales' parameters, so it comes first.
        self.optimizer = make_optimizer(self.model, self.context.config.train)
        if resumed:
            tensors = self.context.folder.checkpoint.load_tensors(resumed[1]["optimizer"])
            load_optimizer(self.optimizer, tensors)
        self.wrapped = self.context.accelerator.prepare_model(self.model)

    def run(self) -> StageResult:
        """Train to the stage's end; the chosen model's result, saved in the run's folder."""
        every = self.context.config.train.checkpoint_every
        with tqdm(
            total=self.total,
            initial=self.step,
            desc=self.bits.name,
            unit="step",
            disable=None if self.context.progress else True,
        ) as bar:
            while self.step < self.total:
                self._optimize()
                bar.update()
                last = self.step == self.total
                if last or self.step % LOG_EVERY == 0:
                    self._write_log(bar)
                if last or self.step % self.eval_every == 0:
                    self._evaluate(bar)
                if not last and self._stopping():
                    self.save()
                    raise Interrupted(f"stopped at step {self.step} of {self.bits.name}")
                if not last and every and self.step % every == 0:
                    self.save()
        return self._finish()

    def save(self) -> None:
        """Save a checkpoint, from which the stage goes on as if it had never stopped."""
        if not self.context.accelerator.is_main_process:
            return
        suffix = f"{self.bits.name}-{self.step}"
        content: dict[str, Mapping[str, Tensor] | FileRef] = {
            "model": self.model.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
        }
        state: dict[str, Any] = {
            "stage": self.index,
            "step": self.step,
            "seconds": round(self.seconds, 3),
            "log_bytes": self.context.log.size,
        }
        if self.best:
            content["best"] = self.best_file or self.best.tensors
            state["best"] = {
                "step": self.best.step,
                "value": self.best.value,
                "metrics": dict(self.best.metrics),
            }
        files = self.context.folder.checkpoint.save(state, content, suffix)
        self.best_file = files.get("best")

    def _restore_model(self, state: Mapping[str, Any], files: Mapping[str, FileRef]) -> None:
        checkpoint = self.context.folder.checkpoint
        self.model.load_state_dict(checkpoint.load_tensors(files["model"]))
        self.model.to(self._device).train()
        self.step, self.seconds = state["step"], state["seconds"]
        if "best" in files:
            self.best_file = files["best"]
            self.best = Best(**state["best"], tensors=checkpoint.load_tensors(self.best_file))

    def _initialise_scales(self) -> None:
        """Let activation scales find their first values, from the whole first batch.

        Every process does so alike; each from its own share would make them differ.
        """
        inputs = model_inputs(self.batches.split, self.batches.at(0)[0], self._device)
        with torch.no_grad(), self._autocast(self.model):
            self.model(*inputs)

    def _optimize(self) -> None:
        begin = time.perf_counter()
        train, accelerator = self.context.config.train, self.context.accelerator
        # A seed per step: dropout needs no generator state to be saved, whatever the device.
        rank = accelerator.process_index
        seed = mix(train.seed, self.number, self.step, rank)
        torch.manual_seed(seed)
        set_lr(self.optimizer, self.lr * lr_at(self.step, self.total, train.warmup))
        everyone, mine = self.batches.at(self.step)
        altered = np.zeros(len(everyone), np.bool_)
        if self.replacer:
            altered = every_other(len(everyone), mix(train.seed, self.number, self.step))
        counts = self.batches.counts(everyone, altered)
        share = slice(rank * len(mine), (rank + 1) * len(mine))  # of this process
        loss = self._compute_loss(mine, altered[share], seed, counts)
        accelerator.backward(loss * accelerator.num_processes)  # the processes' mean follows
        if train.grad_clip:
            clip_gradients(self.wrapped.parameters(), train.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self._loss += loss.detach()
        self._loss_steps += 1
        took = time.perf_counter() - begin
        self._loss_seconds += took
        self.seconds += took

    def _compute_loss(
        self, indices: Indices, altered: NDArray[np.bool_], seed: int, counts: Counts
    ) -> Tensor:
        """This process's share of the whole batch's loss.

        altered: (sentences,) those that the replacer alters, by the seed.
        """
        split = self.batches.split
        assert split.labels is not None
        inputs = model_inputs(split, indices, self._device)
        labels = torch.from_numpy(split.labels[indices]).to(self._device, non_blocking=True)
        if self.replacer:
            inputs = (self.replacer(inputs[0], altered, seed), *inputs[1:])
            changed = torch.from_numpy(altered).to(self._device, non_blocking=True)
            labels = labels.masked_fill(changed, math.nan if self.regression else UNLABELLED)
        with self._autocast(self.model):
            output = self.wrapped(*inputs)
        soft = self._soft_loss(output.logits, indices, altered, counts)
        distill = self._weights()
        unasked = not (distill.logits or distill.hidden or distill.attention)
        if self.teacher is None or (unasked and soft is not None):
            hard = label_loss(output.logits, labels, self.regression, counts.labelled)
            return hard if soft is None else soft + distill.labels * hard
        with torch.no_grad(), self._autocast(self.teacher):
            target = self.teacher(*inputs)
        loss = distill_loss(
            output,
            target,
            labels,
            inputs[2],
            config=distill,
            regression=self.regression,
            counts=counts,
        )
        return loss if soft is None else loss + soft

    def _weights(self) -> DistillConfig:
        """Of the losses at this step."""
        given = self.context.config.distill
        early = self.step < given.hidden_part * self.total
        return given if early else replace(given, hidden=0.0, attention=0.0)

    def _soft_loss(
        self, logits: Tensor, indices: Indices, altered: NDArray[np.bool_], counts: Counts
    ) -> Tensor | None:
        """The loss against the logits of `distill.teacher`, if there is one.

        It knows the sentences of the split alone, none that was altered.
        """
        if self.context.soft_labels is None:
            return None
        distill = self.context.config.distill
        target = torch.from_numpy(self.context.soft_labels[indices[~altered]]).to(self._device)
        logits = logits[torch.from_numpy(np.flatnonzero(~altered)).to(self._device)]
        count = max(counts.unaltered, 1)
        loss = logits_loss(logits, target, self.regression, distill.temperature, count)
        return distill.soft * loss

    def _evaluate(self, bar: "tqdm[Any]") -> None:
        result = self.evaluate(self.model, self.context.inputs.choose)
        value = result.metrics[self.metric]
        choose = self.context.config.train.choose
        if self.best is None or choose == "last" or value >= self.best.value:
            state = self.model.state_dict()
            tensors = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
            self.best = Best(self.step, value, result.metrics, tensors)
            self.best_file = None
        self._shown[self.metric] = f"{value:.4f}"
        bar.set_postfix(self._shown)
        key = "dev" if self.context.inputs.choose is self.context.inputs.dev else "held_out"
        self._log({key: result.metrics})
        if self.deploy:
            self._report_saturation()
        self.context.say(
            f"{self.bits.name}: step {self.step:,} of {self.total:,}, "
            f"{key.replace('_', ' ')} {self.metric} {value:.4f}"
        )

    def _report_saturation(self) -> None:
        """Log what saturates in a batch of middle length, and say where that is much."""
        split = self.context.inputs.choose
        batches = sequential_batches(split.lengths, EVAL_BATCH)
        inputs = model_inputs(split, batches[len(batches) // 2], self._device)
        found = saturation(self.model, inputs)
        if found:
            self._log({"saturated": found})
        note = advice(found)
        if note:
            self.context.say(note)

    def evaluate(self, model: BinaryBert, split: EncodedSplit) -> Evaluation:
        """Evaluate a model; the processes share the sentences."""
        accelerator = self.context.accelerator
        batches = sequential_batches(split.lengths, EVAL_BATCH)
        mine = batches[accelerator.process_index :: accelerator.num_processes]
        # In float32 on the CPU, so that `edgebert eval` finds the same there.
        precision = self.context.config.train.precision
        fast = self._device.type != "cpu" and uses_bf16(precision, self._device, model)
        logits = compute_logits(model, split, mine, fast)
        if accelerator.num_processes > 1:  # every row is 0 but in one process
            if not mine:
                logits = np.zeros((len(split), self.context.inputs.task.outputs))
            shared = torch.from_numpy(logits).to(self._device)
            logits = accelerator.reduce(shared, "sum").cpu().numpy()
        return summarize(logits, split, self.metric, self.regression)

    def _finish(self) -> StageResult:
        """Save the chosen model and its metrics on dev."""
        assert self.best is not None
        inputs, dev = self.context.inputs, self.best.metrics
        if inputs.choose is not inputs.dev:
            c, labels = inputs.config, inputs.task.outputs
            chosen = BinaryBert(c.model, c.arithmetic, labels, self.bits, self.deploy)
            chosen.load_state_dict(self.best.tensors)
            dev = self.evaluate(chosen.to(self._device), inputs.dev).metrics
        result = StageResult(
            stage=self.bits.name,
            deploy=self.deploy,
            step=self.best.step,
            metrics=dev,
            chosen_by=self.best.metrics,
            checkpoint_sha256="",
        )
        if self.context.accelerator.is_main_process:
            result = self.context.folder.write_stage(self.best.tensors, result)
            state = {"stage": self.index + 1, "step": 0, "log_bytes": self.context.log.size}
            self.context.folder.checkpoint.save(state, {}, "")
        self.context.accelerator.wait_for_everyone()
        return result

    def _write_log(self, bar: "tqdm[Any]") -> None:
        loss = self._loss
        if self.context.accelerator.num_processes > 1:
            loss = self.context.accelerator.reduce(loss.clone(), "sum")
        mean = float(loss) / self._loss_steps  # waits for the device
        if not math.isfinite(mean):
            raise UserError(
                f"{self.bits.name}, step {self.step}: expected a finite loss, got {mean}; "
                "train with a smaller --lr, or --set train.precision=fp32"
            )
        speed = self._loss_steps * self.context.config.train.batch_size / self._loss_seconds
        self._loss.zero_()
        self._loss_steps, self._loss_seconds = 0, 0.0
        self._shown["loss"] = f"{mean:.4f}"
        bar.set_postfix(self._shown)
        lr = self.lr * lr_at(self.step - 1, self.total, self.context.config.train.warmup)
        self._log({"loss": mean, "lr": lr, "sentences_per_second": round(speed, 1)})

    def _log(self, values: Mapping[str, float | Mapping[str, float]]) -> None:
        timed = {**values, "seconds": round(self.seconds, 3)}
        self.context.log.write(self.bits.name, self.step, self.first_step + self.step, timed)

    def _stopping(self) -> bool:
        """Whether to stop now: decided by all processes together, so that none waits."""
        accelerator = self.context.accelerator
        if accelerator.num_processes > 1 and self.step % AGREE_EVERY:
            return False
        return agree(self.context.stop, accelerator)

    def _autocast(self, model: BinaryBert) -> torch.autocast:
        return autocast(self.context.config.train.precision, self._device, model)

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.context.accelerator.device
        return device
