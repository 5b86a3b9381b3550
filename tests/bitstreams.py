"""A small database of configuration bits, and bitstream files."""

import json
import struct
from pathlib import Path

from hw.bitfile.bitstream import IDCODE_WRITE, MAGIC, SYNC

PART = "xc7z020clg400-1"
GRID = {
    "CLBLL_L_X2Y0": {
        "type": "CLBLL_L",
        "bits": {"CLB_IO_CLK": {"baseaddr": "0x00400100", "frames": 36, "offset": 4, "words": 2}},
    },
    "BRAM_L_X6Y5": {
        "type": "BRAM_L",
        "bits": {
            "CLB_IO_CLK": {"baseaddr": "0x00400300", "frames": 28, "offset": 10, "words": 10},
            "BLOCK_RAM": {"baseaddr": "0x00C20000", "frames": 128, "offset": 10, "words": 10},
        },
    },
}
FILES = {
    "segbits_clbll_l.db": "CLBLL_L.SLICEL_X0.AFF.ZINI 31_03\n"
    "CLBLL_L.SLICEL_X0.ALUT.INIT[00] 32_15\n"
    "CLBLL_L.SLICEL_X0.ALUT.INIT[01] 33_15\nCLBLL_L.SLICEL_X0.MUX.A 30_40 !30_41\n"
    "CLBLL_L.SLICEL_X0.MUX.B !30_40 30_41\nCLBLL_L.SLICEL_X0.ONE[0] 29_63\n",
    "ppips_clbll_l.db": "CLBLL_L.CLBLL_LL_A1.CLBLL_IMUX7 always\n",
    "segbits_bram_l.db": "BRAM_L.RAMB18_Y0.IN_USE 27_99 27_100\n",
    "segbits_bram_l.block_ram.db": "BRAM_L.RAMB18_Y0.INIT_00[255] 127_319\n",
    f"{PART}/part.yaml": "!<xilinx/xc7series/part>\nidcode: 0x3727093\n",
    f"{PART}/required_features.fasm": "BRAM_L_X6Y5.RAMB18_Y0.IN_USE\n",
}


def write_database(folder: Path) -> None:
    """The database as prjxray lays it out."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "xc7z020").mkdir()
    (folder / "xc7z020/tilegrid.json").write_text(json.dumps(GRID))


def bit_file(part: str, idcode: int) -> bytes:
    """A .bit whose header says so."""
    body = (
        b"\xff" * 8 + SYNC + b"\x20\0\0\0" + IDCODE_WRITE + struct.pack(">I", idcode) + b"\0" * 40
    )
    fields = b"".join(
        key + struct.pack(">H", len(text) + 1) + text.encode() + b"\0"
        for key, text in ((b"a", "top"), (b"b", part), (b"c", "2020/01/01"), (b"d", "00:00:00"))
    )
    return MAGIC + fields + b"e" + struct.pack(">I", len(body)) + body
