"""Boards: their part, what it has, and what of it an accelerator may take."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hw.errors import HardwareFileError, ParameterError
from hw.resources import FAMILIES, Resources

BOARDS = Path(__file__).with_suffix(".yaml")
AMOUNTS = ("lut", "ff", "bram36", "uram", "dsp")
TEXTS = ("part", "family")
NUMBERS = ("clock_mhz", "dram_bytes_per_s")
OPTIONAL = ("uram", "dsp", "finn_name")


@dataclass(frozen=True)
class Board:
    """A board.

    Attributes:
        name: ours, or that of its file.
        part: the vendor's name of the part.
        family: `xc7` (7-series) or `xcup` (UltraScale+).
        clock_mhz: clock of the accelerator unless another is asked for.
        resources: what the part has.
        reserve: what is left for the shell (hw/boards.yaml says what that is).
        dram_bytes_per_s: peak bandwidth of the processor's memory.
        finn_name: FINN's name for it, if it has one.
    """

    name: str
    part: str
    family: str
    clock_mhz: float
    resources: Resources
    reserve: Resources
    dram_bytes_per_s: float
    finn_name: str = ""

    @property
    def budget(self) -> Resources:
        """What an accelerator may take."""
        return self.resources - self.reserve


def known_boards() -> dict[str, Board]:
    """The boards that come with the package, by name."""
    entries = yaml.safe_load(BOARDS.read_text())
    return {name: _board(name, entry) for name, entry in entries.items()}


def load_board(name: str) -> Board:
    """A known board by name, or one described in a file NAME.yaml (or .yml).

    The file holds the keys of a board of hw/boards.yaml; `finn_name`, `uram` and `dsp` may be left
    out.

    Raises:
        ParameterError: no known board has the name.
        HardwareFileError: the file is missing or describes no board.
    """
    boards = known_boards()
    if name in boards:
        return boards[name]
    if not name.endswith((".yaml", ".yml")):
        raise ParameterError(
            f"board: expected one of {', '.join(boards)}, or a file NAME.yaml, got {name!r}"
        )
    path = Path(name)
    try:
        entry = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise HardwareFileError(f"{path}: expected the file of a board, got {error}") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise HardwareFileError(f"{path}: expected YAML, got {reason}") from None
    try:
        return _board(path.stem, entry)
    except ParameterError as error:
        raise HardwareFileError(f"{path}: {error}; known boards: {', '.join(boards)}") from None


def _board(name: str, entry: Any) -> Board:
    known = {*AMOUNTS, *TEXTS, *NUMBERS, *OPTIONAL, "reserve"}
    given = _mapping("a board", entry, known)
    for key in sorted(known - set(OPTIONAL)):
        if key not in given:
            raise ParameterError(f"{key}: expected a value, got none")
    for key in TEXTS:
        if not isinstance(given[key], str) or not given[key]:
            raise ParameterError(f"{key}: expected a text, got {given[key]!r}")
    if given["family"] not in FAMILIES:
        raise ParameterError(f"family: expected one of {FAMILIES}, got {given['family']!r}")
    for key in NUMBERS:
        value = given[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ParameterError(f"{key}: expected a positive number, got {value!r}")
    reserve = _mapping("reserve", given["reserve"], set(AMOUNTS))
    board = Board(
        name,
        part=given["part"],
        family=given["family"],
        clock_mhz=float(given["clock_mhz"]),
        resources=_amounts("", given),
        reserve=_amounts("reserve.", reserve),
        dram_bytes_per_s=float(given["dram_bytes_per_s"]),
        finn_name=str(given.get("finn_name", "")),
    )
    if not board.reserve.fits(board.resources):
        raise ParameterError("reserve: expected no more than the part has, got more")
    return board


def _mapping(name: str, entry: Any, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(entry, Mapping):
        raise ParameterError(f"{name}: expected keys and values, got {type(entry).__name__}")
    unknown = sorted(str(key) for key in entry if key not in known)
    if unknown:
        raise ParameterError(f"{name}: expected keys of {sorted(known)}, got {unknown}")
    return entry


def _amounts(where: str, entry: Mapping[str, Any]) -> Resources:
    values = {}
    for key in AMOUNTS:
        value = entry.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ParameterError(f"{where}{key}: expected a number from 0 on, got {value!r}")
        values[key] = value
    return Resources(
        values["lut"], values["ff"], 2 * values["bram36"], values["uram"], values["dsp"]
    )
