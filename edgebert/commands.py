"""What each command does, behind edgebert.cli."""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from edgebert.checkpoint import write_atomic
from edgebert.config import load_config
from edgebert.data import Example
from edgebert.errors import UserError
from edgebert.rundir import is_run, load_run

if TYPE_CHECKING:
    from edgebert.zoo.encoders import ZooEncoder

ENGINES = {
    "torch": "torch",
    "ort": "onnxruntime model.onnx",
    "encoder": "onnxruntime encoder.onnx",
    "qonnx": "qonnx model.onnx",
    "fast": "onnxruntime fast.onnx",
    "fused": "fused fast.onnx",
    "finn": "finn graph",
    "kernels": "rtl kernels",
    "accelerator": "rtl accelerator",
    "virtual-board": "virtual board",
}


NO_INIT = "none"  # --init: random weights, whatever the configuration says


class _HasName(Protocol):
    @property
    def name(self) -> str: ...


_Named = TypeVar("_Named", bound=_HasName)


def say(message: str) -> None:
    """Print a line on stderr, above a progress bar where there is one."""
    from tqdm import tqdm

    tqdm.write(message, file=sys.stderr)


def train(options: argparse.Namespace) -> int:
    """`edgebert train`."""
    from edgebert.train import train

    config = load_config(options.config, overrides(options))
    init = options.init or config.train.init
    results = train(
        config,
        options.task,
        options.data,
        options.out,
        init=None if init == NO_INIT else init,
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


def pretrain(options: argparse.Namespace) -> int:
    """`edgebert pretrain`."""
    from edgebert.pretrain import pretrain

    keys = ("schedule", "epochs", "batch_size", "lr")
    sections = dict.fromkeys(keys, "pretrain") | {"seed": "train"}
    result = pretrain(
        load_config(options.config, overrides(options, sections)),
        options.out,
        teacher=options.teacher,
        text=options.text,
        task=options.task,
        data=options.data,
        device=options.device,
        resume=options.resume,
        force=options.force,
        max_steps=options.max_steps,
        max_hours=options.max_hours,
        say=say,
    )
    stages = {name: stage for name, stage in result.stages.items() if stage.losses}
    names = list(dict.fromkeys(name for stage in stages.values() for name in stage.losses))
    rows = []
    for stage, r in stages.items():  # which may weigh other losses than those before it
        losses = (f"{r.losses[name]:.4f}" if name in r.losses else "" for name in names)
        rows.append([stage, str(r.step), f"{r.seconds / 3600:.2f}", *losses])
    print_table(["stage", "steps", "hours", *names], rows)
    return 0


TRAIN_KEYS = dict.fromkeys(("schedule", "epochs", "batch_size", "lr", "seed"), "train")


def overrides(options: argparse.Namespace, sections: Mapping[str, str] = TRAIN_KEYS) -> list[str]:
    """--set and the options that stand for a configuration key, as section.key=value.

    sections: of these options.
    """
    given = [(section, key, getattr(options, key)) for key, section in sections.items()]
    changes = [f"{section}.{key}={value}" for section, key, value in given if value is not None]
    return [*options.set, *changes]


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
    model = lower_run(run, golden, source)
    exported = write_export(out, model, options.target, force=options.force)
    files = exported.manifest["files"]
    rows = [[name, f"{entry['bytes']:,}"] for name, entry in sorted(files.items())]
    print_table([str(out), "bytes"], rows)
    return 0


def verify(options: argparse.Namespace) -> int:
    """`edgebert verify`."""
    from edgebert.scoring import check_task, open_scorer, sentences_of
    from edgebert.tasks import load_task
    from export.package import load_export
    from export.torch_session import torch_engine
    from export.verify import file_engines, verify

    path = Path(options.path)
    if options.samples is not None and options.samples < 1:
        raise UserError(f"--samples: expected a number of 1 or more, got {options.samples}")
    export = load_export(path)
    scorer, task = open_scorer(path), load_task(options.task, options.data)
    check_task(scorer, task, say)
    split = scorer.encode(task.dev[: options.samples], "dev sentences", say)
    run = Path(options.run) if options.run else None
    engines = [torch_engine(path, export.manifest["source"], run), *file_engines(export)]
    sentences, labels = sentences_of(split), split.labels
    if options.build is not None:
        from export.hardware_engines import build_engines
        from hw.build_folder import open_build

        build = open_build(Path(options.build))
        engines += build_engines(build, export)
        longest = int(build.request["max_tokens"])
        kept = [i for i, (ids, _) in enumerate(sentences) if len(ids) <= longest]
        if len(kept) < len(sentences):
            left = len(sentences) - len(kept)
            say(f"note: {left} sentences of more than the build's {longest} tokens are left out")
        if not kept:
            raise UserError(f"--build: expected sentences of at most {longest} tokens, got none")
        sentences = [sentences[i] for i in kept]
        labels = None if labels is None else labels[kept]
    report = verify(
        path,
        sentences,
        labels,
        chosen_engines(engines, options.engines),
        progress=say if sys.stderr.isatty() else None,
    )
    print(report.text())
    write_json(options.json, {"task": task.name, "truncated": split.truncated, **report.to_dict()})
    return 0 if report.ok else 1


def report(options: argparse.Namespace) -> int:
    """`edgebert report`."""
    from dataclasses import asdict

    from edgebert.rungs import read_ladder, table

    rungs = read_ladder([Path(path) for path in options.paths])
    if not rungs:
        raise UserError("report: expected results, got none yet; simulate or verify first")
    print_table(*table(rungs))
    equal = not any(rung.mismatches for rung in rungs)
    write_json(options.json, {"equal": equal, "rungs": [asdict(rung) for rung in rungs]})
    return 0 if equal else 1


def text(options: argparse.Namespace) -> int:
    """`edgebert text`."""
    from edgebert.corpus import MAX_WORDS

    longest = MAX_WORDS if options.max_words is None else options.max_words
    if options.pairs is not None:
        lines, what = _pairs(options, longest), "pairs"
    elif options.disturbed is not None:
        lines, what = _disturbed(options, longest), "sentences"
    else:
        lines, what = _sentences(options, longest), "sentences"
    write_atomic(Path(options.out), ("\n".join(lines) + "\n").encode())
    say(f"{options.out}: {len(lines):,} {what}")
    return 0


def _sentences(options: argparse.Namespace, longest: int) -> list[str]:
    from edgebert.corpus import choose_sentences, imdb_sentences
    from edgebert.tasks import load_task

    if options.data is not None and options.task is None:
        raise UserError(f"--data: expected a --task with it, got {options.data!r} alone")
    examples = load_task(options.task, options.data).dev if options.task else []
    pairs = [(example.text, example.text_b) for example in examples]
    sentences = imdb_sentences(part for pair in pairs for part in pair if part is not None)
    return choose_sentences(sentences, options.sentences, longest)


def _disturbed(options: argparse.Namespace, longest: int) -> list[str]:
    from edgebert.disturb import disturb_sentences
    from edgebert.tasks import load_task

    if options.task is None:
        raise UserError("--disturbed: expected a --task, whose sentences to disturb, got none")
    task = load_task(options.task, options.data)
    if task.pairs:
        raise UserError(
            f"--disturbed: expected a task of single sentences, got {options.task}; use --pairs"
        )
    dev = (example.text for example in task.dev)
    train = [example.text for example in task.train]
    return disturb_sentences(train, options.disturbed, longest, dev)


def _pairs(options: argparse.Namespace, longest: int) -> list[str]:
    from edgebert.corpus import paired_sentences
    from edgebert.pairs import make_pairs

    if options.data is None and options.task is None:
        raise UserError("--pairs: expected --task or --data, whose sentences to pair, got neither")
    sentences = paired_sentences(options.task, options.data, longest)
    pairs = make_pairs(sentences, options.pairs)
    return ["\t".join(" ".join(part.split()) for part in pair) for pair in pairs]


def zoo_list(options: argparse.Namespace) -> int:
    """`edgebert zoo list`."""
    from dataclasses import asdict

    from edgebert.zoo import read_index
    from edgebert.zoo.encoders import read_encoders

    models, encoders = read_index().values(), read_encoders().values()
    header = ["model", "metric", "teacher", "w1a2", "w1a1", "MB"]
    rows = []
    for m in models:
        scores = (m.teacher, m.w1a2, m.w1a1)
        figures = ["" if value is None else f"{value:.4f}" for value in scores]
        rows.append([m.name, m.metric, *figures, f"{m.bytes / 1e6:.2f}"])
    print_table(header, rows)
    rows = [
        [e.name, ",".join(e.stages), e.teacher, f"{e.sentences:,}", f"{e.bytes / 1e6:.2f}"]
        for e in encoders
    ]
    if rows:
        print()
        print_table(["encoder, for --init", "stages", "teacher", "sentences", "MB"], rows)
    found = {"models": [asdict(m) for m in models], "encoders": [asdict(e) for e in encoders]}
    write_json(options.json, found)
    return 0


def zoo_get(options: argparse.Namespace) -> int:
    """`edgebert zoo get`."""
    from edgebert.zoo import find, model_file
    from edgebert.zoo.encoders import read_encoders
    from export.package import rebuild

    out, encoders = Path(options.out), read_encoders()
    if options.name in encoders:
        return _get_encoder(encoders[options.name], options)
    model = find(options.name, others=encoders)
    exported = rebuild(out, model_file(model), options.target, force=options.force)
    files = exported.manifest["files"]
    rows = [[name, f"{entry['bytes']:,}"] for name, entry in sorted(files.items())]
    print_table([str(out), "bytes"], rows)
    return 0


def _get_encoder(encoder: "ZooEncoder", options: argparse.Namespace) -> int:
    from edgebert.checkpoint import new_folder
    from edgebert.encoder_folder import check_new
    from edgebert.zoo.encoders import unpack_encoder

    out = Path(options.out).resolve()
    if options.target is not None:
        raise UserError(
            f"--target {options.target}: expected a trained model, got the encoder {encoder.name}; "
            "train it first with edgebert train --init"
        )
    check_new(out, force=options.force)
    with new_folder(out) as fresh:
        unpack_encoder(encoder, fresh)
    files = sorted(out.iterdir())
    print_table([str(out), "bytes"], [[path.name, f"{path.stat().st_size:,}"] for path in files])
    return 0


def chosen_engines(engines: Sequence[_Named], names: str | None) -> list[_Named]:
    """The engines of a list such as `torch,ort,fast`; all of them without one."""
    if names is None:
        return list(engines)
    known = [*ENGINES, "reference"]  # the reference always runs: it is the judge
    wanted = [name.strip() for name in names.split(",")]
    there = {engine.name for engine in engines}
    for name in wanted:
        if name not in known:
            raise UserError(f"--engines: expected some of {', '.join(known)}, got {name!r}")
        if name in ENGINES and ENGINES[name] not in there:
            raise UserError(f"--engines: expected --build BUILD with {name}, got none")
    return [engine for engine in engines if engine.name in [ENGINES.get(name) for name in wanted]]


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
