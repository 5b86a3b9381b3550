"""Accuracy of trained runs: collect their figures, and write benchmarks/accuracy.md.

    python -m benchmarks.accuracy RUN ... --data GLUE    add runs to accuracy.json, write the table
                                  ... --seen             whose text held what is held out, too
    python -m benchmarks.accuracy                        write the table from accuracy.json

Figures of the stages come from the runs' own stage files. One is computed here: the W1A1 model with
float scales, softmax and LayerNorm, on the weights of the deployed one.
"""

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from edgebert.batches import encode_split
from edgebert.commands import NO_INIT
from edgebert.config import (
    BINARY_ONLY,
    RECIPE_DIR,
    TRAINING_ONLY,
    Bits,
    load_config,
    parse_schedule,
    to_dict,
)
from edgebert.evaluate import evaluate
from edgebert.model import BinaryBert
from edgebert.rundir import LoadedRun, RunFolder, load_run
from edgebert.tasks import load_task

FILE = Path(__file__).with_suffix(".json")
TABLE = Path(__file__).with_suffix(".md")
HEADER = """# Accuracy of trained models

Main metric on the task's dev set (accuracy; Matthews' correlation for CoLA; the mean of Pearson's
and Spearman's correlation for STS-B, of F1 and accuracy for MRPC), in percent.
`teacher` is the full-precision first stage of the run, `w1a2` and `w1a1` the stages that follow,
each taught by the one before. `float`: the W1A1
model with float scales, softmax and LayerNorm; `integer`: what is deployed: the last stage is
trained and evaluated on exactly these integers, and `edgebert verify` shows that ONNX Runtime
computes the same. `chosen by` says what picked a stage's model: sentences held out from train, or
dev itself, which flatters, or `last`: none, the last step was taken. `seen`: the text held
sentences of the held-out part, labelled by the teacher; `seen before`: that of a run that it went
on from did. That flatters its held-out score, the more so the later, and not dev: for the means
below such a run is passed over where another with text of its task has a score on sentences that
were not seen, or were before only.
`train.quantized_init` of mini-sst2, mini-stsb, minilm-sst2 or minilm-stsb with
`train.choose=last` is the zoo's model of that name at the time, not the run of that row. MB is the
packed integer model, encoder and embeddings. Hours are optimization time, on a machine that did
other work too: no figure of speed.

Measured; made by `python -m benchmarks.accuracy` from the runs' own files.
"""
UNNAMED = (*TRAINING_ONLY, *BINARY_ONLY)  # what may differ in a model of a named size
SEEN = ("", "seen before", "seen")  # the later, the more it flatters
CONFIGS = ("tiny", "mini", "small", "minilm", "base")


@dataclass(frozen=True)
class Record:
    """The figures of one run; metrics are of dev."""

    name: str
    config: str  # the named configuration whose model it has
    task: str
    metric: str
    seed: int
    stages: Mapping[str, float]
    float_w1a1: float
    chosen_by: str
    parameters: str  # what its configuration changes in the recipe, as a shell has it
    seconds: int
    megabytes: float
    recipe: str = ""  # --config, where that isn't `config`
    held_out: float | None = None  # metric of w1a1 on what chose it, where that isn't dev
    held_out_seen: str = ""  # where its text held these sentences, which flatters the score: SEEN

    @property
    def chosen(self) -> str:
        """What picked the step: held-out, dev, or last."""
        return "last" if "train.choose=last" in self.parameters else self.chosen_by

    @property
    def gap(self) -> float:
        """Teacher less integers, in points."""
        return 100 * (self.stages["w32a32"] - self.stages["w1a1"])


