"""GLUE tasks, from the official tsv layout or by hub id."""

import importlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebert.data import Example, TaskData
from edgebert.errors import UserError
from edgebert.metrics import main_metric
from edgebert.text import read_lines

HUB_ID = "nyu-mll/glue"


@dataclass(frozen=True)
class GlueTask:
    """Where a task's texts and labels stand in its files.

    columns: names of text, text_b (or None) and label in the tsv header.
    hub: names of text and text_b in the hub's data set; its label is `label`.
    labels: class names in the hub's order, so that both sources give the same indices.
    named: whether the tsv spells the class's name; else it has the index.
    header: the columns of a file without a header line.
    skip_short: leave short rows out. QQP's official files break some questions at a line
        feed, so that both parts are short; the usual readers leave those rows out too.
    """

    folder: str
    columns: tuple[str, str | None, str]
    hub: tuple[str, str | None]
    labels: tuple[str, ...]
    named: bool = False
    header: tuple[str, ...] = ()
    dev: tuple[str, ...] = ("dev",)
    hub_dev: tuple[str, ...] = ("validation",)
    skip_short: bool = False


_PAIR = ("sentence1", "sentence2")
_ENTAILMENT = ("entailment", "not_entailment")

TASKS = {
    "sst2": GlueTask(
        "SST-2", ("sentence", None, "label"), ("sentence", None), ("negative", "positive")
    ),
    "cola": GlueTask(
        "CoLA",
        ("sentence", None, "label"),
        ("sentence", None),
        ("unacceptable", "acceptable"),
        header=("source", "label", "mark", "sentence"),
    ),
    "mrpc": GlueTask(
        "MRPC",
        ("#1 String", "#2 String", "Quality"),
        _PAIR,
        ("not_equivalent", "equivalent"),
    ),
    "rte": GlueTask("RTE", (*_PAIR, "label"), _PAIR, _ENTAILMENT, named=True),
    "stsb": GlueTask("STS-B", (*_PAIR, "score"), _PAIR, ()),
    "wnli": GlueTask("WNLI", (*_PAIR, "label"), _PAIR, ("not_entailment", "entailment")),
    "qnli": GlueTask(
        "QNLI",
        ("question", "sentence", "label"),
        ("question", "sentence"),
        _ENTAILMENT,
        named=True,
    ),
    "mnli": GlueTask(
        "MNLI",
        (*_PAIR, "gold_label"),
        ("premise", "hypothesis"),
        ("entailment", "neutral", "contradiction"),
        named=True,
        dev=("dev_matched", "dev_mismatched"),
        hub_dev=("validation_matched", "validation_mismatched"),
    ),
    "qqp": GlueTask(
        "QQP",
        ("question1", "question2", "is_duplicate"),
        ("question1", "question2"),
        ("not_duplicate", "duplicate"),
        skip_short=True,
    ),
}


def load_folder(name: str, data: Path) -> TaskData:
    """Read a GLUE task from DIR/<FOLDER>, DIR/<task id> or DIR itself.

    Raises UserError naming the file and line of what isn't as the official files have it.
    """
    task = TASKS[name]
    folder = _find_folder(name, task, data)
    dev = [_read_tsv(task, folder / f"{split}.tsv") for split in task.dev]
    return _task_data(name, _read_tsv(task, folder / "train.tsv"), dev)


def found_tasks(data: Path) -> list[str]:
    """The GLUE tasks that have a folder in DIR."""
    return [
        name
        for name, task in TASKS.items()
        if any((data / folder / "train.tsv").is_file() for folder in (task.folder, name))
    ]


def load_hub(name: str, hub_id: str = HUB_ID) -> TaskData:
    """Fetch a GLUE task by hub id, with the columns of nyu-mll/glue, through `datasets`."""
    task = TASKS[name]
    try:
        splits: Any = importlib.import_module("datasets").load_dataset(hub_id, name)
    except ImportError:
        raise UserError(
            "--data hub: expected the package datasets, got none; pip install datasets"
        ) from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"--data hub: expected the data set {hub_id} with {name}, got: {reason}; "
            "--data DIR reads a local download"
        ) from None
    dev = [_read_hub(task, splits, split, hub_id) for split in task.hub_dev]
    return _task_data(name, _read_hub(task, splits, "train", hub_id), dev)


