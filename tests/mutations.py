"""Plant faults in the RTL, one at a time, and show that the tests catch each.

    python -m tests.mutations [NAME ...] [--list]

Each fault is planted in a copy of the sources, whose tests then run. A fault that no test notices
is a hole in the tests; the exit status is 1 if there is one.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
COPIED = ("edgebert", "export", "hw", "tests", "pyproject.toml")
TIMEOUT_S = 900


@dataclass(frozen=True)
class Mutation:
    """A fault: `old`, which stands once in hw/rtl/`file`, becomes `new`; `test` must fail."""

    name: str
    file: str
    old: str
    new: str
    test: str


MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        "skid buffer forgets that its spare register is full",
        "skid_buffer.sv",
        "      spare_valid <= 1'b1;",
        "      spare_valid <= 1'b0;",
        "test_rtl_skid_buffer.py",
    ),
)


def plant(mutation: Mutation, root: Path) -> None:
    """Change the file under `root`; ValueError unless `old` stands there exactly once."""
    path = root / "hw" / "rtl" / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise ValueError(
            f"{mutation.file}: expected {mutation.old!r} once, found it {text.count(mutation.old)} "
            "times"
        )
    path.write_text(text.replace(mutation.old, mutation.new))


def copy_sources(root: Path) -> None:
    """What the tests need, in an empty folder."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=ignore)
        else:
            shutil.copy(source, root / name)


def run_test(root: Path, test: str) -> tuple[bool, str]:
    """Run a test of the copy: whether it passed, and the last line of what it printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"tests/{test}"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    # 0: passed, 1: a test failed; anything else means that the test could not be run.
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{test} could not run: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return done.returncode == 0, next(
        (line for line in done.stdout.splitlines() if line.startswith("E  ")), ""
    )


def caught(mutation: Mutation) -> tuple[bool, str]:
    """Plant one fault in a fresh copy: whether its test fails, and with what."""
    with tempfile.TemporaryDirectory(prefix="edgebert-mutation-") as scratch:
        root = Path(scratch)
        copy_sources(root)
        plant(mutation, root)
        passed, message = run_test(root, mutation.test)
        return not passed, message


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="part of a fault's name; all if none is given")
    parser.add_argument("--list", action="store_true", help="print the faults and stop")
    options = parser.parse_args()
    chosen = [
        m for m in MUTATIONS if not options.names or any(name in m.name for name in options.names)
    ]
    if options.list:
        print("\n".join(f"{m.name} ({m.file}, {m.test})" for m in chosen))
        return 0
    missed = 0
    for mutation in tqdm(chosen, desc="faults", unit="fault"):
        found, message = caught(mutation)
        missed += not found
        tqdm.write(f"{'caught' if found else 'MISSED'}: {mutation.name}  {message[:120]}")
    print(f"{len(chosen) - missed} of {len(chosen)} faults caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
