"""The step bitfile: errors before any work, an end in time, nothing half-made, report, package."""

import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest

from export.package import write_export
from hw.bitfile.open_chain import RISKS
from hw.bitfile.step import Toolchain, check_done, choose_toolchain
from hw.bitfile.tools import run_tool
from hw.board_build import board_build
from hw.boards import load_board
from hw.build import BITFILE, DESIGN_FOLDER, RTL, _make_bitfile
from hw.build_folder import BuildFolder, Say, Step, run_steps, start_build
from hw.design import Design
from hw.errors import HardwareFileError, ParameterError, ToolError
from hw.report import _bitfile_lines
from hw.stitch import write_design
from tests.designs import encoder_design, even_folding
from tests.models import random_integer_model
from tests.test_cli import error_of

BOARD = load_board("pynq-z2")
MODEL = random_integer_model(layers=1)
VIVADO = """#!/bin/sh
if [ "$1" = -version ]; then echo "vivado v2024.2 (64-bit)"; exit 0; fi
echo "Phase 1 Build RT Design"
{work}
"""
WORK = """printf 'wns %s\\nwhs 0.05\\nvivado 2024.2\\n' {wns} > result.txt
printf '| Slice LUTs* | 21345 | 0 | 53200 | 40.1 |\\n| Block RAM Tile | 31.5 | 0 | 140 |\\n' \
    > utilization.rpt
echo timing > timing.rpt; echo bits > edgebert.bit; echo '<hwh/>' > edgebert.hwh
[ -f build.tcl ] || exit 3
{end}
"""


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("bitfile") / "export", MODEL).path


@pytest.fixture(scope="module")
def design() -> Design:
    properties = {"board": "pynq-z2", "max_tokens": 8, "clock_khz": 100_000}
    built = encoder_design(MODEL, even_folding(MODEL, 8, 512), 8)
    return Design(
        built.name,
        built.ports,
        built.instances,
        built.connections,
        built.memories,
        {**built.properties, **properties},
    )


