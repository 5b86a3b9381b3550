"""Chains: the runs, one after another, that lead to a trained model, and the text they learn from.

A chain is a YAML file. Each step is a command, `train`, `average` or `text`, with the name of what
it writes instead of --out; `{NAME}` in a later one stands for that. `base` names a chain whose
steps come first. --data is added to every step. Only steps that lead to the last one are taken.
"""

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebert.checkpoint import read_record, write_record
from edgebert.errors import UserError
from edgebert.rundir import RunFolder, is_run
from edgebert.text import read_yaml

CHAIN_DIR = Path(__file__).parent / "chains"
COMMANDS = ("train", "average", "text")
RECORD = "chain.json"  # the commands of the steps that were begun

_OUTPUT = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Step:
    """One command of a chain, such as ("train", "--config", "mini", ...), and its output's name."""

    name: str
    words: tuple[str, ...]

    @property
    def uses(self) -> list[str]:
        """The steps whose outputs it takes."""
        return [output for word in self.words for output in _OUTPUT.findall(word)]

    def path(self, out: Path) -> Path:
        """What it writes in the folder `out`: a run's folder, or a file of text."""
        return out / (f"{self.name}.txt" if self.words[0] == "text" else self.name)


def read_chain(name_or_path: str) -> list[Step]:
    """The steps that lead to the last one of a chain that ships with edgebert, or of a YAML file.

    Raises UserError, naming what is wrong with it.
    """
    steps = _read_steps(name_or_path)
    needed = {steps[-1].name}
    for step in reversed(steps):
        if step.name in needed:
            needed.update(step.uses)
    return [step for step in steps if step.name in needed]


def step_command(step: Step, steps: Sequence[Step], data: str | None, out: Path) -> list[str]:
    """The arguments of a step, with the outputs of `steps` in the folder `out`."""
    paths = {s.name: str(s.path(out)) for s in steps}

    def filled(word: str, setting: bool) -> str:
        # The value of --set is YAML, where a path stands in quotes.
        shown = json.dumps if setting else str
        return _OUTPUT.sub(lambda match: shown(paths[match[1]]), word)

    before = ("", *step.words)
    words = [filled(word, before[i] == "--set") for i, word in enumerate(step.words)]
    return [*words, *(() if data is None else ("--data", data)), "--out", paths[step.name]]


def run_chain(
    steps: Sequence[Step],
    data: str | None,
    out: Path,
    run: Callable[[list[str]], Any],
    say: Callable[[str], None],
) -> Path:
    """Take every step that is not done yet; the path of what the last one writes.

    run: runs an edgebert command. One that was stopped goes on. Raises UserError where a step was
    begun by another command.
    """
    out.mkdir(parents=True, exist_ok=True)
    record = out / RECORD
    begun = read_record(record)["steps"] if record.is_file() else {}
    for step in steps:
        before = begun.get(step.name, list(step.words))
        if before != list(step.words):
            raise UserError(
                f"{record}: expected {step.name} as it was begun, by {shlex.join(before)!r}, got "
                f"{shlex.join(step.words)!r}; give the same options, or another --out"
            )
    for number, step in enumerate(steps, 1):
        path, what = step.path(out), f"step {number} of {len(steps)}, {step.name}"
        if _done(step, path):
            say(f"{what}: done already")
            continue
        begun[step.name] = list(step.words)
        write_record(record, {"steps": begun})
        words = step_command(step, steps, data, out)
        say(f"{what}: edgebert {shlex.join(words)}")
        run([*words, "--resume"] if is_run(path) else words)
    return steps[-1].path(out)


def _read_steps(name_or_path: str, reading: tuple[Path, ...] = ()) -> list[Step]:
    named = CHAIN_DIR / f"{name_or_path}.yaml"
    path = named if named.is_file() else Path(name_or_path)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in CHAIN_DIR.glob("*.yaml")))
        raise UserError(f"chain: expected one of {known}, or a YAML file, got {name_or_path!r}")
    if path in reading:
        raise UserError(f"{path}: expected another chain as base, got itself")
    data = read_yaml(path)
    if not isinstance(data, dict) or not data.keys() <= {"base", "steps"}:
        raise UserError(f"{path}: expected steps, and a base or none, got {_brief(data)}")
    steps = _read_steps(str(data["base"]), (*reading, path)) if "base" in data else []
    found = data.get("steps")
    if not isinstance(found, dict) or not found:
        raise UserError(f"{path}: expected a command for every step, got {_brief(found)}")
    for name, command in found.items():
        steps.append(_step(path, str(name), command, [step.name for step in steps]))
    return steps


def _done(step: Step, path: Path) -> bool:
    if step.words[0] == "text":
        return path.is_file()
    return is_run(path) and RunFolder(path).read_info().status == "done"


def _step(path: Path, name: str, command: Any, before: Sequence[str]) -> Step:
    where = f"{path}: {name}"
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) or name in before:
        raise UserError(f"{where}: expected another name, of a-z, 0-9 and -, for every step")
    try:
        words = tuple(shlex.split(command)) if isinstance(command, str) else ()
    except ValueError as error:
        raise UserError(f"{where}: expected a command, got {error}") from None
    if not words or words[0] not in COMMANDS:
        raise UserError(f"{where}: expected a command, {', '.join(COMMANDS)}, got {command!r}")
    for option in ("--out", "--data", "--resume", "--force"):
        if option in words:
            raise UserError(f"{where}: expected no {option}, which the chain adds, got one")
    step = Step(name, words)
    for output in step.uses:
        if output not in before:
            raise UserError(f"{where}: expected the name of a step before it, got {{{output}}}")
    return step


def _brief(data: Any) -> str:
    return ", ".join(map(str, data)) if isinstance(data, dict) else type(data).__name__
