"""Builds that Ctrl-C, SIGTERM or a full disk ends: one line, and the next command goes on."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgebert.cli import main
from export.package import write_export
from hw.build_folder import open_build
from tests.models import random_integer_model
from tests.test_build import command, last_line
from tests.test_cli import ROOT, error_of

STARTS = "fifos: FIFO depths"  # of the line that tells that this step begins


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an export/ of a random model."""
    place = tmp_path_factory.mktemp("interrupted")
    write_export(place / "export", random_integer_model(layers=1))
    return place


def heed_interrupts() -> None:
    """As a program that a terminal starts; a shell's background jobs inherit to ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stopped_by(place: Path, number: signal.Signals) -> str:
    """Run a build in a process of its own, end it in the step `fifos`; its last line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edgebert.cli", *command(place)],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(place / "cache")},  # so that it compiles a while
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    assert process.stderr is not None
    seen = ""
    while not seen.startswith(STARTS):
        seen = process.stderr.readline()
        assert seen, "the build ended before it could be interrupted"
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    return err.splitlines()[-1]


def test_ctrl_c_and_sigterm_keep_the_finished_steps(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = (
        "edgebert: stopped in step fifos, finished before: lower, fold; "
        "the same command goes on from there"
    )
    assert stopped_by(place, signal.SIGINT) == line
    state = (place / "build" / "build.json").read_bytes()
    lowered = (place / "build" / "lower" / "lowered.onnx").stat().st_mtime_ns
    assert stopped_by(place, signal.SIGTERM) == line
    assert (place / "build" / "build.json").read_bytes() == state
    assert (place / "build" / "lower" / "lowered.onnx").stat().st_mtime_ns == lowered
    (place / "build" / "fifos").mkdir(exist_ok=True)  # as if it had come that far
    (place / "build" / "fifos" / "depths.json").write_text("{}")
    assert "expected a build with the step rtl, got lower, fold; run edgebert build" in error_of(
        capsys, ["simulate", str(place / "build")]
    )
    assert main(command(place, "--until", "estimate")) == 0
    assert capsys.readouterr().err.count("done before") == 2


@pytest.mark.slow
def test_a_build_that_goes_on_is_that_of_one_command(place: Path) -> None:
    assert main(command(place, out="whole")) == 0
    stopped_by(place, signal.SIGINT)
    assert main(command(place)) == 0
    one, other = (open_build(place / name) for name in ("whole", "build"))
    for step, files in (
        ("fold", ["folding.json"]),
        ("fifos", ["depths.json", "timing.json"]),
        ("rtl", ["design/design.json", "design/encoder.sv", "estimate.json"]),
    ):
        for file in files:
            built, gone_on = one.folder(step) / file, other.folder(step) / file
            assert built.read_bytes() == gone_on.read_bytes()


@pytest.mark.parametrize("size", [200, 20_000])
def test_a_full_disk_is_one_line_and_the_next_command_goes_on(
    place: Path, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    """The build's state can't be written; a file of its first step can't."""
    arguments = command(place, "--until", "estimate", out=f"full-{size}")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))  # the system refuses more
    try:
        line = last_line(capsys, arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"full-{size}" in line and ("free some space" in line or "make room" in line)
    state = place / f"full-{size}" / "build.json"
    assert not state.exists() or not json.loads(state.read_text())["steps"]
    assert main(arguments) == 0
    assert list(open_build(state.parent).steps) == ["lower", "fold"]
