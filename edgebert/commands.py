"""What each command does, behind edgebert.cli."""

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgebert.checkpoint import write_atomic
from edgebert.config import load_config
from edgebert.data import Example
from edgebert.errors import UserError
from edgebert.rundir import is_run, load_run


def say(message: str) -> None:
    """Print a line on stderr, above a progress bar where there is one."""
    from tqdm import tqdm

    tqdm.write(message, file=sys.stderr)


def train(options: argparse.Namespace) -> int:
    """`edgebert train`."""
    from edgebert.train import train

    config = load_config(options.config, overrides(options))
    results = train(
        config,
        options.task,
        options.data,
        options.out,
        init=options.init,
        device=options.device,
        resume=options.resume,
        force=options.force,
        max_steps=options.max_steps,
        say=say,
    )
    if int(os.environ.get("RANK", "0")) == 0:  # torchrun's number of this process
        rows = [[r.stage, str(r.step), *(f"{v:.4f}" for v in r.metrics.values())] for r in results]
        print_table(["stage", "step", *(f"dev {name}" for name in results[0].metrics)], rows)
    return 0


def overrides(options: argparse.Namespace) -> list[str]:
    """--set and the options that stand for a configuration key, as section.key=value."""
    keys = ("schedule", "epochs", "batch_size", "lr", "seed")
    given = [(key, getattr(options, key)) for key in keys]
    return [*options.set, *(f"train.{key}={value}" for key, value in given if value is not None)]


def evaluate(options: argparse.Namespace) -> int:
    """`edgebert eval`."""
    path = Path(options.path)
    engine = "torch" if is_run(path) else "ort"
    if options.engine not in (None, engine):
        kind = "a run" if engine == "torch" else "an export"
        raise UserError(f"--engine: expected {engine} for {kind}, got {options.engine}")
    if engine == "ort" and options.stage:
        raise UserError(f"--stage: expected none, since {path} is no run, got {options.stage}")
    from edgebert.scoring import open_scorer, score_task
    from edgebert.tasks import load_task

    begin = time.perf_counter()
    report = score_task(
        open_scorer(path, options.stage), load_task(options.task, options.data), say
    )
    report["seconds"] = round(time.perf_counter() - begin, 3)
    header = ["engine", "sentences", *report["metrics"], "seconds"]
    values = [f"{value:.4f}" for value in report["metrics"].values()]
    print_table(header, [[engine, str(report["sentences"]), *values, f"{report['seconds']:.1f}"]])
    write_json(options.json, report)
    return 0


def predict(options: argparse.Namespace) -> int:
    """`edgebert predict`."""
    import numpy as np

    from edgebert.scoring import open_scorer

    model = open_scorer(Path(options.path))
    logits = model.logits(model.encode([Example(options.text, options.text_b)], "sentences", say))
    if model.regression:
        print(f"{logits[0, 0]:.4f}")
        return 0
    odds = np.exp(logits[0] - logits[0].max())
    probabilities = odds / odds.sum()
    print(model.labels[int(logits[0].argmax())])
    print_table(
        ["label", "probability"],
        [[name, f"{p:.4f}"] for name, p in zip(model.labels, probabilities, strict=True)],
    )
    return 0


def export(options: argparse.Namespace) -> int:
    """`edgebert export`."""
    from export.lower import lower_run
    from export.package import write_export

    run = load_run(options.path)
    out = Path(options.out)
    golden = run.tokenizer.encode_batch(run.sentences)
    source = os.path.relpath(run.path.resolve(), out.resolve())
    exported = write_export(out, lower_run(run, golden, source), options.target, force=options.force)
    files = exported.manifest["files"]
    rows = [[name, f"{entry['bytes']:,}"] for name, entry in sorted(files.items())]
    print_table([str(out), "bytes"], rows)
    return 0


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells in columns: the first one left-aligned, the others right."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    for row in table:
        cells = [row[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        print("  ".join(cells).rstrip())


def write_json(path: str | None, content: Mapping[str, Any]) -> None:
    """Write a result, if a file was given."""
    if path is not None:
        write_atomic(Path(path), (json.dumps(content, indent=2) + "\n").encode())
