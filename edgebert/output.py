"""What commands show: lines, tables, JSON files."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgebert.checkpoint import write_atomic


def say(message: str) -> None:
    """Print a line on stderr, above a progress bar where there is one."""
    from tqdm import tqdm

    tqdm.write(message, file=sys.stderr)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells in columns: the first one left-aligned, the others right."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    for row in table:
        cells = [row[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        print("  ".join(cells).rstrip())


def write_json(path: str | None, content: Mapping[str, Any]) -> None:
    """Write a result, if a file was given."""
    if path is not None:
        write_atomic(Path(path), (json.dumps(content, indent=2) + "\n").encode())
