"""Soft labels: the logits that another run's model gives the training sentences.

The teacher may have any size; only its vocabulary and its labels must be the student's. Its logits
are computed once, before the first stage, and kept in the teacher's folder, where every student on
the same sentences finds them, or a run that goes on finds those that it had made.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from tqdm import tqdm

from edgebert.batches import EncodedSplit, sequential_batches
from edgebert.checkpoint import load_tensors, read_record, save_tensors, write_record
from edgebert.config import parse_schedule
from edgebert.errors import UserError
from edgebert.evaluate import EVAL_BATCH, compute_logits
from edgebert.inputs import Inputs
from edgebert.interrupt import Interrupted, agree
from edgebert.precision import uses_bf16
from edgebert.rundir import LoadedRun, RunFolder, load_run, require_run

FOLDER = "soft-labels"  # in the teacher's
PART_BATCHES = 200  # between saves, and looks at whether the user wants to stop

SoftLabels = NDArray[np.float32]  # (sentences, outputs)


def load_teacher(path: str, inputs: Inputs) -> LoadedRun:
    """The first and most precise stage of the run `distill.teacher`.

    Raises UserError unless its words and labels are those of the run that it is to teach.
    """
    require_run(Path(path))
    schedule = RunFolder(Path(path)).read_config().train.schedule
    teacher = load_run(path, parse_schedule(schedule)[0].name)
    for what, theirs, ours in (
        ("vocabulary", teacher.tokenizer.vocab, inputs.tokenizer.vocab),
        ("labels", teacher.info.labels, tuple(inputs.task.labels)),
    ):
        if theirs != ours:
            raise UserError(
                f"distill.teacher {path}: expected a run with this one's {what}, got another "
                "one's; train the teacher on the same task, with the same --init"
            )
    return teacher


def soft_labels(
    teacher: LoadedRun,
    split: EncodedSplit,
    accelerator: Accelerator,
    progress: bool,
    precision: str = "auto",
    *,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda line: None,
) -> SoftLabels:
    """Logits of a teacher on every sentence of a split, from its folder where they are known.

    The processes share the sentences. precision: as `train.precision`; stop: whether the user
    wants to; say: gets a line where there are any to compute.
    Raises Interrupted once `stop` says so; what is done by then is kept.
    """
    device = accelerator.device
    bf16 = uses_bf16(precision, device, teacher.model)
    path = teacher.path / FOLDER / f"{_key(teacher, split, bf16)}.safetensors"
    batches = sequential_batches(split.lengths, EVAL_BATCH)
    result, done = _read(path, len(batches))
    if result is None:
        result = np.zeros((len(split), teacher.info.outputs), np.float32)
    if done < len(batches):
        say(f"{teacher.path.name} labels {len(split):,} sentences, from batch {done:,} on")
    model = teacher.model.to(device)
    with tqdm(
        total=len(batches),
        initial=done,
        desc="soft labels",
        unit="batch",
        disable=None if progress else True,
    ) as bar:
        while done < len(batches):
            part = batches[done : done + PART_BATCHES]
            mine = part[accelerator.process_index :: accelerator.num_processes]
            logits = compute_logits(model, split, mine, bf16).astype(np.float32)
            if accelerator.num_processes > 1:  # every row is 0 but in one process
                shared = torch.from_numpy(logits).to(device)
                logits = accelerator.reduce(shared, "sum").cpu().numpy()
            result += logits
            done += len(part)
            bar.update(len(part))
            if accelerator.is_main_process:
                _write(path, result, done)
            if done < len(batches) and agree(stop, accelerator):
                raise Interrupted(f"stopped at batch {done:,} of {len(batches):,} of soft labels")
    accelerator.wait_for_everyone()
    return result


def _key(teacher: LoadedRun, split: EncodedSplit, bf16: bool) -> str:
    """What the logits follow from: the teacher's parameters, the tokens, the number format."""
    digest = hashlib.sha256(teacher.stage.checkpoint_sha256.encode())
    digest.update(json.dumps([len(split), teacher.info.outputs]).encode())
    for array in (split.ids, split.types, split.offsets):
        digest.update(np.ascontiguousarray(array).tobytes())
    if bf16:
        digest.update(b"bfloat16")
    return digest.hexdigest()[:24]


def _read(path: Path, batches: int) -> tuple[SoftLabels | None, int]:
    """The labels in a file, and after how many batches it was written; none of a damaged one."""
    record = path.with_suffix(".json")  # written last
    try:
        content = read_record(record)
        labels: SoftLabels = load_tensors(path, content["sha256_of_file"])["logits"].numpy()
    except UserError:
        return None, 0
    return labels, content.get("batches", batches)


def _write(path: Path, labels: SoftLabels, batches: int) -> None:
    path.parent.mkdir(exist_ok=True)
    sha256 = save_tensors(path, {"logits": torch.from_numpy(labels)})
    write_record(path.with_suffix(".json"), {"sha256_of_file": sha256, "batches": batches})
