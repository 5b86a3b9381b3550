"""Labelled sentences: the dev set of a GLUE task as its download has it, or a CSV file."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import BoardError

_PAIR = ("sentence1", "sentence2")


@dataclass(frozen=True)
class GlueFile:
    """Where a task's texts and labels stand in its dev.tsv.

    columns: text, text_b (or None), label. named: whether labels are names of classes; else
    they are indices. header: the columns of a file without a header line.
    """

    folder: str
    columns: tuple[str, str | None, str]
    named: bool = False
    header: tuple[str, ...] = ()
    file: str = "dev.tsv"
    skip_short: bool = False


GLUE = {
    "sst2": GlueFile("SST-2", ("sentence", None, "label")),
    "cola": GlueFile(
        "CoLA", ("sentence", None, "label"), header=("source", "label", "mark", "sentence")
    ),
    "mrpc": GlueFile("MRPC", ("#1 String", "#2 String", "Quality")),
    "rte": GlueFile("RTE", (*_PAIR, "label"), named=True),
    "stsb": GlueFile("STS-B", (*_PAIR, "score")),
    "wnli": GlueFile("WNLI", (*_PAIR, "label")),
    "qnli": GlueFile("QNLI", ("question", "sentence", "label"), named=True),
    "mnli": GlueFile("MNLI", (*_PAIR, "gold_label"), named=True, file="dev_matched.tsv"),
    "qqp": GlueFile("QQP", ("question1", "question2", "is_duplicate"), skip_short=True),
}


@dataclass(frozen=True)
class Example:
    """A sentence or a pair with its label: the index of a class, or a number."""

    text: str
    text_b: str | None
    label: float


def load_dev(data: Path, task: str | None, labels: Sequence[str]) -> list[Example]:
    """The dev set in a folder, or a file.

    Args:
        data: a .tsv or .csv file, or a folder. Of a GLUE task it has SST-2/dev.tsv (for
            example), sst2/dev.tsv or dev.tsv; of any other, dev.csv with the columns text,
            label and, for pairs, text_b.
        task: of the package.
        labels: names of the classes; none: a regression.

    Raises:
        BoardError: names the file and line of what is missing or odd.
    """
    glue = GLUE.get(task or "")
    path = _find(data, task or "", glue)
    if path.suffix == ".csv" or glue is None:
        return list(_examples(path, _csv_rows(path), ("text", "text_b", "label"), labels, True))
    return list(_examples(path, _tsv_rows(path, glue), glue.columns, labels, glue.named))


def _find(data: Path, task: str, glue: GlueFile | None) -> Path:
    if data.is_file():
        return data
    places = [data / "dev.csv"]
    if glue is not None:
        places = [data / name / glue.file for name in (glue.folder, task, ".")] + places
    for path in places:
        if path.is_file():
            return path
    raise BoardError(f"--data {data}: expected {' or '.join(map(str, places))}, got none of them")


Row = tuple[int, list[str]]  # line and cells


def _tsv_rows(path: Path, glue: GlueFile) -> Iterator[Row]:
    """The header, then rows. A tab always separates, a quote is text; only LF ends a line."""
    lines = _text(path).split("\n")
    rows = [(n, line[:-1] if line.endswith("\r") else line) for n, line in enumerate(lines, 1)]
    if not rows[-1][1]:
        rows.pop()
    header = list(glue.header)
    if not header:
        header = [column.strip() for column in rows.pop(0)[1].split("\t")]
    yield 1, header
    for line, row in rows:
        cells = row.split("\t")
        if len(cells) >= len(header):
            yield line, cells
        elif not glue.skip_short:
            raise BoardError(
                f"{path}:{line}: expected {len(header)} columns separated by tabs, got {len(cells)}"
            )


def _csv_rows(path: Path) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    line = 1
    header: list[str] = []
    try:
        for cells in reader:
            header = header or [column.strip() for column in cells]
            if cells and len(cells) != len(header):
                raise BoardError(
                    f"{path}:{line}: expected {len(header)} columns, got {len(cells)}; "
                    "quote a text that has a comma"
                )
            if cells:
                yield (line, cells if line > 1 else header)
            line = reader.line_num + 1
    except csv.Error as error:
        raise BoardError(f"{path}:{line}: expected CSV, got: {error}; check its quotes") from None


def _examples(
    path: Path,
    rows: Iterable[Row],
    columns: Sequence[str | None],
    labels: Sequence[str],
    named: bool,
) -> Iterator[Example]:
    rows = iter(rows)
    header = next(rows)[1]
    text, text_b, label = columns
    for column in (text, label):
        if column not in header:
            raise BoardError(
                f"{path}:1: expected the columns {text} and {label}, got {', '.join(header)}"
            )
    first, last = header.index(str(text)), header.index(str(label))
    second = header.index(text_b) if text_b in header else None
    empty = True
    for line, cells in rows:
        empty = False
        value = _label(cells[last].strip(), labels, named)
        if value is None:
            known = labels if named else [str(number) for number in range(len(labels))]
            wanted = " or ".join(known[:8]) or "a number"
            raise BoardError(f"{path}:{line}: expected a label {wanted}, got {cells[last]!r}")
        yield Example(cells[first], None if second is None else cells[second], value)
    if empty:
        raise BoardError(f"{path}: expected examples, got the header only")


def _label(text: str, labels: Sequence[str], named: bool) -> float | None:
    if named and text in labels:
        return labels.index(text)
    if labels:  # an index, unless the classes' names are numbers themselves
        indices = [str(number) for number in range(len(labels))]
        known = text in indices and not (named and any(map(_number, labels)))
        return indices.index(text) if known else None
    value = _number(text)
    return value[0] if value else None


def _number(text: str) -> list[float]:
    """The number that a text is; none or one."""
    try:
        value = float(text)
    except ValueError:
        return []
    return [value] if math.isfinite(value) else []


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BoardError(f"{path}: expected a readable file, got: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BoardError(f"{path}: expected UTF-8, got {error.reason} at {error.start}") from None
    if not text.strip():
        raise BoardError(f"{path}: expected text, got an empty file")
    return text
