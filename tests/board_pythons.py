"""The Pythons of the PYNQ images 3.x and 4.0, with nothing but numpy.

`python -m tests.board_pythons` makes an environment of each under .venv, from interpreters that
are installed; tests use those, or any other `python3.10` and `python3.12` that has numpy.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
VERSIONS = {"3.10": "numpy==1.21.6", "3.12": "numpy>=2,<3"}  # of 3.x: 1.21 or a little later
SHOW = "import sys, numpy; print('%d.%d' % sys.version_info[:2], numpy.__version__.split('.')[0])"


def environment(version: str) -> Path:
    """Where the environment of a version is made."""
    return REPOSITORY / ".venv" / f"board-python-{version}"


def find(version: str) -> Path | None:
    """An interpreter of that version, with numpy of the images' generation."""
    wanted = f"{version} {1 if version == '3.10' else 2}\n"
    for path in (environment(version) / "bin" / "python", *_interpreters(version)):
        if _output(path, SHOW) == wanted:
            return path
    return None


def main() -> int:
    """Make what is missing."""
    missing = 0
    for version, numpy in VERSIONS.items():
        base = next((p for p in _interpreters(version) if _output(p, "print(1)") == "1\n"), None)
        if find(version) is None and base is not None:
            folder = environment(version)
            subprocess.run([base, "-m", "venv", "--clear", folder], check=True)
            pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", numpy]
            subprocess.run(pip, check=True)
        found = find(version)
        missing += found is None
        print(f"python {version}: {found or 'none; install an interpreter first'}")
    return int(missing > 0)


def _interpreters(version: str) -> Iterator[Path]:
    found = shutil.which(f"python{version}")
    if found is not None:
        yield Path(found)
    yield from sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))


def _output(python: Path, code: str) -> str | None:
    try:
        result = subprocess.run(
            [python, "-I", "-c", code], capture_output=True, text=True, timeout=60
        )
    except OSError:
        return None
    return result.stdout if result.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