def _task_data(name: str, train: list[Example], dev: list[list[Example]]) -> TaskData:
    return TaskData(
        name=name,
        labels=TASKS[name].labels,
        regression=not TASKS[name].labels,
        train=train,
        dev=dev[0],
        metric=main_metric(name),
        dev_mm=dev[1] if len(dev) > 1 else [],
    )


def _find_folder(name: str, task: GlueTask, data: Path) -> Path:
    if not data.is_dir():
        raise UserError(f"--data: expected the folder of the GLUE download, got {str(data)!r}")
    for folder in (data / task.folder, data / name, data):
        if (folder / "train.tsv").is_file():
            return folder
    raise UserError(
        f"--data {data}: expected {task.folder}/train.tsv, {name}/train.tsv or train.tsv in it, "
        "got none of them"
    )


def _read_tsv(task: GlueTask, path: Path) -> list[Example]:
    # A tab always separates and a quote is text (csv.QUOTE_NONE), so a split is a full reader.
    rows: Iterable[tuple[int, str]] = enumerate(read_lines(path), start=1)
    if task.header:
        header = list(task.header)
    else:
        rows = iter(rows)
        header = [column.strip() for column in next(rows)[1].split("\t")]
    wanted = [column for column in task.columns if column is not None]
    for column in wanted:
        if column not in header:
            raise UserError(
                f"{path}:1: expected the columns {', '.join(wanted)}, got {', '.join(header)}"
            )
    text, text_b, label = (None if c is None else header.index(c) for c in task.columns)
    assert text is not None and label is not None
    examples = []
    for line, row in rows:
        cells = row.split("\t")
        if len(cells) < len(header):
            if task.skip_short:
                continue
            raise UserError(
                f"{path}:{line}: expected {len(header)} columns separated by tabs, got {len(cells)}"
            )
        second = None if text_b is None else cells[text_b]
        examples.append(Example(cells[text], second, _label(task, cells[label], path, line)))
    if not examples:
        raise UserError(f"{path}: expected examples, got the header only")
    return examples


def _label(task: GlueTask, text: str, path: Path, line: int) -> int | float:
    text = text.strip()
    if not task.labels:
        try:
            score = float(text)
        except ValueError:
            score = math.nan
        if 0 <= score <= 5:
            return score
        raise UserError(f"{path}:{line}: expected a score from 0 to 5, got {text!r}")
    known = task.labels if task.named else tuple(map(str, range(len(task.labels))))
    if text not in known:
        raise UserError(f"{path}:{line}: expected a label {' or '.join(known)}, got {text!r}")
    return known.index(text)


def _read_hub(task: GlueTask, splits: Any, split: str, hub_id: str) -> list[Example]:
    where = f"{hub_id}, {split}"
    if split not in splits:
        raise UserError(f"{hub_id}: expected a split {split}, got {', '.join(splits)}")
    rows = splits[split]
    for column in (*task.hub, "label"):
        if column is not None and column not in rows.column_names:
            raise UserError(
                f"{where}: expected a column {column}, got {', '.join(rows.column_names)}"
            )
    text, text_b = task.hub
    texts = rows[text]
    seconds = [None] * len(texts) if text_b is None else rows[text_b]
    examples = []
    for row, (first, second, label) in enumerate(zip(texts, seconds, rows["label"], strict=True)):
        if task.labels and label not in range(len(task.labels)):
            raise UserError(
                f"{where}, row {row}: expected a label from 0 to {len(task.labels) - 1}, "
                f"got {label!r}"
            )
        examples.append(Example(first, second, int(label) if task.labels else float(label)))
    return examples
