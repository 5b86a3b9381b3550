"""What the commands of training, scoring, export and verification do."""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol, TypeVar

from edgebert.config import load_config
from edgebert.data import Example
from edgebert.errors import UserError
from edgebert.output import print_table, say, write_json
from edgebert.rundir import is_run, load_run

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


def average(options: argparse.Namespace) -> int:
    """`edgebert average`."""
    from edgebert.average import average

    scores = average(options.paths, options.data, options.out, force=options.force, say=say)
    first, rows = scores[0], []
    header = [*(f"held out {name}" for name in first.held_out), *(f"dev {n}" for n in first.dev)]
    for score in scores:
        values = (*score.held_out.values(), *score.dev.values())
        rows.append([score.name, *(f"{value:.4f}" for value in values)])
    print_table(["model", *header], rows)
    write_json(options.json, {"models": [asdict(score) for score in scores]})
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


def agree(options: argparse.Namespace) -> int:
    """`edgebert agree`."""
    from edgebert.agreement import agreement
    from edgebert.scoring import open_scorer
    from edgebert.text import read_sentences

    text = read_sentences(Path(options.text))
    model = open_scorer(Path(options.path), options.stage)
    other = open_scorer(Path(options.other), options.other_stage)
    report = agreement(model, other, text, say)
    figures = {name: value for name, value in report.items() if isinstance(value, float)}
    values = [str(report["sentences"]), *(f"{value:.4f}" for value in figures.values())]
    print_table(["sentences", *figures], [values])
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
