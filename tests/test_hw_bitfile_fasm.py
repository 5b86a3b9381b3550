"""FPGA assembly becomes frames by the database; nothing is lost or contradicted in silence."""

from pathlib import Path

import pytest

from hw.bitfile.bitstream import (
    SYNC,
    check_bits,
    check_header,
    read_bits,
    read_header,
    undated,
)
from hw.bitfile.fasm import Database, Frames, assemble, features
from hw.bitfile.nextpnr import fasm_sites
from hw.bitfile.open_chain import check_memory_bits
from hw.errors import HardwareFileError, ToolError
from tests.bitstreams import PART, bit_file, write_database


@pytest.fixture
def database(tmp_path: Path) -> Database:
    write_database(tmp_path)
    return Database(tmp_path, PART)


def test_features_of_a_line() -> None:
    assert list(features("A_X0Y0.B.C")) == [("A_X0Y0", "B.C", 0)]
    assert list(features("A.INIT[7:4] = 4'b1010 # why")) == [("A", "INIT", 5), ("A", "INIT", 7)]
    assert list(features("A.INIT[3]")) == [("A", "INIT", 3)]
    assert list(features("A.V[9:0] = 10'h201")) == [("A", "V", 0), ("A", "V", 9)]
    assert not list(features("A.INIT[63:0] = 64'b0")) and not list(features("  # nothing"))
    with pytest.raises(HardwareFileError, match=r"expected TILE\.FEATURE, got 'what is'"):
        list(features("what is"))


def test_bits_lie_where_the_grid_says(database: Database) -> None:
    lines = [
        "CLBLL_L_X2Y0.SLICEL_X0.AFF.ZINI",
        "CLBLL_L_X2Y0.SLICEL_X0.ALUT.INIT[63:0] = 64'b10",
        "CLBLL_L_X2Y0.SLICEL_X0.MUX.A",
        "CLBLL_L_X2Y0.SLICEL_X0.ONE[0]",
        "CLBLL_L_X2Y0.CLBLL_LL_A1.CLBLL_IMUX7",
        "BRAM_L_X6Y5.RAMB18_Y0.INIT_00[255:0] = 256'b1" + 255 * "0",
    ]
    frames = assemble(lines, database)
    clb, bram = 0x0040_0100, 0x0040_0300
    assert frames.bits.keys() == {
        (clb + 31, 4 * 32 + 3),
        (clb + 33, 4 * 32 + 15),
        (clb + 30, 4 * 32 + 40),
        (clb + 29, 4 * 32 + 63),
        (0x00C2_0000 + 127, 10 * 32 + 319),
        (bram + 27, 10 * 32 + 99),
        (bram + 27, 10 * 32 + 100),
    }
    assert frames.features == 7
    rows = dict(line.split() for line in frames.text().splitlines())
    assert list(rows) == sorted(rows) and len(rows) == 6
    words = [int(word, 16) for word in rows["0x0040031B"].split(",")]
    assert len(words) == 101
    assert words[13] == 0b11 << 3 and sum(words) == words[13]
    check_bits(frames, read_bits(_listed(frames)))


def _listed(frames: Frames) -> str:
    return "".join(f"bit_{a:08x}_{b // 32:03}_{b % 32:02}\n" for a, b in frames.bits)


def test_a_bit_more_or_less_in_the_bitstream_is_noticed(database: Database) -> None:
    frames = assemble([], database)
    found = read_bits(_listed(frames))
    check_bits(frames, found | {(0x0040_031B, 50 * 32 + 12)})  # error correction's
    for wrong in (found | {(0x0040_031B, 50 * 32 + 13)}, set(list(found)[1:])):
        with pytest.raises(HardwareFileError, match="expected 2 bits to be set"):
            check_bits(frames, wrong)


@pytest.mark.parametrize(
    "line",
    ["CLBLL_L_X2Y0.SLICEL_X0.BFF.ZINI", "CLBLL_L_X3Y0.A", "CLBLL_L_X2Y0.SLICEL_X0.ALUT.INIT[2]"],
)
def test_what_the_database_does_not_know_is_refused(database: Database, line: str) -> None:
    with pytest.raises(HardwareFileError, match="1 others, which would be lost: CLBLL") as caught:
        assemble([line], database)
    assert line in str(caught.value)


def test_contradicting_features_are_refused(database: Database) -> None:
    lines = ["CLBLL_L_X2Y0.SLICEL_X0.MUX.A", "CLBLL_L_X2Y0.SLICEL_X0.MUX.B"]
    with pytest.raises(HardwareFileError, match=r"expected features that agree.*MUX\.[AB]"):
        assemble(lines, database)


def test_an_unknown_part_is_refused(database: Database) -> None:
    with pytest.raises(ToolError, match="expected the part xc7z010clg400-1"):
        Database(database.folder, "xc7z010clg400-1")


def test_sites_are_counted_once() -> None:
    lines = [
        "CLBLL_L_X2Y0.SLICEL_X0.ALUT.INIT[63:0] = 64'b1",
        "CLBLL_L_X2Y0.SLICEL_X0.ALUT.INIT[63:0] = 64'b1",
        "CLBLM_R_X3Y7.SLICEM_X0.DLUT.INIT[63:0] = 64'b0",
        "CLBLM_R_X3Y7.SLICEM_X0.DLUT.RAM",
        "CLBLM_R_X3Y7.SLICEL_X1.C5FF.ZINI",
        "INT_L_X0Y0.A.B",
    ]
    assert fasm_sites(lines) == (2, 3)


def test_lost_memory_contents_are_noticed() -> None:
    lines = ["BRAM_L_X6Y5.RAMB18_Y0.INIT_00[255:0] = 256'b1011", "BRAM_L_X6Y5.RAMB18_Y0.IN_USE"]
    lines += ["CLBLL_L_X2Y0.SLICEL_X0.ALUT.INIT[63:0] = 64'b1"]
    lines += ["BRAM_L_X6Y5.RAMB18_Y0.ZINIT_A[17:0] = 18'b1"]
    check_memory_bits(lines, 3)
    with pytest.raises(HardwareFileError, match=r"expected 4 bits set in block RAMs.*got 3"):
        check_memory_bits(lines, 4)


def test_a_header_tells_part_and_idcode(database: Database) -> None:
    content = bit_file(PART, 0x0372_7093)
    header = read_header(content)
    assert (header.part, header.idcode) == (PART, 0x0372_7093)
    check_header(header, database)
    for other in (bit_file(PART, 0x0372_2093), bit_file("xc7z010clg400-1", 0x0372_7093)):
        with pytest.raises(HardwareFileError, match="expected a bitstream of xc7z020clg400-1"):
            check_header(read_header(other), database)
    dated = content.replace(b"2020/01/01", b"2031/12/24").replace(b"00:00:00", b"23:59:59")
    assert dated != content and undated(dated) == undated(content)
    assert read_header(undated(content)) == header
    for damaged in (b"", content[:-1], content[:40], content.replace(SYNC, b"abcd")):
        with pytest.raises(HardwareFileError, match="expected"):
            read_header(damaged)