def collect(path: Path, data: Path | None, seen: str = "") -> Record:
    """The figures of a finished run. seen: `Record.held_out_seen`."""
    run = load_run(path)
    folder = RunFolder(path)
    metric = run.info.metric
    before = run.info.earlier
    stages = dict(before.stages) if before else {}
    for bits in parse_schedule(run.config.train.schedule):
        stages[bits.name] = folder.read_stage(bits).metrics
    name = config_name(run)
    recipe, parameters = nearest(run, name)
    return Record(
        name=path.name,
        config=name,
        task=run.info.task,
        metric=metric,
        seed=run.config.train.seed,
        stages={name: found[metric] for name, found in stages.items()},
        float_w1a1=float_metric(run, data),
        chosen_by="held-out" if run.config.train.held_out else "dev",
        parameters=parameters,
        seconds=round(folder.seconds() + (before.seconds if before else 0)),
        megabytes=round(packed_bytes(run) / 1e6, 2),
        recipe="" if recipe == name else recipe,
        held_out=run.stage.chosen_by[metric] if run.config.train.held_out else None,
        held_out_seen=seen,
    )


def float_metric(run: LoadedRun, data: Path | None) -> float:
    """Main metric on dev of the last stage's model without the deployed arithmetic."""
    model = BinaryBert(
        run.config.model, run.config.arithmetic, run.info.outputs, Bits(1, 1), deploy=False
    )
    model.load_state_dict(run.model.state_dict())
    task = load_task(run.info.task, data)
    split = encode_split(run.tokenizer, task.dev)
    result = evaluate(model.eval(), split, task.metric, task.regression)
    return float(result.metrics[task.metric])


def config_name(run: LoadedRun) -> str:
    """The named configuration with the run's architecture, or its sizes."""
    m = run.config.model
    for name in CONFIGS:
        named = load_config(name).model
        if replace(m, **{key: getattr(named, key) for key in UNNAMED}) == named:
            return name
    return f"L{m.layers}H{m.hidden}A{m.heads}F{m.ffn}"


def nearest(run: LoadedRun, name: str) -> tuple[str, str]:
    """The recipe of the run's size, or the size, that its training changes least, and the changes.

    As a shell has them, without any path.
    """
    if name not in CONFIGS:
        return name, ""
    recipes = sorted(path.stem for path in RECIPE_DIR.glob(f"{name}-*.yaml"))
    found = {known: changes(run, known) for known in (name, *recipes)}
    best = min(found, key=lambda known: len(found[known]))
    return best, shlex.join(found[best])


def changes(run: LoadedRun, name: str) -> list[str]:
    """What the run's training changes in a configuration, as key=value."""
    named, ours = to_dict(load_config(name)), to_dict(run.config)
    ours["train"]["init"] = run.info.init or NO_INIT  # --init comes before the configuration's
    ours["model"] = {key: ours["model"][key] for key in UNNAMED}
    found = []
    for section in ("model", "arithmetic", "train", "distill"):
        for key, value in ours[section].items():
            if value != named[section][key] and key != "seed":
                found.append(f"{section}.{key}={_shown(value)}".replace("'", ""))
    return found


def _shown(value: Any) -> Any:
    """A setting's value, of a path the name alone; one of a list by itself."""
    if isinstance(value, tuple):
        names = [_shown(item) for item in value]
        return names[0] if len(names) == 1 else names
    return Path(value).name if isinstance(value, str) and "/" in value else value


