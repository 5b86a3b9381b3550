"""FPGA assembly to configuration frames, by prjxray's database of what each bit does.

FASM lists features, one a line: `TILE.FEATURE`, or `TILE.FEATURE[15:0] = 16'b...` for several bits.
The database has for each type of tile which bits, set or cleared, make a feature; where a tile's
bits begin stands in its grid. Some connections need no bit ("pseudo pips").
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hw.errors import HardwareFileError, ToolError

WORDS = 101  # of 32 bits in a frame
ECC_WORD, ECC_MASK = 50, 0x1FFF  # of a frame: 13 bits that the bitstream writer computes
LINE = re.compile(
    r"([^\s.]+)\.([^\s\[=]+)"  # tile and feature
    r"(?:\[(\d+)(?::(\d+))?\])?"  # address, or the highest and the lowest
    r"(?:\s*=\s*(?:\d+'([bh]))?(\w+))?"  # value
)
BASES = {"b": 2, "h": 16, None: 10}
Bit = tuple[int, int]  # address of a frame, bit of it
Places = tuple[tuple[str, int, int, bool], ...]  # block, frame and bit of a tile, whether set


@dataclass
class Frames:
    """Configuration bits, by frame.

    Attributes:
        bits: those that are set.
        cleared: those that some feature needs at 0.
        features: number of features assembled.
    """

    bits: dict[Bit, str] = field(default_factory=dict)
    cleared: dict[Bit, str] = field(default_factory=dict)
    features: int = 0

    def text(self) -> str:
        """As `xc7frames2bit --frm_file` reads it: frames that have a bit, in order of address."""
        words: dict[int, list[int]] = {}
        for address, bit in self.bits:
            words.setdefault(address, [0] * WORDS)[bit // 32] |= 1 << bit % 32
        return "".join(
            f"0x{address:08X} {','.join(f'0x{word:08X}' for word in words[address])}\n"
            for address in sorted(words)
        )


class Database:
    """prjxray's files of one part."""

    def __init__(self, folder: Path, part: str) -> None:
        """Read the grid of a part.

        Args:
            folder: of the family, such as `.../database/zynq7`.
            part: such as xc7z020clg400-1.

        Raises:
            ToolError: the database has no such part.
        """
        self.folder, self.part = folder, part
        self.part_file = folder / part / "part.yaml"
        grid = folder / part.split("clg")[0] / "tilegrid.json"
        if not self.part_file.is_file() or not grid.is_file():
            raise ToolError(f"{folder}: expected the part {part} in it, got none")
        self.grid = json.loads(grid.read_text())
        self._types: dict[str, tuple[frozenset[str], dict[str, Places]]] = {}

    def required(self) -> list[str]:
        """Features that every bitstream of the part has."""
        file = self.folder / self.part / "required_features.fasm"
        return file.read_text().splitlines() if file.is_file() else []

    def idcode(self) -> int:
        """The part's identification, as its configuration logic compares it."""
        found = re.search(r"^idcode: (0x[0-9a-f]+)", self.part_file.read_text(), re.M)
        if found is None:
            raise ToolError(f"{self.part_file}: expected an idcode, got none")
        return int(found[1], 16)

    def places(self, tile: str, feature: str, address: int) -> Iterator[tuple[Bit, bool]]:
        """Bits of a feature, and whether they are set; KeyError if it isn't known."""
        entry = self.grid[tile]
        free, known = self._type(entry["type"])
        if feature in free:
            return
        found = known.get(feature) if not address else None
        if found is None:
            found = known[f"{feature}[{address}]"]
        for block, frame, bit, value in found:
            where = entry["bits"][block]
            if "alias" in where:
                raise KeyError(tile)  # half of a pair of pins: none is used here
            yield (int(where["baseaddr"], 16) + frame, where["offset"] * 32 + bit), value

    def _type(self, name: str) -> tuple[frozenset[str], dict[str, Places]]:
        """Features of a type of tile: those without a bit, the places of the others."""
        if name not in self._types:
            lower, skip = name.lower(), len(name) + 1
            free = {line.split()[0][skip:] for line in self._lines(f"ppips_{lower}.db")}
            known: dict[str, Places] = {}
            for block, end in (("CLB_IO_CLK", ""), ("BLOCK_RAM", ".block_ram")):
                for line in self._lines(f"segbits_{lower}{end}.db"):
                    feature, *bits = line.split()
                    known[_plain(feature[skip:])] = tuple(_place(block, bit) for bit in bits)
            self._types[name] = frozenset(free), known
        return self._types[name]

    def _lines(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().splitlines() if file.is_file() else []


def assemble(lines: Iterable[str], database: Database) -> Frames:
    """Frames of a design.

    Args:
        lines: FASM, as nextpnr writes it.
        database: of its part.

    Raises:
        HardwareFileError: features that the database doesn't know, which would be lost, or two
            that contradict each other.
    """
    frames, lost = Frames(), list[str]()
    for line in (*lines, *database.required()):
        for tile, feature, address in features(line):
            frames.features += 1
            try:
                for place, value in database.places(tile, feature, address):
                    (frames.bits if value else frames.cleared)[place] = line
            except KeyError:
                lost.append(line)
    if lost:
        raise HardwareFileError(
            f"FASM: expected features that the database of {database.part} knows, got "
            f"{len(lost)} others, which would be lost: {'; '.join(lost[:3])}"
        )
    for place in frames.bits.keys() & frames.cleared.keys():
        raise HardwareFileError(
            f"FASM: expected features that agree, got {frames.bits[place]!r} and "
            f"{frames.cleared[place]!r}"
        )
    return frames


def features(line: str) -> Iterator[tuple[str, str, int]]:
    """Tile, feature and address of every feature that a line sets.

    Raises:
        HardwareFileError: the line isn't FASM.
    """
    text = line.partition("#")[0].strip()
    if not text:
        return
    found = LINE.fullmatch(text)
    if found is None:
        raise HardwareFileError(f"FASM: expected TILE.FEATURE, got {line!r}")
    tile, feature, high, low, base, digits = found.groups()
    first = int(low if low is not None else high or 0)
    value = 1 if digits is None else int(digits, BASES[base])
    while value:
        offset = (value & -value).bit_length() - 1
        value &= value - 1
        yield tile, feature, first + offset


def _plain(feature: str) -> str:
    """INIT[007] as INIT[7]."""
    return re.sub(r"\[0*(\d+)\]$", r"[\1]", feature)


def _place(block: str, text: str) -> tuple[str, int, int, bool]:
    frame, bit = text.lstrip("!").split("_")
    return block, int(frame), int(bit), not text.startswith("!")
