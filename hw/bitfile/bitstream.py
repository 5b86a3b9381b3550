"""A .bit file: prjxray's programs that write and read one, and what its header says.

The header has numbered fields (design, part, date, time, length); configuration packets follow a
synchronization word. A packet to the register IDCODE makes the chip refuse another part's file.
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from hw.bitfile.fasm import ECC_MASK, ECC_WORD, Bit, Database, Frames
from hw.bitfile.tools import open_tool, run_tool
from hw.errors import HardwareFileError

MAGIC = bytes.fromhex("0009 0ff0 0ff0 0ff0 0ff0 00 0001")
SYNC, IDCODE_WRITE = bytes.fromhex("aa995566"), bytes.fromhex("30018001")
FRAMES, BITS = "board.frm", "board.bits"
READ_BIT = re.compile(r"bit_([0-9a-f]{8})_(\d+)_(\d+)")


@dataclass(frozen=True)
class Header:
    """What a .bit file says of itself.

    Attributes:
        part: such as 7z020clg400.
        idcode: of the chip that takes it.
        length: bytes of configuration.
    """

    part: str
    idcode: int
    length: int


def write_bitstream(
    frames: Frames, database: Database, target: Path, root: Path, deadline: float
) -> None:
    """Write a .bit of frames and read it back, bit by bit.

    Args:
        frames: of `hw.bitfile.fasm.assemble`.
        database: of the part.
        target: the file; logs and frames lie beside it.
        root: folder of the tools.
        deadline: as `run_tool`.

    Raises:
        ToolError: prjxray is missing or failed.
        HardwareFileError: the file is of another part, or has other bits than the frames.
    """
    folder = target.parent
    (folder / FRAMES).write_text(frames.text())
    writer = [*open_tool(root, "xc7frames2bit"), "--part_file", str(database.part_file)]
    writer += ["--part_name", database.part, "--frm_file", FRAMES, "--output_file", target.name]
    reader = [*open_tool(root, "bitread"), "--part_file", str(database.part_file)]
    reader += ["-z", "-y", "-o", BITS, target.name]
    for command, name in ((writer, "xc7frames2bit"), (reader, "bitread")):
        log = folder / f"{name}.log"
        run_tool(name, command, log=log, cwd=folder, deadline=deadline)
    try:
        target.write_bytes(undated(target.read_bytes()))
        check_header(read_header(target.read_bytes()), database)
        check_bits(frames, read_bits((folder / BITS).read_text()))
    except (OSError, HardwareFileError) as error:
        target.unlink(missing_ok=True)
        raise HardwareFileError(f"{target}: {error}") from None


def read_header(content: bytes) -> Header:
    """The header of a .bit file.

    Raises:
        HardwareFileError: it is none, or cut short.
    """
    if not content.startswith(MAGIC):
        raise HardwareFileError("expected the header of a bitstream, got something else")
    at, fields = len(MAGIC), dict[str, bytes]()
    try:
        while True:
            key = content[at : at + 1].decode("ascii")
            if key == "e":
                (length,) = struct.unpack_from(">I", content, at + 1)
                at += 5
                break
            (size,) = struct.unpack_from(">H", content, at + 1)
            fields[key] = content[at + 3 : at + 3 + size].rstrip(b"\0")
            at += 3 + size
        body = content[at:]
        found = body.index(IDCODE_WRITE, body.index(SYNC)) + len(IDCODE_WRITE)
        (idcode,) = struct.unpack_from(">I", body, found)
        part = fields["b"].decode("ascii")
    except (struct.error, ValueError, KeyError):
        raise HardwareFileError(
            "expected fields, length and IDCODE, got a damaged header"
        ) from None
    if len(body) != length:
        raise HardwareFileError(f"expected {length} bytes of configuration, got {len(body)}")
    return Header(part, idcode, length)


def undated(content: bytes) -> bytes:
    """A .bit file without the time when it was written: the same frames give the same file."""
    content = re.sub(rb"c\0\x0b\d{4}/\d\d/\d\d\0", b"c\0\x0b1980/01/01\0", content, count=1)
    return re.sub(rb"d\0\x09\d\d:\d\d:\d\d\0", b"d\0\x0900:00:00\0", content, count=1)


def check_header(header: Header, database: Database) -> None:
    """HardwareFileError if a bitstream is not of the database's part."""
    expected = database.idcode()
    if header.idcode != expected or database.part.removeprefix("xc") != header.part.removeprefix(
        "xc"
    ):
        raise HardwareFileError(
            f"expected a bitstream of {database.part} (IDCODE 0x{expected:08x}), got one of "
            f"{header.part} (0x{header.idcode:08x})"
        )


def read_bits(text: str) -> set[Bit]:
    """Bits as `bitread -y` lists them."""
    return {
        (int(address, 16), 32 * int(word) + int(bit))
        for address, word, bit in READ_BIT.findall(text)
    }


def check_bits(frames: Frames, found: set[Bit]) -> None:
    """HardwareFileError unless a bitstream has the bits of frames, besides error correction."""
    expected = {place for place in frames.bits if not _is_ecc(place)}
    found = {place for place in found if not _is_ecc(place)}
    if expected != found:
        raise HardwareFileError(
            f"expected {len(expected)} bits to be set, of which {len(expected - found)} are not, "
            f"got {len(found - expected)} others"
        )


def _is_ecc(place: Bit) -> bool:
    word, bit = divmod(place[1], 32)
    return word == ECC_WORD and bool(ECC_MASK >> bit & 1)