@pytest.fixture
def no_vivado(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def vivado(folder: Path, work: str) -> Path:
    program = folder / "vivado"
    program.write_text(VIVADO.format(work=work))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def start(folder: Path, design: Design) -> BuildFolder:
    """A build with its RTL."""

    def rtl(build: BuildFolder, place: Path, say: Say) -> None:
        write_design(design, place / DESIGN_FOLDER)

    request = {"board": asdict(BOARD), "clock_mhz": 100.0}
    return run_steps(start_build(folder, request), [Step(RTL, "RTL", rtl)], lambda line: None)


def finish(build: BuildFolder, program: Path, lines: list[str] | None = None) -> BuildFolder:
    toolchain = Toolchain("vivado", program, Path("/"), 60.0)
    step = Step(BITFILE, "the bitstream", partial(_make_bitfile, toolchain))
    return run_steps(build, [step], ([] if lines is None else lines).append)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--toolchain", "open"], "nextpnr-himbaechel-xilinx: expected a file of the package"),
        (["--toolchain", "open", "--board", "kv260"], "expected a board with the part xc7z020"),
        ([], r"Vivado .* in PATH .*, found none; .*--toolchain open"),
        (["--toolchain", "vivado"], "expected Vivado"),
        (["--timeout", "0"], "--timeout: expected a number of minutes above 0, got 0"),
        (["--toolchain", "other"], "invalid choice: 'other'"),
    ],
)
def test_what_is_missing_is_one_line_before_any_work(
    export: Path,
    tmp_path: Path,
    no_vivado: None,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    out = tmp_path / "out"
    arguments = ["build", str(export), "--board", "pynq-z2", "--until", "bitfile"]
    arguments += ["--tools-root", str(tmp_path), "--out", str(out), *options]
    assert re.search(said, error_of(capsys, arguments))
    assert not out.exists()


def test_a_part_of_the_open_tools_that_is_missing_is_named(tmp_path: Path) -> None:
    files = {
        "usr/bin/nextpnr-himbaechel-xilinx": "nextpnr-himbaechel-xilinx",
        "usr/bin/xc7frames2bit": "prjxray",
        "usr/bin/bitread": "prjxray",
        "usr/share/nextpnr/himbaechel/xilinx/chipdb-xc7z020.bin": "-chipdb",
        "usr/share/prjxray/database/zynq7/mapping/parts.yaml": "prjxray-database",
    }
    for name, package in files.items():
        with pytest.raises(ToolError, match=rf"{package} of Debian sid, found none; install"):
            choose_toolchain("open", BOARD, tmp_path)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    with pytest.raises(ToolError, match="expected the part xc7z020clg400-1"):
        choose_toolchain("open", BOARD, tmp_path)


def test_vivado_is_taken_where_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = vivado(tmp_path, "")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    chosen = choose_toolchain(None, load_board("kv260"), Path("/"), 2)
    assert chosen == Toolchain("vivado", program, Path("/"), 120.0)
    program.write_text("#!/bin/sh\necho no licence >&2; exit 1\n")
    with pytest.raises(ToolError, match=r"expected a version, got .'no licence'"):
        choose_toolchain("vivado", BOARD, Path("/"))


def test_a_program_and_what_it_started_end_at_the_deadline(tmp_path: Path) -> None:
    log, begin = tmp_path / "log", time.monotonic()
    command = ["sh", "-c", "echo begun; (sleep 3; touch late) & wait"]
    lines: list[str] = []
    with pytest.raises(ToolError, match=r"tool: expected to finish in the time of --timeout.*log"):
        run_tool("tool", command, log=log, cwd=tmp_path, deadline=begin + 1, progress=lines.append)
    assert lines == ["begun"] and time.monotonic() - begin < 3
    with pytest.raises(ToolError, match="expected to finish"):
        run_tool("tool", ["true"], log=log, cwd=tmp_path, deadline=begin)
    time.sleep(max(0.0, begin + 3.5 - time.monotonic()))
    assert not (tmp_path / "late").exists()


def test_a_failing_program_tells_its_reason(tmp_path: Path) -> None:
    end, log = time.monotonic() + 60, tmp_path / "log"
    command = ["sh", "-c", "cat; echo fine; echo 'ERROR: no such site' >&2; echo bye; exit 7"]
    with pytest.raises(ToolError, match=r"tool failed with status 7: ERROR: no such site \(") as c:
        run_tool("tool", command, log=log, cwd=tmp_path, deadline=end, given="input\n")
    assert str(log) in str(c.value) and log.read_text().startswith("input\nfine\n")
    with pytest.raises(ToolError, match="expected to start /none, got"):
        run_tool("tool", ["/none"], log=log, cwd=tmp_path, deadline=end)


def test_a_bitstream_reaches_report_and_package(tmp_path: Path, design: Design) -> None:
    lines: list[str] = []
    build = finish(
        start(tmp_path / "build", design),
        vivado(tmp_path, WORK.format(wns=0.123, end="")),
        lines,
    )
    assert "  Phase 1 Build RT Design" in lines
    made = json.loads((build.folder(BITFILE) / "bitfile.json").read_text())
    assert made["utilization"] == {"lut": 21345, "bram36": 31.5}
    assert made["worst_slack_ns"] == 0.123 and made["tools"] == {"vivado": "2024.2"}
    text = "\n".join(_bitfile_lines(made))
    assert "`vivado` (vivado 2024.2)" in text and "worst slack 0.123 ns" in text
    contents = board_build(build)
    assert (contents.bitstream, contents.hwh) == (b"bits\n", b"<hwh/>\n")
    assert contents.base_address == made["base_address"] == 0x43C0_0000
    assert check_done(build, None) and check_done(build, "vivado")
    with pytest.raises(HardwareFileError, match="expected no bitstream yet or one of --toolchain"):
        check_done(build, "open")


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (WORK.format(wns=-0.5, end="echo 'ERROR: timing: expected slack'; exit 1"), "timing: exp"),
        (WORK.format(wns=0.1, end="rm edgebert.hwh"), "edgebert.hwh: expected a file of Vivado"),
        (WORK.format(wns=0.1, end="kill -9 $$"), "failed with status -9"),
    ],
    ids=["timing", "missing", "killed"],
)
def test_nothing_half_made_counts(tmp_path: Path, design: Design, work: str, said: str) -> None:
    build = start(tmp_path / "build", design)
    with pytest.raises((ToolError, HardwareFileError), match=said):
        finish(build, vivado(tmp_path, work))
    build = start_build(tmp_path / "build", build.request)
    assert BITFILE not in build.steps and not check_done(build, "open")
    assert board_build(build).bitstream is None
    assert (build.path / BITFILE / "vivado.log").is_file()  # for the user to read
    build = finish(build, vivado(tmp_path, WORK.format(wns=0.1, end="")))
    assert board_build(build).bitstream == b"bits\n"


def test_an_open_bitstream_is_reported_with_its_risks() -> None:
    made = {
        "toolchain": "open",
        "tools": {"nextpnr": "0.11"},
        "utilization": {"lut_sites": 4321, "ff": 99},
        "estimated_mhz": 104.2,
        "seconds": {"nextpnr": 60.0},
        "checks": ["part"],
        "risks": list(RISKS),
    }
    text = "\n".join(_bitfile_lines(made))
    assert "4,321 lut sites" in text and "104.2 MHz, nextpnr's estimate after routing" in text
    assert "- risk: Nothing made by this tool chain was run on hardware." in text
    assert "- checked: part" in text


def test_a_family_without_a_block_design_is_refused() -> None:
    board = type(BOARD)(**{**vars(BOARD), "family": "other"})
    with pytest.raises(ParameterError, match="expected one of xc7, xcup for a bitstream"):
        choose_toolchain("vivado", board, Path("/"))


@pytest.fixture(autouse=True)
def _finished() -> Iterator[None]:
    """No child outlives a test."""
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
