"""What the commands of the hardware do: build, simulate, package."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebert.errors import UserError
from edgebert.output import print_table, say, write_json

if TYPE_CHECKING:
    from hw.bitfile.step import Toolchain
    from hw.boards import Board

STALL_SHARE, STALL_BURST = 0.3, 8.0  # of the accelerator's ports with --stalls


def build(options: argparse.Namespace) -> int:
    """`edgebert build`."""
    from export.package import load_export
    from hw.boards import load_board
    from hw.build import build_request, build_steps, read_folding
    from hw.build_folder import run_steps, start_build
    from hw.report import FOLDER, TEXT, write_report

    export, board = load_export(Path(options.path)), load_board(options.board)
    request = build_request(
        export.digest,
        export.model,
        board,
        clock_mhz=options.clock_mhz,
        max_tokens=options.max_tokens,
        fps=options.fps,
        folding=None if options.fold is None else read_folding(Path(options.fold)),
    )
    toolchain = _toolchain(options, board)  # what is missing shall be known before hours of work
    folder = start_build(Path(options.out), request, force=options.force)
    folder = run_steps(folder, build_steps(export.path, options.until, toolchain), say)
    report = write_report(folder)
    print_table(*_summary(report))
    print(f"report: {folder.path / FOLDER / TEXT}")
    write_json(options.json, report)
    return 0


def _toolchain(options: argparse.Namespace, board: "Board") -> "Toolchain | None":
    """What makes the bitstream, where one is to be made."""
    from hw.bitfile.step import TIMEOUT_MIN, check_done, choose_toolchain
    from hw.build import BITFILE
    from hw.build_folder import STATE, open_build

    out = Path(options.out)
    if options.until != BITFILE:
        return None
    there = not options.force and (out / STATE).is_file()
    if there and check_done(open_build(out), options.toolchain):
        return None
    minutes = TIMEOUT_MIN if options.timeout is None else options.timeout
    return choose_toolchain(options.toolchain, board, Path(options.tools_root), minutes)


def simulate(options: argparse.Namespace) -> int:
    """`edgebert simulate`."""
    from export.simulate import simulate_sentences
    from hw.build_folder import open_build
    from hw.report import write_report, write_simulation

    if options.samples is not None and options.samples < 1:
        raise UserError(f"--samples: expected a number of 1 or more, got {options.samples}")
    folder = open_build(Path(options.path))
    result = simulate_sentences(
        folder,
        options.task,
        options.data,
        samples=options.samples,
        stalls=(STALL_SHARE, STALL_BURST) if options.stalls else None,
        trace=None if options.trace is None else Path(options.trace),
        say=say,
        progress=_progress_bar(),
    )
    write_simulation(folder, result)
    write_report(folder)
    print_table(["", "simulated"], [[key, _cell(value)] for key, value in _shown(result).items()])
    write_json(options.json, result)
    return 0 if result["mismatches"] == 0 else 1


def package(options: argparse.Namespace) -> int:
    """`edgebert package`."""
    from edgebert.scoring import open_scorer, sentences_of
    from edgebert.tasks import load_task
    from export.accelerator import expected_outputs
    from export.hardware_engines import check_build
    from export.package import load_export
    from hw.board_build import board_build
    from hw.build_folder import open_build
    from hw.pynq.packager import write_package

    export, build = load_export(Path(options.path)), open_build(Path(options.build))
    check_build(build, export)
    contents = board_build(build)
    expected: list[Any] = []
    if options.task is not None:
        scorer = open_scorer(export.path)
        split = scorer.encode(load_task(options.task, options.data).dev, "dev sentences", say)
        fitting = [s for s in sentences_of(split) if len(s[0]) <= contents.max_tokens]
        expected = list(expected_outputs(export.model, fitting))
    digest = write_package(Path(options.out), export.path, contents, expected)
    print(f"{options.out}: sha256 of its SHA256SUMS {digest}")
    if contents.bitstream is None:
        say("note: no bitstream in it; edgebert build --until bitfile makes one")
    return 0


def _summary(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of the main figures."""
    from hw.resources.amount import LABELS

    kinds = [kind for kind in ("estimated", "synthesized") if kind in report]
    rows = [
        [LABELS[name], *(f"{report[kind]['total'][name]:,}" for kind in kinds)] for name in LABELS
    ]
    cycles = [str(report["estimated"]["cycles_per_token"])]
    rows.append(["cycles a token", *cycles, *[""] * (len(kinds) - 1)])
    if "simulated" in report:
        longest = report["simulated"]["timings"][-1]
        rows.append(["simulated", f"{longest['cycles_per_token']:.2f}", *[""] * (len(kinds) - 1)])
    return [f"{report['board']}, {report['clock_mhz']:g} MHz", *kinds], rows


def _shown(result: dict[str, Any]) -> dict[str, Any]:
    """The figures of a simulation that fit a table."""
    return {
        key: value
        for key, value in result.items()
        if not isinstance(value, dict | list) and value is not None
    }


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if value < 1 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _progress_bar() -> Callable[[int, int], None] | None:
    """A bar of tokens, on a terminal."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    bar: Any = tqdm(unit="token", file=sys.stderr)

    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return show
