"""Where the programs of a tool chain lie, and runs of them that end: bounded, logged, shown.

The open tools come from a Debian sid, which may be this system or a folder that `debootstrap` made:

    debootstrap --variant=minbase sid ROOT http://deb.debian.org/debian
    chroot ROOT apt-get install --no-install-recommends nextpnr-himbaechel-xilinx prjxray \
        prjxray-database
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hw.errors import ToolError

PACKAGES = {
    "nextpnr-himbaechel-xilinx": "nextpnr-himbaechel-xilinx",
    "xc7frames2bit": "prjxray",
    "bitread": "prjxray",
}
CHIPS = Path("usr/share/nextpnr/himbaechel/xilinx")
DATABASE = Path("usr/share/prjxray/database/zynq7")
LOADER, LIBRARIES = Path("lib64/ld-linux-x86-64.so.2"), Path("usr/lib/x86_64-linux-gnu")
POLL_S = 0.5
GRACE_S = 5.0  # after SIGTERM
Progress = Callable[[str], None]


def open_tool(root: Path, program: str) -> list[str]:
    """The command that starts a program of a Debian root, with that root's own libraries.

    Raises:
        ToolError: the program is missing.
    """
    path = root / "usr/bin" / program
    if not path.is_file():
        raise missing(path, PACKAGES[program])
    if root.resolve() == Path("/"):
        return [str(path)]
    return [str(root / LOADER), "--library-path", str(root / LIBRARIES), str(path)]


def chip_database(root: Path, device: str) -> Path:
    """nextpnr's description of a device such as `xc7z020`; ToolError if it is missing."""
    path = root / CHIPS / f"chipdb-{device}.bin"
    if not path.is_file():
        raise missing(path, "nextpnr-himbaechel-xilinx-chipdb")
    return path


def bit_database(root: Path) -> Path:
    """prjxray's description of Zynq-7000's configuration bits; ToolError if it is missing."""
    path = root / DATABASE
    if not (path / "mapping/parts.yaml").is_file():
        raise missing(path, "prjxray-database")
    return path


def missing(path: Path, package: str) -> ToolError:
    """What to do about a file of a Debian package that isn't there."""
    return ToolError(
        f"{path}: expected a file of the package {package} of Debian sid, found none; install it "
        "with: apt-get install nextpnr-himbaechel-xilinx prjxray prjxray-database, or name the "
        "folder of a system that has it with --tools-root or EDGEBERT_TOOLS_ROOT (docs/bitfile.md)"
    )


def run_tool(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    cwd: Path,
    deadline: float,
    given: str = "",
    progress: Progress | None = None,
) -> None:
    """Run a program until its end or a deadline; what it says goes to a file.

    Args:
        name: for errors.
        command: program and arguments.
        log: gets both of its output streams; written anew.
        cwd: where it runs.
        deadline: as time.monotonic() counts; at it the program and what it started are ended.
        given: its standard input.
        progress: is told every line as it comes.

    Raises:
        ToolError: it can't be started, failed, or took too long; names the log.
    """
    if deadline <= time.monotonic():
        raise _late(name, log)
    with open(log, "wb") as sink, open(log, errors="replace") as said:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                start_new_session=True,  # so that all of it can be ended at once
            )
        except OSError as error:
            raise ToolError(f"{name}: expected to start {command[0]}, got: {error}") from None
        try:
            assert process.stdin is not None
            try:
                process.stdin.write(given.encode())
                process.stdin.close()
            except BrokenPipeError:
                pass  # it ended before: its exit status tells
            while process.poll() is None:
                _tell(said.readlines(), progress)
                if time.monotonic() >= deadline:
                    raise _late(name, log)
                time.sleep(POLL_S)
            _tell(said.readlines(), progress)
        finally:
            _end(process)
    if process.returncode:
        raise ToolError(
            f"{name} failed with status {process.returncode}: {_reason(log)} ({log} has all of it)"
        )


def _late(name: str, log: Path) -> ToolError:
    return ToolError(
        f"{name}: expected to finish in the time of --timeout, got no end; give it more, or build "
        f"a smaller design with --fps ({log} tells how far it came)"
    )


def _tell(lines: Sequence[str], progress: Progress | None) -> None:
    if progress is not None:
        for line in lines:
            progress(line.rstrip())


def _end(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_S)
        except ProcessLookupError:
            process.wait()
        except subprocess.TimeoutExpired:
            pass


def _reason(log: Path) -> str:
    """The first line of a log that tells an error, else its last one."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    lines = [line for line in lines if line]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines[-1:] or ["nothing said"])[0]
