"""The commands and their options. Nothing heavy is imported to read them."""

import argparse
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn, TypeAlias

from edgebert import __version__
from edgebert.errors import UserError

_Command: TypeAlias = tuple[str, str, Callable[[argparse.ArgumentParser], None], str]


class Parser(argparse.ArgumentParser):
    """Reports a wrong option as every other user's error: in one line."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    add = parser.add_argument
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
    _add_running(parser, "run", "distill.text=FILE")


def _add_chain(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME|FILE", help="such as minilm-sst2, or a YAML file")
    add("--data", metavar="DIR", help="folder of all GLUE tasks, or of the task's files")
    add("--out", required=True, metavar="DIR", help="folder of its runs; the same command goes on")
    add("--device", choices=("auto", "cpu", "cuda"), help="of every training")
    add("--max-steps", type=int, metavar="N", help="at most N optimizer steps in every stage")
    add("--dry-run", action="store_true", help="show the commands only")


def _add_pretrain(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    add = parser.add_argument
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
    _add_running(parser, "pre-training", "pretrain.sentence=0")


def _add_average(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("paths", nargs="+", metavar="RUN", help="two or more of one task and one start")
    add("--data", metavar="DIR", help="folder of the task's files")
    add("--out", required=True, metavar="RUN", help="folder of the mean: for train --init")
    add("--force", action="store_true", help="replace the run in --out")
    add("--json", metavar="FILE", help="write the scores to FILE")


def _add_eval(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", metavar="RUN_OR_EXPORT")
    _add_task(parser)
    add("--engine", choices=("torch", "ort"), help="torch for a run, ort for an export")
    add("--stage", metavar="NAME", help="of a run, such as w32a32; the last one by default")
    add("--json", metavar="FILE", help="write the result to FILE")


def _add_agree(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", metavar="RUN_OR_EXPORT")
    add("other", metavar="RUN_OR_EXPORT", help="what it is compared with, such as its teacher")
    add("--text", required=True, metavar="FILE", help="a sentence a line, or a pair, a tab between")
    add("--stage", metavar="NAME", help="of the first, where it is a run; the last one by default")
    add("--other-stage", metavar="NAME", help="of the other, such as w32a32; the last by default")
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
    add_one("--sentences", type=int, metavar="N", help="so many, chosen at random")
    add_one(
        "--pairs",
        type=int,
        metavar="N",
        help="pairs of the task's train sentences, or of all tasks of pairs in --data",
    )
    add_one(
        "--disturbed",
        type=int,
        metavar="N",
        help="the task's train sentences, or one of each pair, spliced or with words left "
        "out, moved, exchanged or added",
    )
    add(
        "--from",
        dest="source",
        metavar="SOURCE",
        help="whose sentences to take, pair or disturb: imdb, wordnet (definitions and examples), "
        "wordnet-examples, train (the task's, those of pairs by themselves), or a FILE of a "
        "sentence a line (default: imdb, and with --pairs or --disturbed the task)",
    )
    add("--max-words", type=int, metavar="N", help="none longer than that (default: 60)")
    add("--min-words", type=int, metavar="N", help="with --disturbed, none shorter than that")
    add(
        "--held-out",
        type=float,
        default=0.1,
        metavar="X",
        help="of --pairs and --disturbed, leave out what train.held_out=X keeps to choose by "
        "(default: 0.1, as in the recipes)",
    )


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
    names = "reviews, imdb, csv or a GLUE task such as sst2"
    parser.add_argument("--task", required=True, help=names)
    parser.add_argument("--data", metavar="DIR", help="folder of the task's files")


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        required=True,
        metavar="NAME|FILE",
        help="tiny, mini, small, minilm, base or a YAML file",
    )


def _add_running(parser: argparse.ArgumentParser, what: str, setting: str) -> None:
    """How to run a training, called `what`; `setting` is an example of what --set sets."""
    add = parser.add_argument
    add("--seed", type=int, metavar="N")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add(
        "--resume",
        action="store_true",
        help=f"go on with the {what} in --out, by the options it began with",
    )
    add("--force", action="store_true", help=f"replace the {what} in --out")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"such as {setting}; may be repeated",
    )


# Name, what it does, its options, "module:function" that runs it.
COMMANDS: tuple[_Command, ...] = (
    ("train", "train every stage of a schedule", _add_train, "commands:train"),
    (
        "pretrain",
        "distil an encoder on plain text, down to one bit, to start from with train --init",
        _add_pretrain,
        "commands:pretrain",
    ),
    (
        "chain",
        "train a model by the runs, one after another, that lead to the best one known",
        _add_chain,
        "chain_command:chain",
    ),
    (
        "average",
        "write the mean of several runs' full-precision weights as one run",
        _add_average,
        "commands:average",
    ),
    ("eval", "score a run or an export on a task", _add_eval, "commands:evaluate"),
    (
        "agree",
        "how often two models agree on unlabelled text",
        _add_agree,
        "commands:agree",
    ),
    ("predict", "classify a sentence or a pair", _add_predict, "commands:predict"),
    ("export", "write a run as an integer model", _add_export, "commands:export"),
    (
        "verify",
        "prove that every engine computes the same integers",
        _add_verify,
        "commands:verify",
    ),
    (
        "build",
        "compile an export into an accelerator for a board",
        _add_build,
        "hardware_commands:build",
    ),
    (
        "package",
        "write a build as one file for its board",
        _add_package,
        "hardware_commands:package",
    ),
    (
        "simulate",
        "run a built accelerator on sentences",
        _add_simulate,
        "hardware_commands:simulate",
    ),
    (
        "report",
        "show training, ONNX Runtime, RTL and board side by side",
        _add_report,
        "commands:report",
    ),
    (
        "text",
        "write unlabelled sentences or pairs for distill.text",
        _add_text,
        "text_command:text",
    ),
    (
        "zoo",
        "list the models and encoders that ship with edgebert, or get one",
        _add_zoo,
        "zoo_commands:zoo",
    ),
)


def function_of(options: argparse.Namespace) -> Callable[[argparse.Namespace], int]:
    """The function that runs their command. Imported only now: torch alone takes seconds."""
    module, name = options.command.split(":")
    function: Callable[[argparse.Namespace], int] = getattr(
        import_module(f"edgebert.{module}"), name
    )
    return function


def build_parser() -> Parser:
    """The parser; what it reads names its command as "module:function" in `command`."""
    parser = Parser(
        prog="edgebert",
        description="Train BERT down to one bit, export it as integers, prove that all agree.",
    )
    parser.add_argument("--version", action="version", version=f"edgebert {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, text, add_options, run in COMMANDS:
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        add_options(command)
        command.add_argument("--debug", action="store_true", help="show a traceback on errors")
        command.set_defaults(command=run)
    return parser