def packed_bytes(run: LoadedRun) -> int:
    """Size of the integer model, without its vocabulary file."""
    from export.lower import lower_tensors
    from hw.integer_model import expected_shapes, narrowed

    config = {**to_dict(run.config), "labels": list(run.info.labels)}
    config["regression"] = run.info.regression
    binary = {name for name, (_, is_binary) in expected_shapes(config).items() if is_binary}
    return sum(
        -(-tensor.shape[-1] // 8) * (tensor.size // tensor.shape[-1])
        if name in binary
        else narrowed(tensor).nbytes
        for name, tensor in lower_tensors(run.model).items()
    )


def read_records() -> list[Record]:
    """The records of accuracy.json; none if there is no such file."""
    if not FILE.is_file():
        return []
    return [Record(**entry) for entry in json.loads(FILE.read_text(encoding="utf-8"))]


def write_records(records: Sequence[Record]) -> None:
    """Write accuracy.json and accuracy.md."""
    ordered = sorted(records, key=lambda r: (r.config, r.task, r.name))
    FILE.write_text(json.dumps([asdict(record) for record in ordered], indent=2) + "\n")
    TABLE.write_text(HEADER + "\n" + table(ordered) + "\n" + averages(ordered) + seeds(ordered))


def table(records: Sequence[Record]) -> str:
    """One row a run."""
    lines = [
        "| run | config | task | seed | teacher | w1a2 | float | integer | gap | chosen by | MB "
        "| hours | --config, and what was set beside |",
        "| --- | --- | --- " + "| ---: " * 6 + "| --- | ---: | ---: | --- |",
    ]
    for r in records:
        teacher, middle = r.stages["w32a32"], r.stages.get("w1a2")
        figures = [teacher, middle, r.float_w1a1, r.stages["w1a1"]]
        cells = [r.name, r.config, r.task, str(r.seed)]
        cells += ["" if value is None else f"{100 * value:.1f}" for value in figures]
        cells += [f"{r.gap:.1f}", ", ".join(filter(None, [r.chosen, r.held_out_seen]))]
        cells += [f"{r.megabytes:.2f}", f"{r.seconds / 3600:.1f}"]
        cells.append(f"{r.recipe or r.config} {r.parameters}".strip())
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def averages(records: Sequence[Record]) -> str:
    """Per configuration: the mean gap over the tasks, each by the run that `choose` takes."""
    lines = ["", "Mean over tasks, each by its run of the best score on held-out sentences:", ""]
    for config in dict.fromkeys(r.config for r in records):
        mine = [r for r in records if r.config == config]
        chosen = [choose([r for r in mine if r.task == task]) for task in {r.task for r in mine}]
        names = ", ".join(sorted(r.name for r in chosen))
        lines.append(
            f"- {config}: integers {100 * mean(r.stages['w1a1'] for r in chosen):.1f}, gap "
            f"{mean(r.gap for r in chosen):.1f} points ({names})"
        )
    return "\n".join(lines) + "\n"


def seeds(records: Sequence[Record]) -> str:
    """Runs that differ by the seed alone: mean and spread of their integers; empty without any."""
    same: dict[tuple[str, ...], list[Record]] = {}
    for r in records:
        same.setdefault((r.config, r.task, r.recipe, r.parameters, *r.stages), []).append(r)
    lines = []
    for group in same.values():
        if len({r.seed for r in group}) < 2:
            continue
        values = [100 * r.stages["w1a1"] for r in group]
        lines.append(
            f"- {group[0].config}, {group[0].task}: integers {mean(values):.1f}, from "
            f"{min(values):.1f} to {max(values):.1f}, standard deviation {stdev(values):.1f}; gap "
            f"{mean(r.gap for r in group):.1f} ({', '.join(r.name for r in group)})"
        )
    return "\n".join(["", "Runs that differ by the seed alone:", "", *lines, ""]) if lines else ""


def choose(records: Sequence[Record]) -> Record:
    """Of a task's runs the one with the best score on held-out sentences; dev has no say.

    Runs without such a score come last, in their order. One whose text held these sentences is
    passed over where another run with text has a score of sentences that it had not seen, or that
    only runs before it had.
    """
    scored = [r for r in records if "distill.text=" in r.parameters and r.held_out is not None]
    least = min((SEEN.index(r.held_out_seen) for r in scored), default=len(SEEN))
    fair = [r for r in records if SEEN.index(r.held_out_seen) <= least]
    return max(fair, key=lambda r: -1.0 if r.held_out is None else r.held_out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--data", type=Path, help="folder of the GLUE files")
    parser.add_argument(
        "--seen",
        action="store_const",
        const=SEEN[2],
        default=SEEN[0],
        help="the runs' text held what is held out, too",
    )
    parser.add_argument(
        "--seen-before",
        action="store_const",
        const=SEEN[1],
        dest="seen",
        help="that of runs that they went on from did",
    )
    options = parser.parse_args()
    records = {record.name: record for record in read_records()}
    for path in options.runs:
        record = collect(path, options.data, options.seen)
        records[record.name] = record
        print(f"{record.name}: integer {100 * record.stages['w1a1']:.1f}, gap {record.gap:.1f}")
    write_records(list(records.values()))
    print(f"{TABLE.name}: {len(records)} runs")


if __name__ == "__main__":
    main()
