"""The command line: `python -m edgebert_board verify | predict | bench PACKAGE ...`."""

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from . import __version__
from .bench import bench
from .classifier import Classifier
from .data import load_dev
from .driver import TIMEOUT_S, Device
from .errors import BoardError
from .package import Package, open_package
from .verify import verify

OK, DIFFERENCE, USER_ERROR, INTERRUPTED = 0, 1, 2, 130

OpenDevice = Callable[[Package], Device]


class Parser(argparse.ArgumentParser):
    """Reports a wrong option as every other error: in one line."""

    def error(self, message: str) -> NoReturn:
        raise BoardError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None, open_device: OpenDevice | None = None) -> int:
    """Run a command; 0: done, 1: a difference found, 2: an error, which is one line.

    open_device: gives the device of a package; the board that this runs on if None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = build_parser().parse_args(arguments)
        progress = Progress()
        try:
            return _run(options, open_device or _board, progress)
        finally:
            progress.end()
    except SystemExit as stop:  # --help, --version
        return stop.code if isinstance(stop.code, int) else OK
    except KeyboardInterrupt:
        print("edgebert_board: stopped", file=sys.stderr)
        return INTERRUPTED
    except (BoardError, OSError) as error:
        if "--debug" in arguments:
            traceback.print_exc()
        print(f"edgebert_board: error: {' '.join(str(error).split())}", file=sys.stderr)
        return USER_ERROR


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = Parser(prog="python -m edgebert_board", allow_abbrev=False, description=__doc__)
    parser.add_argument("--version", action="version", version=f"edgebert_board {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command, text in (
        ("verify", _verify, "compare every integer; score a dev set"),
        ("predict", _predict, "classify a sentence or a pair"),
        ("bench", _bench, "measure throughput and latency"),
    ):
        sub = commands.add_parser(name, help=text, allow_abbrev=False)
        sub.add_argument("package", metavar="PACKAGE", type=Path, help="a folder or zip")
        sub.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="S", help="of a run")
        sub.add_argument("--debug", action="store_true", help="show a traceback on errors")
        if name == "verify":
            sub.add_argument("--data", type=Path, required=True, metavar="DIR")
            sub.add_argument("--samples", type=int, metavar="N", help="the first N sentences only")
        if name == "predict":
            sub.add_argument("text")
            sub.add_argument("text_b", nargs="?", metavar="second text")
        else:
            sub.add_argument("--json", metavar="FILE", type=Path, help="write the result to FILE")
        sub.set_defaults(command=command)
    return parser


class Progress:
    """One line on stderr that is written over, where that is a terminal."""

    def __init__(self) -> None:
        self._shown = 0

    def __call__(self, line: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{line:<{self._shown}}", end="", file=sys.stderr, flush=True)
            self._shown = len(line)

    def end(self) -> None:
        if self._shown:
            print(f"\r{'':<{self._shown}}\r", end="", file=sys.stderr, flush=True)
            self._shown = 0


def _run(options: argparse.Namespace, open_device: OpenDevice, progress: Progress) -> int:
    if not 0 < options.timeout < float("inf"):
        raise BoardError(f"--timeout: expected seconds above 0, got {options.timeout}")
    with open_package(options.package) as package:
        prepared = options.command(options, package)
        with Classifier(package, open_device(package), timeout_s=options.timeout) as classifier:
            return int(prepared(classifier, progress))


Command = Callable[[Classifier, Progress], int]


def _verify(options: argparse.Namespace, package: Package) -> Command:
    if options.samples is not None and options.samples < 1:
        raise BoardError(f"--samples: expected 1 or more, got {options.samples}")
    task = package.manifest.get("task")
    examples = load_dev(options.data, task, package.labels)[: options.samples]

    def run(classifier: Classifier, progress: Progress) -> int:
        result = verify(classifier, examples, progress)
        progress.end()
        for row in result["engines"]:
            figure = "" if row["score"] is None else f", {result['metric']} {row['score']:.4f}"
            print(
                f"{row['engine']}: {row['status']}, {row['sentences']:,} sentences, "
                f"{row['integers']:,} integers, {row['mismatches']:,} mismatches{figure}"
            )
            if "first_difference" in row:
                print(f"{row['engine']}: first at {_difference(row['first_difference'])}")
        figures, single = result["throughput"], result["latency"]
        print(
            f"{figures['tokens_per_second']:,.0f} tokens/s, "
            f"{figures['sentences_per_second']:,.0f} sentences/s in hardware; a sentence takes "
            f"{single['host_ms']['median']:.2f} ms, of them {single['hardware_ms']['median']:.3f} "
            "in hardware"
        )
        _write_json(options.json, result)
        return OK if result["equal"] else DIFFERENCE

    return run


def _predict(options: argparse.Namespace, package: Package) -> Command:
    def run(classifier: Classifier, progress: Progress) -> int:
        encoded = classifier.encode([(options.text, options.text_b)])
        logits = classifier.logits(encoded) * package.sizes.logit_scale
        if package.regression:
            print(f"{logits[0, 0]:.4f}")
            return OK
        odds = np.exp(logits[0] - logits[0].max())
        print(package.labels[int(logits[0].argmax())])
        width = max(map(len, package.labels))
        for name, share in zip(package.labels, odds / odds.sum(), strict=True):
            print(f"{name:<{width}}  {share:.4f}")
        return OK

    return run


def _bench(options: argparse.Namespace, package: Package) -> Command:
    def run(classifier: Classifier, progress: Progress) -> int:
        result = bench(classifier, progress)
        progress.end()
        print("tokens  tokens/s  sentences/s  cycles/token  latency ms  in hardware")
        for row in result["lengths"]:
            figures, single = row["throughput"], row["latency"]
            print(
                f"{row['tokens']:>6}  {figures['tokens_per_second']:>8.0f}  "
                f"{figures['sentences_per_second']:>11.1f}  {figures['cycles_per_token']:>12.1f}  "
                f"{single['host_ms']['median']:>10.2f}  {single['hardware_ms']['median']:>11.3f}"
            )
        _write_json(options.json, result)
        return OK

    return run


def _board(package: Package) -> Device:
    from .device import PynqDevice

    return PynqDevice(package)


def _difference(first: dict[str, Any]) -> str:
    where = f"{first['tensor']}, sentence {first['sentence']}"
    if "expected" not in first:
        return f"{where}: missing, or of another shape or hash"
    index = ", ".join(str(i) for i in first["index"])
    return f"{where}, index ({index}): expected {first['expected']}, got {first['got']}"


def _write_json(path: Path | None, content: dict[str, Any]) -> None:
    if path is None:
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BoardError(f"{path}: expected to write it, got: {error.strerror}") from None


def stop_gently() -> None:
    """Let SIGTERM and SIGHUP (a lost connection) end a run as Ctrl-C does: hardware stopped."""

    def interrupt(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


if __name__ == "__main__":
    stop_gently()
    sys.exit(main())
