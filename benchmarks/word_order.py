"""Whether a model of CoLA sees the order of words.

Of dev's acceptable sentences of six words or more, the fraction whose score (the logit of
acceptable minus that of unacceptable) is above that of the same sentence with two neighbours
exchanged, with all its words shuffled, or with a word left out. One half is chance; a bag of words
knows nothing of the first two. A run is scored in its last stage, so its teacher is another RUN.

    python -m benchmarks.word_order RUN... --data GLUE
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgebert.batches import encode_split
from edgebert.data import Example
from edgebert.evaluate import compute_logits
from edgebert.rundir import load_run
from edgebert.tasks import load_task

WORDS = 6  # that a sentence has at least
OUTPUT = Path(__file__).with_suffix("")
HEADER = """# Word order

Measured on CoLA's dev set by `python -m benchmarks.word_order`: the percentage of acceptable
sentences of six words or more that a run's last stage scores higher than the same sentence altered.
50 is chance.

| run | sentences | neighbours exchanged | all shuffled | a word left out |
| --- | --- | --- | --- | --- |
"""

Words = list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of GLUE tasks")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    found = [word_order(Path(run), args.data) for run in args.runs]
    args.output.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")
    args.output.with_suffix(".md").write_text(HEADER + "".join(map(row, found)))
    print(args.output.with_suffix(".md").read_text())


def word_order(run_dir: Path, data: str) -> dict[str, object]:
    """Fractions of sentences that score higher than when altered, by the kind of alteration."""
    run, task = load_run(run_dir), load_task("cola", data)
    good = [e for e in task.dev if e.label == 1 and len(e.text.split()) >= WORDS]

    def scores(examples: list[Example]) -> NDArray[np.float64]:
        logits = compute_logits(run.model, encode_split(run.tokenizer, examples))
        difference: NDArray[np.float64] = logits[:, 1] - logits[:, 0]
        return difference

    rng = np.random.default_rng(0)
    before = scores(good)
    result: dict[str, object] = {"run": run_dir.name, "sentences": len(good)}
    for kind, alter in KINDS.items():
        altered = [replace(e, text=_altered(e.text, alter, rng)) for e in good]
        result[kind] = round(float((before > scores(altered)).mean()), 4)
    return result


def row(figures: dict[str, object]) -> str:
    """A line of the table."""
    shares = [f"{100 * float(str(figures[kind])):.1f}" for kind in KINDS]
    return "| " + " | ".join([str(figures["run"]), str(figures["sentences"]), *shares]) + " |\n"


def _altered(
    text: str, alter: Callable[[Words, np.random.Generator], Words], rng: np.random.Generator
) -> str:
    """The sentence with its words altered and its last mark, if any, where it was."""
    body = text.rstrip(" .?!")
    return " ".join(alter(body.split(), rng)) + text[len(body) :]


def _exchanged(words: Words, rng: np.random.Generator) -> Words:
    i = int(rng.integers(len(words) - 1))
    return [*words[:i], words[i + 1], words[i], *words[i + 2 :]]


def _shuffled(words: Words, rng: np.random.Generator) -> Words:
    return [words[i] for i in rng.permutation(len(words))]


def _shortened(words: Words, rng: np.random.Generator) -> Words:
    i = int(rng.integers(len(words)))
    return words[:i] + words[i + 1 :]


KINDS: dict[str, Callable[[Words, np.random.Generator], Words]] = {
    "exchanged": _exchanged,
    "shuffled": _shuffled,
    "left out": _shortened,
}


if __name__ == "__main__":
    main()
