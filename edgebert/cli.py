"""The command line. Heavy packages are imported inside each subcommand only."""

import argparse
import contextlib
import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from edgebert import __version__
from edgebert.errors import UserError
from hw.errors import HardwareFileError, ParameterError, ToolError
from hw.pynq.edgebert_board.errors import BoardError

OK, DIFFERENCE, USER_ERROR, INTERRUPTED = 0, 1, 2, 130

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Parser(argparse.ArgumentParser):
    """Reports a wrong option as every other user's error: in one line."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status: 0 done, 1 a difference found, 2 a user's error."""
    _bound_spinning()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        options = build_parser().parse_args(arguments)
        command: Callable[[argparse.Namespace], int] = options.command
        with _terminated_like_interrupted():
            return command(options)
    except SystemExit as stop:  # --help, --version
        return stop.code if isinstance(stop.code, int) else OK
    except KeyboardInterrupt as stop:
        print(f"edgebert: {stop}" if str(stop) else "edgebert: stopped", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        line = _one_line(error)
        if line is None or debug:
            traceback.print_exc()
        if line is None:
            return 3
        print(f"edgebert: error: {line}", file=sys.stderr)
        return USER_ERROR


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = Parser(
        prog="edgebert",
        description="Train BERT down to one bit, export it as integers, prove that all agree.",
    )
    parser.add_argument("--version", action="version", version=f"edgebert {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, text, add_options, run in (
        ("train", "train every stage of a schedule", _add_train, _train),
        (
            "pretrain",
            "distil an encoder on plain text, down to one bit, to start from with train --init",
            _add_pretrain,
            _pretrain,
        ),
        ("eval", "score a run or an export on a task", _add_eval, _eval),
        ("predict", "classify a sentence or a pair", _add_predict, _predict),
        ("export", "write a run as an integer model", _add_export, _export),
        ("verify", "prove that every engine computes the same integers", _add_verify, _verify),
        ("build", "compile an export into an accelerator for a board", _add_build, _build),
        ("package", "write a build as one file for its board", _add_package, _package),
        (
            "simulate",
            "run a built accelerator on sentences",
            _add_simulate,
            _simulate,
        ),
        ("report", "show training, ONNX Runtime, RTL and board side by side", _add_report, _report),
        ("text", "write unlabelled sentences or pairs for distill.text", _add_text, _text),
        ("zoo", "list the models and encoders that ship with edgebert, or get one", _add_zoo, _zoo),
    ):
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        add_options(command)
        command.add_argument("--debug", action="store_true", help="show a traceback on errors")
        command.set_defaults(command=run)
    return parser


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: in one line, its programs ended with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    here, before = os.getpid(), signal.getsignal(signal.SIGTERM)

    def interrupt(number: int, frame: object) -> None:
        if os.getpid() != here:  # a forked process, which its pool ends like this
            os._exit(128 + number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _bound_spinning() -> None:
    """Let OpenMP's threads wait busily for a moment only, unless the user says how to wait.

    By default they spin for milliseconds, which makes training crawl on a busy machine; sleeping at
    once slows small models on an idle one. This number keeps most of both: compare by
    `python -m benchmarks.train_speed --sizes tiny`. To be set before torch loads.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "4000"


def _train(options: argparse.Namespace) -> int:
    from edgebert.commands import train

    return train(options)


def _pretrain(options: argparse.Namespace) -> int:
    from edgebert.commands import pretrain

    return pretrain(options)


def _eval(options: argparse.Namespace) -> int:
    from edgebert.commands import evaluate

    return evaluate(options)


def _predict(options: argparse.Namespace) -> int:
    from edgebert.commands import predict

    return predict(options)


def _export(options: argparse.Namespace) -> int:
    from edgebert.commands import export

    return export(options)


def _verify(options: argparse.Namespace) -> int:
    from edgebert.commands import verify

    return verify(options)


def _build(options: argparse.Namespace) -> int:
    from edgebert.hardware_commands import build

    return build(options)


def _simulate(options: argparse.Namespace) -> int:
    from edgebert.hardware_commands import simulate

    return simulate(options)


def _package(options: argparse.Namespace) -> int:
    from edgebert.hardware_commands import package

    return package(options)


def _report(options: argparse.Namespace) -> int:
    from edgebert.commands import report

    return report(options)


def _text(options: argparse.Namespace) -> int:
    from edgebert.commands import text

    return text(options)


def _zoo(options: argparse.Namespace) -> int:
    from edgebert.commands import zoo_get, zoo_list

    return zoo_list(options) if options.action == "list" else zoo_get(options)


def _add_train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--config",
        required=True,
        metavar="NAME|FILE",
        help="tiny, mini, small, minilm, base or a YAML file",
    )
    _add_task(parser)
    add("--out", required=True, metavar="RUN", help="folder of the run")
    add(
        "--init",
        metavar="SOURCE",
        help="minilm, an encoder of the zoo, a folder or a hub id of pre-trained weights, a run "
        "to go on from, or none; the configuration's by default",
    )
    add("--schedule", help="stages, such as w32a32,w1a2,w1a1")
    add("--epochs", type=float, metavar="N", help="of every stage")
    add("--max-steps", type=int, metavar="N", help="at most N optimizer steps in every stage")
    add("--batch-size", type=int, metavar="N", help="sentences a step, over all processes")
    add("--lr", type=float, metavar="X", help="peak learning rate of every stage")
    add("--seed", type=int, metavar="N")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add(
        "--resume",
        action="store_true",
        help="go on with the run in --out, by the options it began with",
    )
    add("--force", action="store_true", help="replace the run in --out")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="such as distill.text=FILE; may be repeated",
    )


def _add_pretrain(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--config",
        required=True,
        metavar="NAME|FILE",
        help="tiny, mini, small, minilm, base or a YAML file",
    )
    add("--out", required=True, metavar="RUN", help="folder of the encoder: for train --init")
    add(
        "--teacher",
        default="minilm",
        metavar="SOURCE",
        help="minilm (default), an encoder of the zoo, a folder or a hub id of a pre-trained BERT",
    )
    add(
        "--text",
        action="append",
        default=[],
        metavar="FILE",
        help="a sentence or pair a line, instead of IMDB reviews; may be repeated",
    )
    add("--task", help="the sentences of this task's train set too, none of its dev set")
    add(
        "--data",
        metavar="DIR",
        help="folder of the task's files; without --task, of GLUE tasks, all of which are taken",
    )
    add("--schedule", metavar="STAGES", help="w32a32 (default), or such as w32a32,w1a1 or w1a1")
    add("--epochs", type=float, metavar="N", help="over the text, in each stage")
    add("--max-steps", type=int, metavar="N", help="at most N optimizer steps in each stage")
    add(
        "--max-hours",
        type=float,
        metavar="X",
        help="at most X hours, shared equally by the stages; the learning rate follows the time",
    )
    add("--batch-size", type=int, metavar="N", help="sentences a step")
    add("--lr", type=float, metavar="X", help="peak learning rate")
    add("--seed", type=int, metavar="N")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add(
        "--resume",
        action="store_true",
        help="go on with the pre-training in --out, by the options it began with",
    )
    add("--force", action="store_true", help="replace the pre-training in --out")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="such as pretrain.sentence=0; may be repeated",
    )


def _add_eval(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", metavar="RUN_OR_EXPORT")
    _add_task(parser)
    add("--engine", choices=("torch", "ort"), help="torch for a run, ort for an export")
    add("--stage", metavar="NAME", help="of a run, such as w32a32; the last one by default")
    add("--json", metavar="FILE", help="write the result to FILE")


def _add_predict(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", metavar="RUN_OR_EXPORT")
    add("text")
    add("text_b", nargs="?", metavar="second text", help="of a sentence pair")


def _add_export(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", metavar="RUN")
    add("--target", required=True, choices=("pynq", "onnx"))
    add("--out", required=True, metavar="EXPORT", help="folder of the export")
    add("--force", action="store_true", help="replace the export in --out")


def _add_verify(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", metavar="EXPORT")
    _add_task(parser)
    add("--samples", type=int, metavar="N", help="only the first N dev sentences")
    add(
        "--engines",
        metavar="NAMES",
        help="some of torch,ort,encoder,qonnx,fast and, with --build, finn,kernels,accelerator,"
        "virtual-board; all by default",
    )
    add("--engine", metavar="NAME", dest="engines", help="the same with one")
    add("--build", metavar="BUILD", help="a build of the export: its graph and its RTL too")
    add("--run", metavar="RUN", help="the run that was exported, if it was moved since")
    add("--json", metavar="FILE", help="write the result to FILE")


def _add_build(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", metavar="EXPORT")
    add(
        "--board",
        required=True,
        metavar="NAME|FILE",
        help="pynq-z2, aup-zu3, kv260, zcu104, zcu102 or a YAML file",
    )
    add(
        "--out",
        required=True,
        metavar="BUILD",
        help="folder; the same command goes on there",
    )
    add("--clock-mhz", type=float, metavar="X", help="the board's by default")
    speed = parser.add_mutually_exclusive_group()
    speed.add_argument(
        "--fps",
        type=float,
        metavar="N",
        help="the smallest design for N sentences a second, each of --max-tokens",
    )
    speed.add_argument("--fold", metavar="FILE", help="parallelism and memories from FILE")
    speed.add_argument(
        "--max-throughput", action="store_true", help="the fastest design that fits (default)"
    )
    add("--max-tokens", type=int, metavar="N", help="longest sentence; the model's by default")
    add(
        "--until",
        choices=("estimate", "rtl", "synth", "bitfile"),
        default="rtl",
        help="resources and cycles; RTL, simulated for its FIFO depths (default); Yosys' count; "
        "the bitstream",
    )
    add(
        "--toolchain",
        choices=("vivado", "open"),
        help="for the bitstream: Vivado, the default where it is found, or Yosys, nextpnr and "
        "prjxray (experimental, pynq-z2 only)",
    )
    add(
        "--tools-root",
        metavar="DIR",
        default=os.environ.get("EDGEBERT_TOOLS_ROOT", "/"),
        help="system that the open tools lie in; EDGEBERT_TOOLS_ROOT, or this one, by default",
    )
    add(
        "--timeout",
        type=float,
        metavar="MINUTES",
        help="for the bitstream; 120 by default",
    )
    add("--force", action="store_true", help="replace the build in --out")
    add("--json", metavar="FILE", help="write the report to FILE")


def _add_package(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", metavar="EXPORT")
    add("--build", required=True, metavar="BUILD", help="of that export")
    add("--out", required=True, metavar="PACKAGE.zip")
    add("--task", help="put the logits of this task's dev sentences in, to be compared there")
    add("--data", metavar="DIR", help="folder of the task's files")


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", metavar="BUILD")
    add("--task", help="whose dev sentences; the export's golden sentences by default")
    add("--data", metavar="DIR", help="folder of the task's files")
    add("--samples", type=int, metavar="N", help="N sentences of all lengths")
    add("--stalls", action="store_true", help="stall the accelerator's ports at random")
    add("--trace", metavar="FILE.fst", help="write a waveform")
    add("--json", metavar="FILE", help="write the result to FILE")


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="RESULT",
        help="folder of a run, an export or a build; JSON file of eval, verify, simulate or the "
        "board's verify; all of one model",
    )
    parser.add_argument("--json", metavar="FILE", help="write the rungs to FILE")


def _add_text(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", required=True, metavar="FILE", help="a sentence or pair a line")
    add("--task", help="leave out the sentences of this task's dev set")
    add("--data", metavar="DIR", help="folder of the task's files, or of all GLUE tasks")
    add_one = parser.add_mutually_exclusive_group().add_argument
    add_one("--sentences", type=int, metavar="N", help="so many of IMDB's, chosen at random")
    add_one(
        "--pairs",
        type=int,
        metavar="N",
        help="pairs of the task's train sentences instead, or of all tasks of pairs in --data",
    )
    add_one(
        "--disturbed",
        type=int,
        metavar="N",
        help="instead, the task's train sentences spliced or with words left out, moved, exchanged",
    )
    add("--max-words", type=int, metavar="N", help="none longer than that (default: 60)")


def _add_zoo(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("list", help="every model with its figures")
    show.add_argument("--json", metavar="FILE", help="write the list to FILE")
    get = actions.add_parser("get", help="make the export of a model, or the folder of an encoder")
    get.add_argument("name", metavar="NAME", help="such as mini-sst2, or mini")
    get.add_argument("--out", required=True, metavar="EXPORT", help="folder of the export")
    get.add_argument("--target", choices=("pynq", "onnx"), help="onnx by default")
    get.add_argument("--force", action="store_true", help="replace the export in --out")


def _add_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", required=True, help="reviews, csv or a GLUE task such as sst2")
    parser.add_argument("--data", metavar="DIR", help="folder of the task's files")


def _one_line(error: Exception) -> str | None:
    """What to tell the user of an error that is not a defect of edgebert, else None."""
    if isinstance(error, UserError | HardwareFileError | ParameterError | ToolError | BoardError):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and (error.filename or error.errno in NO_SPACE):
        name = error.filename2 or error.filename or "writing"  # of a copy, where it goes to
        advice = "; free some space" if error.errno in NO_SPACE else ""
        return f"{name}: expected access, got: {error.strerror}{advice}"
    if type(error).__name__ == "OutOfMemoryError":  # of torch, which may not be imported here
        return "expected to fit into the device's memory, got too much; use a smaller --batch-size"
    return None


if __name__ == "__main__":  # torchrun -m edgebert.cli train ...
    sys.exit(main())
