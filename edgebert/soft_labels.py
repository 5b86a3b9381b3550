"""Soft labels: the logits that another run's model gives the training sentences.

The teacher may have any size; only its vocabulary and its labels must be the student's. Its logits
are computed once, before the first stage, and kept in the teacher's folder, where every student on
the same sentences finds them.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from tqdm import tqdm

from edgebert.batches import EncodedSplit, Indices, sequential_batches
from edgebert.checkpoint import load_tensors, read_record, save_tensors, write_record
from edgebert.config import parse_schedule
from edgebert.errors import UserError
from edgebert.evaluate import EVAL_BATCH, compute_logits
from edgebert.inputs import Inputs
from edgebert.precision import uses_bf16
from edgebert.rundir import LoadedRun, RunFolder, load_run, require_run

FOLDER = "soft-labels"  # in the teacher's
PART_BATCHES = 200  # between looks at whether the user wants to stop

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
) -> SoftLabels:
    """Logits of a teacher on every sentence of a split, from its folder where they are known.

    The processes share the sentences. precision: as `train.precision`.
    """
    device = accelerator.device
    bf16 = uses_bf16(precision, device, teacher.model)
    path = teacher.path / FOLDER / f"{_key(teacher, split, bf16)}.safetensors"
    known = _read(path)
    if known is not None:
        return known
    model = teacher.model.to(device)
    batches = sequential_batches(split.lengths, EVAL_BATCH)
    mine = batches[accelerator.process_index :: accelerator.num_processes]
    result = np.zeros((len(split), teacher.info.outputs), np.float32)
    with tqdm(
        total=len(mine), desc="soft labels", unit="batch", disable=None if progress else True
    ) as bar:
        for part in _parts(mine):
            result += compute_logits(model, split, part, bf16).astype(np.float32)
            bar.update(len(part))
    if accelerator.num_processes > 1:  # every row is 0 but in one process
        shared = torch.from_numpy(result).to(device)
        result = accelerator.reduce(shared, "sum").cpu().numpy()
    if accelerator.is_main_process:
        path.parent.mkdir(exist_ok=True)
        sha256 = save_tensors(path, {"logits": torch.from_numpy(result)})
        write_record(path.with_suffix(".json"), {"sha256_of_file": sha256})
    accelerator.wait_for_everyone()
    return result


def _parts(batches: list[Indices]) -> Iterator[list[Indices]]:
    for start in range(0, len(batches), PART_BATCHES):
        yield batches[start : start + PART_BATCHES]


def _key(teacher: LoadedRun, split: EncodedSplit, bf16: bool) -> str:
    """What the logits follow from: the teacher's parameters, the tokens, the number format."""
    digest = hashlib.sha256(teacher.stage.checkpoint_sha256.encode())
    digest.update(json.dumps([len(split), teacher.info.outputs]).encode())
    for array in (split.ids, split.types, split.offsets):
        digest.update(np.ascontiguousarray(array).tobytes())
    if bf16:
        digest.update(b"bfloat16")
    return digest.hexdigest()[:24]


def _read(path: Path) -> SoftLabels | None:
    record = path.with_suffix(".json")  # written last
    if not record.is_file():
        return None
    tensors = load_tensors(path, read_record(record)["sha256_of_file"])
    labels: SoftLabels = tensors["logits"].numpy()
    return labels
